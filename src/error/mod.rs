//! What can go wrong, and why a connection ended.

mod close;

pub use close::{CloseKind, CloseReason, TimeLimit};

use crate::codec::ProtocolError;
use crate::io::AddressError;
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
    /// No connection to it could be opened.
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
