use std::fmt;
use std::str::Utf8Error;

/// What the stock codecs refuse, received or sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A frame is longer than the codec's maximum.
    TooLong {
        /// The longest that is taken, in bytes.
        max: usize,
        /// What was met: the length that was announced, or the bytes that have come without an end of the frame.
        length: u64,
    },
    /// A text is not UTF-8.
    NotUtf8(Utf8Error),
    /// A message to be sent contains the delimiter, so the peer would take it for several.
    Delimiter {
        /// Where in the message.
        at: usize,
    },
    /// A message to be sent does not have the length that all have.
    WrongLength {
        /// The length that all have.
        expected: usize,
        /// That of this one.
        length: usize,
    },
    /// A length field announces a frame that would end before its own header does.
    TooShort {
        /// The least that the field can say.
        min: u64,
        /// What it says.
        length: u64,
    },
    /// The length of a message to be sent does not fit the length field.
    Unrepresentable {
        /// The greatest number that the field can say.
        max: u64,
        /// What it would have to say; less than zero where the adjustment is greater than the message.
        length: i128,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TooLong { max, length } => write!(f, "expected a frame of at most {max} bytes, found {length}"),
            Error::NotUtf8(_) => f.write_str("expected UTF-8, found other bytes"),
            Error::Delimiter { at } => write!(f, "expected a message without a delimiter, found one at byte {at}"),
            Error::WrongLength { expected, length } => {
                write!(f, "expected a message of {expected} bytes, found {length}")
            }
            Error::TooShort { min, length } => write!(f, "expected a length of at least {min}, found {length}"),
            Error::Unrepresentable { max, length } => {
                write!(f, "expected a length from 0 to {max} for the length field, found {length}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::NotUtf8(error) => Some(error),
            _ => None,
        }
    }
}
