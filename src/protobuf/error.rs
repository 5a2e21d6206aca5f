//! What can be wrong with a message.

use crate::codec;
use std::fmt;

/// What is refused, received or sent.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ProtobufError {
    /// A message is too long, or its length field is wrong.
    Frame(codec::Error),
    /// A length has more bytes than a varint of 64 bits can have.
    Varint,
    /// These bytes are no such message.
    Message(prost::DecodeError),
    /// The name in an envelope is longer than the envelope, or than the 65,535 bytes that it may have.
    Name {
        /// In bytes.
        length: usize,
    },
    /// The name in an envelope is not UTF-8.
    NotUtf8(std::str::Utf8Error),
    /// An envelope was opened as another message than it holds.
    Other {
        /// The name that was asked for.
        expected: String,
        /// The name that it bears.
        found: String,
    },
}

impl fmt::Display for ProtobufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtobufError::Frame(error) => error.fmt(f),
            ProtobufError::Varint => f.write_str("expected a length of at most 64 bits, found a longer one"),
            ProtobufError::Message(_) => f.write_str("expected a message, found other bytes"),
            ProtobufError::Name { length } => write!(f, "expected a name that fits its envelope, found {length} bytes"),
            ProtobufError::NotUtf8(_) => f.write_str("expected a name in UTF-8, found other bytes"),
            ProtobufError::Other { expected, found } => write!(f, "expected a message {expected}, found {found}"),
        }
    }
}

impl std::error::Error for ProtobufError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Its own text is that of the codec's error.
            ProtobufError::Frame(error) => error.source(),
            ProtobufError::Message(error) => Some(error),
            ProtobufError::NotUtf8(error) => Some(error),
            _ => None,
        }
    }
}

impl From<codec::Error> for ProtobufError {
    fn from(error: codec::Error) -> ProtobufError {
        ProtobufError::Frame(error)
    }
}
