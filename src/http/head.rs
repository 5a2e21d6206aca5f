//! Heads of requests: where they end, and what they say.

use super::{Http, HttpError, Version};
use crate::codec::Input;
use std::mem::MaybeUninit;
use std::ops::Range;

/// As many fields as a head may have, whatever was asked for: a place for each is on the stack while it is parsed.
pub(super) const MOST_FIELDS: usize = 128;

/// Finds the end of a head without looking at a byte twice.
#[derive(Debug, Default)]
pub(crate) struct HeadEnd {
    looked: usize,
    line: usize,
    /// Empty lines before the request, which a server should pass over (RFC 9112, section 2.2).
    leading: usize,
}

impl HeadEnd {
    /// Whether nothing was looked at yet.
    pub(super) fn is_new(&self) -> bool {
        self.looked == 0
    }

    pub(crate) fn find(&mut self, input: Input<'_>, max: usize) -> Result<Option<usize>, HttpError> {
        while let Some(at) = input.find(b'\n', self.looked) {
            if at == 0 || input.get(at - 1) != Some(b'\r') {
                return Err(HttpError::BareLineFeed);
            }
            let is_empty = at - 1 == self.line;
            let is_leading = self.line == self.leading;
            (self.looked, self.line) = (at + 1, at + 1);
            if self.line > max {
                return Err(HttpError::HeadTooLong { max });
            }
            match (is_empty, is_leading) {
                (true, true) => self.leading = self.line,
                (true, false) => return Ok(Some(self.line)),
                (false, _) => {}
            }
        }
        self.looked = input.len();
        if self.looked > max { Err(HttpError::HeadTooLong { max }) } else { Ok(None) }
    }
}

/// Where in the head something stands. Heads are shorter than 64 KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    start: u16,
    end: u16,
}

impl Place {
    fn of(part: &[u8], head: &[u8]) -> Place {
        let start = part.as_ptr() as usize - head.as_ptr() as usize;
        Place { start: start as u16, end: (start + part.len()) as u16 }
    }

    pub(super) fn range(self) -> Range<usize> {
        usize::from(self.start)..usize::from(self.end)
    }
}

/// What a head says, by places in its bytes.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) target: Place,
    pub(super) version: Version,
    pub(super) fields: Vec<(Place, Place)>,
    pub(super) body: BodyLength,
    pub(super) keeps_alive: bool,
    pub(super) expects_continue: bool,
    pub(super) is_head: bool,
}

/// A method: one of those that are known, or where another stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Method {
    Known(&'static str),
    Other(Place),
}

impl Default for Method {
    fn default() -> Method {
        Method::Known("")
    }
}

impl Method {
    /// Whether it is this one; `head` is where it stands.
    #[inline]
    pub(super) fn is(self, method: &str, head: &[u8]) -> bool {
        match self {
            Method::Known(known) => known == method,
            Method::Other(place) => &head[place.range()] == method.as_bytes(),
        }
    }

    fn of(method: &str, head: &[u8]) -> Method {
        // Text that lies in a buffer must be looked through whenever it is asked for; this need not.
        Method::Known(match method {
            "GET" => "GET",
            "POST" => "POST",
            "PUT" => "PUT",
            "HEAD" => "HEAD",
            "PATCH" => "PATCH",
            "DELETE" => "DELETE",
            "OPTIONS" => "OPTIONS",
            other => return Method::Other(Place::of(other.as_bytes(), head)),
        })
    }
}

/// How long the body is (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BodyLength {
    #[default]
    None,
    Known(u64),
    Chunked,
}

impl Head {
    /// Reads the head that `bytes` are, no more and no less.
    pub(super) fn parse(&mut self, bytes: &[u8], max_fields: usize) -> Result<(), HttpError> {
        let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(bytes, &mut fields[..max_fields]);
        match parsed {
            Ok(httparse::Status::Complete(end)) if end == bytes.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(HttpError::TooManyFields { max: max_fields }),
            Err(httparse::Error::Version) => return Err(HttpError::Version),
            Err(error) => return Err(HttpError::Malformed(error)),
            Ok(_) => return Err(HttpError::Malformed(httparse::Error::NewLine)),
        }
        self.take_down(&request, bytes);
        self.interpret(request.headers)
    }

    /// Reads the head at the front of `bytes` without a search for its end, and says how long it is. `None` if it is not whole,
    /// or not clearly right: then the slow way finds out.
    pub(super) fn parse_front(&mut self, bytes: &[u8], limits: &Http) -> Result<Option<usize>, HttpError> {
        let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut fields[..limits.max_fields]) {
            Ok(httparse::Status::Complete(end)) if end <= limits.max_head => {
                self.take_down(&request, bytes);
                if !self.lines_end_right(&bytes[..end]) {
                    return Ok(None);
                }
                self.interpret(request.headers).map(|()| Some(end))
            }
            _ => Ok(None),
        }
    }

    /// Notes where in `bytes` stands what a request says.
    #[inline]
    fn take_down(&mut self, request: &httparse::Request<'_, '_>, bytes: &[u8]) {
        let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
        self.version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
        self.is_head = method == "HEAD";
        self.method = Method::of(method, bytes);
        self.target = Place::of(target.as_bytes(), bytes);
        self.fields.clear();
        let place =
            |field: &httparse::Header<'_>| (Place::of(field.name.as_bytes(), bytes), Place::of(field.value, bytes));
        self.fields.extend(request.headers.iter().map(place));
    }

    /// Whether each line clearly ends with CR LF. The parser takes a bare LF, too.
    #[inline]
    fn lines_end_right(&self, bytes: &[u8]) -> bool {
        let ends_at = |end: usize| bytes.get(end) == Some(&b'\r');
        bytes.ends_with(b"\r\n\r\n")
            && ends_at(self.target.range().end + " HTTP/1.1".len())
            // An empty value may be anywhere, and space behind a value is not a part of it.
            && self.fields.iter().all(|(_, value)| !value.range().is_empty() && ends_at(value.range().end))
            && !matches!(bytes.first(), Some(b'\r' | b'\n'))
    }

    /// What the fields say about the message as such.
    fn interpret(&mut self, fields: &[httparse::Header<'_>]) -> Result<(), HttpError> {
        let (mut length, mut coding, mut codings, mut hosts) = (None, None, 0, 0);
        (self.keeps_alive, self.expects_continue) = (self.version == Version::Http11, false);
        for field in fields {
            // Most fields are none of these, and most of those differ in length already.
            match field.name.len() {
                4 if is(field.name, "Host") => hosts += 1,
                6 if is(field.name, "Expect") => {
                    self.expects_continue = field.value.eq_ignore_ascii_case(b"100-continue");
                }
                10 if is(field.name, "Connection") => {
                    for option in tokens(field.value) {
                        if option.eq_ignore_ascii_case(b"close") {
                            self.keeps_alive = false;
                        } else if option.eq_ignore_ascii_case(b"keep-alive") && self.version == Version::Http10 {
                            self.keeps_alive = true;
                        }
                    }
                }
                14 if is(field.name, "Content-Length") => {
                    let number = decimal(field.value).ok_or(HttpError::ContentLength)?;
                    if length.replace(number).is_some() {
                        return Err(HttpError::ContentLength);
                    }
                }
                17 if is(field.name, "Transfer-Encoding") => {
                    codings += 1;
                    coding = Some(field.value);
                }
                _ => {}
            }
        }
        if hosts != 1 && self.version == Version::Http11 || hosts > 1 {
            return Err(HttpError::Host);
        }
        self.body = match (length, coding) {
            _ if codings > 1 => return Err(HttpError::TransferCoding),
            (Some(_), Some(_)) => return Err(HttpError::BothLengths),
            (Some(0), None) | (None, None) => BodyLength::None,
            (Some(length), None) => BodyLength::Known(length),
            (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") && self.version == Version::Http11 => {
                BodyLength::Chunked
            }
            (None, Some(_)) => return Err(HttpError::TransferCoding),
        };
        Ok(())
    }
}

/// Whether a field has a name, whatever its case; given is the usual one, which most have.
#[inline]
fn is(name: &str, usual: &str) -> bool {
    name == usual || name.eq_ignore_ascii_case(usual)
}

/// The members of a list (RFC 9110, section 5.6.1).
pub(super) fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Digits, and nothing else.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
