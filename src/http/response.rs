//! Responses, and how they are written.

use super::Status;
use super::exchange::Exchange;
use crate::buffer::decimal;
use crate::codec::{Encoder, Output};
use crate::runtime::http_date;
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

/// A response. The date, the length and what becomes of the connection are written by the library.
///
/// ```
/// use tiderace::http::{Response, Status};
///
/// let hello = Response::text("Hello, World!");
/// let missing = Response::new(Status::NOT_FOUND).header("Cache-Control", "no-store");
///
/// // A body may be lent, or be the response's own, which so can be returned.
/// fn greeting(name: &str) -> Response<'static> {
///     Response::text(format!("Hello, {name}!"))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Response<'a> {
    status: Status,
    media_type: MediaType<'a>,
    /// As they are written.
    fields: Vec<u8>,
    invalid_field: bool,
    content: Content<'a>,
    closes: bool,
}

#[derive(Clone, Copy, Debug)]
enum MediaType<'a> {
    None,
    /// The whole line of one that is known, and need not be looked through.
    Known(&'static str),
    Other(&'a str),
}

const TEXT: MediaType<'static> = MediaType::Known("Content-Type: text/plain; charset=utf-8\r\n");
const HTML: MediaType<'static> = MediaType::Known("Content-Type: text/html; charset=utf-8\r\n");
const JSON: MediaType<'static> = MediaType::Known("Content-Type: application/json\r\n");

#[derive(Clone, Debug)]
enum Content<'a> {
    Lent(&'a [u8]),
    Shared(Bytes),
    /// It comes in chunks.
    Chunked,
}

impl<'a> Content<'a> {
    fn len(&self) -> usize {
        match self {
            Content::Lent(bytes) => bytes.len(),
            Content::Shared(bytes) => bytes.len(),
            Content::Chunked => 0,
        }
    }

    fn bytes(body: Cow<'a, [u8]>) -> Content<'a> {
        match body {
            Cow::Borrowed(bytes) => Content::Lent(bytes),
            Cow::Owned(bytes) => Content::Shared(bytes.into()),
        }
    }

    fn text(body: Cow<'a, str>) -> Content<'a> {
        match body {
            Cow::Borrowed(text) => Content::Lent(text.as_bytes()),
            Cow::Owned(text) => Content::Shared(text.into()),
        }
    }
}

impl<'a> Response<'a> {
    /// A response without a body.
    pub fn new(status: Status) -> Response<'a> {
        Response::with(MediaType::None, Content::Lent(&[])).status(status)
    }

    fn with(media_type: MediaType<'a>, content: Content<'a>) -> Response<'a> {
        Response { status: Status::OK, media_type, fields: Vec::new(), invalid_field: false, content, closes: false }
    }

    /// `200 OK` with a body of a media type, such as `image/png`.
    pub fn with_body(media_type: &'a str, body: impl Into<Cow<'a, [u8]>>) -> Response<'a> {
        Response::with(MediaType::Other(media_type), Content::bytes(body.into()))
    }

    /// `200 OK` with text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Response<'a> {
        Response::with(TEXT, Content::text(text.into()))
    }

    /// `200 OK` with HTML.
    pub fn html(html: impl Into<Cow<'a, str>>) -> Response<'a> {
        Response::with(HTML, Content::text(html.into()))
    }

    /// `200 OK` with JSON.
    pub fn json(json: impl Into<Cow<'a, str>>) -> Response<'a> {
        Response::with(JSON, Content::text(json.into()))
    }

    /// `200 OK` with shared bytes, which are not copied if they are many.
    pub fn shared(media_type: &'a str, body: Bytes) -> Response<'a> {
        Response::with(MediaType::Other(media_type), Content::Shared(body))
    }

    /// `200 OK` with a body that comes in parts: each a [`Chunk`], until [`Chunk::last`].
    pub fn chunked(media_type: &'a str) -> Response<'a> {
        Response::with(MediaType::Other(media_type), Content::Chunked)
    }

    /// Sets the status.
    pub fn status(mut self, status: Status) -> Response<'a> {
        self.status = status;
        self
    }

    /// Adds a field to the head. A name that is none (RFC 9110, section 5.1), and a value that would break out of its line,
    /// make the response one that cannot be sent.
    pub fn header(mut self, name: &str, value: &str) -> Response<'a> {
        self.invalid_field |= !is_token(name) || !is_field_value(value);
        for part in [name, ": ", value, "\r\n"] {
            self.fields.extend_from_slice(part.as_bytes());
        }
        self
    }

    /// Closes the connection behind this response.
    pub fn close(mut self) -> Response<'a> {
        self.closes = true;
        self
    }
}

/// A part of a body that was announced by [`Response::chunked`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    bytes: &'a [u8],
    is_last: bool,
}

impl<'a> Chunk<'a> {
    /// The next bytes of the body. None at all are nothing.
    pub fn new(bytes: &'a [u8]) -> Chunk<'a> {
        Chunk { bytes, is_last: false }
    }

    /// The end of the body.
    pub fn last() -> Chunk<'static> {
        Chunk { bytes: &[], is_last: true }
    }
}

/// RFC 9110, section 5.6.2.
pub(crate) fn is_token(name: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_tchar)
}

/// RFC 9110, section 5.5.
pub(crate) fn is_field_value(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'\t' || byte >= b' ' && byte != 0x7f)
}

/// Why a response cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseError {
    /// A field has a name that is none, or a value with a line end in it.
    Field,
    /// The status is no number of three digits.
    Status(u16),
    /// A chunk without a response before it that announces chunks, or behind the last one.
    NotChunked,
    /// A response, while the chunks of the one before it have not come to an end.
    Unfinished,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResponseError::Field => {
                f.write_str("expected a field of a head, found one with characters that it may not have")
            }
            ResponseError::Status(status) => write!(f, "expected a status of three digits, found {status}"),
            ResponseError::NotChunked => f.write_str("expected a chunked response before a chunk, found none"),
            ResponseError::Unfinished => f.write_str("expected the last chunk before another response, found none"),
        }
    }
}

impl std::error::Error for ResponseError {}

/// The sending half of HTTP, for servers.
#[derive(Debug)]
pub struct ResponseEncoder {
    pub(super) exchange: Rc<Exchange>,
}

impl Encoder<Response<'_>> for ResponseEncoder {
    type Error = ResponseError;

    fn encode(&mut self, response: &Response<'_>, output: &mut Output<'_>) -> Result<(), ResponseError> {
        write(response, &self.exchange, output)
    }

    fn size_hint(response: &Response<'_>) -> usize {
        size_of_val(response) + response.fields.len() + response.content.len()
    }
}

impl Encoder<Chunk<'_>> for ResponseEncoder {
    type Error = ResponseError;

    fn encode(&mut self, chunk: &Chunk<'_>, output: &mut Output<'_>) -> Result<(), ResponseError> {
        let exchange = &self.exchange;
        if !exchange.chunked.get() {
            return Err(ResponseError::NotChunked);
        }
        let is_plain = exchange.is_old.get();
        if !chunk.bytes.is_empty() && !exchange.is_head.get() {
            if !is_plain {
                output.put_slice(format!("{:x}\r\n", chunk.bytes.len()).as_bytes());
            }
            output.put_slice(chunk.bytes);
            if !is_plain {
                output.put_slice(b"\r\n");
            }
        }
        if chunk.is_last {
            if !is_plain && !exchange.is_head.get() {
                output.put_slice(b"0\r\n\r\n");
            }
            exchange.chunked.set(false);
            exchange.answered(output);
        }
        Ok(())
    }
}

/// Writes a response as the request at hand wants it.
pub(super) fn write(
    response: &Response<'_>,
    exchange: &Exchange,
    output: &mut Output<'_>,
) -> Result<(), ResponseError> {
    let is_wrong_type = matches!(response.media_type, MediaType::Other(media_type) if !is_field_value(media_type));
    if response.invalid_field || is_wrong_type {
        return Err(ResponseError::Field);
    }
    if exchange.chunked.get() {
        return Err(ResponseError::Unfinished);
    }
    match response.status.line() {
        Some(line) => output.put_between([], line.as_bytes(), http_date()),
        None if (100..1000).contains(&response.status.0) => {
            let line = format!("HTTP/1.1 {} \r\n", response.status.0);
            output.put_between([], line.as_bytes(), http_date());
        }
        None => return Err(ResponseError::Status(response.status.0)),
    }
    // Who has the head of the response need not be told to go on, and between its chunks nothing else may stand.
    exchange.wants_continue.set(false);
    if let MediaType::Other(media_type) = response.media_type {
        output.put_between(*b"Content-Type: ", media_type.as_bytes(), *b"\r\n");
    }
    if !response.fields.is_empty() {
        output.put_slice(&response.fields);
    }
    // What HTTP/1.0 does not know the end of ends with the connection.
    let ends_with_connection = matches!(response.content, Content::Chunked) && exchange.is_old.get();
    if response.closes || ends_with_connection || output.is_stopping() {
        exchange.closes.set(true);
    }
    if exchange.closes.get() {
        output.put_slice(b"Connection: close\r\n");
    } else if exchange.is_old.get() {
        output.put_slice(b"Connection: keep-alive\r\n");
    }
    let known = if let MediaType::Known(line) = response.media_type { line.as_bytes() } else { &[] };
    let body: &[u8] = match &response.content {
        Content::Lent(bytes) => bytes,
        Content::Shared(bytes) => bytes,
        Content::Chunked => &[],
    };
    match &response.content {
        _ if response.status.has_no_body() => {
            output.put_between([], known, *b"\r\n");
            exchange.answered(output);
            return Ok(());
        }
        Content::Chunked => {
            let coding: &[u8] = if exchange.is_old.get() { b"\r\n" } else { b"Transfer-Encoding: chunked\r\n\r\n" };
            output.put_slice(known);
            output.put_slice(coding);
            exchange.chunked.set(true);
            return Ok(());
        }
        _ => {
            let mut digits = [0; decimal::LONGEST];
            let first = decimal::write_at_end(body.len() as u64, &mut digits);
            output.put_between([], known, *b"Content-Length: ");
            output.put_between([], &digits[first..], *b"\r\n\r\n");
        }
    }
    if !exchange.is_head.get() {
        match &response.content {
            Content::Shared(bytes) => output.put_bytes(bytes.clone()),
            _ => output.put_slice(body),
        }
    }
    exchange.answered(output);
    Ok(())
}
