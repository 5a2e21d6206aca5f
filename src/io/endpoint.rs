//! Places to listen on and to connect to, as a user writes them.

use super::address::{Address, UnixName};
use socket2::SockAddr;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// A place to listen on or to connect to.
///
/// | written as | is |
/// |---|---|
/// | `tcp://HOST:PORT` | TCP; no host means every interface, port 0 a free one |
/// | `tcp4://HOST:PORT`, `tcp6://HOST:PORT` | the same, of that family only |
/// | `udp://HOST:PORT`, `udp4://`, `udp6://` | datagrams |
/// | `unix://PATH` | a Unix socket: `unix:///run/app.sock`, or `unix://app.sock` in the current folder |
/// | `unix://@NAME` | a Unix socket with an abstract name, on Linux: no file is made |
/// | `HOST:PORT`, a [`SocketAddr`] | TCP or datagrams, as the place where it is used says |
///
/// `?reuseport=true` behind an address lets other processes listen there too (`SO_REUSEPORT`, socket(7)).
///
/// ```
/// use tiderace::Endpoint;
///
/// assert!(Endpoint::try_from("tcp://127.0.0.1:1833").is_ok());
/// assert!(Endpoint::try_from("tcp6://[::1]:1833?reuseport=true").is_ok());
/// assert!(Endpoint::try_from("unix:///run/app.sock").is_ok());
/// let error = Endpoint::try_from("carrier-pigeon://loft").unwrap_err();
/// assert_eq!(error.to_string(), "expected tcp, udp or unix before ://, met carrier-pigeon");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    transport: Transport,
    place: Place,
    pub(crate) reuse_port: bool,
    /// `[::]` stands for no address of IPv4.
    pub(crate) only_v6: bool,
}

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// It is not said: what is usual at the place where it is used.
    Usual,
    Tcp,
    Udp,
    Unix,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Socket(SocketAddr),
    Named { host: String, port: u16, family: Families },
    Unix(UnixName),
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
    /// Refuses an endpoint for datagrams where streams are wanted.
    pub(crate) fn for_streams(self) -> Result<Endpoint, AddressError> {
        match self.transport {
            Transport::Udp => Err(AddressError::Transport { expected: "tcp or unix", met: "udp" }),
            _ => Ok(self),
        }
    }

    /// Refuses an endpoint for streams where datagrams are wanted.
    pub(crate) fn for_datagrams(self) -> Result<Endpoint, AddressError> {
        let met = match self.transport {
            Transport::Usual | Transport::Udp => return Ok(self),
            Transport::Tcp => "tcp",
            Transport::Unix => "unix",
        };
        Err(AddressError::Transport { expected: "udp", met })
    }

    /// The address, where no resolver need be asked for it.
    pub(crate) fn as_socket(&self) -> Option<SockAddr> {
        match &self.place {
            Place::Socket(address) => Some((*address).into()),
            Place::Named { .. } => None,
            Place::Unix(name) => name.to_socket_address().ok(),
        }
    }

    /// The addresses of the place, at least one. A name is looked up, which blocks.
    pub(crate) fn resolve(&self) -> Result<Vec<SockAddr>, AddressError> {
        let (host, port, family) = match &self.place {
            Place::Socket(address) => return Ok(vec![(*address).into()]),
            Place::Unix(name) => {
                let address = name.to_socket_address();
                let unusable = |source| AddressError::UnixName { name: name.to_string(), source: Some(source) };
                return address.map(|address| vec![address]).map_err(unusable);
            }
            Place::Named { host, port, family } => (host, *port, *family),
        };
        let unresolved = |source| AddressError::Unresolved { host: format!("{host}:{port}"), source };
        let found = (host.as_str(), port).to_socket_addrs().map_err(|error| unresolved(Some(error)))?;
        let found: Vec<_> = found.filter(|address| family.admits(address)).map(SockAddr::from).collect();
        if found.is_empty() { Err(unresolved(None)) } else { Ok(found) }
    }
}

/// What `make` makes of the first address with which it can.
pub(crate) fn first_usable<T>(
    addresses: &[SockAddr],
    mut make: impl FnMut(&SockAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut failure = io::ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        match make(address) {
            Ok(made) => return Ok(made),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Socket(address) => address.fmt(f),
            Place::Named { host, port, .. } => write!(f, "{host}:{port}"),
            Place::Unix(name) => write!(f, "unix:{name}"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Endpoint, AddressError> {
        let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
        let (rest, reuse_port) = match rest.split_once('?') {
            None => (rest, false),
            Some((rest, option)) => (rest, parse_reuse_port(option)?),
        };
        let (transport, family) = match scheme {
            None => (Transport::Usual, Families::Both),
            Some("tcp") => (Transport::Tcp, Families::Both),
            Some("tcp4") => (Transport::Tcp, Families::V4),
            Some("tcp6") => (Transport::Tcp, Families::V6),
            Some("udp") => (Transport::Udp, Families::Both),
            Some("udp4") => (Transport::Udp, Families::V4),
            Some("udp6") => (Transport::Udp, Families::V6),
            Some("unix") => {
                let place = Place::Unix(parse_unix_name(rest)?);
                return Ok(Endpoint { transport: Transport::Unix, place, reuse_port, only_v6: false });
            }
            Some(scheme) => return Err(AddressError::Scheme { scheme: scheme.into() }),
        };
        let place = parse_host_and_port(rest, family)?;
        Ok(Endpoint { transport, place, reuse_port, only_v6: family == Families::V6 })
    }
}

fn parse_host_and_port(text: &str, family: Families) -> Result<Place, AddressError> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        let unfit = || AddressError::Unresolved { host: text.into(), source: None };
        return family.admits(&address).then_some(Place::Socket(address)).ok_or_else(unfit);
    }
    let malformed = || AddressError::HostAndPort { found: text.into() };
    let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
    let port = port.parse().map_err(|_| malformed())?;
    if host.contains([':', '/', '[', ']', '@', ' ']) {
        return Err(malformed());
    }
    Ok(match (host, family) {
        ("", Families::V6) => Place::Socket((Ipv6Addr::UNSPECIFIED, port).into()),
        ("", _) => Place::Socket((Ipv4Addr::UNSPECIFIED, port).into()),
        _ => Place::Named { host: host.into(), port, family },
    })
}

fn parse_unix_name(text: &str) -> Result<UnixName, AddressError> {
    let name = match text.strip_prefix('@') {
        Some(name) if cfg!(target_os = "linux") => UnixName::Abstract(name.as_bytes().into()),
        _ => UnixName::Path(text.into()),
    };
    if text.is_empty() || text == "@" {
        return Err(AddressError::UnixName { name: text.into(), source: None });
    }
    Ok(name)
}

fn parse_reuse_port(option: &str) -> Result<bool, AddressError> {
    match option {
        "reuseport=true" | "reuseport=1" => Ok(true),
        "reuseport=false" | "reuseport=0" => Ok(false),
        _ => Err(AddressError::Option { option: option.into() }),
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
        Endpoint { transport: Transport::Usual, place: Place::Socket(address), reuse_port: false, only_v6: false }
    }
}

/// An address where somebody listens is a place to connect to.
impl TryFrom<Address> for Endpoint {
    type Error = AddressError;

    fn try_from(address: Address) -> Result<Endpoint, AddressError> {
        if let Some(address) = address.as_socket() {
            return Ok(address.into());
        }
        let unnamed = || AddressError::UnixName { name: String::new(), source: None };
        let name = address.unix_name().ok_or_else(unnamed)?.clone();
        Ok(Endpoint { transport: Transport::Unix, place: Place::Unix(name), reuse_port: false, only_v6: false })
    }
}

impl TryFrom<&Address> for Endpoint {
    type Error = AddressError;

    fn try_from(address: &Address) -> Result<Endpoint, AddressError> {
        address.clone().try_into()
    }
}

/// Why something is not an address that can be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum AddressError {
    /// The part before `://` names no transport of this library.
    Scheme {
        /// What was met.
        scheme: String,
    },
    /// The transport is a known one, but not one that can be used here.
    Transport {
        /// What can be.
        expected: &'static str,
        /// What was met.
        met: &'static str,
    },
    /// What follows the scheme is not `HOST:PORT`.
    HostAndPort {
        /// What was met.
        found: String,
    },
    /// What follows the question mark is not `reuseport=true` or `reuseport=false`.
    Option {
        /// What was met.
        option: String,
    },
    /// A Unix socket cannot have this name.
    UnixName {
        /// What was met.
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
            AddressError::Scheme { scheme } => write!(f, "expected tcp, udp or unix before ://, met {scheme}"),
            AddressError::Transport { expected, met } => write!(f, "expected {expected}, met {met}"),
            AddressError::HostAndPort { found } => write!(f, "expected HOST:PORT, met {found:?}"),
            AddressError::Option { option } => write!(f, "expected reuseport=true or reuseport=false, met {option:?}"),
            AddressError::UnixName { name, source: None } => write!(f, "expected a path or @NAME, met {name:?}"),
            AddressError::UnixName { name, source: Some(error) } => write!(f, "{name:?} names no Unix socket: {error}"),
            AddressError::Unresolved { host, source: Some(error) } => write!(f, "{host} can not be resolved: {error}"),
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
