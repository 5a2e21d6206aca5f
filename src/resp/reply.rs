//! What a server sends.

use super::value::is_whole_number;
use super::{RespError, Version, header};
use crate::codec::{Encoder, Output};

/// A reply to a command, or what is pushed without one.
///
/// What version 2 has no type for is written as its clients expect it: maps and sets as arrays, pushed values as arrays,
/// booleans as 1 and 0, numbers with a fraction, big numbers and verbatim texts as strings. Attributes are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reply<'a> {
    /// A line, such as `OK`.
    Simple(&'a str),
    /// An error: a word in capitals (`ERR`, `WRONGTYPE`), and a sentence.
    Error(&'a str),
    /// A whole number.
    Integer(i64),
    /// Any bytes.
    Bulk(&'a [u8]),
    /// An error of any bytes, which may have several lines. Version 2 has only a line for it: line ends become spaces.
    BlobError(&'a [u8]),
    /// A text and its format, such as `txt` or `mkd`.
    Verbatim([u8; 3], &'a str),
    /// A whole number of any length: digits, perhaps behind a sign. Anything else is refused
    /// ([`RespError::Malformed`]).
    BigNumber(&'a str),
    /// Nothing.
    Null,
    /// Nothing where an array was expected, which version 2 tells from nothing where a string was (the answer to `EXEC`
    /// when a watched key has changed).
    NullArray,
    /// Yes or no.
    Boolean(bool),
    /// A number with a fraction.
    Double(f64),
    /// Values in order.
    Array(&'a [Reply<'a>]),
    /// Keys and values.
    Map(&'a [(Reply<'a>, Reply<'a>)]),
    /// Values without order, each once.
    Set(&'a [Reply<'a>]),
    /// What no command has asked for: a message of a channel.
    Push(&'a [Reply<'a>]),
    /// A value, and what is told about it.
    Attributed(&'a Attributed<'a>),
}

/// A reply with attributes: [`Reply::Attributed`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attributed<'a> {
    /// Keys and values, which clients may pass over.
    pub attributes: &'a [(Reply<'a>, Reply<'a>)],
    /// The reply itself.
    pub reply: Reply<'a>,
}

/// The sending half of [`Commands`](super::Commands).
///
/// It also takes a [`Version`]: nothing is sent then, and the replies that follow are written in that version. A handler
/// sends it when it has been asked to, by `HELLO`.
#[derive(Clone, Copy, Debug)]
pub struct ReplyEncoder {
    version: Version,
}

impl ReplyEncoder {
    pub(super) fn new(version: Version) -> ReplyEncoder {
        ReplyEncoder { version }
    }

    fn put_line(&self, kind: u8, text: &str, output: &mut Output<'_>) -> Result<(), RespError> {
        // Lines are short.
        if let Some(at) = text.bytes().position(|byte| byte == b'\r' || byte == b'\n') {
            return Err(RespError::LineBreak { at });
        }
        output.put_between([kind], text.as_bytes(), *b"\r\n");
        Ok(())
    }

    #[inline(never)]
    fn put_all(&self, kind: u8, replies: &[Reply<'_>], output: &mut Output<'_>) -> Result<(), RespError> {
        let kind = if self.version == Version::Resp2 { b'*' } else { kind };
        header::put(kind, replies.len() as i64, output);
        replies.iter().try_for_each(|reply| self.encode_value(reply, output))
    }

    #[inline(never)]
    fn put_pairs(&self, pairs: &[(Reply<'_>, Reply<'_>)], output: &mut Output<'_>) -> Result<(), RespError> {
        let is_old = self.version == Version::Resp2;
        let (kind, count) = if is_old { (b'*', 2 * pairs.len()) } else { (b'%', pairs.len()) };
        header::put(kind, count as i64, output);
        self.put_each(pairs, output)
    }

    fn put_each(&self, pairs: &[(Reply<'_>, Reply<'_>)], output: &mut Output<'_>) -> Result<(), RespError> {
        pairs.iter().try_for_each(|(key, value)| {
            self.encode_value(key, output)?;
            self.encode_value(value, output)
        })
    }

    #[inline(never)]
    fn put_double(&self, number: f64, output: &mut Output<'_>) -> Result<(), RespError> {
        // The protocol's names for what is no number are those of Rust, but for case.
        let text = number.to_string().to_ascii_lowercase();
        if self.version == Version::Resp3 {
            return self.put_line(b',', &text, output);
        }
        header::put_bulk(text.as_bytes(), output);
        Ok(())
    }

    #[cold]
    fn put_rare(&self, reply: &Reply<'_>, output: &mut Output<'_>) -> Result<(), RespError> {
        let is_old = self.version == Version::Resp2;
        match *reply {
            Reply::NullArray => output.put_slice(if is_old { b"*-1\r\n" } else { b"_\r\n" }),
            Reply::BlobError(bytes) if is_old => {
                let line = bytes.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte });
                output.put_between([b'-'], &line.collect::<Vec<_>>(), *b"\r\n");
            }
            Reply::BlobError(bytes) => {
                header::put(b'!', bytes.len() as i64, output);
                output.put_between([], bytes, *b"\r\n");
            }
            Reply::Verbatim(_, text) if is_old => header::put_bulk(text.as_bytes(), output),
            Reply::Verbatim([a, b, c], text) => {
                header::put(b'=', text.len() as i64 + 4, output);
                output.put_between([a, b, c, b':'], text.as_bytes(), *b"\r\n");
            }
            Reply::BigNumber(digits) if !is_whole_number(digits.as_bytes()) => {
                return Err(RespError::Malformed { kind: b'(' });
            }
            Reply::BigNumber(digits) if is_old => header::put_bulk(digits.as_bytes(), output),
            Reply::BigNumber(digits) => output.put_between([b'('], digits.as_bytes(), *b"\r\n"),
            Reply::Attributed(Attributed { attributes, reply }) => {
                if !is_old {
                    header::put(b'|', attributes.len() as i64, output);
                    self.put_each(attributes, output)?;
                }
                self.encode_value(reply, output)?;
            }
            _ => self.encode_value(reply, output)?,
        }
        Ok(())
    }

    /// A part of whoever sends a reply, except for what holds other replies: most are of one kind, known there.
    #[inline(always)]
    fn encode_value(&self, reply: &Reply<'_>, output: &mut Output<'_>) -> Result<(), RespError> {
        let is_old = self.version == Version::Resp2;
        match *reply {
            Reply::Simple(text) => self.put_line(b'+', text, output)?,
            Reply::Error(text) => self.put_line(b'-', text, output)?,
            Reply::Integer(number) => header::put(b':', number, output),
            Reply::Bulk(bytes) => header::put_bulk(bytes, output),
            Reply::Null => output.put_slice(if is_old { b"$-1\r\n" } else { b"_\r\n" }),
            Reply::Boolean(yes) if is_old => header::put(b':', i64::from(yes), output),
            Reply::Boolean(yes) => output.put_slice(if yes { b"#t\r\n" } else { b"#f\r\n" }),
            Reply::Double(number) => self.put_double(number, output)?,
            Reply::Array(replies) => self.put_all(b'*', replies, output)?,
            Reply::Set(replies) => self.put_all(b'~', replies, output)?,
            Reply::Push(replies) => self.put_all(b'>', replies, output)?,
            Reply::Map(pairs) => self.put_pairs(pairs, output)?,
            Reply::NullArray
            | Reply::BlobError(_)
            | Reply::Verbatim(..)
            | Reply::BigNumber(_)
            | Reply::Attributed(_) => self.put_rare(reply, output)?,
        }
        Ok(())
    }
}

impl Encoder<Reply<'_>> for ReplyEncoder {
    type Error = RespError;

    #[inline]
    fn encode(&mut self, reply: &Reply<'_>, output: &mut Output<'_>) -> Result<(), RespError> {
        self.encode_value(reply, output)
    }
}

impl Encoder<Version> for ReplyEncoder {
    type Error = RespError;

    fn encode(&mut self, version: &Version, _: &mut Output<'_>) -> Result<(), RespError> {
        self.version = *version;
        Ok(())
    }
}
