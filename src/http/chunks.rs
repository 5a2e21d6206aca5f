//! Bodies in chunks: RFC 9112, section 7.1.

use super::HttpError;
use crate::codec::Input;

/// A line with the size of a chunk, and what extensions it has, may be this long.
const SIZE_LINE: usize = 256;

/// Finds the end of a body in chunks. Of what has come before, only a line that is unfinished is looked at again.
#[derive(Debug, Default)]
pub(super) struct ChunksEnd {
    at: usize,
    state: State,
    /// Bytes of the body, without what is around the chunks.
    pub(super) length: u64,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Size,
    Data(u64),
    Trailers {
        began: usize,
    },
}

impl ChunksEnd {
    /// A body that begins behind a head of so many bytes.
    pub(super) fn behind(head: usize) -> ChunksEnd {
        ChunksEnd { at: head, ..ChunksEnd::default() }
    }

    pub(super) fn find(
        &mut self,
        input: Input<'_>,
        max: usize,
        max_trailers: usize,
    ) -> Result<Option<usize>, HttpError> {
        loop {
            match self.state {
                State::Size => {
                    let Some((size, end)) = size_line(input, self.at)? else { return Ok(None) };
                    self.length = self.length.saturating_add(size);
                    if self.length > max as u64 {
                        return Err(HttpError::BodyTooLong { max, length: self.length });
                    }
                    self.at = end;
                    self.state = if size == 0 { State::Trailers { began: end } } else { State::Data(size) };
                }
                State::Data(size) => {
                    // Not more than the maximum, so it fits.
                    let end = self.at + size as usize;
                    let Some(after) = input.array::<2>(end) else { return Ok(None) };
                    if &after != b"\r\n" {
                        return Err(HttpError::Chunk);
                    }
                    (self.at, self.state) = (end + 2, State::Size);
                }
                State::Trailers { began } => {
                    let Some(end) = line_end(input, self.at, max_trailers)? else { return Ok(None) };
                    let is_last = end - self.at == 2;
                    self.at = end;
                    if is_last {
                        return Ok(Some(end));
                    }
                    if end - began > max_trailers {
                        return Err(HttpError::HeadTooLong { max: max_trailers });
                    }
                }
            }
        }
    }
}

/// Where the line at `at` ends, behind its line feed.
pub(super) fn line_end(input: Input<'_>, at: usize, max: usize) -> Result<Option<usize>, HttpError> {
    let Some(feed) = input.find(b'\n', at) else {
        return if input.len() - at > max { Err(HttpError::Chunk) } else { Ok(None) };
    };
    let is_whole = feed > at && input.get(feed - 1) == Some(b'\r');
    if is_whole && feed - at <= max { Ok(Some(feed + 1)) } else { Err(HttpError::Chunk) }
}

/// The size of the chunk whose line is at `at`, and where that line ends.
pub(super) fn size_line(input: Input<'_>, at: usize) -> Result<Option<(u64, usize)>, HttpError> {
    let Some(end) = line_end(input, at, SIZE_LINE)? else { return Ok(None) };
    let mut size = 0_u64;
    let mut digits = 0;
    for i in at..end - 2 {
        let byte = input.get(i).unwrap_or_default();
        let Some(digit) = char::from(byte).to_digit(16) else {
            // Extensions are passed over, as RFC 9112, section 7.1.1, asks for.
            if byte == b';' && digits > 0 && (i..end - 2).all(|i| input.get(i) != Some(b'\r')) {
                return Ok(Some((size, end)));
            }
            return Err(HttpError::Chunk);
        };
        digits += 1;
        size = size.checked_mul(16).and_then(|size| size.checked_add(u64::from(digit))).ok_or(HttpError::Chunk)?;
    }
    if digits == 0 { Err(HttpError::Chunk) } else { Ok(Some((size, end))) }
}

/// Moves the data of a whole body in chunks, which was found to be one, to its front, and says how much that is.
pub(super) fn join(body: &mut [u8]) -> Result<usize, HttpError> {
    let (mut from, mut to) = (0, 0);
    while let Some((size, data)) = size_line(Input::from(&*body), from)? {
        let size = size as usize;
        if size == 0 {
            break;
        }
        body.copy_within(data..data + size, to);
        to += size;
        from = data + size + 2;
    }
    Ok(to)
}
