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
    /// A line ends without a carriage return (RFC 9112, section 2.2, lets a server refuse that, and what is between may not).
    BareLineFeed,
    /// This is no request: what the parser says.
    Malformed(httparse::Error),
    /// A version other than HTTP/1.0 and HTTP/1.1.
    Version,
    /// No field `Host`, or several, in a request of HTTP/1.1 (RFC 9112, section 3.2).
    Host,
    /// `Content-Length` is no number, or stands there more than once (RFC 9112, section 6.3).
    ContentLength,
    /// `Content-Length` and `Transfer-Encoding` contradict each other: request smuggling (RFC 9112, section 6.1).
    BothLengths,
    /// A transfer coding other than `chunked`, or `chunked` where it cannot be.
    TransferCoding,
    /// A chunk of the body is not what chunks are (RFC 9112, section 7.1).
    Chunk,
}

impl HttpError {
    /// What the peer is told.
    pub fn status(&self) -> Status {
        match self {
            HttpError::HeadTooLong { .. } | HttpError::TooManyFields { .. } => Status::HEAD_TOO_LARGE,
            HttpError::BodyTooLong { .. } => Status::CONTENT_TOO_LARGE,
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
            HttpError::BareLineFeed => f.write_str("expected lines that end with CR LF, found a bare LF"),
            HttpError::Malformed(error) => write!(f, "expected a request, found {error}"),
            HttpError::Version => f.write_str("expected HTTP/1.0 or HTTP/1.1, found another version"),
            HttpError::Host => f.write_str("expected one Host, found none or several"),
            HttpError::ContentLength => f.write_str("expected one number as Content-Length, found something else"),
            HttpError::BothLengths => f.write_str("expected one length of the body, found two"),
            HttpError::TransferCoding => f.write_str("expected chunked as the transfer coding, found another"),
            HttpError::Chunk => f.write_str("expected a chunk, found something else"),
        }
    }
}

impl std::error::Error for HttpError {}
