use super::{Decoder, Encoder, Error, Input, Output};
use crate::limits;
use memchr::memmem;
use std::sync::Arc;

/// Messages that end with a delimiter of one or more bytes; a message is a `&[u8]` without it.
///
/// A stream that ends without a delimiter has broken off inside a message. A message that contains the delimiter, or that
/// would together with it form an earlier one, is not sent.
///
/// ```
/// use tiderace::codec::{Decoder, Delimiter, Input};
///
/// let mut records = Delimiter::new(b"||");
/// assert_eq!(records.frame_end(Input::from(&b"ham||egg|"[..])), Ok(Some(5)));
/// assert_eq!(records.decode(&mut b"ham||".to_vec()), Ok(&b"ham"[..]));
/// assert_eq!(records.frame_end(Input::from(&b"egg|"[..])), Ok(None));
/// ```
#[derive(Clone, Debug)]
pub struct Delimiter {
    delimiter: Arc<[u8]>,
    max: usize,
    /// No delimiter begins in this much of the input.
    searched: usize,
}

impl Delimiter {
    /// Messages of at most 64 KiB that end with `delimiter`.
    ///
    /// # Panics
    /// If the delimiter is empty.
    pub fn new(delimiter: impl AsRef<[u8]>) -> Delimiter {
        Delimiter::with_max(delimiter, limits::FRAME)
    }

    /// Messages of at most `max` bytes, delimiter not counted, that end with `delimiter`. A longer one ends the
    /// connection.
    ///
    /// # Panics
    /// If the delimiter is empty.
    pub fn with_max(delimiter: impl AsRef<[u8]>, max: usize) -> Delimiter {
        let delimiter = delimiter.as_ref();
        assert!(!delimiter.is_empty(), "a delimiter needs at least one byte");
        Delimiter { delimiter: delimiter.into(), max, searched: 0 }
    }

    /// Where the delimiter begins, at or after what was searched before.
    fn find(&self, input: Input<'_>) -> Option<usize> {
        let mut from = self.searched;
        // The first byte at memory speed, the others by hand: they may lie on both sides of the ring's seam.
        while let Some(at) = input.find(self.delimiter[0], from) {
            let rest = self.delimiter.iter().enumerate();
            if at + self.delimiter.len() > input.len() {
                return None;
            }
            if rest.skip(1).all(|(i, byte)| input.get(at + i) == Some(*byte)) {
                return Some(at);
            }
            from = at + 1;
        }
        None
    }
}

impl Decoder for Delimiter {
    type Item<'a> = &'a [u8];
    type Error = Error;

    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, Error> {
        let found = self.find(input);
        let length = found.unwrap_or_else(|| (input.len() + 1).saturating_sub(self.delimiter.len()));
        if length > self.max {
            return Err(Error::TooLong { max: self.max, length: length as u64 });
        }
        // A delimiter may have begun at the end of what is there.
        self.searched = if found.is_some() { 0 } else { length };
        Ok(found.map(|at| at + self.delimiter.len()))
    }

    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<&'a [u8], Error> {
        Ok(&frame[..frame.len() - self.delimiter.len()])
    }

    fn max_buffered(&self) -> usize {
        self.max.saturating_add(self.delimiter.len())
    }
}

impl Encoder<[u8]> for Delimiter {
    type Error = Error;

    fn encode(&mut self, message: &[u8], output: &mut Output<'_>) -> Result<(), Error> {
        if let Some(at) = memmem::find(message, &self.delimiter) {
            return Err(Error::Delimiter { at });
        }
        // With a delimiter that overlaps itself ("aa"), the message's end ("a") and the delimiter make an earlier one.
        let d = &self.delimiter;
        let overlaps = |n: &usize| message.ends_with(&d[..*n]) && d.starts_with(&d[*n..]);
        if let Some(n) = (1..d.len()).find(overlaps) {
            return Err(Error::Delimiter { at: message.len() - n });
        }
        output.put_slice(message);
        output.put_slice(&self.delimiter);
        Ok(())
    }
}

impl Encoder<str> for Delimiter {
    type Error = Error;

    fn encode(&mut self, message: &str, output: &mut Output<'_>) -> Result<(), Error> {
        Encoder::<[u8]>::encode(self, message.as_bytes(), output)
    }
}
