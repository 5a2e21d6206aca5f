//! How a command may fail.

use crate::resp::{RespError, Value};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a command has no answer, or not the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisError {
    /// The server has refused the command.
    Server(ServerError),
    /// The connection has ended, for this reason, after the command was sent: it may have been executed. It is not sent again.
    Lost(Arc<str>),
    /// The command was sent, and the server has not answered in time: it may have been executed. The connection is closed, because
    /// the replies that follow would wait for this one.
    TimedOut {
        /// The time limit.
        after: Duration,
    },
    /// There was no connection for so long. The command was not sent.
    NotConnected {
        /// The time limit.
        after: Duration,
        /// Why the last try to connect has failed, if one has.
        last: Option<Arc<str>>,
    },
    /// Too many commands, or too many bytes, wait for the server already. The command was not sent.
    Full,
    /// The client has ended: its server has stopped, or its back-off has given up. The command was not sent.
    Closed,
    /// The command changes what the connection does for all that share it, such as `SELECT` or `MULTI`. It was not sent.
    Shared {
        /// Its name.
        command: String,
    },
    /// The command cannot be sent.
    Command(RespError),
    /// The reply is of another type.
    Type {
        /// What was asked for.
        expected: &'static str,
        /// What the server has sent.
        found: &'static str,
    },
    /// A URL is none of a Redis, or a name none of a client.
    Url {
        /// What should stand there.
        expected: &'static str,
        /// What does; never a password.
        found: String,
    },
}

impl RedisError {
    /// Whether the server may have executed the command although there is no answer.
    pub fn may_have_been_executed(&self) -> bool {
        matches!(self, RedisError::Lost(_) | RedisError::TimedOut { .. })
    }

    /// What the server has said, if it has refused the command.
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            RedisError::Server(error) => Some(error),
            _ => None,
        }
    }

    #[cold]
    pub(super) fn wrong_type(expected: &'static str, found: Value<'_>) -> RedisError {
        match found {
            Value::Error(line) => RedisError::Server(ServerError::new(line)),
            found => RedisError::Type { expected, found: kind(found) },
        }
    }
}

/// The type of a value in words.
fn kind(value: Value<'_>) -> &'static str {
    match value {
        Value::Simple(_) => "a line",
        Value::Error(_) => "an error",
        Value::Integer(_) => "an integer",
        Value::Bulk(_) => "a string",
        Value::Null => "null",
        Value::Boolean(_) => "a boolean",
        Value::Double(_) => "a double",
        Value::BigNumber(_) => "a big number",
        Value::Verbatim(..) => "a verbatim text",
        Value::Array(_) => "an array",
        Value::Map(_) => "a map",
        Value::Set(_) => "a set",
        Value::Push(_) => "a push",
        _ => "a value of another type",
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RedisError::Server(error) => error.fmt(f),
            RedisError::Lost(reason) => {
                write!(f, "the connection has ended before the reply, the command may have been executed: {reason}")
            }
            RedisError::TimedOut { after } => {
                write!(f, "no reply within {after:?}, the command may have been executed")
            }
            RedisError::NotConnected { after, last: None } => write!(f, "not sent: no connection within {after:?}"),
            RedisError::NotConnected { after, last: Some(last) } => {
                write!(f, "not sent: no connection within {after:?}: {last}")
            }
            RedisError::Full => f.write_str("not sent: too much waits for the server already"),
            RedisError::Closed => f.write_str("not sent: the client has ended"),
            RedisError::Shared { command } => {
                write!(f, "not sent: {} would change the connection for all that share it", command.escape_debug())
            }
            RedisError::Command(error) => error.fmt(f),
            RedisError::Type { expected, found } => write!(f, "expected {expected}, found {found}"),
            RedisError::Url { expected, found } => write!(f, "expected {expected}, found {found:?}"),
        }
    }
}

impl std::error::Error for RedisError {}

/// An error that the server has sent: a code word in capitals, such as `WRONGTYPE`, and a sentence.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerError {
    line: Box<str>,
}

impl ServerError {
    pub(super) fn new(line: &[u8]) -> ServerError {
        ServerError { line: String::from_utf8_lossy(line).into() }
    }

    /// The code word; empty where the error begins with none.
    pub fn code(&self) -> &str {
        let word = self.line.split(' ').next().unwrap_or_default();
        if word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) { word } else { "" }
    }

    /// The sentence behind the code word.
    pub fn text(&self) -> &str {
        self.line[self.code().len()..].trim_start()
    }
}

/// The whole line.
impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl fmt::Debug for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerError").field(&self.line).finish()
    }
}

impl std::error::Error for ServerError {}
