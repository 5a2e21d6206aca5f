//! Fields behind a body in chunks (RFC 9110, section 6.5; RFC 9112, section 7.1.2).

use super::HttpError;
use super::head::{MOST_FIELDS, Place};
use super::scan::HeadEnd;
use crate::codec::Input;
use std::fmt;

/// The fields that a peer has sent behind a body in chunks: a checksum of what it had to compute first, for example. They are never
/// mixed with those of the head.
///
/// Their syntax and limits are those of the head. A trailer section with `Content-Length`, `Transfer-Encoding` or `Host` is refused
/// with `400`, because it looks like a request that was hidden there; other fields that may not stand there (RFC 9110, section
/// 6.5.1), such as `Authorization` or `Content-Type`, are passed over, and not shown.
#[derive(Clone, Copy, Default)]
pub struct Trailers<'a> {
    places: &'a [(Place, Place)],
    bytes: &'a [u8],
}

impl<'a> Trailers<'a> {
    pub(super) fn new(places: &'a [(Place, Place)], bytes: &'a [u8]) -> Trailers<'a> {
        Trailers { places, bytes }
    }

    /// The fields in their order, with names as they were sent. Values are bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let bytes = self.bytes;
        // Names are tokens, so they are ASCII.
        let text = |place: Place| std::str::from_utf8(&bytes[place.range()]).unwrap_or_default();
        self.places.iter().map(move |(name, value)| (text(*name), &bytes[value.range()]))
    }

    /// The first field of that name, whatever its case, if its value is UTF-8.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        std::str::from_utf8(found?.1).ok()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

impl fmt::Debug for Trailers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, value.escape_ascii().to_string()))).finish()
    }
}

/// Finds the end of a trailer section.
#[derive(Debug)]
pub(super) struct TrailersEnd {
    began: usize,
    end: HeadEnd,
}

impl TrailersEnd {
    /// Of a section that begins at a place in the input.
    pub(super) fn at(began: usize) -> TrailersEnd {
        TrailersEnd { began, end: HeadEnd::of_fields() }
    }

    /// Where the section ends, behind its empty line, when its fields have been written into `fields`, by places in the section.
    pub(super) fn find(
        &mut self,
        input: Input<'_>,
        (max, max_fields): (usize, usize),
        fields: &mut Vec<(Place, Place)>,
    ) -> Result<Option<usize>, HttpError> {
        let input = input.skip(self.began);
        let Some(length) = self.end.find(input, max)? else { return Ok(None) };
        fields.clear();
        if length > "\r\n".len() {
            match input.as_slices().0.get(..length) {
                Some(section) => parse(section, max_fields, fields)?,
                None => {
                    let mut section = vec![0; length];
                    input.copy_to(&mut section);
                    parse(&section, max_fields, fields)?;
                }
            }
        }
        Ok(Some(self.began + length))
    }

    /// Where the section began.
    pub(super) fn began(&self) -> usize {
        self.began
    }
}

#[cold]
fn parse(section: &[u8], max_fields: usize, into: &mut Vec<(Place, Place)>) -> Result<(), HttpError> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let fields = match httparse::parse_headers(section, &mut fields[..max_fields]) {
        Ok(httparse::Status::Complete((_, fields))) => fields,
        Ok(httparse::Status::Partial) => return Err(HttpError::Malformed(httparse::Error::NewLine)),
        Err(httparse::Error::TooManyHeaders) => return Err(HttpError::TooManyFields { max: max_fields }),
        Err(error) => return Err(HttpError::Malformed(error)),
    };
    for field in fields {
        match field.name {
            name if is_in(name, &FRAMING) => return Err(HttpError::Trailer),
            name if is_in(name, &FORBIDDEN) => {}
            name => into.push((Place::of(name.as_bytes(), section), Place::of(field.value, section))),
        }
    }
    Ok(())
}

fn is_in(name: &str, names: &[&str]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// What says where a message ends and for which host it is.
const FRAMING: [&str; 3] = ["Content-Length", "Host", "Transfer-Encoding"];

/// What must be known before the body, for routing, authentication, conditions, or to make sense of the body; and what is between
/// two neighbours only (RFC 9110, sections 6.5.1 and 7.6.1).
const FORBIDDEN: [&str; 26] = [
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Encoding",
    "Content-Range",
    "Content-Type",
    "Cookie",
    "Expect",
    "Forwarded",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Keep-Alive",
    "Max-Forwards",
    "Pragma",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Range",
    "TE",
    "Trailer",
    "Upgrade",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
];
