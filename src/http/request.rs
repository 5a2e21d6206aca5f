//! A request as it is lent to a handler.

use super::Version;
use super::head::{Head, Method, tokens};
use std::fmt;

/// A request. It lies in the connection's buffer, and nothing of it is copied.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    head: &'a Head,
    bytes: &'a [u8],
    body: &'a [u8],
}

impl<'a> Request<'a> {
    pub(super) fn new(head: &'a Head, bytes: &'a [u8], body: &'a [u8]) -> Request<'a> {
        Request { head, bytes, body }
    }

    fn text(&self, place: super::head::Place) -> &'a str {
        // The parser has admitted visible ASCII only, or UTF-8 in the target.
        std::str::from_utf8(&self.bytes[place.range()]).unwrap_or_default()
    }

    /// The method, such as `GET`. Methods are told apart by case.
    pub fn method(&self) -> &'a str {
        match self.head.method {
            Method::Known(method) => method,
            Method::Other(place) => self.text(place),
        }
    }

    /// What is asked for, as it was sent: a path and perhaps a query, mostly.
    pub fn target(&self) -> &'a str {
        self.text(self.head.target)
    }

    /// The path, as it was sent: not decoded, and not cleaned of dots.
    pub fn path(&self) -> &'a str {
        let target = self.target();
        // What stands in the query is no path, whatever it looks like.
        let path = match memchr::memchr(b'?', target.as_bytes()) {
            Some(at) => &target[..at],
            None => target,
        };
        if path.starts_with('/') {
            return path;
        }
        match path.split_once("://") {
            // The absolute form, which proxies are sent (RFC 9112, section 3.2.2).
            Some((scheme, rest)) if is_scheme(scheme) => rest.find('/').map_or("/", |at| &rest[at..]),
            _ => path,
        }
    }

    /// What stands behind the question mark, not decoded.
    pub fn query(&self) -> Option<&'a str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// The fields of the head, in their order. Values are bytes.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let this = *self;
        this.head.fields.iter().map(move |(name, value)| (this.text(*name), &this.bytes[value.range()]))
    }

    /// The first field of that name, whatever its case, if its value is UTF-8.
    ///
    /// It looks through all fields, of which there are few.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let found = self.headers().find(|(other, _)| other.eq_ignore_ascii_case(name));
        std::str::from_utf8(found?.1).ok()
    }

    /// Whether a field that is a list has a member, whatever its case: `has("connection", "upgrade")`.
    pub fn has(&self, name: &str, member: &str) -> bool {
        let mut named = self.headers().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.any(|(_, list)| tokens(list).any(|token| token.eq_ignore_ascii_case(member.as_bytes())))
    }

    /// The cookies, by names and values as they were sent (RFC 6265, section 5.4).
    pub fn cookies(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let lists = self.headers().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        let pairs = lists.filter_map(|(_, list)| std::str::from_utf8(list).ok()).flat_map(|list| list.split(';'));
        pairs.filter_map(|pair| pair.trim().split_once('='))
    }

    /// The body. Of a request whose body comes in parts, it is empty.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Whether the connection is kept for another request.
    pub fn keeps_alive(&self) -> bool {
        self.head.keeps_alive
    }
}

/// RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    let is_other = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(is_other)
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("target", &self.target())
            .finish_non_exhaustive()
    }
}
