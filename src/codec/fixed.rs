use super::{Decoder, Encoder, Error, Input, Output};
use std::convert::Infallible;
use std::num::NonZeroUsize;

/// Messages that all have the same length, as `&[u8]`.
///
/// ```
/// use tiderace::codec::{Decoder, Fixed, Input};
///
/// let mut pairs = Fixed::new(2);
/// assert_eq!(pairs.frame_end(Input::from(&[1, 2, 3][..])), Ok(Some(2)));
/// assert_eq!(pairs.frame_end(Input::from(&[3][..])), Ok(None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    length: NonZeroUsize,
}

impl Fixed {
    /// Messages of `length` bytes.
    ///
    /// # Panics
    /// If it is zero.
    pub fn new(length: usize) -> Fixed {
        Fixed { length: NonZeroUsize::new(length).expect("a message of fixed length needs at least one byte") }
    }
}

impl Decoder for Fixed {
    type Item<'a> = &'a [u8];
    type Error = Infallible;

    #[inline]
    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, Infallible> {
        Ok((input.len() >= self.length.get()).then_some(self.length.get()))
    }

    #[inline]
    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<&'a [u8], Infallible> {
        Ok(frame)
    }

    fn max_buffered(&self) -> usize {
        self.length.get()
    }
}

impl Encoder<[u8]> for Fixed {
    type Error = Error;

    #[inline]
    fn encode(&mut self, message: &[u8], output: &mut Output<'_>) -> Result<(), Error> {
        if message.len() != self.length.get() {
            return Err(Error::WrongLength { expected: self.length.get(), length: message.len() });
        }
        output.put_slice(message);
        Ok(())
    }
}
