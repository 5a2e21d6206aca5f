//! What can go wrong, and why a connection ended.

use crate::codec::ProtocolError;
use crate::io::AddressError;
use crate::meter::REASONS;
use std::error::Error as StdError;
use std::time::Duration;
use std::{fmt, io};

/// What handlers and `main` return. `?` turns every error type into an [`Error`].
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

type Boxed = Box<dyn StdError + Send + Sync + 'static>;

/// Any error of this library or of a handler.
///
/// Its text does not repeat what has caused it: `{}` writes the error alone, `{:#}` with all its causes in one line, and `{:?}`,
/// which is what `main` prints, with a line for each.
///
/// `?` makes it from every type that is a [`std::error::Error`] and `Send + Sync + 'static`. For that it is none itself;
/// [`Error::into_boxed`] makes one of it. A `Box<dyn std::error::Error + Send + Sync>` is no such type either, and goes through
/// [`Error::Other`]: `.map_err(Error::Other)?`.
#[non_exhaustive]
pub enum Error {
    /// The connection is closed, so nothing can be sent. Why it closed is told to `on_close`.
    Closed,
    /// The system refused an operation.
    Io(io::Error),
    /// A string is not an address, or its host has none.
    Address(AddressError),
    /// Nothing can listen there.
    Bind {
        /// The address as it was given.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// Nobody could be reached there.
    Connect {
        /// The address as it was given.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// Too much is under way to other cores already; nothing was sent.
    Busy,
    /// The call would block this thread, which is a core and has connections to serve. Await it instead.
    OnCore,
    /// The server does not run: not yet, or not any more. Or it has no core of that number.
    NotRunning,
    /// As many connections are open as may be: see [`Server::max_connections`](crate::Server::max_connections).
    TooManyConnections,
    /// What a handler returns to stop its server: made by [`Error::stop_server`].
    StopServer {
        /// How long the stop may take.
        within: Duration,
    },
    /// The codec cannot send this message. The connection goes on.
    Encode(Boxed),
    /// The peer has broken the protocol.
    Protocol(ProtocolError),
    /// Any other error, such as a handler's own.
    Other(Boxed),
}

impl Error {
    /// An error that says `message`.
    pub fn msg(message: impl fmt::Display) -> Error {
        Error::Other(message.to_string().into())
    }

    /// Returned by a method of a handler, this ends the connection and stops its server, as
    /// [`ServerHandle::stop`](crate::ServerHandle::stop) does.
    pub fn stop_server(within: Duration) -> Error {
        Error::StopServer { within }
    }

    /// The error as a [`std::error::Error`], for other libraries.
    pub fn into_boxed(self) -> Boxed {
        match self {
            Error::Io(error) => error.into(),
            Error::Address(error) => error.into(),
            Error::Protocol(error) => error.into(),
            Error::Encode(error) | Error::Other(error) => error,
            Error::Closed
            | Error::Busy
            | Error::OnCore
            | Error::NotRunning
            | Error::TooManyConnections
            | Error::StopServer { .. }
            | Error::Bind { .. }
            | Error::Connect { .. } => Box::new(Standalone(self)),
        }
    }

    /// The error behind this one, if it is an `E`.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.behind()?.downcast_ref()
    }

    /// What has caused this, which its own text does not say.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Bind { .. } | Error::Connect { .. } | Error::Encode(_) => self.behind(),
            _ => self.behind()?.source(),
        }
    }

    fn behind(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Closed
            | Error::Busy
            | Error::OnCore
            | Error::NotRunning
            | Error::TooManyConnections
            | Error::StopServer { .. } => None,
            Error::Io(error) => Some(error),
            Error::Address(error) => Some(error),
            Error::Bind { source, .. } | Error::Connect { source, .. } => Some(source),
            Error::Protocol(error) => Some(error),
            Error::Encode(error) | Error::Other(error) => Some(&**error),
        }
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Error {
        let other = match (Box::new(error) as Boxed).downcast::<io::Error>() {
            Ok(error) => return Error::Io(*error),
            Err(other) => other,
        };
        let other = match other.downcast::<AddressError>() {
            Ok(error) => return Error::Address(*error),
            Err(other) => other,
        };
        match other.downcast::<ProtocolError>() {
            Ok(error) => Error::Protocol(*error),
            Err(other) => Error::Other(other),
        }
    }
}

impl From<Error> for Boxed {
    fn from(error: Error) -> Boxed {
        error.into_boxed()
    }
}

impl From<Error> for Box<dyn StdError> {
    fn from(error: Error) -> Box<dyn StdError> {
        error.into_boxed()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Error::Closed => f.write_str("the connection is closed"),
            Error::Io(error) => write!(f, "{error}"),
            Error::Address(error) => write!(f, "{error}"),
            Error::Bind { address, .. } => write!(f, "cannot listen on {address}"),
            Error::Connect { address, .. } => write!(f, "cannot connect to {address}"),
            Error::Busy => f.write_str("too much is under way to other cores already"),
            Error::OnCore => f.write_str("this would block a core, which must not wait"),
            Error::NotRunning => f.write_str("the server does not run, or has no such core"),
            Error::TooManyConnections => f.write_str("as many connections are open as may be"),
            Error::StopServer { within } => write!(f, "the server is to stop within {within:?}"),
            Error::Encode(_) => f.write_str("cannot send this message"),
            Error::Protocol(error) => write!(f, "{error}"),
            Error::Other(error) => write!(f, "{error}"),
        };
        text?;
        if f.alternate() { causes(self.source(), ": ", f) } else { Ok(()) }
    }
}

/// Writes what has caused an error, and what that.
fn causes(mut cause: Option<&(dyn StdError + 'static)>, separator: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    while let Some(error) = cause {
        write!(f, "{separator}{error}")?;
        cause = error.source();
    }
    Ok(())
}

/// An error of any type with all that has caused it, for a line of text.
struct WithCauses<'a, E>(&'a E);

impl<E: StdError> fmt::Display for WithCauses<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        causes(self.0.source(), ": ", f)
    }
}

/// What `main` prints: the error in words, then what caused it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        causes(self.source(), "\n  caused by: ", f)
    }
}

/// A variant that has no other error to be boxed as.
struct Standalone(Error);

impl fmt::Display for Standalone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Standalone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl StdError for Standalone {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

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
