//! Conditional requests: RFC 9110, section 13.

use super::{Request, Response};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An entity tag (RFC 9110, section 8.8.3): a name of one version of a resource, such as `"v17"`. It changes whenever the bytes
/// change; a weak one, `W/"v17"`, changes when their meaning does.
///
/// ```
/// use tiderace::http::EntityTag;
///
/// let tag = EntityTag::new("v17").unwrap();
/// assert_eq!(tag.to_string(), "\"v17\"");
/// assert_eq!(tag.weak().to_string(), "W/\"v17\"");
/// assert!(EntityTag::new("two words").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntityTag {
    is_weak: bool,
    opaque: String,
}

impl EntityTag {
    /// A strong tag from what stands between its quotes. `None` if that has a space, a control character or a quote in it.
    pub fn new(opaque: impl Into<String>) -> Option<EntityTag> {
        let opaque = opaque.into();
        opaque.bytes().all(is_etagc).then_some(EntityTag { is_weak: false, opaque })
    }

    /// The same tag as a weak one.
    pub fn weak(mut self) -> EntityTag {
        self.is_weak = true;
        self
    }

    /// Whether it is weak.
    pub fn is_weak(&self) -> bool {
        self.is_weak
    }

    fn wire(&self) -> Tag<'_> {
        Tag { is_weak: self.is_weak, opaque: self.opaque.as_bytes() }
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\"{}\"", if self.is_weak { "W/" } else { "" }, self.opaque)
    }
}

/// RFC 9110, section 8.8.3: visible characters but the quote, and bytes beyond ASCII.
fn is_etagc(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)
}

/// A tag as a request has it, which may have any bytes beyond ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag<'a> {
    is_weak: bool,
    opaque: &'a [u8],
}

impl<'a> Tag<'a> {
    /// The tag at the front of `text`, and what stands behind it.
    fn front(text: &'a [u8]) -> Option<(Tag<'a>, &'a [u8])> {
        // "W/" is told apart by case.
        let (is_weak, quoted) = match text.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, text),
        };
        let quoted = quoted.strip_prefix(b"\"")?;
        let length = quoted.iter().position(|byte| *byte == b'"')?;
        let (opaque, rest) = quoted.split_at(length);
        opaque.iter().copied().all(is_etagc).then_some((Tag { is_weak, opaque }, &rest[1..]))
    }

    /// The comparison for `If-Match` and `If-Range` (RFC 9110, section 8.8.3.2).
    fn is_strongly(self, other: Tag<'_>) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }

    /// The comparison for `If-None-Match`.
    fn is_weakly(self, other: Tag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// What tells one version of a resource from another: an [`EntityTag`], the time of its last change, or both.
///
/// A resource that does not exist has no validators at all: `None` where they are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    etag: Option<EntityTag>,
    last_modified: Option<SystemTime>,
}

impl Validators {
    /// None yet.
    pub fn new() -> Validators {
        Validators::default()
    }

    /// With an entity tag.
    pub fn etag(mut self, etag: EntityTag) -> Validators {
        self.etag = Some(etag);
        self
    }

    /// With the time of the last change, of which whole seconds count. A time before 1970 or after 9999 is left out, because HTTP
    /// cannot write it, and one that is still to come becomes the present (RFC 9110, section 8.8.2.1).
    pub fn last_modified(mut self, time: SystemTime) -> Validators {
        let latest = crate::io::wall_time();
        self.last_modified = seconds(time.min(latest)).map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        self
    }

    fn modified_seconds(&self) -> Option<u64> {
        self.last_modified.and_then(seconds)
    }
}

/// The last second that a date of HTTP can name.
const LAST_SECOND: u64 = 253_402_300_799;

/// Whole seconds since 1970, as far as HTTP can write them.
fn seconds(time: SystemTime) -> Option<u64> {
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    (seconds <= LAST_SECOND).then_some(seconds)
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// There are none, or they hold: the request is to be done.
    Met,
    /// The peer has the current version: [`304`](super::Status::NOT_MODIFIED), with the fields that a `200` would have of
    /// `Cache-Control`, `Content-Location`, `ETag`, `Expires` and `Vary`.
    NotModified,
    /// The version is not the one that the peer counts on: [`412`](super::Status::PRECONDITION_FAILED), and nothing is done.
    Failed,
}

impl Request<'_> {
    /// What `If-Match`, `If-None-Match`, `If-Modified-Since` and `If-Unmodified-Since` come to, in the order of precedence of RFC
    /// 9110, section 13.2.2. `current` is what the resource has now; `None` if it does not exist.
    ///
    /// To be asked before a request is done whose answer would be of the 2xx kind, and not for another (section 13.2.1).
    ///
    /// ```
    /// use tiderace::http::{EntityTag, Precondition, Request, Response, Status, Validators};
    ///
    /// fn article(request: &Request<'_>, text: &str, version: u64) -> Response<'static> {
    ///     let current = Validators::new().etag(EntityTag::new(version.to_string()).unwrap());
    ///     let response = match request.precondition(Some(&current)) {
    ///         Precondition::Met => Response::text(text.to_owned()),
    ///         Precondition::NotModified => Response::new(Status::NOT_MODIFIED),
    ///         Precondition::Failed => return Response::new(Status::PRECONDITION_FAILED),
    ///     };
    ///     response.validators(&current)
    /// }
    /// ```
    pub fn precondition(&self, current: Option<&Validators>) -> Precondition {
        let method = self.method();
        // Section 13.2.1: methods that select no representation.
        if matches!(method, "CONNECT" | "OPTIONS" | "TRACE") {
            return Precondition::Met;
        }
        let tag = current.and_then(|current| current.etag.as_ref()).map(EntityTag::wire);
        let modified = current.and_then(Validators::modified_seconds);
        let is_read = matches!(method, "GET" | "HEAD");
        // Steps 1 and 2 of section 13.2.2.
        if self.has_field("if-match") {
            let found = |other: Tag<'_>| tag.is_some_and(|tag| tag.is_strongly(other));
            if !self.names_version("if-match", current.is_some(), found) {
                return Precondition::Failed;
            }
        } else if let (Some(modified), Some(date)) = (modified, self.date("if-unmodified-since"))
            && modified > date
        {
            return Precondition::Failed;
        }
        // Steps 3 and 4.
        if self.has_field("if-none-match") {
            let found = |other: Tag<'_>| tag.is_some_and(|tag| tag.is_weakly(other));
            return match self.names_version("if-none-match", current.is_some(), found) {
                true if is_read => Precondition::NotModified,
                true => Precondition::Failed,
                false => Precondition::Met,
            };
        }
        match (modified, self.date("if-modified-since")) {
            (Some(modified), Some(date)) if is_read && modified <= date => Precondition::NotModified,
            _ => Precondition::Met,
        }
    }

    /// Whether `If-Range` lets a part be sent (RFC 9110, section 13.1.5): there is none, or it names this very version.
    pub(super) fn may_be_partial(&self, current: &Validators, now: SystemTime) -> bool {
        let mut values = self.field("if-range");
        let Some(value) = values.next() else { return true };
        if values.next().is_some() {
            return false;
        }
        if let Some((other, rest)) = Tag::front(value) {
            return rest.is_empty() && current.etag.as_ref().is_some_and(|tag| tag.wire().is_strongly(other));
        }
        match (current.modified_seconds(), date(value)) {
            // A second that has just passed may have seen a version before this one (section 8.8.2.2).
            (Some(modified), Some(date)) => {
                modified == date && seconds(now).is_some_and(|now| now > modified.saturating_add(1))
            }
            _ => false,
        }
    }

    /// The values of all lines of a field.
    pub(super) fn field(&self, name: &'static str) -> impl Iterator<Item = &[u8]> {
        self.headers().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn has_field(&self, name: &'static str) -> bool {
        self.field(name).next().is_some()
    }

    /// Whether a field is `*` and there is a version, or lists a tag that `found` takes. What is no tag names no version.
    fn names_version(&self, name: &'static str, exists: bool, found: impl Fn(Tag<'_>) -> bool) -> bool {
        self.field(name).any(|line| line == b"*" && exists || tags(line).any(&found))
    }

    /// The date of a field. `None` if it is not there, is none of the three forms (RFC 9110, section 5.6.7), or stands there twice:
    /// the field is to be ignored then (sections 13.1.3 and 13.1.4).
    fn date(&self, name: &'static str) -> Option<u64> {
        let mut values = self.field(name);
        let only = values.next().filter(|_| values.next().is_none())?;
        date(only)
    }
}

fn date(value: &[u8]) -> Option<u64> {
    seconds(httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?)
}

/// The tags of a list (RFC 9110, sections 5.6.1 and 8.8.3), up to what is none. Tags may have commas.
fn tags(list: &[u8]) -> impl Iterator<Item = Tag<'_>> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let is_between = |byte: &u8| matches!(byte, b' ' | b'\t' | b',');
        rest = &rest[rest.iter().take_while(|byte| is_between(byte)).count()..];
        let (tag, behind) = Tag::front(rest)?;
        rest = behind;
        // Another member only begins behind a comma.
        let ends = rest.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
        if !matches!(ends, None | Some(b',')) {
            rest = &[];
            return None;
        }
        Some(tag)
    })
}

impl<'a> Response<'a> {
    /// Adds the fields `ETag` and `Last-Modified`, so that a peer can ask whether it has this version.
    pub fn validators(mut self, current: &Validators) -> Response<'a> {
        if let Some(etag) = &current.etag {
            self = self.header("ETag", &etag.to_string());
        }
        if let Some(time) = current.last_modified {
            self = self.header("Last-Modified", &httpdate::fmt_http_date(time));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &str) -> Vec<String> {
        tags(list.as_bytes()).map(|tag| format!("{}{}", tag.is_weak, String::from_utf8_lossy(tag.opaque))).collect()
    }

    #[test]
    fn tag_lists_are_read_as_the_rfc_writes_them() {
        assert_eq!(of(r#""a""#), ["falsea"]);
        assert_eq!(of(r#" , "a,b" ,	W/"c",, """#), ["falsea,b", "truec", "false"]);
        assert_eq!(of(r#"w/"a""#), [""; 0], "the mark of a weak tag is told apart by case");
        for wrong in ["", "a", "*", r#""a"#, r#""a b""#, r#""a"b"#, r#""a" "b""#, "W/a"] {
            assert_eq!(of(wrong), [""; 0], "{wrong}");
        }
        assert_eq!(of(r#""a", b, "c""#), ["falsea"], "nothing behind what is no tag");
    }

    /// The table of RFC 9110, section 8.8.3.2.
    #[test]
    fn tags_are_compared_as_in_the_rfc() {
        let tag = |text: &'static str| Tag::front(text.as_bytes()).unwrap().0;
        for (one, other, strongly, weakly) in [
            (r#"W/"1""#, r#"W/"1""#, false, true),
            (r#"W/"1""#, r#"W/"2""#, false, false),
            (r#"W/"1""#, r#""1""#, false, true),
            (r#""1""#, r#""1""#, true, true),
        ] {
            assert_eq!(tag(one).is_strongly(tag(other)), strongly, "{one} {other}");
            assert_eq!(tag(one).is_weakly(tag(other)), weakly, "{one} {other}");
        }
    }

    #[test]
    fn times_that_cannot_be_written_are_left_out() {
        let before = Validators::new().last_modified(UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(before, Validators::new());
        let to_come = Validators::new().last_modified(SystemTime::now() + Duration::from_secs(1_000_000));
        assert!(to_come.last_modified.unwrap() <= SystemTime::now(), "a time to come becomes the present");
    }
}
