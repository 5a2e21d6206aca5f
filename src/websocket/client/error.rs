//! Why a handshake has failed.

use super::address::UrlError;
use super::answer::Answer;
use crate::http::{HttpError, Status};
use std::fmt;
use std::time::Duration;

/// Why a handshake has failed. It is found in an [`Error`](crate::Error) by [`downcast_ref`](crate::Error::downcast_ref).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The address is no `ws://[USER[:PASSWORD]@]HOST[:PORT][/PATH][?QUERY]`.
    Url(UrlError),
    /// A field or a subprotocol has characters that it may not have.
    Field(String),
    /// A field of that name is written by the handshake itself, or would change how the request is framed.
    OwnField(String),
    /// A subprotocol is asked for twice (RFC 6455, section 4.1).
    Protocol(String),
    /// The server refuses, or redirects where that is not [asked for](super::WebSocketConnector::redirects).
    Refused(Box<ServerRefusal>),
    /// The server redirects to an address that is not followed.
    Redirect(UrlError),
    /// The server has redirected once more than may be.
    TooManyRedirects {
        /// How often it may.
        max: u32,
    },
    /// The server's answer is no head of HTTP.
    Head(HttpError),
    /// The answer is not what was asked for, in the way that is said.
    Answer(&'static str),
    /// The server has sent a provisional response (`1xx`) more often than may be.
    TooManyProvisional {
        /// How often it may.
        max: u32,
    },
    /// The server has not answered in time.
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// The system has no randomness, so no key can be made that a server could not foresee.
    NoRandomness,
}

/// The response of a server that refuses a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRefusal {
    pub(super) answer: Answer,
    pub(super) body: Vec<u8>,
    pub(super) is_whole: bool,
}

impl ServerRefusal {
    /// Its status, such as `Status(401)`.
    pub fn status(&self) -> Status {
        self.answer.status()
    }

    /// The status line, and the fields.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Its body, up to 16 KiB, as far as it has come within 5 seconds. Chunks are put together.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether [`body`](ServerRefusal::body) is all of it.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}

impl HandshakeError {
    /// Whether another try would fail in the same way, because the connector is set wrongly.
    pub(super) fn is_final(&self) -> bool {
        use HandshakeError::{Field, OwnField, Protocol, Url};
        matches!(self, Url(_) | Field(_) | OwnField(_) | Protocol(_))
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::Url(error) => error.fmt(f),
            HandshakeError::Field(field) => write!(f, "expected a field of a head, found {field:?}"),
            HandshakeError::OwnField(name) => write!(f, "expected a field beside those of the handshake, found {name}"),
            HandshakeError::Protocol(protocol) => write!(f, "expected each subprotocol once, found {protocol} twice"),
            HandshakeError::Refused(refusal) => {
                write!(f, "expected 101 Switching Protocols, found {}", refusal.answer.status_line())
            }
            HandshakeError::Redirect(error) => write!(f, "the server redirects: {error}"),
            HandshakeError::TooManyRedirects { max } => write!(f, "expected at most {max} redirects, found more"),
            HandshakeError::Head(error) => write!(f, "expected the head of a response, found another: {error}"),
            HandshakeError::Answer(what) => f.write_str(what),
            HandshakeError::TooManyProvisional { max } => {
                write!(f, "expected at most {max} provisional responses, found more")
            }
            HandshakeError::Timeout { after } => write!(f, "expected an answer to the handshake within {after:?}"),
            HandshakeError::NoRandomness => f.write_str("expected random numbers from the system, found none"),
        }
    }
}

impl std::error::Error for HandshakeError {}
impl std::error::Error for UrlError {}
