//! The write queue: what a socket still has to take.
//!
//! ```text
//!   segments: [ copied 64 KiB ][ shared Bytes ][ copied ] ... tail: [ small writes are gathered here ]
//!               ^ head: this many bytes of the front are gone
//! ```
//!
//! Small writes are copied behind each other into `tail`; a large `Bytes` is queued as it is, without a copy, and goes
//! out in the same vectored write.

use bytes::Bytes;
use std::collections::VecDeque;
use std::io::IoSlice;

/// A tail that has grown to this is closed and becomes a segment: growing further would copy what it holds.
const SEGMENT: usize = 64 * 1024;
/// `Bytes` shorter than this are copied: a copy is cheaper than one more slice in a vectored write.
const SHARED_MIN: usize = 2 * 1024;
/// How many slices one vectored write takes. Linux allows 1,024; more than these seldom fit a socket's buffer.
const SLICES: usize = 64;

/// A queue of bytes on their way out.
#[derive(Default)]
pub(crate) struct Outbound {
    /// Closed segments, none of them empty.
    segments: VecDeque<Segment>,
    /// Still open for small writes; after all segments.
    tail: Vec<u8>,
    /// Bytes of the front (the first segment, or else the tail) that are written already; less than its length.
    head: usize,
    /// `len == segments + tail - head`
    len: usize,
}

enum Segment {
    Copied(Vec<u8>),
    Shared(Bytes),
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Segment::Copied(bytes) => bytes,
            Segment::Shared(bytes) => bytes,
        }
    }
}

impl Outbound {
    /// Bytes that wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Queues a copy of `bytes`.
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.tail.len() >= SEGMENT {
            self.seal();
        }
        self.tail.extend_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Queues copies of both, the first of which is short and of a known length.
    #[inline]
    pub(crate) fn push_prefixed<const N: usize>(&mut self, prefix: [u8; N], bytes: &[u8]) {
        if self.tail.len() >= SEGMENT {
            self.seal();
        }
        let length = N + bytes.len();
        self.tail.reserve(length);
        self.tail.extend_from_slice(&prefix);
        self.tail.extend_from_slice(bytes);
        self.len += length;
    }

    /// Queues `bytes` themselves, or a copy where that is cheaper.
    pub(crate) fn push_shared(&mut self, bytes: Bytes) {
        if bytes.len() < SHARED_MIN {
            return self.push(&bytes);
        }
        self.seal();
        self.len += bytes.len();
        self.segments.push_back(Segment::Shared(bytes));
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.segments.push_back(Segment::Copied(std::mem::take(&mut self.tail)));
        }
    }

    /// Calls `write` with the waiting bytes in order, followed by `last`, in as many slices as one call should take.
    /// `write` may take any part of them.
    #[inline]
    pub(crate) fn with_slices<R>(&self, last: &[u8], write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        if self.segments.is_empty() {
            let tail = IoSlice::new(&self.tail[self.head..]);
            return if last.is_empty() {
                write(&[tail])
            } else if tail.is_empty() {
                write(&[IoSlice::new(last)])
            } else {
                write(&[tail, IoSlice::new(last)])
            };
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut n = 0;
        let queued = self.segments.iter().map(Segment::bytes).chain([&self.tail[..]]);
        for (i, bytes) in queued.chain([last]).enumerate() {
            let bytes = if i == 0 { &bytes[self.head..] } else { bytes };
            if n < SLICES && !bytes.is_empty() {
                slices[n] = IoSlice::new(bytes);
                n += 1;
            } else if n == SLICES {
                break;
            }
        }
        write(&slices[..n])
    }

    /// The first `n` bytes are gone.
    #[inline]
    pub(crate) fn advance(&mut self, n: usize) {
        assert!(n <= self.len, "{n} bytes written of {}", self.len);
        self.len -= n;
        if self.len == 0 {
            self.clear();
        } else {
            self.head += n;
            self.drop_written();
        }
    }

    fn drop_written(&mut self) {
        while let Some(front) = self.segments.front() {
            let length = front.bytes().len();
            if self.head < length {
                return;
            }
            self.head -= length;
            self.segments.pop_front();
        }
    }

    /// Takes back what was queued last, until `len` bytes are left: an encoder failed half-way.
    pub(crate) fn truncate(&mut self, len: usize) {
        let mut excess = self.len.saturating_sub(len);
        if len == 0 {
            return self.clear();
        }
        self.len -= excess;
        loop {
            let cut = excess.min(self.tail.len());
            self.tail.truncate(self.tail.len() - cut);
            excess -= cut;
            if excess == 0 {
                return;
            }
            self.tail = match self.segments.pop_back() {
                Some(Segment::Copied(bytes)) => bytes,
                Some(Segment::Shared(bytes)) => bytes.into(),
                None => return,
            };
        }
    }

    /// Forgets everything; what a small tail has allocated is kept for the next borrower.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if !self.segments.is_empty() {
            self.segments.clear();
        }
        self.tail.clear();
        if self.tail.capacity() > 2 * SEGMENT {
            self.tail = Vec::new();
        }
        (self.head, self.len) = (0, 0);
    }
}
