//! What a server sends.

use super::{RespError, Version, header};
use crate::codec::{Encoder, Output};

/// A reply to a command, or what is pushed without one.
///
/// What version 2 has no type for is written as its clients expect it: maps and sets as arrays, pushed values as arrays,
/// booleans as 1 and 0, numbers with a fraction as strings.
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
    /// Nothing.
    Null,
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
