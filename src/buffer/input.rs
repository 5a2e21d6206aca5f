//! What a decoder looks at: received bytes that may lie in two pieces.

/// Received bytes that no frame has claimed yet, in at most two slices because the buffer below is a ring.
///
/// A [`Decoder`](crate::codec::Decoder) searches it for the end of a frame. Nothing is copied until a frame is complete,
/// and then only if that frame wraps.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    first: &'a [u8],
    /// Empty unless `first` is not.
    second: &'a [u8],
}

impl<'a> Input<'a> {
    /// The bytes of `first` followed by those of `second`; for tests of a decoder, too.
    #[inline]
    pub fn new(first: &'a [u8], second: &'a [u8]) -> Self {
        if first.is_empty() { Input { first: second, second: &[] } } else { Input { first, second } }
    }

    #[inline]
    pub(crate) fn one(bytes: &'a [u8]) -> Self {
        Input { first: bytes, second: &[] }
    }

    /// The number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Both slices in order. The second is empty unless the input wraps; the first is empty only if there is no input.
    #[inline]
    pub fn as_slices(&self) -> (&'a [u8], &'a [u8]) {
        (self.first, self.second)
    }

    /// The byte at `index`.
    #[inline]
    pub fn get(&self, index: usize) -> Option<u8> {
        match self.first.get(index) {
            Some(byte) => Some(*byte),
            None => self.second.get(index - self.first.len()).copied(),
        }
    }

    /// The `N` bytes at `offset`, or `None` if they have not all arrived.
    ///
    /// ```
    /// let input = tiderace::codec::Input::new(&[9, 0], &[0, 1, 7]);
    /// assert_eq!(input.array(0).map(u32::from_be_bytes), Some(0x0900_0001));
    /// assert_eq!(input.array::<8>(0), None);
    /// ```
    #[inline]
    pub fn array<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let end = offset.checked_add(N)?;
        if let Some(bytes) = self.first.get(offset..end) {
            return bytes.try_into().ok();
        }
        Input::array_across(self.first, self.second, offset)
    }

    /// Takes the slices, not the input, which can so stay in registers where its bytes lie together.
    #[cold]
    fn array_across<const N: usize>(first: &[u8], second: &[u8], offset: usize) -> Option<[u8; N]> {
        let rest = Input { first, second }.skip(offset);
        if rest.len() < N {
            return None;
        }
        let mut bytes = [0; N];
        rest.copy_to(&mut bytes);
        Some(bytes)
    }

    /// The input without its first `n` bytes; empty if there are no more.
    #[inline]
    pub fn skip(&self, n: usize) -> Input<'a> {
        match self.first.get(n..) {
            Some(rest) => Input::new(rest, self.second),
            None => Input::new(self.second.get(n - self.first.len()..).unwrap_or_default(), &[]),
        }
    }

    /// Where `byte` first stands at or after `from`.
    ///
    /// A decoder that remembers how far it has looked passes that as `from`, so that no byte is looked at twice.
    #[inline]
    pub fn find(&self, byte: u8, from: usize) -> Option<usize> {
        if let Some(head) = self.first.get(from..)
            && let Some(at) = memchr::memchr(byte, head)
        {
            return Some(from + at);
        }
        let skipped = from.saturating_sub(self.first.len());
        let tail = self.second.get(skipped..)?;
        memchr::memchr(byte, tail).map(|at| self.first.len() + skipped + at)
    }

    /// Copies the first `to.len()` bytes.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline]
    pub fn copy_to(&self, to: &mut [u8]) {
        let n = to.len().min(self.first.len());
        let (a, b) = to.split_at_mut(n);
        a.copy_from_slice(&self.first[..n]);
        b.copy_from_slice(&self.second[..b.len()]);
    }
}

impl<'a> From<&'a [u8]> for Input<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Input::new(bytes, &[])
    }
}
