//! Why a handle did not take a message.

use std::fmt;

/// Why a message was not sent; it is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandleSendError<M> {
    /// Too much waits to be sent already.
    Full(M),
    /// The connection has ended.
    Closed(M),
}

impl<M> HandleSendError<M> {
    /// The message.
    pub fn into_message(self) -> M {
        match self {
            HandleSendError::Full(message) | HandleSendError::Closed(message) => message,
        }
    }
}

impl<M> fmt::Display for HandleSendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HandleSendError::Full(_) => "too much waits to be sent on this connection",
            HandleSendError::Closed(_) => "the connection is closed",
        })
    }
}

impl<M> fmt::Debug for HandleSendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<M> std::error::Error for HandleSendError<M> {}
