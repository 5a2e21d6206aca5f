use super::{Decoder, Encoder, Error, Input, Output};
use crate::limits;

/// Lines of text: a message is a `&str` without its line end, which is `\n` or `\r\n`.
///
/// The last line of a stream needs no line end. What is sent gets a `\n`; a message that contains one is refused, because
/// the peer would take it for two.
///
/// ```
/// use tiderace::codec::{Decoder, Input, Lines};
///
/// let mut lines = Lines::default();
/// assert_eq!(lines.frame_end(Input::from(&b"ham\r\negg"[..])), Ok(Some(5)));
/// assert_eq!(lines.decode(&mut b"ham\r\n".to_vec()), Ok("ham"));
/// assert_eq!(lines.frame_end(Input::from(&b"egg"[..])), Ok(None));
/// assert_eq!(lines.frame_end_at_eof(Input::from(&b"egg"[..])), Ok(Some(3)));
/// ```
#[derive(Clone, Debug)]
pub struct Lines {
    max: usize,
    /// This much of the input has no `\n`.
    searched: usize,
}

impl Lines {
    /// Lines of at most `max` bytes, line end not counted. A longer one ends the connection.
    pub fn with_max(max: usize) -> Lines {
        Lines { max, searched: 0 }
    }

    fn too_long(&self, length: usize) -> Error {
        Error::TooLong { max: self.max, length: length as u64 }
    }
}

impl Default for Lines {
    /// Lines of at most 64 KiB.
    fn default() -> Lines {
        Lines::with_max(limits::FRAME)
    }
}

impl Decoder for Lines {
    type Item<'a> = &'a str;
    type Error = Error;

    #[inline]
    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, Error> {
        match input.find(b'\n', self.searched) {
            Some(at) => {
                self.searched = 0;
                Ok(Some(at + 1))
            }
            // Room for a `\r` whose `\n` is still to come.
            None if input.len() > self.max.saturating_add(1) => Err(self.too_long(input.len())),
            None => {
                self.searched = input.len();
                Ok(None)
            }
        }
    }

    fn frame_end_at_eof(&mut self, input: Input<'_>) -> Result<Option<usize>, Error> {
        let found = self.frame_end(input)?;
        self.searched = 0;
        Ok(found.or(Some(input.len())))
    }

    #[inline]
    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<&'a str, Error> {
        let line: &[u8] = frame;
        // A `\r` that ends the stream ends no line, as in `BufRead::lines`.
        let line = match line.strip_suffix(b"\n") {
            Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
            None => line,
        };
        if line.len() > self.max {
            return Err(self.too_long(line.len()));
        }
        std::str::from_utf8(line).map_err(Error::NotUtf8)
    }

    fn max_buffered(&self) -> usize {
        self.max.saturating_add(2)
    }
}

impl Encoder<str> for Lines {
    type Error = Error;

    #[inline]
    fn encode(&mut self, line: &str, output: &mut Output<'_>) -> Result<(), Error> {
        if let Some(at) = memchr::memchr(b'\n', line.as_bytes()) {
            return Err(Error::Delimiter { at });
        }
        output.put_slice(line.as_bytes());
        output.put_u8(b'\n');
        Ok(())
    }
}
