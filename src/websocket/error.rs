//! How a peer may break the protocol, and what cannot be sent.

use super::CloseCode;
use crate::http::HttpError;
use std::fmt;

/// Why a WebSocket connection is failed. The peer is told by a close frame with the [code](WebSocketError::code).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebSocketError {
    /// What came before the handshake is no request.
    Http(HttpError),
    /// A frame breaks a rule of RFC 6455, which is said.
    Frame(&'static str),
    /// A frame is longer than it may be.
    FrameTooLong {
        /// In bytes.
        max: usize,
        /// What was announced.
        length: u64,
    },
    /// A message is longer than it may be.
    MessageTooLong {
        /// In bytes.
        max: usize,
    },
    /// A message has more fragments than it may have.
    TooManyFragments {
        /// How many it may have.
        max: u32,
    },
    /// More pings, pongs and the like have come in a second than may.
    TooManyControls {
        /// How many may.
        max: u32,
    },
    /// A text, or the reason of a close, is not UTF-8.
    NotUtf8,
    /// A compressed message is no deflated data (RFC 7692, section 7.2.2).
    NotDeflated,
}

impl WebSocketError {
    /// What the peer is told (RFC 6455, section 7.4.1).
    pub fn code(&self) -> CloseCode {
        match self {
            WebSocketError::FrameTooLong { .. }
            | WebSocketError::MessageTooLong { .. }
            | WebSocketError::TooManyFragments { .. } => CloseCode::TOO_BIG,
            WebSocketError::NotUtf8 | WebSocketError::NotDeflated => CloseCode::INVALID_DATA,
            WebSocketError::TooManyControls { .. } => CloseCode::POLICY,
            WebSocketError::Http(_) | WebSocketError::Frame(_) => CloseCode::PROTOCOL,
        }
    }
}

impl fmt::Display for WebSocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WebSocketError::Http(error) => error.fmt(f),
            WebSocketError::Frame(rule) => f.write_str(rule),
            WebSocketError::FrameTooLong { max, length } => {
                write!(f, "expected a frame of at most {max} bytes, found {length}")
            }
            WebSocketError::MessageTooLong { max } => {
                write!(f, "expected a message of at most {max} bytes, found more")
            }
            WebSocketError::TooManyFragments { max } => write!(f, "expected at most {max} fragments, found more"),
            WebSocketError::TooManyControls { max } => {
                write!(f, "expected at most {max} control frames a second, found more")
            }
            WebSocketError::NotUtf8 => f.write_str("expected UTF-8, found something else"),
            WebSocketError::NotDeflated => f.write_str("expected deflated data, found something else"),
        }
    }
}

impl std::error::Error for WebSocketError {}

/// Why a message cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The handshake has not been made.
    NotOpen,
    /// A close has been sent, which is the last.
    Closed,
    /// Pings, pongs and closes have at most 125 bytes.
    ControlTooLong {
        /// What was met.
        length: usize,
    },
    /// A close code that cannot be sent (RFC 6455, section 7.4).
    CloseCode(u16),
    /// A fragment without the first before it, or a message before the last of them.
    Fragment,
    /// There is no handshake to accept or to refuse.
    NoHandshake,
    /// The subprotocol was not asked for.
    Protocol,
    /// A response of HTTP cannot be sent.
    Response(crate::http::ResponseError),
    /// The system has no randomness, and a client's frame needs a mask that a server cannot foresee (RFC 6455, section 10.3).
    NoRandomness,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::NotOpen => f.write_str("expected the handshake before a message"),
            SendError::Closed => f.write_str("expected nothing behind a close"),
            SendError::ControlTooLong { length } => {
                write!(f, "expected at most 125 bytes in a control frame, found {length}")
            }
            SendError::CloseCode(code) => write!(f, "expected a close code that can be sent, found {code}"),
            SendError::Fragment => f.write_str("expected the fragments of a message in their order"),
            SendError::NoHandshake => f.write_str("expected a handshake before its answer"),
            SendError::Protocol => f.write_str("expected a subprotocol that the client has asked for"),
            SendError::Response(error) => error.fmt(f),
            SendError::NoRandomness => f.write_str("expected random numbers from the system, found none"),
        }
    }
}

impl std::error::Error for SendError {}
