//! Bodies in chunks: RFC 9112, section 7.1.

use super::HttpError;
use super::head::Place;
use super::scan::{is_quoted_byte, is_token_byte};
use super::trailers::TrailersEnd;
use crate::codec::Input;

/// A line with the size of a chunk, and what extensions it has, may be this long.
pub(super) const SIZE_LINE: usize = 256;

/// Finds the end of a body in chunks. Of what has come before, only a line that is unfinished is looked at again.
#[derive(Debug, Default)]
pub(super) struct ChunksEnd {
    head: usize,
    at: usize,
    state: State,
    extensions: Extensions,
    /// Bytes of the body, without what is around the chunks.
    pub(super) length: u64,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Size,
    Data(u64),
    Trailers(Box<TrailersEnd>),
}

/// What a body in chunks may be. Each is checked where a line begins, so it does not matter how the bytes arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkLimits {
    /// Bytes of the body.
    pub(super) data: usize,
    /// Bytes of the body with what is around its chunks.
    pub(super) total: usize,
    /// Bytes of all extensions, and of the trailer section.
    pub(super) head: usize,
    /// Fields of the trailer section.
    pub(super) fields: usize,
}

impl ChunksEnd {
    /// A body that begins behind a head of so many bytes.
    pub(super) fn behind(head: usize) -> ChunksEnd {
        ChunksEnd { head, at: head, ..ChunksEnd::default() }
    }

    /// Where the body ends, behind its trailer section, whose fields are in `trailers` then.
    pub(super) fn find(
        &mut self,
        input: Input<'_>,
        limits: ChunkLimits,
        trailers: &mut Vec<(Place, Place)>,
    ) -> Result<Option<usize>, HttpError> {
        loop {
            match &mut self.state {
                State::Size => {
                    let Some(line) = SizeLine::read(input, self.at)? else { return Ok(None) };
                    self.extensions.count(&line, limits.head)?;
                    self.length = self.length.saturating_add(line.size);
                    self.at = line.end;
                    // The length is at most that of a body, so the sum fits.
                    if self.length > limits.data as u64
                        || (self.at - self.head).saturating_add(line.size as usize) > limits.total
                    {
                        return Err(HttpError::BodyTooLong { max: limits.data, length: self.length });
                    }
                    self.state = match line.size {
                        0 => State::Trailers(Box::new(TrailersEnd::at(self.at))),
                        size => State::Data(size),
                    };
                }
                State::Data(size) => {
                    // Not more than the maximum, so it fits.
                    let end = self.at + *size as usize;
                    let Some(end) = data_end(input, end)? else { return Ok(None) };
                    (self.at, self.state) = (end, State::Size);
                }
                State::Trailers(end) => return end.find(input, (limits.head, limits.fields), trailers),
            }
        }
    }

    /// Where the trailer section begins in a frame whose end was found.
    pub(super) fn trailers(&self) -> usize {
        match &self.state {
            State::Trailers(end) => end.began(),
            _ => self.at,
        }
    }
}

/// Where the line end behind a chunk's data ends, which begins at `at`.
pub(super) fn data_end(input: Input<'_>, at: usize) -> Result<Option<usize>, HttpError> {
    match (byte(input, at), byte(input, at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some(at + 2)),
        (None, _) | (Some(b'\r'), None) => Ok(None),
        _ => Err(HttpError::Chunk),
    }
}

fn byte(input: Input<'_>, at: usize) -> Option<u8> {
    if at < input.len() { input.get(at) } else { None }
}

/// Bytes of the extensions of one body, which can grow with each chunk, and which no handler sees: RFC 9112, section 7.1.1, has them
/// limited.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extensions(usize);

impl Extensions {
    pub(super) fn count(&mut self, line: &SizeLine, max: usize) -> Result<(), HttpError> {
        self.0 += line.extensions;
        if self.0 > max { Err(HttpError::ExtensionsTooLong { max }) } else { Ok(()) }
    }
}

/// The line before a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SizeLine {
    /// Of the chunk's data.
    pub(super) size: u64,
    /// Where the line ends, behind its line feed.
    pub(super) end: usize,
    /// Bytes between the size and the line end.
    pub(super) extensions: usize,
}

/// What the next byte of a chunk's line is a part of (RFC 9112, sections 7.1 and 7.1.1):
/// `1*HEXDIG *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ) CRLF`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Size,
    /// White space that a semicolon must follow.
    BeforeSemicolon,
    BeforeName,
    Name,
    /// White space that an equals sign or a semicolon must follow.
    BehindName,
    BeforeValue,
    Value,
    Quoted,
    Escaped,
    BehindQuoted,
    LineFeed,
}

impl SizeLine {
    /// The line at `at`, if it has come; a line that is wrong is refused at its first wrong byte.
    pub(super) fn read(input: Input<'_>, at: usize) -> Result<Option<SizeLine>, HttpError> {
        let (mut size, mut state, mut extensions) = (0_u64, At::Start, 0);
        for (i, place) in (at..input.len()).enumerate() {
            if i == SIZE_LINE {
                return Err(HttpError::Chunk);
            }
            let byte = input.get(place).unwrap_or_default();
            state = match (state, byte) {
                (At::Start | At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                    let digit = char::from(byte).to_digit(16).unwrap_or_default();
                    let longer = size.checked_mul(16).and_then(|size| size.checked_add(u64::from(digit)));
                    size = longer.ok_or(HttpError::Chunk)?;
                    At::Size
                }
                (At::LineFeed, b'\n') => return Ok(Some(SizeLine { size, end: place + 1, extensions })),
                (state, byte) => {
                    // The line end is no extension: a body may have any number of chunks.
                    extensions += usize::from(byte != b'\r');
                    state.next(byte).ok_or(HttpError::Chunk)?
                }
            };
        }
        Ok(None)
    }
}

impl At {
    /// What follows a byte behind the size.
    fn next(self, byte: u8) -> Option<At> {
        Some(match (self, byte) {
            (At::Size | At::Name | At::Value | At::BehindQuoted, b'\r') => At::LineFeed,
            (At::Size | At::BeforeSemicolon, b' ' | b'\t') => At::BeforeSemicolon,
            (At::Value | At::BehindQuoted, b' ' | b'\t') => At::BeforeSemicolon,
            (At::Size | At::BeforeSemicolon | At::Name | At::BehindName, b';') => At::BeforeName,
            (At::Value | At::BehindQuoted, b';') => At::BeforeName,
            (At::BeforeName, b' ' | b'\t') => At::BeforeName,
            (At::BeforeName | At::Name, _) if is_token_byte(byte) => At::Name,
            (At::Name | At::BehindName, b' ' | b'\t') => At::BehindName,
            (At::Name | At::BehindName, b'=') => At::BeforeValue,
            (At::BeforeValue, b' ' | b'\t') => At::BeforeValue,
            (At::BeforeValue, b'"') => At::Quoted,
            (At::BeforeValue | At::Value, _) if is_token_byte(byte) => At::Value,
            (At::Quoted, b'"') => At::BehindQuoted,
            (At::Quoted, b'\\') => At::Escaped,
            (At::Quoted | At::Escaped, _) if is_quoted_byte(byte) => At::Quoted,
            _ => return None,
        })
    }
}

/// Moves the data of a whole body in chunks, which was found to be one, to its front, and says how much that is.
pub(super) fn join(body: &mut [u8]) -> Result<usize, HttpError> {
    let (mut from, mut to) = (0, 0);
    while let Some(SizeLine { size, end: data, .. }) = SizeLine::read(Input::from(&*body), from)? {
        let size = size as usize;
        if size == 0 {
            break;
        }
        body.copy_within(data..data + size, to);
        to += size;
        from = data + size + "\r\n".len();
    }
    Ok(to)
}
