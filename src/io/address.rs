//! Addresses: what a user writes and what a socket says.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::str::FromStr;

/// The address of one end of a connection.
///
/// It is small, because every connection keeps one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(Family);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Family {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl Address {
    pub(crate) fn of(address: &socket2::SockAddr) -> io::Result<Address> {
        address.as_socket().map(Address::from).ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Host and port, of an address that has them.
    pub fn as_socket(&self) -> Option<SocketAddr> {
        Some(match &self.0 {
            Family::V4(v4) => SocketAddr::V4(*v4),
            Family::V6(v6) => SocketAddr::V6(**v6),
        })
    }

    /// The host's address, of an address that has one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.as_socket().map(|address| address.ip())
    }

    /// The port, of an address that has one.
    pub fn port(&self) -> Option<u16> {
        self.as_socket().map(|address| address.port())
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address(match address {
            SocketAddr::V4(v4) => Family::V4(v4),
            SocketAddr::V6(v6) => Family::V6(Box::new(v6)),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Family::V4(v4) => v4.fmt(f),
            Family::V6(v6) => v6.fmt(f),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a string is not an address.
#[derive(Debug)]
#[non_exhaustive]
pub enum AddressError {
    /// The part before `://` names no transport of this library.
    Scheme {
        /// What was met.
        scheme: String,
    },
    /// What follows the scheme is not `HOST:PORT`.
    HostAndPort {
        /// What was met.
        found: String,
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
            AddressError::Scheme { scheme } => write!(f, "expected tcp://, tcp4:// or tcp6://, met {scheme}://"),
            AddressError::HostAndPort { found } => write!(f, "expected HOST:PORT, met {found:?}"),
            AddressError::Unresolved { host, source: Some(error) } => write!(f, "{host} can not be resolved: {error}"),
            AddressError::Unresolved { host, source: None } => write!(f, "{host} has no address of the asked family"),
        }
    }
}

impl std::error::Error for AddressError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            AddressError::Unresolved { source: Some(error), .. } => Some(error),
            _ => None,
        }
    }
}

impl From<Infallible> for AddressError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A place to listen on or to connect to.
///
/// It is made from `"tcp://HOST:PORT"`, where `tcp4` and `tcp6` insist on a family, no scheme means `tcp`, no host means
/// every interface and port 0 means a free one; or from a [`SocketAddr`].
///
/// ```
/// use tiderace::Endpoint;
///
/// assert!(Endpoint::try_from("tcp://127.0.0.1:1833").is_ok());
/// assert!(Endpoint::try_from("tcp6://[::1]:1833").is_ok());
/// let error = Endpoint::try_from("carrier-pigeon://loft").unwrap_err();
/// assert_eq!(error.to_string(), "expected tcp://, tcp4:// or tcp6://, met carrier-pigeon://");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Socket(SocketAddr),
    Named { host: String, port: u16, family: Families },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Families {
    Both,
    V4,
    V6,
}

impl Families {
    fn admits(self, address: &SocketAddr) -> bool {
        match self {
            Families::Both => true,
            Families::V4 => address.is_ipv4(),
            Families::V6 => address.is_ipv6(),
        }
    }
}

impl Endpoint {
    /// The address, where no resolver need be asked for it.
    pub(crate) fn as_socket(&self) -> Option<SocketAddr> {
        match self.0 {
            Kind::Socket(address) => Some(address),
            Kind::Named { .. } => None,
        }
    }

    /// The addresses of the place, at least one. A name is looked up, which blocks.
    pub(crate) fn resolve(&self) -> Result<Vec<SocketAddr>, AddressError> {
        let (host, port, family) = match &self.0 {
            Kind::Socket(address) => return Ok(vec![*address]),
            Kind::Named { host, port, family } => (host, *port, *family),
        };
        let unresolved = |source| AddressError::Unresolved { host: format!("{host}:{port}"), source };
        let found = (host.as_str(), port).to_socket_addrs().map_err(|error| unresolved(Some(error)))?;
        let found: Vec<_> = found.filter(|address| family.admits(address)).collect();
        if found.is_empty() { Err(unresolved(None)) } else { Ok(found) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Socket(address) => address.fmt(f),
            Kind::Named { host, port, .. } => write!(f, "{host}:{port}"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Endpoint, AddressError> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
        let family = match scheme {
            "tcp" => Families::Both,
            "tcp4" => Families::V4,
            "tcp6" => Families::V6,
            _ => return Err(AddressError::Scheme { scheme: scheme.into() }),
        };
        if let Ok(address) = rest.parse::<SocketAddr>() {
            let unfit = || AddressError::Unresolved { host: rest.into(), source: None };
            return family.admits(&address).then_some(address.into()).ok_or_else(unfit);
        }
        let malformed = || AddressError::HostAndPort { found: rest.into() };
        let (host, port) = rest.rsplit_once(':').ok_or_else(malformed)?;
        let port = port.parse().map_err(|_| malformed())?;
        if host.contains([':', '/', '[', ']', '@', ' ']) {
            return Err(malformed());
        }
        Ok(match (host, family) {
            ("", Families::V6) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into(),
            ("", _) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into(),
            _ => Endpoint(Kind::Named { host: host.into(), port, family }),
        })
    }
}

impl TryFrom<&str> for Endpoint {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Endpoint, AddressError> {
        text.parse()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Endpoint, AddressError> {
        text.parse()
    }
}

impl TryFrom<&String> for Endpoint {
    type Error = AddressError;

    fn try_from(text: &String) -> Result<Endpoint, AddressError> {
        text.parse()
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Endpoint {
        Endpoint(Kind::Socket(address))
    }
}
