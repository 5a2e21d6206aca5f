//! Heads of requests: what they say.

use super::scan::is_target;
use super::{Http, HttpError, Version, host, target};
use std::mem::MaybeUninit;
use std::ops::Range;

/// As many fields as a head may have, whatever was asked for: a place for each is on the stack while it is parsed.
pub(super) const MOST_FIELDS: usize = 128;

/// Where in the head something stands. Heads are shorter than 64 KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    start: u16,
    end: u16,
}

impl Place {
    pub(super) fn of(part: &[u8], head: &[u8]) -> Place {
        let start = part.as_ptr() as usize - head.as_ptr() as usize;
        Place { start: start as u16, end: (start + part.len()) as u16 }
    }

    pub(super) fn range(self) -> Range<usize> {
        usize::from(self.start)..usize::from(self.end)
    }
}

/// What a head says, by places in its bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) target: Place,
    /// The one that the request is for; empty where none is said.
    pub(super) authority: Place,
    pub(super) version: Version,
    pub(super) fields: Vec<(Place, Place)>,
    /// The fields behind the body, by places in their section.
    pub(super) trailers: Vec<(Place, Place)>,
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
    /// Reads the head that `bytes` are, no more and no less, in which every byte is right where it stands.
    pub(super) fn parse(&mut self, bytes: &[u8], max_fields: usize) -> Result<(), HttpError> {
        let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(bytes, &mut fields[..max_fields]);
        match parsed {
            Ok(httparse::Status::Complete(end)) if end == bytes.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(HttpError::TooManyFields { max: max_fields }),
            Err(httparse::Error::Version) => return self.parse_newer(bytes, max_fields),
            Err(error) => return Err(HttpError::Malformed(error)),
            Ok(_) => return Err(HttpError::Malformed(httparse::Error::NewLine)),
        }
        self.take_down(&request, bytes);
        self.interpret(request.headers, bytes)
    }

    /// Reads the head of a later version with the major number 1, which is understood as HTTP/1.1 (RFC 9110, section 2.5).
    #[cold]
    fn parse_newer(&mut self, bytes: &[u8], max_fields: usize) -> Result<(), HttpError> {
        let is_minor = |at: &usize| bytes[..*at].ends_with(b" HTTP/1.") && !matches!(bytes[*at], b'0' | b'1');
        let Some(minor) = memchr::memchr_iter(b'\r', bytes).filter_map(|end| end.checked_sub(1)).find(is_minor) else {
            return Err(HttpError::Malformed(httparse::Error::Version));
        };
        let mut bytes = bytes.to_vec();
        bytes[minor] = b'1';
        self.parse(&bytes, max_fields)
    }

    /// Reads the head at the front of `bytes` without a search for its end, and says how long it is. `None` if it is not whole,
    /// or not clearly right: then the slow way finds out.
    pub(super) fn parse_front(&mut self, bytes: &[u8], limits: &Http) -> Result<Option<usize>, HttpError> {
        let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut fields[..limits.max_fields]) {
            Ok(httparse::Status::Complete(end)) if end <= limits.max_head => {
                self.take_down(&request, bytes);
                if !self.lines_end_right(&bytes[..end]) || !is_target(&bytes[self.target.range()]) {
                    return Ok(None);
                }
                self.interpret(request.headers, bytes).map(|()| Some(end))
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
        self.trailers.clear();
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

    /// What the target and the fields say about the message as such.
    fn interpret(&mut self, fields: &[httparse::Header<'_>], bytes: &[u8]) -> Result<(), HttpError> {
        let (mut length, mut host, mut hosts) = (None, &b""[..], 0);
        let (mut closes, mut keeps, mut has_coding, mut expects) = (false, false, false, false);
        for field in fields {
            // Most fields are none of these, and most of those differ in length already.
            match field.name.len() {
                4 if is(field.name, "Host") => (host, hosts) = (field.value, hosts + 1),
                6 if is(field.name, "Expect") => expects = true,
                10 if is(field.name, "Connection") => {
                    for option in members(field.value) {
                        closes |= option.eq_ignore_ascii_case(b"close");
                        keeps |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                14 if is(field.name, "Content-Length") => {
                    let number = decimal(field.value).ok_or(HttpError::ContentLength)?;
                    if length.replace(number).is_some() {
                        return Err(HttpError::ContentLength);
                    }
                }
                17 if is(field.name, "Transfer-Encoding") => has_coding = true,
                _ => {}
            }
        }
        // RFC 9112, section 9.3.
        self.keeps_alive = !closes && (keeps || self.version == Version::Http11);
        // RFC 9112, section 3.2.
        if hosts != 1 && self.version == Version::Http11 || hosts > 1 || hosts == 1 && !host::is_authority(host) {
            return Err(HttpError::Host);
        }
        self.authority = if hosts == 1 { Place::of(host, bytes) } else { Place::default() };
        let target = &bytes[self.target.range()];
        if target.first() != Some(&b'/') || self.is_connect(bytes) {
            self.take_authority(target, bytes)?;
        }
        self.body = match length {
            _ if has_coding => self.coded(fields, length.is_some())?,
            Some(0) | None => BodyLength::None,
            Some(length) => BodyLength::Known(length),
        };
        self.expects_continue = expects && self.version == Version::Http11 && self.is_to_go_on(fields)?;
        Ok(())
    }

    fn is_connect(&self, bytes: &[u8]) -> bool {
        matches!(self.method, Method::Other(place) if &bytes[place.range()] == b"CONNECT")
    }

    /// Takes the authority of a target that is no path; it goes before that of `Host` (RFC 9112, section 3.2.2).
    #[cold]
    fn take_authority(&mut self, target: &[u8], bytes: &[u8]) -> Result<(), HttpError> {
        let method = match self.method {
            Method::Known(method) => method,
            Method::Other(place) => std::str::from_utf8(&bytes[place.range()]).unwrap_or_default(),
        };
        let authority = &target[target::other_form(method, target)?];
        if !authority.is_empty() {
            self.authority = Place::of(authority, bytes);
        }
        Ok(())
    }

    /// How long a body is that has a transfer coding (RFC 9112, sections 6.1 and 6.3).
    fn coded(&self, fields: &[httparse::Header<'_>], has_length: bool) -> Result<BodyLength, HttpError> {
        if has_length {
            return Err(HttpError::BothLengths);
        }
        let (mut codings, mut chunked, mut is_last) = (0, 0, false);
        for field in fields.iter().filter(|field| is(field.name, "Transfer-Encoding")) {
            let before = codings;
            for coding in members(field.value) {
                codings += 1;
                is_last = coding.eq_ignore_ascii_case(b"chunked");
                chunked += u32::from(is_last);
            }
            if codings == before {
                return Err(HttpError::ChunkedNotLast);
            }
        }
        match (codings, chunked) {
            _ if self.version == Version::Http10 || !is_last || chunked > 1 => Err(HttpError::ChunkedNotLast),
            (1, _) => Ok(BodyLength::Chunked),
            _ => Err(HttpError::TransferCoding),
        }
    }

    /// Whether the peer waits to be told to go on with the body (RFC 9110, section 10.1.1).
    #[cold]
    fn is_to_go_on(&self, fields: &[httparse::Header<'_>]) -> Result<bool, HttpError> {
        let mut is_expected = false;
        for field in fields.iter().filter(|field| is(field.name, "Expect")) {
            for expectation in members(field.value) {
                if !expectation.eq_ignore_ascii_case(b"100-continue") {
                    return Err(HttpError::Expectation);
                }
                is_expected = true;
            }
        }
        Ok(is_expected && self.body != BodyLength::None)
    }
}

/// Whether a field has a name, whatever its case; given is the usual one, which most have.
#[inline]
fn is(name: &str, usual: &str) -> bool {
    name == usual || name.eq_ignore_ascii_case(usual)
}

/// The members of a list (RFC 9110, section 5.6.1), without the white space around them; empty ones are passed over. A comma in a
/// quoted string ends no member.
pub(super) fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        loop {
            let list = rest?;
            let (member, behind) = match comma(list) {
                Some(at) => (&list[..at], Some(&list[at + 1..])),
                None => (list, None),
            };
            rest = behind;
            let member = trim(member);
            if !member.is_empty() {
                return Some(member);
            }
        }
    })
}

/// The first comma outside of quoted strings (RFC 9110, section 5.6.4).
fn comma(list: &[u8]) -> Option<usize> {
    let first = list.iter().position(|byte| matches!(byte, b',' | b'"'))?;
    if list[first] == b',' { Some(first) } else { comma_behind_quotes(list) }
}

fn comma_behind_quotes(list: &[u8]) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    list.iter().position(|byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ => return *byte == b',' && !is_quoted,
        }
        false
    })
}

/// Without the optional white space around it (RFC 9110, section 5.6.3).
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Digits, and nothing else.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
