//! A request as it is lent to a handler.

use super::head::{Head, Method, Place, members, trim};
use super::{Trailers, Version, host, target};
use std::borrow::Cow;
use std::fmt;

/// A request. It lies in the connection's buffer, and nothing of it is copied.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    head: &'a Head,
    bytes: &'a [u8],
    body: &'a [u8],
    trailers: &'a [u8],
}

impl<'a> Request<'a> {
    pub(super) fn new(head: &'a Head, bytes: &'a [u8], body: &'a [u8], trailers: &'a [u8]) -> Request<'a> {
        Request { head, bytes, body, trailers }
    }

    fn text(&self, place: Place) -> &'a str {
        // The parser has admitted visible ASCII only.
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
    ///
    /// It has one of the forms of RFC 9112, section 3.2: a path, an address with scheme and authority, `*` (only with `OPTIONS`), or
    /// `host:port` (only with `CONNECT`). Others are refused with `400`.
    pub fn target(&self) -> &'a str {
        self.text(self.head.target)
    }

    /// The host that is asked, with its port if one was said: `example.org`, `[::1]:8080`. `None` in a request of HTTP/1.0 that does
    /// not say it.
    ///
    /// It is that of the target, if the target has one, and otherwise the value of `Host` (RFC 9112, section 3.3). It is known to be
    /// `host[:port]`, with escapes and letters as they were sent: compare it whatever its case. The peer has chosen it, so look it up
    /// in a list of names of yours before you write it into a link.
    pub fn authority(&self) -> Option<&'a str> {
        Some(self.text(self.head.authority)).filter(|authority| !authority.is_empty())
    }

    /// The host of the [`authority`](Request::authority), without a port. An IPv6 address stands in brackets.
    pub fn host(&self) -> Option<&'a str> {
        self.authority().map(|authority| host::split(authority).0)
    }

    /// The port of the [`authority`](Request::authority), if one was said.
    pub fn port(&self) -> Option<u16> {
        host::split(self.authority()?).1
    }

    /// The path, as it was sent: not decoded, and not cleaned of dots. It begins with a slash, but for the `*` of an `OPTIONS` for the
    /// server as a whole, and for a `CONNECT`, which has none: `""`.
    pub fn path(&self) -> &'a str {
        target::path(self.target(), self.method())
    }

    /// The path with its escapes decoded (RFC 3986, section 2.1); `None` if an escape is none, or if the text is not UTF-8, which are
    /// to be answered `400`.
    ///
    /// What was an escape is not told apart any more: `/a%2Fb` becomes `/a/b`, and `/%2e%2e` becomes `/..`. Decode once, and check
    /// for dots and NUL behind that; or take the [`segments`](Request::segments). It allocates only if there is an escape.
    pub fn decoded_path(&self) -> Option<Cow<'a, str>> {
        target::decode(self.path())
    }

    /// The segments of the path, each decoded for itself, so that an escaped slash ends none: `/a%2Fb/c/` has `a/b`, `c` and an empty
    /// one. `None` stands for a segment as for a [path](Request::decoded_path) that cannot be decoded.
    ///
    /// A segment may be `.` or `..`, or have slashes and NUL in it: it is no file's name yet.
    pub fn segments(&self) -> impl Iterator<Item = Option<Cow<'a, str>>> + use<'a> {
        let path = self.path();
        path.strip_prefix('/').into_iter().flat_map(|path| path.split('/')).map(target::decode)
    }

    /// What stands behind the question mark, not decoded.
    pub fn query(&self) -> Option<&'a str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// The names and values of a query like `a=1&b=x+y`, decoded as forms are: a plus sign is a space, and what is not UTF-8 becomes
    /// U+FFFD, as the [URL standard](https://url.spec.whatwg.org/#urlencoded-parsing) has it. It allocates where one has an escape.
    ///
    /// A body of the type `application/x-www-form-urlencoded` is read by [`form`](Request::form).
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        form_urlencoded::parse(self.query().unwrap_or_default().as_bytes())
    }

    /// The names and values of a body of the type `application/x-www-form-urlencoded`, decoded as a
    /// [query](Request::query_pairs) is. The type is not looked at.
    pub fn form(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        form_urlencoded::parse(self.body)
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

    /// The values of each field of that name, whatever its case, in their order.
    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The first field of that name, whatever its case, if its value is UTF-8.
    ///
    /// It looks through all fields, of which there are few.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.values(name).next()?).ok()
    }

    /// The values of all fields of that name, whatever its case, as one: joined by `", "` in their order, which means the same (RFC
    /// 9110, section 5.3), and lines of `Cookie` by `"; "`. `None` if there is none, or a value is not UTF-8.
    ///
    /// It allocates only if there are several.
    pub fn joined(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut values = self.values(name).map(|value| std::str::from_utf8(value).ok());
        let mut joined = Cow::Borrowed(values.next()??);
        let comma = if name.eq_ignore_ascii_case("cookie") { "; " } else { ", " };
        for value in values {
            let joined = joined.to_mut();
            joined.push_str(comma);
            joined.push_str(value?);
        }
        Some(joined)
    }

    /// The members of a field that is a list, of all its lines (RFC 9110, section 5.6.1): without the white space around them, and
    /// without empty ones. A comma in a quoted string ends none. A member that is not UTF-8 is passed over.
    pub fn members(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.values(name).flat_map(members).filter_map(|member| std::str::from_utf8(member).ok())
    }

    /// Whether a field that is a list has a member, whatever its case: `has("connection", "upgrade")`.
    ///
    /// An `Upgrade` in a request of HTTP/1.0 has none, because it is to be ignored (RFC 9110, section 7.8).
    pub fn has(&self, name: &str, member: &str) -> bool {
        if self.version() == Version::Http10 && name.eq_ignore_ascii_case("upgrade") {
            return false;
        }
        self.members(name).any(|found| found.eq_ignore_ascii_case(member))
    }

    /// The cookies, by names and values as they were sent (RFC 6265, section 5.4). One that is not UTF-8 is passed over.
    pub fn cookies(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.values("cookie").flat_map(|list| list.split(|byte| *byte == b';'));
        pairs.filter_map(|pair| std::str::from_utf8(trim(pair)).ok()?.split_once('='))
    }

    /// The value of the first cookie of that name.
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        self.cookies().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// The fields behind a body in chunks.
    pub fn trailers(&self) -> Trailers<'a> {
        if self.trailers.is_empty() {
            return Trailers::default();
        }
        Trailers::new(&self.head.trailers, self.trailers)
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

/// A request that outlives the buffer that it has come in, without its body.
#[cfg(feature = "websocket")]
#[derive(Debug)]
pub(crate) struct KeptRequest {
    head: Head,
    bytes: Box<[u8]>,
}

#[cfg(feature = "websocket")]
impl Request<'_> {
    pub(crate) fn keep(&self) -> KeptRequest {
        let ends = self.head.fields.iter().map(|(_, value)| value.range().end);
        let end = ends.fold(self.head.target.range().end, usize::max);
        KeptRequest { head: self.head.clone(), bytes: self.bytes[..end].into() }
    }
}

#[cfg(feature = "websocket")]
impl KeptRequest {
    pub(crate) fn request(&self) -> Request<'_> {
        Request::new(&self.head, &self.bytes, &[], &[])
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("target", &self.target())
            .finish_non_exhaustive()
    }
}
