//! The ring buffer between a socket and a decoder.
//!
//! ```text
//!            head          head + len
//!   block  ---|################|-------------   one slice of input, two of spare room
//!   block  ###|----------------|#############   two slices of input (it wraps), one of spare room
//! ```
//!
//! A frame is lent from where it lies. Only one that wraps is copied, and only that one.

use super::Input;

/// A scratch buffer larger than this is not kept after its frame: rare giants must not cost memory for ever.
const SCRATCH_KEPT: usize = 64 * 1024;

/// A ring buffer. Its capacity is a power of two and changes only in [`Ring::resize`].
pub(crate) struct Ring {
    /// Always initialised, so that a socket may read into any part of it. Its length is a power of two.
    block: Box<[u8]>,
    /// `head < block.len()`
    head: usize,
    /// `len <= block.len()`
    len: usize,
    /// Where a frame that wraps is made contiguous.
    scratch: Vec<u8>,
    /// How many bytes were lent last.
    lent: usize,
    /// It is full, and the frame in it has not come to its end.
    wants_room: bool,
}

impl Ring {
    /// A ring of at least `capacity` bytes, rounded up to a power of two.
    pub(crate) fn with_capacity(capacity: usize) -> Ring {
        let block = vec![0; capacity.max(1).next_power_of_two()].into_boxed_slice();
        Ring { block, head: 0, len: 0, scratch: Vec::new(), lent: 0, wants_room: false }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.block.len()
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len == self.block.len()
    }

    /// What waits to be decoded.
    #[inline]
    pub(crate) fn input(&self) -> Input<'_> {
        match self.block.get(self.head..self.head + self.len) {
            Some(all) => Input::one(all),
            None => self.wrapped_input(),
        }
    }

    #[cold]
    fn wrapped_input(&self) -> Input<'_> {
        Input::new(&self.block[self.head..], &self.block[..self.head + self.len - self.block.len()])
    }

    /// The free room in the order in which it is to be filled; follow up with [`Ring::filled`].
    #[inline]
    pub(crate) fn spare(&mut self) -> (&mut [u8], &mut [u8]) {
        let capacity = self.block.len();
        let end = self.head + self.len;
        if self.head == 0 {
            return (&mut self.block[end..], &mut []);
        }
        if end < capacity {
            let (before, after) = self.block.split_at_mut(end);
            (after, &mut before[..self.head])
        } else {
            (&mut self.block[end - capacity..self.head], &mut [])
        }
    }

    /// The first `n` bytes of the spare room now hold input.
    #[inline]
    pub(crate) fn filled(&mut self, n: usize) {
        assert!(n <= self.block.len() - self.len, "{n} bytes filled into {} of room", self.block.len() - self.len);
        self.len += n;
    }

    /// Appends as much of `bytes` as there is room for and says how much that was.
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) fn extend(&mut self, bytes: &[u8]) -> usize {
        let (first, second) = self.spare();
        let n = bytes.len().min(first.len());
        first[..n].copy_from_slice(&bytes[..n]);
        let m = (bytes.len() - n).min(second.len());
        second[..m].copy_from_slice(&bytes[n..n + m]);
        self.filled(n + m);
        n + m
    }

    /// Lends the first `n` bytes, which must be there, in one piece, with the input that lies behind them in the same
    /// piece. Asked again before they are consumed, it lends them as they were left.
    #[inline]
    pub(crate) fn contiguous(&mut self, n: usize) -> &mut [u8] {
        debug_assert!(n <= self.len, "a frame of {n} bytes in {} of input", self.len);
        let end = (self.head + self.len).min(self.block.len());
        if self.head + n <= end {
            self.lent = end - self.head;
            &mut self.block[self.head..end]
        } else {
            self.unwrapped(n)
        }
    }

    /// Just the `n` bytes: what lies behind them would have to be copied too.
    #[cold]
    fn unwrapped(&mut self, n: usize) -> &mut [u8] {
        if self.scratch.len() != n {
            let first = &self.block[self.head..];
            self.scratch.clear();
            self.scratch.extend_from_slice(first);
            self.scratch.extend_from_slice(&self.block[..n - first.len()]);
        }
        self.lent = n;
        &mut self.scratch
    }

    /// Puts a frame that was made contiguous back where it came from, as it was left, so that a part of it can be consumed.
    #[cold]
    pub(crate) fn rewrap(&mut self) {
        let (first, second) = self.scratch.split_at(self.scratch.len().min(self.block.len() - self.head));
        self.block[self.head..self.head + first.len()].copy_from_slice(first);
        self.block[..second.len()].copy_from_slice(second);
        self.scratch.clear();
    }

    /// Forgets the first `n` bytes; of those that were made contiguous all or none, unless they are put back before.
    #[inline]
    pub(crate) fn consume(&mut self, n: usize) {
        assert!(n <= self.len, "more is consumed than there is");
        self.len -= n;
        self.head += n;
        if self.head >= self.block.len() {
            self.start_over();
        }
    }

    /// Forgets what was lent last, but for the last `n` bytes of it. Says how many bytes it has forgotten.
    #[inline]
    pub(crate) fn consume_all_but(&mut self, n: usize) -> usize {
        let consumed = self.lent.saturating_sub(n);
        self.consume(consumed);
        consumed
    }

    #[cold]
    fn start_over(&mut self) {
        self.head -= self.block.len();
        self.clear_scratch();
    }

    fn clear_scratch(&mut self) {
        self.scratch.clear();
        if self.scratch.capacity() > SCRATCH_KEPT {
            self.scratch = Vec::new();
        }
    }

    /// An empty ring starts again at the front, so that it rarely wraps.
    #[inline]
    pub(crate) fn rewind(&mut self) {
        debug_assert!(self.is_empty());
        self.head = 0;
    }

    /// Has whoever lends it exchange it for a larger one.
    #[cold]
    pub(crate) fn ask_for_room(&mut self) {
        self.wants_room = true;
    }

    #[inline]
    pub(crate) fn wants_room(&self) -> bool {
        self.wants_room
    }

    /// Moves the input into a ring that is empty and large enough.
    pub(crate) fn move_to(&mut self, other: &mut Ring) {
        self.input().copy_to(&mut other.block[..self.len]);
        (other.head, other.len) = (0, self.len);
        (self.head, self.len, self.wants_room) = (0, 0, false);
        // A frame may have been made contiguous, and not consumed; the next one here would be taken for it.
        self.clear_scratch();
    }

    /// Moves the input to a block of at least `capacity` bytes; never to one that is too small for it.
    pub(crate) fn resize(&mut self, capacity: usize) {
        let mut resized = Ring::with_capacity(capacity.max(self.len));
        self.input().copy_to(&mut resized.block[..self.len]);
        resized.len = self.len;
        *self = resized;
    }
}

#[cfg(test)]
mod tests;
