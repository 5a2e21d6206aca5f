//! Why a connection ended.

use super::{Error, WithCauses};
use crate::codec::ProtocolError;
use crate::meter::REASONS;
use std::{fmt, io};

/// Why a connection has ended. Each connection ends with exactly one.
#[derive(Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer ended its stream, and everything that it sent was handled.
    EndOfStream,
    /// Closed on this side, by the handler or by a [`Handle`](crate::Handle).
    Closed,
    /// The connection broke: the peer reset it, or the network did.
    Reset(io::Error),
    /// The peer broke the protocol.
    Protocol(ProtocolError),
    /// The handler returned this error.
    Handler(Error),
    /// The handler, or its codec, panicked with this message.
    Panic(String),
    /// A time limit has passed.
    Timeout(TimeLimit),
    /// The peer took the messages of a [`Group`](crate::Group) too slowly.
    TooSlow,
    /// The handler gave the connection up: see [`Conn::detach`](crate::Conn::detach).
    Detached,
    /// The server stopped.
    Shutdown,
    /// The connection goes on under another handler: see [`Conn::upgrade`](crate::Conn::upgrade). It has not closed, and metrics
    /// do not count it as that.
    Upgraded,
}

/// Why a connection has ended, without the details: what [`Handle::closed`](crate::Handle::closed) returns. Each stands for the
/// [`CloseReason`] of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseKind {
    /// The peer ended its stream, and everything that it sent was handled.
    EndOfStream,
    /// Closed on this side, by the handler or by a handle.
    Closed,
    /// The connection broke.
    Reset,
    /// The peer broke the protocol.
    Protocol,
    /// The handler returned an error.
    Handler,
    /// The handler, or its codec, panicked.
    Panic,
    /// A time limit has passed.
    Timeout,
    /// The peer took the messages of a group too slowly.
    TooSlow,
    /// The handler gave the connection up.
    Detached,
    /// The server stopped, or the connection's core ended.
    Shutdown,
    /// The connection goes on under another handler.
    Upgraded,
}

impl CloseKind {
    const ALL: [CloseKind; REASONS.len()] = [
        CloseKind::EndOfStream,
        CloseKind::Closed,
        CloseKind::Reset,
        CloseKind::Protocol,
        CloseKind::Handler,
        CloseKind::Panic,
        CloseKind::Timeout,
        CloseKind::TooSlow,
        CloseKind::Detached,
        CloseKind::Shutdown,
        CloseKind::Upgraded,
    ];

    pub(crate) fn from_number(number: usize) -> CloseKind {
        CloseKind::ALL.get(number).copied().unwrap_or(CloseKind::Shutdown)
    }
}

impl fmt::Display for CloseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REASONS[*self as usize])
    }
}

/// A time limit that a connection may exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeLimit {
    /// Nothing was received and nothing sent for the idle timeout, while no method of the handler ran.
    Idle,
    /// The first message was not there within the [time](crate::Server::first_message_timeout) for it.
    ///
    /// A message is what the handler is given: an empty line of RESP is none, and neither are bytes that a handler of
    /// [`Peek`](crate::codec::Peek) leaves where they are. Of a request whose body comes in parts it is the head. In a protocol
    /// with a handshake the finished handshake counts as well, because a peer of a WebSocket may only want to listen.
    ///
    /// The time runs while the connection waits for its peer: not while a method of the handler runs, and not while the handler
    /// has [paused](crate::Conn::pause) the connection.
    FirstMessage,
    /// A message has not ended in the [time](crate::Server::message_timeout) that one may take.
    ///
    /// That is for the whole message, from its first byte to its last: for a request with its body, also where the body comes
    /// in parts, and for a WebSocket's message with all its fragments. The last byte of a message is that of the first frame
    /// behind which the decoder's [`may_end`](crate::codec::Decoder::may_end) says yes. A handler that receives long bodies in
    /// parts gives them more time by [`Conn::set_message_timeout`](crate::Conn::set_message_timeout).
    ///
    /// The time runs as that for the first message does.
    Message,
    /// A message does not get on: its next part, or the first message of a connection, has not come in the time that its
    /// [protocol](crate::codec::Decoder::step) has for it. HTTP has such limits unless told otherwise: `Http::head_timeout`, and
    /// `Http::body_progress`.
    ///
    /// The time runs as that for the first message does.
    Progress,
    /// The next message was not there by the read deadline.
    Read,
    /// Bytes still waited to be written at the write deadline, or none of them were taken for the
    /// [write timeout](crate::Server::write_timeout).
    Write {
        /// How many.
        queued: usize,
    },
    /// What was queued could not be delivered in the time that a close may take.
    Close {
        /// How many bytes were not delivered.
        undelivered: usize,
    },
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimeLimit::Idle => f.write_str("idle"),
            TimeLimit::FirstMessage => f.write_str("no first message"),
            TimeLimit::Message => f.write_str("a message that does not end"),
            TimeLimit::Progress => f.write_str("a message that does not get on"),
            TimeLimit::Read => f.write_str("no message by the read deadline"),
            TimeLimit::Write { queued } => write!(f, "{queued} bytes that are not taken"),
            TimeLimit::Close { undelivered } => write!(f, "{undelivered} bytes undelivered"),
        }
    }
}

impl CloseReason {
    /// The reason in one word, such as `end_of_stream`: what metrics count it under.
    pub fn name(&self) -> &'static str {
        REASONS[self.number()]
    }

    /// The reason without its details.
    pub fn kind(&self) -> CloseKind {
        CloseKind::from_number(self.number())
    }

    /// Its place among [`REASONS`].
    pub(crate) fn number(&self) -> usize {
        match self {
            CloseReason::EndOfStream => 0,
            CloseReason::Closed => 1,
            CloseReason::Reset(_) => 2,
            CloseReason::Protocol(_) => 3,
            CloseReason::Handler(_) => 4,
            CloseReason::Panic(_) => 5,
            CloseReason::Timeout(_) => 6,
            CloseReason::TooSlow => 7,
            CloseReason::Detached => 8,
            CloseReason::Shutdown => 9,
            CloseReason::Upgraded => 10,
        }
    }

    /// Whether the connection ended as connections should: by one of the two sides, or with the server.
    pub fn is_normal(&self) -> bool {
        use CloseReason::{Closed, Detached, EndOfStream, Shutdown, Upgraded};
        matches!(self, EndOfStream | Closed | Shutdown | Detached | Upgraded)
    }
}

/// The reason, with all that has caused it.
impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::EndOfStream => f.write_str("end of stream"),
            CloseReason::Closed => f.write_str("closed here"),
            CloseReason::Reset(error) => write!(f, "reset: {}", WithCauses(error)),
            CloseReason::Protocol(error) => write!(f, "protocol error: {}", WithCauses(error)),
            CloseReason::Handler(error) => write!(f, "handler error: {error:#}"),
            CloseReason::Panic(message) => write!(f, "panic: {message}"),
            CloseReason::Timeout(limit) => write!(f, "timeout: {limit}"),
            CloseReason::TooSlow => f.write_str("too slow for its group"),
            CloseReason::Detached => f.write_str("detached"),
            CloseReason::Shutdown => f.write_str("shutdown"),
            CloseReason::Upgraded => f.write_str("upgraded"),
        }
    }
}
