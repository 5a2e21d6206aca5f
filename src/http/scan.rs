//! The end of a head, and the first byte in it that cannot stand where it stands.

use super::HttpError;
use crate::codec::Input;

/// Finds the end of a head or of a trailer section without looking at a byte twice, and refuses what can never become one at
/// its first wrong byte. So a peer that sends something else is told at once, and what it is told does not depend on how its
/// bytes arrive.
#[derive(Debug, Default)]
pub(crate) struct HeadEnd {
    looked: usize,
    at: At,
    /// The last byte was a carriage return.
    after_return: bool,
}

/// What the next byte is a part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Empty lines before a request, which a server passes over (RFC 9112, section 2.2).
    Request,
    Method,
    Target,
    Path,
    Query,
    /// So many bytes of the version have come.
    Version(u8),
    /// Empty lines before a response.
    #[default]
    Response,
    StatusLine,
    LineStart,
    Name,
    Value,
}

impl HeadEnd {
    /// For the head of a request; the default is for that of a response.
    pub(super) fn of_request() -> HeadEnd {
        HeadEnd { at: At::Request, ..HeadEnd::default() }
    }

    /// For field lines alone: a trailer section.
    pub(super) fn of_fields() -> HeadEnd {
        HeadEnd { at: At::LineStart, ..HeadEnd::default() }
    }

    /// Whether nothing was looked at yet.
    pub(super) fn is_new(&self) -> bool {
        self.looked == 0
    }

    /// Whether something has come but the empty lines before a request.
    pub(super) fn has_begun(&self) -> bool {
        self.at != At::Request
    }

    /// Where the head at the front of `input` ends, behind its empty line.
    pub(crate) fn find(&mut self, input: Input<'_>, max: usize) -> Result<Option<usize>, HttpError> {
        let (first, second) = input.as_slices();
        let first_new = first.get(self.looked..).unwrap_or_default();
        let second_new = second.get(self.looked.saturating_sub(first.len())..).unwrap_or_default();
        for mut rest in [first_new, second_new] {
            while !rest.is_empty() {
                let run = self.run(&rest[..rest.len().min(max.saturating_sub(self.looked))]);
                self.looked += run;
                rest = &rest[run..];
                let Some((byte, behind)) = rest.split_first() else { break };
                if self.looked >= max {
                    return Err(self.too_long(max));
                }
                self.looked += 1;
                if self.step(*byte)? {
                    return Ok(Some(self.looked));
                }
                rest = behind;
            }
        }
        Ok(None)
    }

    /// How many bytes at the front leave everything as it is: most are within a name, a value or a target.
    #[inline]
    fn run(&self, bytes: &[u8]) -> usize {
        let kind = match self.at {
            _ if self.after_return => return 0,
            At::Value | At::StatusLine => VALUE,
            At::Name => TCHAR,
            At::Path => PATH_ALONE,
            At::Query => QUERY,
            _ => return 0,
        };
        bytes.iter().position(|byte| !has(*byte, kind)).unwrap_or(bytes.len())
    }

    /// Whether a byte was the last of the head.
    #[inline]
    fn step(&mut self, byte: u8) -> Result<bool, HttpError> {
        if self.after_return {
            if byte != b'\n' {
                return Err(HttpError::BareCarriageReturn);
            }
            self.after_return = false;
            match self.at {
                At::LineStart => return Ok(true),
                At::Request | At::Response => {}
                _ => self.at = At::LineStart,
            }
            return Ok(false);
        }
        self.at = match (self.at, byte) {
            (At::Value, _) if is_value_byte(byte) => At::Value,
            (At::LineStart | At::Name, _) if is_tchar(byte) => At::Name,
            (At::Name, b':') => At::Value,
            (At::Request | At::Response | At::Version(8) | At::StatusLine | At::LineStart | At::Value, b'\r') => {
                self.after_return = true;
                self.at
            }
            (At::Request | At::Method, _) if is_tchar(byte) => At::Method,
            (At::Method, b' ') => At::Target,
            (At::Target | At::Path, b'?') => At::Query,
            (At::Target | At::Path, _) if is_path_byte(byte) => At::Path,
            (At::Query, _) if is_query_byte(byte) => At::Query,
            (At::Path | At::Query, b' ') => At::Version(0),
            (At::Version(come), _) => At::Version(version_byte(come, byte)?),
            (At::Response | At::StatusLine, _) if is_value_byte(byte) => At::StatusLine,
            (_, b'\n') => return Err(HttpError::BareLineFeed),
            (at, _) => return Err(at.refuse()),
        };
        Ok(false)
    }

    #[cold]
    fn too_long(&self, max: usize) -> HttpError {
        match self.at {
            // RFC 9112, section 3.
            At::Target | At::Path | At::Query => HttpError::TargetTooLong { max },
            At::Method => At::Method.refuse(),
            _ => HttpError::HeadTooLong { max },
        }
    }
}

impl At {
    #[cold]
    fn refuse(self) -> HttpError {
        match self {
            At::Request | At::Method => HttpError::Malformed(httparse::Error::Token),
            At::Target | At::Path | At::Query => HttpError::Target,
            At::Version(_) => HttpError::Malformed(httparse::Error::Version),
            At::Response | At::StatusLine => HttpError::Malformed(httparse::Error::Status),
            At::LineStart | At::Name => HttpError::Malformed(httparse::Error::HeaderName),
            At::Value => HttpError::Malformed(httparse::Error::HeaderValue),
        }
    }
}

/// Takes the next byte of `HTTP/1.1`, and says how many have come. Versions with the major number 1 are read as HTTP/1.1, whatever
/// the minor one (RFC 9110, section 2.5); another major number is another protocol.
fn version_byte(come: u8, byte: u8) -> Result<u8, HttpError> {
    let is_right = match come {
        0..=4 => byte == b"HTTP/"[usize::from(come)],
        5 if byte.is_ascii_digit() && byte != b'1' => return Err(HttpError::Version),
        5 => byte == b'1',
        6 => byte == b'.',
        7 => byte.is_ascii_digit(),
        _ => false,
    };
    match (is_right, byte) {
        (true, _) => Ok(come + 1),
        (false, b'\n') => Err(HttpError::BareLineFeed),
        (false, _) => Err(At::Version(come).refuse()),
    }
}

const TCHAR: u8 = 1;
const PATH: u8 = 2;
const QUERY: u8 = 4;
const VALUE: u8 = 8;
const HOST: u8 = 16;
/// What may stand in a path, but for the question mark that ends it.
const PATH_ALONE: u8 = 32;

/// What each byte may be a part of.
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = kinds_of(byte as u8);
        byte += 1;
    }
    kinds
};

const fn kinds_of(byte: u8) -> u8 {
    let is_alphanumeric = byte.is_ascii_alphanumeric();
    let mut kinds = 0;
    if is_alphanumeric
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
    {
        kinds |= TCHAR;
    }
    // RFC 3986 has fewer, but browsers send these as they are typed. No browser sends what is left out: it would write
    // quotation marks and angle brackets as escapes, and a backslash in a path as a slash.
    if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>') {
        kinds |= QUERY;
        if byte != b'\\' {
            kinds |= PATH;
        }
        if byte != b'\\' && byte != b'?' {
            kinds |= PATH_ALONE;
        }
    }
    // RFC 9110, section 5.5.
    if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
        kinds |= VALUE;
    }
    // A reg-name (RFC 3986, section 3.2.2), but for the comma, which a list of hosts has, and for percent signs, which need more.
    if is_alphanumeric
        || matches!(
            byte,
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'='
        )
    {
        kinds |= HOST;
    }
    kinds
}

fn has(byte: u8, kind: u8) -> bool {
    KINDS[usize::from(byte)] & kind != 0
}

fn is_tchar(byte: u8) -> bool {
    has(byte, TCHAR)
}

fn is_path_byte(byte: u8) -> bool {
    has(byte, PATH)
}

fn is_query_byte(byte: u8) -> bool {
    has(byte, QUERY)
}

fn is_value_byte(byte: u8) -> bool {
    has(byte, VALUE)
}

/// Whether a byte may stand in the name of a host, where it is no part of an escape.
pub(super) fn is_host_byte(byte: u8) -> bool {
    has(byte, HOST)
}

/// A token (RFC 9110, section 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    is_tchar(byte)
}

/// What a quoted string may have between its marks (RFC 9110, section 5.6.4); the mark and the backslash have meanings of their own.
pub(super) fn is_quoted_byte(byte: u8) -> bool {
    is_value_byte(byte)
}

/// Whether a target has only bytes that a target may have.
pub(super) fn is_target(target: &[u8]) -> bool {
    let all = target.iter().fold(PATH, |kinds, byte| kinds & KINDS[usize::from(*byte)]);
    all != 0 || has_backslash(target)
}

/// Whether what no path may have stands in the query alone.
#[cold]
fn has_backslash(target: &[u8]) -> bool {
    // Each byte of a path may stand in a query, too.
    match target.iter().position(|byte| !is_path_byte(*byte)) {
        None => true,
        Some(at) => target[..at].contains(&b'?') && target[at..].iter().all(|byte| is_query_byte(*byte)),
    }
}
