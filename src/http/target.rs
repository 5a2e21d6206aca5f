//! The forms of a request's target (RFC 9112, section 3.2), and its parts.

use super::{HttpError, host};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::ops::Range;

/// Where the authority stands in a target that has one. The target is known to have only bytes that a target may have, and does not
/// begin with a slash, or it is that of a `CONNECT`.
#[cold]
pub(super) fn other_form(method: &str, target: &[u8]) -> Result<Range<usize>, HttpError> {
    let whole = 0..target.len();
    match (method, target) {
        // The authority form, which always has a port (section 3.2.3).
        ("CONNECT", _) if host::is_authority(target) && has_port(target) => Ok(whole),
        ("CONNECT", _) => Err(HttpError::Target),
        // The asterisk form (section 3.2.4).
        ("OPTIONS", b"*") => Ok(0..0),
        _ => match absolute(target) {
            Some(authority) if host::is_authority(&target[authority.clone()]) => Ok(authority),
            _ => Err(HttpError::Target),
        },
    }
}

/// A `host:port` that is an authority has digits behind its last colon.
fn has_port(authority: &[u8]) -> bool {
    authority.last().is_some_and(u8::is_ascii_digit)
        && authority.contains(&b':')
        && authority.iter().rev().find(|byte| !byte.is_ascii_digit()) == Some(&b':')
}

/// Where the authority of the absolute form stands (section 3.2.2).
fn absolute(target: &[u8]) -> Option<Range<usize>> {
    let colon = target.iter().position(|byte| *byte == b':')?;
    let (scheme, rest) = target.split_at(colon);
    let rest = rest.strip_prefix(b"://")?;
    if !is_scheme(scheme) {
        return None;
    }
    let start = colon + "://".len();
    let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    Some(start..start + length)
}

/// RFC 3986, section 3.1.
pub(super) fn is_scheme(text: &[u8]) -> bool {
    let is_other = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    text.first().is_some_and(u8::is_ascii_alphabetic) && text.iter().all(is_other)
}

/// The path of a target that is one.
pub(super) fn path<'a>(target: &'a str, method: &str) -> &'a str {
    // What stands in the query is no path, whatever it looks like.
    let (path, has_query) = match memchr::memchr(b'?', target.as_bytes()) {
        Some(at) => (&target[..at], true),
        None => (target, false),
    };
    if path.starts_with('/') && method != "CONNECT" {
        return path;
    }
    match path.split_once("://") {
        Some((_, rest)) => match rest.find('/') {
            Some(at) => &rest[at..],
            // Of the server as a whole (RFC 9112, section 3.2.4).
            None if method == "OPTIONS" && !has_query => "*",
            None => "/",
        },
        None if path == "*" => path,
        // The authority form has none.
        None => "",
    }
}

/// Text without its escapes; `None` if one is none, or they make no UTF-8.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    let mut escapes = memchr::memchr_iter(b'%', text.as_bytes());
    let is_escape = |at: usize| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if escapes.all(is_escape) { percent_decode_str(text).decode_utf8().ok() } else { None }
}
