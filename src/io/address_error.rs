//! Why something is not an address.

use std::convert::Infallible;
use std::fmt;
use std::io;

/// Why something is not an address that can be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum AddressError {
    /// The part before `://` names no transport of this library.
    Scheme {
        /// What was found.
        scheme: String,
    },
    /// The transport is a known one, but not one that can be used here.
    Transport {
        /// What can be.
        expected: &'static str,
        /// What was found.
        found: &'static str,
    },
    /// What follows the scheme is not `HOST:PORT`.
    HostAndPort {
        /// What was found.
        found: String,
    },
    /// What follows the question mark is not `reuseport=true` or `reuseport=false`.
    Option {
        /// What was found.
        option: String,
    },
    /// An option of a [`Bind`](crate::Bind) means nothing for what listens there.
    Inapplicable {
        /// The option, as its method is called.
        option: &'static str,
        /// What it means nothing for.
        to: &'static str,
    },
    /// A Unix socket cannot have this name.
    UnixName {
        /// What was found.
        name: String,
        /// What the system says, if it was asked: that the name is too long, mostly.
        source: Option<io::Error>,
    },
    /// The host's name has no address, or none of the family that the scheme asks for.
    Unresolved {
        /// The host and port.
        host: String,
        /// What the resolver said, if it failed.
        source: Option<io::Error>,
    },
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::Scheme { scheme } => write!(f, "expected tcp, udp or unix before ://, found {scheme}"),
            AddressError::Transport { expected, found } => write!(f, "expected {expected}, found {found}"),
            AddressError::HostAndPort { found } => write!(f, "expected HOST:PORT, found {found:?}"),
            AddressError::Option { option } => {
                write!(f, "expected reuseport=true or reuseport=false, found {option:?}")
            }
            AddressError::Inapplicable { option, to } => write!(f, "{option} does not apply to {to}"),
            AddressError::UnixName { name, source: None } => write!(f, "expected a path or @NAME, found {name:?}"),
            AddressError::UnixName { name, source: Some(_) } => write!(f, "{name:?} cannot name a Unix socket"),
            AddressError::Unresolved { host, source: Some(_) } => write!(f, "{host} cannot be resolved"),
            AddressError::Unresolved { host, source: None } => write!(f, "{host} has no address of the asked family"),
        }
    }
}

impl std::error::Error for AddressError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            AddressError::Unresolved { source: Some(error), .. }
            | AddressError::UnixName { source: Some(error), .. } => Some(error),
            _ => None,
        }
    }
}

impl From<Infallible> for AddressError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
