//! How RESP may be wrong.

use std::fmt;

/// What is refused, received or sent. A server's peer is told of it (`-ERR Protocol error: ...`) before it is closed.
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
    /// A length or a count that is none.
    Length,
    /// A value that its type does not have: a number of letters, a boolean other than `t` and `f`.
    Malformed {
        /// The byte that marks the type.
        kind: u8,
    },
    /// A line or a string does not end with CR LF.
    LineEnd,
    /// A quotation in an inline command has no end, or something follows it at once.
    Quotes,
    /// A line to be sent contains a line end, so the peer would take it for two.
    LineBreak {
        /// Where.
        at: usize,
    },
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
            RespError::Malformed { kind } => {
                write!(f, "expected a value of the type '{}', found another", kind.escape_ascii())
            }
            RespError::LineEnd => f.write_str("expected a carriage return and a line feed, found something else"),
            RespError::Quotes => f.write_str("expected balanced quotes in a command, found unbalanced ones"),
            RespError::LineBreak { at } => write!(f, "expected a text of one line, found a line end at byte {at}"),
        }
    }
}

impl std::error::Error for RespError {}
