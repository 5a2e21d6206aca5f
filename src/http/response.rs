//! Responses.

use super::Status;
use super::exchange::Framing;
use super::fields::{self, Taken};
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;

/// A response. The date, the length and what becomes of the connection are written by the library.
///
/// A status of `1xx` but `101` makes it one that is sent before the answer (RFC 9110, section 15.2): a request may have any
/// number of those, and peers of HTTP/1.0 are not sent them. `204`, `304` and what answers a `HEAD` go out without their body.
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
    pub(super) status: Status,
    pub(super) media_type: MediaType<'a>,
    /// As they are written.
    pub(super) fields: Vec<u8>,
    pub(super) content: Content<'a>,
    /// The length that was said of the body.
    pub(super) declared: Option<u64>,
    /// What was said of the connection, but for what the library says.
    pub(super) connection: Option<Box<str>>,
    pub(super) closes: bool,
    pub(super) has_date: bool,
    pub(super) is_live: bool,
    pub(super) is_events: bool,
    error: Option<ResponseError>,
}

#[derive(Clone, Debug)]
pub(super) enum MediaType<'a> {
    None,
    /// The whole line of one that is known, and need not be looked through.
    Known(&'static str),
    Other(Cow<'a, str>),
}

const TEXT: MediaType<'static> = MediaType::Known("Content-Type: text/plain; charset=utf-8\r\n");
const HTML: MediaType<'static> = MediaType::Known("Content-Type: text/html; charset=utf-8\r\n");
const JSON: MediaType<'static> = MediaType::Known("Content-Type: application/json\r\n");
const EVENTS: MediaType<'static> = MediaType::Known("Content-Type: text/event-stream\r\n");

#[derive(Clone, Debug)]
pub(super) enum Content<'a> {
    Lent(&'a [u8]),
    Shared(Bytes),
    /// It comes behind the head, in parts.
    Streamed,
}

impl<'a> Content<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Content::Lent(bytes) => bytes.len(),
            Content::Shared(bytes) => bytes.len(),
            Content::Streamed => 0,
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
        Response {
            status: Status::OK,
            media_type,
            fields: Vec::new(),
            content,
            declared: None,
            connection: None,
            closes: false,
            has_date: false,
            is_live: false,
            is_events: false,
            error: None,
        }
    }

    /// `200 OK` with a body of a media type, such as `image/png`.
    pub fn with_body(media_type: &'a str, body: impl Into<Cow<'a, [u8]>>) -> Response<'a> {
        Response::with(MediaType::Other(media_type.into()), Content::bytes(body.into()))
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
        Response::with(MediaType::Other(media_type.into()), Content::Shared(body))
    }

    /// `200 OK` with a body that comes in parts: each a [`Chunk`], until [`Chunk::last`].
    pub fn chunked(media_type: &'a str) -> Response<'a> {
        Response::with(MediaType::Other(media_type.into()), Content::Streamed)
    }

    /// `200 OK` with a body of so many bytes, which comes in parts: each a [`Chunk`], which goes out as it is. Whether all of them
    /// have come is looked at with [`Chunk::last`], or when the handler returns; a connection whose peer waits for more is closed.
    pub fn sized(media_type: &'a str, length: u64) -> Response<'a> {
        let response = Response::with(MediaType::Other(media_type.into()), Content::Streamed);
        Response { declared: Some(length), ..response }
    }

    /// A stream of server-sent events (HTML Standard, section 9.2): `200 OK` with `text/event-stream`, which caches do not keep.
    /// It is [live](Response::live): what is sent on it are [events](super::Event), by the handler, or by the
    /// [groups](crate::Group) that the handler joins. A stream that is quiet has a comment now and then
    /// ([`Http::heartbeat`](super::Http::heartbeat)).
    pub fn events() -> Response<'a> {
        let response = Response::with(EVENTS, Content::Streamed).live();
        Response { is_events: true, ..response }.header("Cache-Control", "no-store")
    }

    /// Leaves a body that comes in parts open when the handler has returned: it goes on for as long as its connection does, and
    /// takes what the [groups](crate::Group) send that the connection is a member of, [`Chunk`]s and
    /// [`Event`](super::Event)s. It is the connection's last response, so that what a group sends can come into no other.
    ///
    /// It ends when the connection is closed here, when its server stops, and when its peer ends its side.
    pub fn live(mut self) -> Response<'a> {
        self.is_live = true;
        self
    }

    /// Sets the status.
    pub fn status(mut self, status: Status) -> Response<'a> {
        self.status = status;
        self
    }

    /// Adds a field to the head. A name that is none (RFC 9110, section 5.1), and a value that would break out of its line,
    /// make the response one that cannot be sent.
    ///
    /// Fields that say how the message is framed go out once, whether the handler or the library has set them:
    ///
    /// - `Content-Type` and `Date` replace what would go out otherwise.
    /// - `Content-Length` is the length of a [chunked](Response::chunked) response, or what the answer to a `HEAD` says and
    ///   a `304`. For any other it must be that of the body.
    /// - `Connection: close` does what [`close`](Response::close) does, and `keep-alive` is up to the library. Other options go
    ///   out.
    /// - `Upgrade` goes out, and `upgrade` among the options of the connection (RFC 9110, section 7.8).
    /// - `Transfer-Encoding: chunked` is left to the library, and no other coding can be sent.
    pub fn header(mut self, name: &str, value: &str) -> Response<'a> {
        if !is_token(name) || !is_field_value(value) {
            self.error = Some(ResponseError::Field);
            return self;
        }
        if let Some(field) = Taken::of(name) {
            self.take(field, value);
            return self;
        }
        for part in [name, ": ", value, "\r\n"] {
            self.fields.extend_from_slice(part.as_bytes());
        }
        self
    }

    /// Takes a field over that says something of the message as such.
    #[cold]
    fn take(&mut self, field: Taken, value: &str) {
        let value = value.trim_matches([' ', '\t']);
        match field {
            Taken::ContentType => self.media_type = MediaType::Other(value.to_owned().into()),
            Taken::Date if self.has_date => self.error = Some(ResponseError::Field),
            Taken::Date => {
                self.has_date = true;
                self.fields.extend_from_slice(format!("Date: {value}\r\n").as_bytes());
            }
            Taken::ContentLength => match fields::length(value) {
                Some(length) if self.declared.is_none_or(|declared| declared == length) => self.declared = Some(length),
                _ => self.error = Some(ResponseError::Field),
            },
            Taken::TransferEncoding if value.eq_ignore_ascii_case("chunked") => {}
            Taken::TransferEncoding => self.error = Some(ResponseError::TransferCoding),
            Taken::Upgrade => {
                self.fields.extend_from_slice(format!("Upgrade: {value}\r\n").as_bytes());
                self.take(Taken::Connection, "upgrade");
            }
            Taken::Connection => {
                let (closes, others) = fields::options(self.connection.as_deref(), value);
                self.closes |= closes;
                self.connection = others;
            }
        }
    }

    /// Closes the connection behind this response.
    pub fn close(mut self) -> Response<'a> {
        self.closes = true;
        self
    }

    /// The same response, with a body and a media type of its own.
    pub fn into_owned(self) -> Response<'static> {
        let media_type = match self.media_type {
            MediaType::None => MediaType::None,
            MediaType::Known(line) => MediaType::Known(line),
            MediaType::Other(media_type) => MediaType::Other(media_type.into_owned().into()),
        };
        let content = match self.content {
            Content::Lent(bytes) => Content::Shared(Bytes::copy_from_slice(bytes)),
            Content::Shared(bytes) => Content::Shared(bytes),
            Content::Streamed => Content::Streamed,
        };
        Response { media_type, content, ..self }
    }

    /// Whether it can be sent, whatever it answers.
    #[inline]
    pub(super) fn check(&self) -> Result<(), ResponseError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        match &self.media_type {
            MediaType::Other(media_type) if !is_field_value(media_type) => Err(ResponseError::Field),
            _ if !(100..1000).contains(&self.status.0) => Err(ResponseError::Status(self.status.0)),
            _ => Ok(()),
        }
    }

    /// What goes out as `Content-Length`.
    #[inline]
    pub(super) fn length(&self, framing: Framing) -> Option<u64> {
        match framing {
            Framing::Sized(length) => Some(length),
            Framing::Chunks | Framing::Plain => None,
            Framing::Nothing if self.status.0 == 304 => self.declared,
            Framing::Nothing if self.status.has_no_body() => None,
            Framing::Nothing if matches!(self.content, Content::Streamed) => self.declared,
            Framing::Nothing => Some(self.declared.unwrap_or(self.content.len() as u64)),
        }
    }

    /// Bytes of memory that it keeps.
    pub(super) fn size(&self) -> usize {
        size_of_val(self) + self.fields.len() + self.content.len()
    }
}

/// A part of a body that was announced by [`Response::chunked`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) is_last: bool,
    /// So many bytes of the body have gone another way.
    pub(super) passed: u64,
}

impl<'a> Chunk<'a> {
    /// The next bytes of the body. None at all are nothing.
    pub fn new(bytes: &'a [u8]) -> Chunk<'a> {
        Chunk { bytes, is_last: false, passed: 0 }
    }

    /// The end of the body.
    pub fn last() -> Chunk<'static> {
        Chunk { bytes: &[], is_last: true, passed: 0 }
    }
}

impl Chunk<'static> {
    /// So many bytes of a [sized](Response::sized) body have gone by [`Conn::send_file`](crate::Conn::send_file).
    #[cfg(feature = "files")]
    pub(crate) fn passed(bytes: u64) -> Chunk<'static> {
        Chunk { bytes: &[], is_last: false, passed: bytes }
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

/// Why a response, or a part of one, was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseError {
    /// No request waits for a response: it has one, or it is gone with its connection.
    NotAsked,
    /// The request was left to a [`Responder`](super::Responder), which answers it.
    Deferred,
    /// A [`Handle`](crate::Handle) cannot tell which request it would answer. A [`Responder`](super::Responder) can.
    Handle,
    /// A field has a name that is none, or a value with a line end in it, or one that contradicts another.
    Field,
    /// The status is no number of three digits, or one that the peer's version does not have.
    Status(u16),
    /// A chunk without a response before it that announces chunks, or behind the last one.
    NotChunked,
    /// A response, while the chunks of the one before it have not come to an end.
    Unfinished,
    /// A `Transfer-Encoding` other than `chunked`.
    TransferCoding,
    /// More, or another number of bytes, than the response has announced.
    Length {
        /// How many bytes were announced, or are left of those.
        expected: u64,
        /// How many the body has, or the part of it.
        found: u64,
    },
    /// A response with a body of its own, where one is to be begun whose body comes in parts, or the other way round.
    Body,
    /// The last chunk, sent to a group: each response ends by itself.
    Group,
    /// A line end in the name of an event, or a line end or a NUL in its id (HTML Standard, section 9.2.6).
    Event,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResponseError::NotAsked => f.write_str("expected a request that waits for a response, found none"),
            ResponseError::Deferred => f.write_str("expected a request to answer, found one that a responder answers"),
            ResponseError::Handle => f.write_str("expected a responder for a response from elsewhere, found a handle"),
            ResponseError::Field => f.write_str(
                "expected a field of a head, found one with characters that it may not have, or a second one",
            ),
            ResponseError::Status(status) => {
                write!(f, "expected a status of three digits that the peer knows, found {status}")
            }
            ResponseError::NotChunked => f.write_str("expected a chunked response before a chunk, found none"),
            ResponseError::Unfinished => f.write_str("expected the last chunk before another response, found none"),
            ResponseError::TransferCoding => f.write_str("expected chunked as the transfer coding, found another"),
            ResponseError::Length { expected, found } => {
                write!(f, "expected a body of {expected} bytes as announced, found {found}")
            }
            ResponseError::Body => f.write_str("expected a body that comes otherwise: as a whole, or in parts"),
            ResponseError::Group => f.write_str("expected a part of a body for a group, found the end of one"),
            ResponseError::Event => f.write_str("expected a name and an id of one line, found a line end or a NUL"),
        }
    }
}

impl std::error::Error for ResponseError {}
