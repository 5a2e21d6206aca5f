//! What a server receives.

use super::command::Place;
use super::{Command, ReplyEncoder, RespError, Version, header, inline};
use crate::codec::{Codec, Decoder, Input, Output};
use crate::limits;

/// Places that are kept for the next command; after one with more arguments the rest is given back.
const PLACES_KEPT: usize = 64;

/// RESP for servers: each message is a [`Command`], and what is sent is a [`Reply`](super::Reply).
///
/// Commands are arrays of bulk strings or words on a line (inline commands, which people type). What is empty is passed over, as
/// Redis does it. Commands that come together are handled one after the other, and their replies leave together.
///
/// A peer that breaks the protocol is told why in Redis's words, and closed. An inline command that is the start of an HTTP
/// request (`POST`, `Host:`) closes the connection without a word: a web page can make its visitor's browser send one to a
/// server on the visitor's own machine, with commands in its body. [`no_inline`](Commands::no_inline) refuses all inline commands.
#[derive(Clone, Copy, Debug)]
pub struct Commands {
    max_command: usize,
    max_arguments: usize,
    version: Version,
    inline: bool,
}

impl Default for Commands {
    fn default() -> Commands {
        Commands {
            max_command: limits::UNFINISHED_FRAME,
            max_arguments: limits::RESP_ARGUMENTS,
            version: Version::Resp2,
            inline: true,
        }
    }
}

impl Commands {
    /// How many bytes a command may have, everything included: a command of just as many is taken, and one byte more is refused
    /// as soon as it is announced. 2 GiB at most. Default: 1 MiB. An inline command has 64 KiB at most, its line end included.
    pub fn max_command(mut self, bytes: usize) -> Commands {
        self.max_command = bytes.min(i32::MAX as usize);
        self
    }

    /// How many arguments a command may have, its name included. Default: 65,536.
    pub fn max_arguments(mut self, count: usize) -> Commands {
        self.max_arguments = count;
        self
    }

    /// Takes only arrays: an inline command, even an empty line, closes the connection as a protocol error. Client libraries send
    /// none; people with `telnet` do, and so do web pages that attack. Default: inline commands are taken.
    pub fn no_inline(mut self) -> Commands {
        self.inline = false;
        self
    }

    /// The version in which replies are written from the start: for a [`Group`](crate::Group) of those who have asked for
    /// version 3. A connection's own changes when a [`Version`] is sent. Default: 2.
    pub fn version(mut self, version: Version) -> Commands {
        self.version = version;
        self
    }
}

impl Codec for Commands {
    type Decoder = CommandDecoder;
    type Encoder = ReplyEncoder;

    fn halves(&self) -> (CommandDecoder, ReplyEncoder) {
        (CommandDecoder::new(*self), ReplyEncoder::new(self.version))
    }
}

/// The receiving half of [`Commands`].
#[derive(Debug)]
pub struct CommandDecoder {
    limits: Commands,
    /// Where the arguments stand that have been seen.
    places: Vec<Place>,
    /// Everything before this has been looked at.
    at: usize,
    /// Arguments that are still to come, when their number is known.
    missing: usize,
    shape: Shape,
    refusal: Option<RespError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Unknown,
    Array,
    Line,
}

impl CommandDecoder {
    fn new(limits: Commands) -> CommandDecoder {
        CommandDecoder { limits, places: Vec::new(), at: 0, missing: 0, shape: Shape::Unknown, refusal: None }
    }

    /// Forgets the arguments of the command before. Short commands come here each time, so what is rare is elsewhere.
    #[inline(always)]
    fn clear_places(&mut self) {
        self.places.clear();
        if self.places.capacity() > PLACES_KEPT {
            self.give_places_back();
        }
    }

    #[cold]
    #[inline(never)]
    fn give_places_back(&mut self) {
        self.places.shrink_to(PLACES_KEPT);
    }

    #[inline(never)]
    fn find_end(&mut self, input: Input<'_>) -> Result<Option<usize>, RespError> {
        if self.shape == Shape::Unknown {
            let Some(first) = input.get(0) else { return Ok(None) };
            self.clear_places();
            if first != b'*' {
                if !self.limits.inline {
                    return Err(RespError::Type { expected: Some(b'*'), found: first });
                }
                (self.shape, self.at) = (Shape::Line, 0);
            } else {
                let count = match header::number(input, 1) {
                    Ok(Some(count)) if count.value <= i32::MAX.into() => count,
                    Ok(None) => return Ok(None),
                    Err(RespError::LineEnd) => return Err(RespError::LineEnd),
                    _ => return self.refuse_number(input, 0),
                };
                // Less than nothing is nothing (Redis takes -1, too).
                self.missing = count.value.max(0) as usize;
                if self.missing > self.limits.max_arguments {
                    let max = self.limits.max_arguments;
                    return Err(RespError::TooManyArguments { max, count: count.value as u64 });
                }
                if count.end > self.limits.max_command {
                    return Err(RespError::TooLong { max: self.limits.max_command, length: count.end as u64 });
                }
                (self.shape, self.at) = (Shape::Array, count.end);
            }
        }
        match self.shape {
            Shape::Line => self.find_line_end(input),
            _ => self.find_last_argument(input),
        }
    }

    /// A count or a length is wrong, in the line that starts at `at`. Which words Redis has for it hangs on whether the line has
    /// an end, so that is waited for.
    #[cold]
    fn refuse_number(&self, input: Input<'_>, at: usize) -> Result<Option<usize>, RespError> {
        let (kind, max) = (input.get(at).unwrap_or_default(), limits::RESP_LINE.min(self.limits.max_command));
        match input.find(b'\r', at) {
            Some(end) if end - at <= max && kind == b'*' => Err(RespError::Count),
            Some(end) if end - at <= max => Err(RespError::Length),
            None if input.len() - at <= max => Ok(None),
            _ => Err(RespError::LineTooLong { kind, max }),
        }
    }

    /// The end of a command of at most nine arguments, of at most 99 bytes each, that has come in one piece: nearly all are
    /// such. `None` leaves the question to those who know every shape.
    #[inline(always)]
    fn find_short(&mut self, input: &[u8]) -> Option<usize> {
        self.clear_places();
        let [b'*', count @ b'1'..=b'9', b'\r', b'\n', rest @ ..] = input else { return None };
        let mut rest = rest;
        for _ in b'0'..*count {
            let (length, string) = match rest {
                [b'$', a @ b'0'..=b'9', b'\r', b'\n', string @ ..] => (a - b'0', string),
                [b'$', a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', string @ ..] => {
                    (10 * (a - b'0') + (b - b'0'), string)
                }
                _ => return None,
            };
            let start = input.len() - string.len();
            let (_, [b'\r', b'\n', behind @ ..]) = string.split_at_checked(length.into())? else { return None };
            self.places.push((start as u32, start as u32 + u32::from(length)));
            rest = behind;
        }
        let end = input.len() - rest.len();
        let allowed = end <= self.limits.max_command && self.places.len() <= self.limits.max_arguments;
        allowed.then_some(end)
    }

    #[inline]
    fn find_last_argument(&mut self, input: Input<'_>) -> Result<Option<usize>, RespError> {
        while self.missing > 0 {
            match input.get(self.at) {
                Some(b'$') => {}
                Some(found) => return Err(RespError::Type { expected: Some(b'$'), found }),
                None => return Ok(None),
            }
            let (length, bytes) = match header::number(input, self.at + 1) {
                Ok(Some(length)) if length.value >= 0 => (length.end, length.value as usize),
                Ok(None) => return Ok(None),
                Err(RespError::LineEnd) => return Err(RespError::LineEnd),
                _ => return self.refuse_number(input, self.at),
            };
            let max = self.limits.max_command;
            // Its line end belongs to the command.
            if bytes > max || length + bytes + 2 > max {
                return Err(RespError::TooLong { max, length: bytes as u64 });
            }
            let Some(end) = header::string_end(input, length, bytes)? else { return Ok(None) };
            self.places.push((length as u32, (length + bytes) as u32));
            self.at = end;
            self.missing -= 1;
        }
        self.shape = Shape::Unknown;
        Ok(Some(self.at))
    }

    fn find_line_end(&mut self, input: Input<'_>) -> Result<Option<usize>, RespError> {
        let max = limits::RESP_LINE.min(self.limits.max_command);
        let end = input.find(b'\n', self.at).map(|at| at + 1);
        let length = end.unwrap_or(input.len());
        if length > max {
            return Err(RespError::LineTooLong { kind: b' ', max });
        }
        self.at = length;
        Ok(end)
    }
}

impl Decoder for CommandDecoder {
    type Item<'a> = Command<'a>;
    type Error = RespError;

    #[inline(always)]
    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, RespError> {
        if self.shape == Shape::Unknown
            && let Some(end) = self.find_short(input.as_slices().0)
        {
            return Ok(Some(end));
        }
        self.find_end(input).inspect_err(|error| self.refusal = Some(*error))
    }

    #[inline]
    fn is_message(&mut self, frame: &mut [u8]) -> Result<bool, RespError> {
        if self.shape == Shape::Line {
            self.shape = Shape::Unknown;
            inline::split(frame, &mut self.places).inspect_err(|error| self.refusal = Some(*error))?;
            if inline::is_web_request(frame, &self.places) {
                return Err(RespError::WebRequest);
            }
        }
        Ok(!self.places.is_empty())
    }

    #[inline]
    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<Command<'a>, RespError> {
        Ok(Command::new(frame, &self.places))
    }

    #[inline]
    fn has_answer(&self) -> bool {
        self.refusal.is_some()
    }

    fn answer(&mut self, output: &mut Output<'_>) {
        if let Some(why) = self.refusal.take().and_then(|error| error.told()) {
            output.put_slice(&[b"-ERR Protocol error: ", &why[..], b"\r\n"].concat());
        }
    }

    fn max_buffered(&self) -> usize {
        // A count or a length that is wrong may be as long as a line, behind all arguments.
        self.limits.max_command.saturating_add(limits::RESP_LINE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_a_long_command_are_given_back_with_the_next() {
        let (mut decoder, _) = Commands::default().halves();
        let long = [&b"*60000\r\n"[..], &b"$1\r\na\r\n".repeat(60_000)].concat();
        for next in [&b"*1\r\n$4\r\nPING\r\n"[..], b"PING\r\n"] {
            assert_eq!(decoder.frame_end(Input::from(&long[..])).unwrap(), Some(long.len()));
            assert!(decoder.places.capacity() >= 60_000);
            assert_eq!(decoder.frame_end(Input::from(next)).unwrap(), Some(next.len()));
            assert!(decoder.places.capacity() <= 2 * PLACES_KEPT, "{}", decoder.places.capacity());
            assert!(decoder.is_message(&mut next.to_vec()).unwrap());
        }
    }
}
