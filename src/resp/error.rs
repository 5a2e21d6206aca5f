//! How RESP may be wrong.

use std::fmt;

/// What is refused, received or sent.
///
/// A server's peer is told of it in Redis's own words (`-ERR Protocol error: invalid bulk length`) before it is closed; the log
/// has the words of this type's `Display`, which name limits and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RespError {
    /// A command or a reply is longer than it may be.
    TooLong {
        /// In bytes.
        max: usize,
        /// As much as has come, or as it was announced.
        length: u64,
    },
    /// A command has more arguments than it may have.
    TooManyArguments {
        /// How many it may have, its name included.
        max: usize,
        /// How many it says that it has.
        count: u64,
    },
    /// Values within values, deeper than they may be.
    TooDeep {
        /// How deep they may be.
        max: usize,
    },
    /// Another type was expected.
    Type {
        /// The byte that marks it; `None` where any type would do.
        expected: Option<u8>,
        /// The byte that was found.
        found: u8,
    },
    /// A length that is none: a sign, a leading zero, another byte than a digit, or a number that is out of range. On the
    /// client's side, a count of values as well.
    Length,
    /// A command's count of arguments that is none.
    Count,
    /// A line has no end within the bytes that it may have: an inline command, a count or a length.
    LineTooLong {
        /// What the line is: `*` a count, `$` a length, anything else an inline command.
        kind: u8,
        /// How many bytes it may have.
        max: usize,
    },
    /// An inline command was received that is the start of an HTTP request: `POST`, or the field `Host:`. A web page can make
    /// its visitor's browser send one to a server that only the visitor's machine reaches.
    WebRequest,
    /// A value that its type does not have: a number of letters, a boolean other than `t` and `f`.
    Malformed {
        /// The byte that marks the type.
        kind: u8,
    },
    /// A line or a string does not end with CR LF.
    LineEnd,
    /// A quotation in an inline command has no end, or something follows it at once.
    Quotes,
    /// An inline command contains a NUL byte.
    Nul,
    /// A command to be sent has no arguments, not even a name: there would be no reply to it.
    Empty,
    /// A line to be sent contains a line end, so the peer would take it for two.
    LineBreak {
        /// Where.
        at: usize,
    },
}

impl RespError {
    /// Redis's own words for a server's peer, behind `-ERR Protocol error: `. `None` where Redis closes without a word.
    pub(super) fn told(&self) -> Option<Vec<u8>> {
        let text = match *self {
            RespError::WebRequest => return None,
            RespError::Count | RespError::TooManyArguments { .. } => "invalid multibulk length",
            RespError::Length | RespError::TooLong { .. } => "invalid bulk length",
            RespError::LineTooLong { kind: b'*', .. } => "too big mbulk count string",
            RespError::LineTooLong { kind: b'$', .. } => "too big bulk count string",
            RespError::LineTooLong { .. } => "too big inline request",
            RespError::Quotes => "unbalanced quotes in request",
            RespError::Type { expected: Some(expected), found } => {
                // As it was sent, except that this is a line.
                let found = if matches!(found, b'\r' | b'\n') { b' ' } else { found };
                return Some([b"expected '", &[expected][..], b"', got '", &[found], b"'"].concat());
            }
            // Redis has no words for what it does not check.
            other => return Some(other.to_string().into_bytes()),
        };
        Some(text.as_bytes().to_vec())
    }
}

impl fmt::Display for RespError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RespError::TooLong { max, length } => write!(f, "expected at most {max} bytes, found {length}"),
            RespError::TooManyArguments { max, count } => {
                write!(f, "expected a command of at most {max} arguments, found {count}")
            }
            RespError::TooDeep { max } => write!(f, "expected values at most {max} deep, found deeper ones"),
            RespError::Type { expected: Some(expected), found } => {
                write!(f, "expected '{}', found '{}'", expected.escape_ascii(), found.escape_ascii())
            }
            RespError::Type { expected: None, found } => write!(f, "expected a type, found '{}'", found.escape_ascii()),
            RespError::Length => f.write_str("expected a length, found none or one that is out of range"),
            RespError::Count => f.write_str("expected a count of arguments, found none or one that is out of range"),
            RespError::LineTooLong { max, .. } => {
                write!(f, "expected the end of a line within {max} bytes, found none")
            }
            RespError::WebRequest => f.write_str(
                "expected a command, found an HTTP request (POST or Host:); a web page may be attacking this server",
            ),
            RespError::Malformed { kind } => {
                write!(f, "expected a value of the type '{}', found another", kind.escape_ascii())
            }
            RespError::LineEnd => f.write_str("expected a carriage return and a line feed, found something else"),
            RespError::Quotes => f.write_str("expected balanced quotes in a command, found unbalanced ones"),
            RespError::Nul => f.write_str("expected a command as a line of text, found a NUL byte"),
            RespError::Empty => f.write_str("expected the name of a command, found no arguments"),
            RespError::LineBreak { at } => write!(f, "expected a text of one line, found a line end at byte {at}"),
        }
    }
}

impl std::error::Error for RespError {}
