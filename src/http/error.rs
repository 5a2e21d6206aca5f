//! How a request may be wrong.

use super::Status;
use std::fmt;

/// Why a request is refused. The peer is told by the [status](HttpError::status), and the connection is closed, because what
/// follows can no longer be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpError {
    /// The head is longer than it may be.
    HeadTooLong {
        /// In bytes.
        max: usize,
    },
    /// The target is longer than a head may be (RFC 9112, section 3).
    TargetTooLong {
        /// In bytes.
        max: usize,
    },
    /// There are more fields in the head than there may be.
    TooManyFields {
        /// How many there may be.
        max: usize,
    },
    /// The body is longer than it may be.
    BodyTooLong {
        /// In bytes.
        max: usize,
        /// As it was announced, or as much as has come.
        length: u64,
    },
    /// The extensions of a body's chunks are longer than they may be together (RFC 9112, section 7.1.1).
    ExtensionsTooLong {
        /// In bytes.
        max: usize,
    },
    /// A line ends without a carriage return (RFC 9112, section 2.2, lets a server refuse that, and what is between may not).
    BareLineFeed,
    /// A carriage return without a line feed (RFC 9112, section 2.2).
    BareCarriageReturn,
    /// The target has none of the forms of RFC 9112, section 3.2, or one that its method cannot have.
    Target,
    /// This is no request: what the parser says.
    Malformed(httparse::Error),
    /// A version with another major number than 1.
    Version,
    /// No field `Host` in a request of HTTP/1.1, or several, or one that is no `host[:port]` (RFC 9112, section 3.2).
    Host,
    /// `Content-Length` is no number, or stands there more than once (RFC 9112, section 6.3).
    ContentLength,
    /// `Content-Length` and `Transfer-Encoding` contradict each other: request smuggling (RFC 9112, section 6.1).
    BothLengths,
    /// A transfer coding before `chunked` (RFC 9112, section 6.1).
    TransferCoding,
    /// Transfer codings of which `chunked` is not the last, or not there once, or in a request of HTTP/1.0 (RFC 9112, sections 6.1
    /// and 6.3): the end of the body cannot be found.
    ChunkedNotLast,
    /// An expectation other than `100-continue` (RFC 9110, section 10.1.1).
    Expectation,
    /// A field behind the body that says how long the message is, or for which host (RFC 9110, section 6.5.1).
    Trailer,
    /// A chunk of the body is not what chunks are (RFC 9112, section 7.1).
    Chunk,
}

impl HttpError {
    /// What the peer is told.
    pub fn status(&self) -> Status {
        match self {
            HttpError::HeadTooLong { .. } | HttpError::TooManyFields { .. } => Status::HEAD_TOO_LARGE,
            HttpError::TargetTooLong { .. } => Status::URI_TOO_LONG,
            HttpError::BodyTooLong { .. } | HttpError::ExtensionsTooLong { .. } => Status::CONTENT_TOO_LARGE,
            HttpError::Expectation => Status::EXPECTATION_FAILED,
            HttpError::Version => Status::VERSION_NOT_SUPPORTED,
            HttpError::TransferCoding => Status::NOT_IMPLEMENTED,
            _ => Status::BAD_REQUEST,
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::HeadTooLong { max } => write!(f, "expected a head of at most {max} bytes, found more"),
            HttpError::TooManyFields { max } => write!(f, "expected at most {max} fields in the head, found more"),
            HttpError::BodyTooLong { max, length } => {
                write!(f, "expected a body of at most {max} bytes, found {length}")
            }
            HttpError::TargetTooLong { max } => {
                write!(f, "expected a target in a head of at most {max} bytes, found a longer one")
            }
            HttpError::ExtensionsTooLong { max } => {
                write!(f, "expected at most {max} bytes of chunk extensions, found more")
            }
            HttpError::BareCarriageReturn => f.write_str("expected LF behind CR, found something else"),
            HttpError::Target => f.write_str("expected a target of its method, found something else"),
            HttpError::BareLineFeed => f.write_str("expected lines that end with CR LF, found a bare LF"),
            HttpError::Malformed(error) => write!(f, "expected a request, found {error}"),
            HttpError::Version => f.write_str("expected a version 1 of HTTP, found another"),
            HttpError::Host => f.write_str("expected one host[:port] as Host, found something else"),
            HttpError::ContentLength => f.write_str("expected one number as Content-Length, found something else"),
            HttpError::BothLengths => f.write_str("expected one length of the body, found two"),
            HttpError::TransferCoding => f.write_str("expected no transfer coding but chunked, found another"),
            HttpError::ChunkedNotLast => {
                f.write_str("expected chunked once, as the last transfer coding, found other ones")
            }
            HttpError::Expectation => f.write_str("expected 100-continue in Expect, found something else"),
            HttpError::Trailer => f.write_str("expected no field of framing behind the body, found one"),
            HttpError::Chunk => f.write_str("expected a chunk, found something else"),
        }
    }
}

impl std::error::Error for HttpError {}
