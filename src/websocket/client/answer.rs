//! What a server answers to a handshake: the head, and the body of a refusal.

use super::HandshakeError;
use super::error::ServerRefusal;
use crate::error::Result;
use crate::http::{HeadEnd, Status, Version};
use crate::limits;
use crate::net::{Flag, Stream};
use crate::runtime::timeout;
use futures_lite::AsyncReadExt;
use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};

/// The head of a server's response to a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    version: Version,
    status: Status,
    reason: String,
    fields: Vec<(String, Vec<u8>)>,
}

impl Answer {
    fn parse(head: &[u8]) -> Result<Answer, HandshakeError> {
        let mut fields = [httparse::EMPTY_HEADER; limits::HTTP_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        match response.parse(head) {
            Ok(parsed) if parsed.is_complete() => {}
            Err(httparse::Error::TooManyHeaders) => {
                let max = limits::HTTP_FIELDS;
                return Err(HandshakeError::Head(crate::http::HttpError::TooManyFields { max }));
            }
            _ => return Err(HandshakeError::Answer("expected a response of HTTP, found something else")),
        }
        let fields = response.headers.iter();
        Ok(Answer {
            version: if response.version == Some(0) { Version::Http10 } else { Version::Http11 },
            status: Status(response.code.unwrap_or_default()),
            reason: response.reason.unwrap_or_default().to_owned(),
            fields: fields.map(|field| (field.name.to_owned(), field.value.trim_ascii().to_vec())).collect(),
        })
    }

    /// The status: 101 when the handshake was made.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The words that the server has put behind the status; often none.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The value of the first field with that name, whatever its case. `None`: there is no such field, or its value is not
    /// UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.values(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All fields, as the server has sent them, without the whitespace around a value.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The values of all fields with that name.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// The value of a field that may be there once; `Err`: it is there more often.
    pub(super) fn only(&self, name: &str) -> Result<Option<&[u8]>, ()> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(()),
        }
    }

    /// Whether a list has that option, in any of the lines that it is spread over (RFC 9110, section 5.3).
    pub(super) fn lists(&self, name: &str, option: &str) -> bool {
        let options = self.values(name).flat_map(|list| list.split(|byte| *byte == b','));
        options.into_iter().any(|found| found.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn status_line(&self) -> String {
        let version = if self.version == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" };
        format!("{version} {} {}", self.status.0, self.reason).trim_end().to_owned()
    }

    /// Where a response redirects to, if it does.
    pub(super) fn redirects_to(&self) -> Option<&[u8]> {
        let is_redirect = matches!(self.status.0, 301 | 302 | 303 | 307 | 308);
        self.only("location").ok().flatten().filter(|_| is_redirect)
    }
}

/// Takes the head of the final response off the stream, and nothing behind it. Provisional ones before it are passed over (RFC
/// 9110, section 15.2).
pub(super) async fn read_answer(stream: &Stream) -> Result<Answer> {
    for _ in 0..=limits::WEBSOCKET_PROVISIONAL {
        let answer = Answer::parse(&read_head(stream).await?)?;
        match answer.status.0 {
            status @ 100..200 if status != 101 => tracing::trace!(status, "a provisional response"),
            _ => return Ok(answer),
        }
    }
    Err(HandshakeError::TooManyProvisional { max: limits::WEBSOCKET_PROVISIONAL }.into())
}

async fn read_head(stream: &Stream) -> Result<Vec<u8>> {
    let mut end = HeadEnd::default();
    poll_fn(|cx| {
        let port = stream.port();
        loop {
            if let Some(mut ring) = port.take_ring() {
                let found = end.find(ring.input(), limits::HTTP_HEAD);
                let head = found.map(|found| found.map(|end| ring.contiguous(end)[..end].to_vec()));
                match &head {
                    Ok(Some(head)) => ring.consume(head.len()),
                    _ if ring.is_full() => ring.ask_for_room(),
                    _ => {}
                }
                port.put_ring(ring);
                match head {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Err(HandshakeError::Head(error).into())),
                }
            }
            if port.has(Flag::ENDED) {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
            }
            if let Some(error) = port.read_failure() {
                return Poll::Ready(Err(error.into()));
            }
            ready!(port.poll_news(cx));
        }
    })
    .await
}

/// How the end of a body shows (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
    UntilClose,
}

/// The refusal that `answer` begins: its body is read as far as it comes.
pub(super) async fn read_refusal(stream: &mut Stream, answer: Answer) -> ServerRefusal {
    let length = match (answer.status.0, answer.only("content-length")) {
        (204 | 304, _) => Length::Known(0),
        _ if answer.lists("transfer-encoding", "chunked") => Length::Chunked,
        (_, Ok(Some(digits))) => {
            let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            number.map_or(Length::UntilClose, Length::Known)
        }
        _ => Length::UntilClose,
    };
    let mut raw = Vec::new();
    let reading = async {
        let mut part = [0; 2048];
        loop {
            let is_complete = match length {
                Length::Known(length) => raw.len() >= length,
                Length::Chunked => joined(&raw).1,
                Length::UntilClose => false,
            };
            let room = limits::WEBSOCKET_REFUSAL.saturating_sub(raw.len()).min(part.len());
            if is_complete || room == 0 {
                return is_complete;
            }
            match stream.read(&mut part[..room]).await {
                Ok(0) => return length == Length::UntilClose,
                Ok(read) => raw.extend_from_slice(&part[..read]),
                Err(_) => return false,
            }
        }
    };
    let is_whole = timeout(limits::WEBSOCKET_REFUSAL_TIME, reading).await.unwrap_or(false);
    let body = match length {
        Length::Known(length) => {
            raw.truncate(length);
            raw
        }
        Length::Chunked => joined(&raw).0,
        Length::UntilClose => raw,
    };
    ServerRefusal { answer, body, is_whole }
}

/// The chunks that have come, put together, and whether the last one has (RFC 9112, section 7.1). What is no chunk ends them.
fn joined(mut raw: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = memchr::memchr(b'\n', raw) else { return (body, false) };
        let size = raw[..end].split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        raw = &raw[end + 1..];
        match size {
            None => return (body, false),
            Some(0) => return (body, true),
            Some(size) => {
                let (chunk, rest) = raw.split_at(size.min(raw.len()));
                body.extend_from_slice(chunk);
                raw = rest.strip_prefix(b"\r\n").unwrap_or_default();
            }
        }
    }
}
