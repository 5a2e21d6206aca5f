//! The write queue: what a socket still has to take.
//!
//! ```text
//!   segments: [ copied 64 KiB ][ shared Bytes ][ copied ] ... tail: [ small writes are gathered here ]
//!               ^ head: this many bytes of the front are gone
//! ```
//!
//! Small writes are copied behind each other into `tail`; a large `Bytes` is queued as it is, without a copy, and goes
//! out in the same vectored write.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A tail grows to this; then it becomes a segment, because growing further would copy what it holds.
const SEGMENT: usize = 64 * 1024;
/// The segments for which an empty queue keeps room.
const SEGMENTS_KEPT: usize = 64;
/// The size of a fresh tail: the answers of one turn, mostly.
const TAIL: usize = 4 * 1024;
/// The same for a queue that takes one message.
const TAIL_OF_ONE: usize = 256;
/// `Bytes` shorter than this are copied: a copy is cheaper than one more slice in a vectored write.
const SHARED_MIN: usize = 2 * 1024;
/// How many slices one vectored write takes. Linux allows 1,024; more than these seldom fit a socket's buffer.
const SLICES: usize = 64;

/// A queue of bytes on their way out.
#[derive(Default)]
pub(crate) struct Outbound {
    /// Closed segments, none of them empty.
    segments: VecDeque<Segment>,
    /// Still open for small writes; after all segments. Initialised throughout, so that a write is a copy and no more.
    tail: Vec<u8>,
    /// How much of the tail is in use: `end <= tail.len()`.
    end: usize,
    /// Bytes of the front (the first segment, or else the tail) that are written already; less than its length.
    head: usize,
    /// Bytes in the segments.
    closed: usize,
    /// Bytes that encoders have written through to the socket, in all; it wraps. How far it has moved while a message was
    /// encoded says how much of what was queued before that message has left since.
    through: usize,
}

enum Segment {
    Copied(Vec<u8>),
    Shared(Released),
}

/// Bytes whose owner may be a value of the user's. A panic of its destructor is logged: it must end neither the core nor the
/// process.
struct Released(Bytes);

impl Drop for Released {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.0);
        if catch_unwind(AssertUnwindSafe(|| drop(bytes))).is_err() {
            tracing::error!("the owner of bytes that were sent has panicked when it was dropped");
        }
    }
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Segment::Copied(bytes) => bytes,
            Segment::Shared(bytes) => &bytes.0,
        }
    }

    fn truncate(&mut self, length: usize) {
        match self {
            Segment::Copied(bytes) => bytes.truncate(length),
            Segment::Shared(bytes) => bytes.0.truncate(length),
        }
    }

    fn skip(&mut self, written: usize) {
        match self {
            Segment::Copied(bytes) => drop(bytes.drain(..written)),
            Segment::Shared(bytes) => bytes.0.advance(written),
        }
    }
}

impl Outbound {
    /// An empty queue whose first tail is smaller than others: for one message, which is mostly short.
    pub(crate) fn for_one_message() -> Outbound {
        Outbound { tail: vec![0; TAIL_OF_ONE], ..Outbound::default() }
    }

    /// Bytes that wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.closed + self.end - self.head
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where [`Outbound::write_through`] stands.
    #[inline]
    pub(crate) fn through(&self) -> usize {
        self.through
    }

    /// The socket has taken `written` bytes: of the queue, and, behind that, of bytes that are not in it. Says how many these
    /// are.
    pub(crate) fn write_through(&mut self, written: usize) -> usize {
        self.through = self.through.wrapping_add(written);
        let queued = written.min(self.len());
        self.advance(queued);
        written - queued
    }

    /// Queues a copy of `bytes`.
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.push_between([], bytes, []);
    }

    /// Queues copies of all three, of which the first and the last are short and of a known length.
    #[inline(always)]
    pub(crate) fn push_between<const N: usize, const M: usize>(
        &mut self,
        before: [u8; N],
        bytes: &[u8],
        behind: [u8; M],
    ) {
        let end = self.end + N + bytes.len() + M;
        if end > self.tail.len() {
            return self.push_beyond([&before, bytes, &behind]);
        }
        let (first, rest) = self.tail[self.end..end].split_at_mut(N);
        let (second, third) = rest.split_at_mut(bytes.len());
        first.copy_from_slice(&before);
        second.copy_from_slice(bytes);
        third.copy_from_slice(&behind);
        self.end = end;
    }

    /// Makes room: a larger tail, or, when it is as large as it gets, a fresh one.
    #[cold]
    fn push_beyond(&mut self, parts: [&[u8]; 3]) {
        if self.end >= SEGMENT / 2 {
            self.seal();
        }
        let needed = self.end + parts.iter().map(|part| part.len()).sum::<usize>();
        let room = needed.next_power_of_two().max(TAIL);
        self.tail.resize(room, 0);
        for part in parts {
            self.tail[self.end..self.end + part.len()].copy_from_slice(part);
            self.end += part.len();
        }
    }

    /// Queues `bytes` themselves, or a copy where that is cheaper.
    pub(crate) fn push_shared(&mut self, bytes: Bytes) {
        if bytes.len() < SHARED_MIN {
            return self.push(&bytes);
        }
        self.seal();
        self.closed += bytes.len();
        self.segments.push_back(Segment::Shared(Released(bytes)));
    }

    /// Makes the tail a segment.
    fn seal(&mut self) {
        if self.end > 0 {
            let mut tail = std::mem::take(&mut self.tail);
            tail.truncate(self.end);
            self.closed += self.end;
            self.end = 0;
            self.segments.push_back(Segment::Copied(tail));
        }
    }

    /// Queues what another queue holds.
    pub(crate) fn append(&mut self, mut other: Outbound) {
        other.seal();
        if let Some(front) = other.segments.front_mut() {
            front.skip(other.head);
        }
        self.seal();
        self.closed += other.closed - other.head;
        self.segments.append(&mut other.segments);
    }

    /// The waiting bytes, where they lie in one piece.
    #[inline]
    pub(crate) fn as_slice(&self) -> Option<&[u8]> {
        self.segments.is_empty().then(|| &self.tail[self.head..self.end])
    }

    /// Calls `write` with the waiting bytes in order, followed by `last`, in as many slices as one call should take.
    /// `write` may take any part of them.
    #[inline]
    pub(crate) fn with_slices<R>(&self, last: &[u8], write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        if self.segments.is_empty() {
            let tail = IoSlice::new(&self.tail[self.head..self.end]);
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
        let queued = self.segments.iter().map(Segment::bytes).chain([&self.tail[..self.end]]);
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

    /// The first `n` bytes are gone; says how many are left.
    #[inline(always)]
    pub(crate) fn advance(&mut self, n: usize) -> usize {
        let left = self.len().checked_sub(n).expect("no more is written than there is");
        if left == 0 {
            self.clear();
        } else {
            self.head += n;
            self.drop_written();
        }
        left
    }

    #[cold]
    fn drop_written(&mut self) {
        while let Some(front) = self.segments.front() {
            let length = front.bytes().len();
            if self.head < length {
                return;
            }
            self.head -= length;
            self.closed -= length;
            self.segments.pop_front();
        }
    }

    /// Takes back what was queued last, until `len` bytes are left: an encoder has failed half-way.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len == 0 {
            return self.clear();
        }
        let mut excess = self.len().saturating_sub(len);
        let cut = excess.min(self.end);
        self.end -= cut;
        excess -= cut;
        while excess > 0 {
            // Something is left, so the cut ends within a segment, and in the first one behind `head`.
            let Some(last) = self.segments.back_mut() else { return };
            let cut = excess.min(last.bytes().len());
            self.closed -= cut;
            excess -= cut;
            last.truncate(last.bytes().len() - cut);
            if last.bytes().is_empty() {
                self.segments.pop_back();
            }
        }
    }

    /// Forgets everything; a tail of the usual size is kept for the next borrower.
    #[inline(always)]
    pub(crate) fn clear(&mut self) {
        // Before shared bytes are released, because their owner's drop might panic.
        (self.head, self.end, self.closed) = (0, 0, 0);
        if self.segments.capacity() > 0 || self.tail.len() > SEGMENT {
            self.release();
        }
    }

    #[cold]
    fn release(&mut self) {
        self.segments.clear();
        self.segments.shrink_to(SEGMENTS_KEPT);
        if self.tail.len() > SEGMENT {
            self.tail = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests;
