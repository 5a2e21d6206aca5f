//! A reply as it is lent to a client.

use super::{RespError, header};
use crate::codec::Input;
use std::fmt;

/// A value that a server has sent. It lies in the connection's buffer, and nothing of it is copied.
///
/// Texts are bytes, because servers repeat what they were sent. Attributes (version 3), which tell about the value that
/// follows them, are passed over unless [`Replies::show_attributes`](super::Replies::show_attributes) asks for them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// A line, such as `OK`.
    Simple(&'a [u8]),
    /// An error: a word in capitals and a sentence. Of version 3 this may be a blob error, which may have several lines.
    Error(&'a [u8]),
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
    /// A whole number of any length, in digits.
    BigNumber(&'a [u8]),
    /// A text and its format, such as `txt` or `mkd`.
    Verbatim([u8; 3], &'a [u8]),
    /// Values in order.
    Array(Values<'a>),
    /// Keys and values, in turns.
    Map(Values<'a>),
    /// Values without order.
    Set(Values<'a>),
    /// What no command has asked for.
    Push(Values<'a>),
    /// A value with attributes; only where they were asked for.
    Attributed(AttributedValue<'a>),
}

/// A value and what a server tells about it, such as how often a key is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttributedValue<'a> {
    attributes: Values<'a>,
    value: &'a [u8],
}

impl<'a> AttributedValue<'a> {
    /// Keys and values, in turns. Of several attributes in a row, which no server is known to send, these are the last.
    pub fn attributes(&self) -> Values<'a> {
        self.attributes
    }

    /// The value that they are about. The values within it may have attributes of their own.
    pub fn value(&self) -> Value<'a> {
        // It was looked at when the end of the frame was found.
        read(self.value, true).map_or(Value::Null, |(value, _)| value)
    }
}

impl<'a> Value<'a> {
    /// The bytes of a line, an error, a bulk string, a verbatim text or a big number.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            Value::Simple(bytes)
            | Value::Error(bytes)
            | Value::Bulk(bytes)
            | Value::BigNumber(bytes)
            | Value::Verbatim(_, bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The bytes as a text, if they are UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The values of an array, a map (keys and values in turns), a set or a push.
    pub fn values(&self) -> Option<Values<'a>> {
        match *self {
            Value::Array(values) | Value::Map(values) | Value::Set(values) | Value::Push(values) => Some(values),
            _ => None,
        }
    }
}

/// The values within a value. Each is read when its turn comes.
#[derive(Clone, Copy, PartialEq)]
pub struct Values<'a> {
    bytes: &'a [u8],
    count: usize,
    /// Whether attributes are shown.
    attributes: bool,
}

impl<'a> Values<'a> {
    /// How many there are; of a map, keys and values are counted.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The value at `index`. It reads those before it.
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        (*self).into_iter().nth(index)
    }
}

impl<'a> IntoIterator for Values<'a> {
    type Item = Value<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        Iter { rest: self }
    }
}

/// The iterator over [`Values`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: Values<'a>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.rest.count = self.rest.count.checked_sub(1)?;
        // They were looked at when the end of the frame was found.
        let (value, end) = read(self.rest.bytes, self.rest.attributes).ok()?;
        self.rest.bytes = self.rest.bytes.get(end..)?;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.rest.count, Some(self.rest.count))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

/// One value's own bytes, without the values within it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: u8,
    /// The line behind the type, or the bytes of a string.
    pub(super) from: usize,
    pub(super) to: usize,
    /// Values within it; of an attribute, those before the value that it belongs to.
    pub(super) children: u64,
    /// Where what follows starts.
    pub(super) end: usize,
}

/// Reads the token that starts at `at`; `searched` is how far its line has been searched. `None` if it has not all come.
pub(super) fn token(input: Input<'_>, at: usize, searched: &mut usize) -> Result<Option<Token>, RespError> {
    let Some(kind) = input.get(at) else { return Ok(None) };
    let begin = at + 1;
    match kind {
        b'$' | b'=' | b'!' => {
            let Some(length) = header::number(input, begin)? else { return Ok(None) };
            if kind == b'$' && length.value == -1 {
                return Ok(Some(Token { kind: b'_', from: begin, to: begin, children: 0, end: length.end }));
            }
            let bytes = usize::try_from(length.value).ok().filter(|bytes| *bytes < i32::MAX as usize);
            let bytes = bytes.ok_or(RespError::Length)?;
            let Some(end) = header::string_end(input, length.end, bytes)? else { return Ok(None) };
            if kind == b'=' && (bytes < 4 || input.get(length.end + 3) != Some(b':')) {
                return Err(RespError::Malformed { kind });
            }
            Ok(Some(Token { kind, from: length.end, to: length.end + bytes, children: 0, end }))
        }
        b'*' | b'%' | b'~' | b'>' | b'|' => {
            let Some(count) = header::number(input, begin)? else { return Ok(None) };
            if kind == b'*' && count.value == -1 {
                return Ok(Some(Token { kind: b'_', from: begin, to: begin, children: 0, end: count.end }));
            }
            let values_of_each = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
            let children = u64::from(u32::try_from(count.value).map_err(|_| RespError::Length)?) * values_of_each;
            Ok(Some(Token { kind, from: begin, to: begin, children, end: count.end }))
        }
        b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => {
            let Some(line_end) = input.find(b'\n', begin.max(*searched)) else {
                *searched = input.len();
                return Ok(None);
            };
            if line_end == begin || input.get(line_end - 1) != Some(b'\r') {
                return Err(RespError::LineEnd);
            }
            Ok(Some(Token { kind, from: begin, to: line_end - 1, children: 0, end: line_end + 1 }))
        }
        found => Err(RespError::Type { expected: None, found }),
    }
}

/// Reads the value at the front of `bytes`, which are whole; says where it ends.
pub(crate) fn read(bytes: &[u8], attributes: bool) -> Result<(Value<'_>, usize), RespError> {
    let mut at = 0;
    loop {
        let token = token(Input::from(bytes), at, &mut 0)?.ok_or(RespError::Length)?;
        let end = skip(bytes, token.end, token.children)?;
        let values = Values { bytes: &bytes[token.end..end], count: token.children as usize, attributes };
        if token.kind == b'|' {
            if attributes && bytes.get(end) != Some(&b'|') {
                let whole = skip(bytes, end, 1)?;
                return Ok((
                    Value::Attributed(AttributedValue { attributes: values, value: &bytes[end..whole] }),
                    whole,
                ));
            }
            at = end;
            continue;
        }
        let own = &bytes[token.from..token.to];
        return Ok((value(token.kind, own, values)?, end));
    }
}

fn value<'a>(kind: u8, own: &'a [u8], values: Values<'a>) -> Result<Value<'a>, RespError> {
    let malformed = RespError::Malformed { kind };
    let text = || std::str::from_utf8(own).map_err(|_| malformed);
    Ok(match kind {
        b'+' => Value::Simple(own),
        b'-' | b'!' => Value::Error(own),
        b':' => Value::Integer(text()?.parse().map_err(|_| malformed)?),
        b'$' => Value::Bulk(own),
        b'_' if own.is_empty() => Value::Null,
        b'_' => return Err(malformed),
        b'#' => match own {
            b"t" => Value::Boolean(true),
            b"f" => Value::Boolean(false),
            _ => return Err(malformed),
        },
        b',' => Value::Double(text()?.parse().map_err(|_| malformed)?),
        b'(' if is_whole_number(own) => Value::BigNumber(own),
        b'(' => return Err(malformed),
        b'=' => Value::Verbatim([own[0], own[1], own[2]], &own[4..]),
        b'*' => Value::Array(values),
        b'%' => Value::Map(values),
        b'~' => Value::Set(values),
        b'>' => Value::Push(values),
        found => return Err(RespError::Type { expected: None, found }),
    })
}

/// Whether these are digits, perhaps behind a sign.
pub(super) fn is_whole_number(bytes: &[u8]) -> bool {
    let digits = bytes.strip_prefix(b"-").or_else(|| bytes.strip_prefix(b"+")).unwrap_or(bytes);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Where `count` values end that start at `at`. They are checked, so that who reads them later meets no error; what is
/// within them is counted, not descended into.
fn skip(bytes: &[u8], mut at: usize, mut count: u64) -> Result<usize, RespError> {
    while count > 0 {
        let token = token(Input::from(bytes), at, &mut 0)?.ok_or(RespError::Length)?;
        if token.kind != b'|' {
            value(token.kind, &bytes[token.from..token.to], Values { bytes: &[], count: 0, attributes: false })?;
        }
        // An attribute is followed by the value that it belongs to.
        count = count + token.children - u64::from(token.kind != b'|');
        at = token.end;
    }
    Ok(at)
}
