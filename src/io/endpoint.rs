//! Places to listen on and to connect to, as a user writes them.

use super::address::{Address, UnixName};
use super::address_error::AddressError;
use socket2::SockAddr;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::str::FromStr;

/// A place to listen on or to connect to.
///
/// | written as | is |
/// |---|---|
/// | `tcp://HOST:PORT` | TCP; port 0 is a free one |
/// | `tcp://:PORT` | every interface, by IPv6 and by IPv4 where the host has both; to connect to, this host |
/// | `tcp4://HOST:PORT`, `tcp6://HOST:PORT` | the same, of that family only |
/// | `tcp://[fe80::1%eth0]:PORT` | an address of one network interface; by name on Linux, elsewhere by number |
/// | `udp://HOST:PORT`, `udp4://`, `udp6://` | datagrams |
/// | `unix://PATH` | a Unix socket: `unix:///run/app.sock`, or `unix://app.sock` in the current folder |
/// | `unix://@NAME` | a Unix socket with an abstract name, on Linux: no file is made |
/// | `HOST:PORT`, a [`SocketAddr`] | TCP or datagrams, as the place where it is used says |
///
/// `?reuseport=true` behind an address lets other processes listen there too (`SO_REUSEPORT`, socket(7)).
///
/// A peer that comes by IPv4 has an address of IPv4, also where it has come to a socket of IPv6. In the name of a Unix socket
/// `%3F` stands for a question mark, and so for any byte in hexadecimal.
///
/// ```
/// use tiderace::Endpoint;
///
/// assert!(Endpoint::try_from("tcp://127.0.0.1:1833").is_ok());
/// assert!(Endpoint::try_from("tcp6://[::1]:1833?reuseport=true").is_ok());
/// assert!(Endpoint::try_from("unix:///run/app.sock").is_ok());
/// let error = Endpoint::try_from("carrier-pigeon://loft").unwrap_err();
/// assert_eq!(error.to_string(), "expected tcp, udp or unix before ://, found carrier-pigeon");
///
/// let endpoint = Endpoint::try_from("tcp4://:1833?reuseport=true").unwrap();
/// assert_eq!(Endpoint::try_from(endpoint.to_string()).unwrap(), endpoint);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    transport: Transport,
    families: Families,
    place: Place,
    pub(crate) reuse_port: bool,
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
    /// No host: every interface to listen on, and this host to connect to.
    Here {
        port: u16,
    },
    Socket(SocketAddr),
    /// An address that means something on one network interface only, which is given by its name.
    Zoned {
        ip: Ipv6Addr,
        zone: String,
        port: u16,
    },
    Named {
        host: String,
        port: u16,
    },
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

/// What an endpoint is looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Listen,
    Connect,
}

impl Endpoint {
    /// Refuses an endpoint for datagrams where streams are wanted.
    pub(crate) fn for_streams(self) -> Result<Endpoint, AddressError> {
        match self.transport {
            Transport::Udp => Err(AddressError::Transport { expected: "tcp or unix", found: "udp" }),
            _ => Ok(self),
        }
    }

    /// Refuses an endpoint for streams where datagrams are wanted.
    pub(crate) fn for_datagrams(self) -> Result<Endpoint, AddressError> {
        let found = match self.transport {
            Transport::Usual | Transport::Udp => return Ok(self),
            Transport::Tcp => "tcp",
            Transport::Unix => "unix",
        };
        Err(AddressError::Transport { expected: "udp", found })
    }

    /// Whether a socket there leaves IPv4 to others.
    pub(crate) fn is_only_v6(&self) -> bool {
        self.families == Families::V6
    }

    pub(crate) fn is_unix(&self) -> bool {
        matches!(self.place, Place::Unix(_))
    }

    /// Whether the system's resolver must be asked, which blocks.
    pub(crate) fn is_named(&self) -> bool {
        matches!(self.place, Place::Named { .. })
    }

    /// The addresses of the place, at least one. A name is looked up, which blocks.
    pub(crate) fn resolve(&self, purpose: Purpose) -> Result<Vec<SockAddr>, AddressError> {
        let unresolved = |source| AddressError::Unresolved { host: self.place.to_string(), source };
        let found: Vec<SocketAddr> = match &self.place {
            Place::Here { port } => self.here(purpose).iter().map(|ip| (*ip, *port).into()).collect(),
            Place::Socket(address) if purpose == Purpose::Connect => vec![reachable(*address)],
            Place::Socket(address) => vec![*address],
            Place::Zoned { ip, zone, port } => {
                let index = interface_index(zone).map_err(|error| unresolved(Some(error)))?;
                vec![SocketAddrV6::new(*ip, *port, 0, index).into()]
            }
            Place::Named { host, port } => {
                let found = (host.as_str(), *port).to_socket_addrs().map_err(|error| unresolved(Some(error)))?;
                found.filter(|address| self.families.admits(address)).collect()
            }
            Place::Unix(name) => {
                let unusable = |source| AddressError::UnixName { name: name.to_string(), source: Some(source) };
                return name.to_socket_address().map(|address| vec![address]).map_err(unusable);
            }
        };
        if found.is_empty() { Err(unresolved(None)) } else { Ok(found.into_iter().map(SockAddr::from).collect()) }
    }

    /// What no host stands for.
    fn here(&self, purpose: Purpose) -> &'static [IpAddr] {
        const ANY_V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        const ANY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        const LOCAL_V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
        const LOCAL_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
        match (purpose, self.families) {
            (Purpose::Connect, Families::Both) => &[LOCAL_V4, LOCAL_V6],
            (Purpose::Connect, Families::V4) => &[LOCAL_V4],
            (Purpose::Connect, Families::V6) => &[LOCAL_V6],
            (Purpose::Listen, Families::V4) => &[ANY_V4],
            (Purpose::Listen, Families::V6) => &[ANY_V6],
            // Not both in turns: where only one of them is taken by another process, half a server would start.
            (Purpose::Listen, Families::Both) if one_socket_hears_both_families() => &[ANY_V6],
            (Purpose::Listen, Families::Both) => &[ANY_V4],
        }
    }
}

/// An address of no host means this one. Not every system knows that.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let v4 = address.is_ipv4();
        address.set_ip(if v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}

/// Whether this host has IPv6, and its sockets take IPv4, too, which is asked as Go asks it.
fn one_socket_hears_both_families() -> bool {
    let probe = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None)?;
        socket.set_only_v6(false)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 0)).into())
    };
    probe().is_ok()
}

#[cfg(target_os = "linux")]
fn interface_index(name: &str) -> io::Result<u32> {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None)?;
    rustix::net::netdevice::name_to_index(&socket, name)
        .map_err(|error| io::Error::new(io::Error::from(error).kind(), format!("no network interface {name:?}")))
}

#[cfg(not(target_os = "linux"))]
fn interface_index(_: &str) -> io::Result<u32> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "interfaces can be named on Linux only"))
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

/// As it may be written: the text is parsed as the same endpoint again.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.transport, self.families) {
            (Transport::Usual, _) => "",
            (Transport::Tcp, Families::Both) => "tcp://",
            (Transport::Tcp, Families::V4) => "tcp4://",
            (Transport::Tcp, Families::V6) => "tcp6://",
            (Transport::Udp, Families::Both) => "udp://",
            (Transport::Udp, Families::V4) => "udp4://",
            (Transport::Udp, Families::V6) => "udp6://",
            (Transport::Unix, _) => "unix://",
        })?;
        self.place.fmt(f)?;
        f.write_str(if self.reuse_port { "?reuseport=true" } else { "" })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Here { port } => write!(f, ":{port}"),
            Place::Socket(address) => address.fmt(f),
            Place::Zoned { ip, zone, port } => write!(f, "[{ip}%{zone}]:{port}"),
            Place::Named { host, port } => write!(f, "{host}:{port}"),
            Place::Unix(name) => f.write_str(&name.to_text()),
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
        let (transport, families) = match scheme {
            None => (Transport::Usual, Families::Both),
            Some("tcp") => (Transport::Tcp, Families::Both),
            Some("tcp4") => (Transport::Tcp, Families::V4),
            Some("tcp6") => (Transport::Tcp, Families::V6),
            Some("udp") => (Transport::Udp, Families::Both),
            Some("udp4") => (Transport::Udp, Families::V4),
            Some("udp6") => (Transport::Udp, Families::V6),
            Some("unix") => (Transport::Unix, Families::Both),
            Some(scheme) => return Err(AddressError::Scheme { scheme: scheme.into() }),
        };
        let place = match transport {
            Transport::Unix => {
                let unnamed = || AddressError::UnixName { name: rest.into(), source: None };
                Place::Unix(UnixName::parse(rest).ok_or_else(unnamed)?)
            }
            _ => parse_host_and_port(rest, families)?,
        };
        Ok(Endpoint { transport, families, place, reuse_port })
    }
}

fn parse_host_and_port(text: &str, families: Families) -> Result<Place, AddressError> {
    let unfit = || AddressError::Unresolved { host: text.into(), source: None };
    if let Ok(address) = text.parse::<SocketAddr>() {
        return families.admits(&address).then_some(Place::Socket(address)).ok_or_else(unfit);
    }
    let malformed = || AddressError::HostAndPort { found: text.into() };
    let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
    let port = port.parse().map_err(|_| malformed())?;
    if let Some((ip, zone)) = parse_zoned(host) {
        let place = Place::Zoned { ip, zone: zone.into(), port };
        return if families == Families::V4 { Err(unfit()) } else { Ok(place) };
    }
    if host.contains([':', '/', '[', ']', '@', ' ']) {
        return Err(malformed());
    }
    Ok(match host {
        "" => Place::Here { port },
        _ => Place::Named { host: host.into(), port },
    })
}

/// `[ADDRESS%INTERFACE]` (RFC 4007, section 11).
fn parse_zoned(host: &str) -> Option<(Ipv6Addr, &str)> {
    let (ip, zone) = host.strip_prefix('[')?.strip_suffix(']')?.split_once('%')?;
    let is_name = !zone.is_empty() && !zone.contains(['/', '[', ']', ' ']);
    Some((ip.parse().ok()?, zone)).filter(|_| is_name)
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
        let (transport, families) = (Transport::Usual, Families::Both);
        Endpoint { transport, families, place: Place::Socket(address), reuse_port: false }
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
        let (transport, families) = (Transport::Unix, Families::Both);
        Ok(Endpoint { transport, families, place: Place::Unix(name), reuse_port: false })
    }
}

impl TryFrom<&Address> for Endpoint {
    type Error = AddressError;

    fn try_from(address: &Address) -> Result<Endpoint, AddressError> {
        address.clone().try_into()
    }
}

#[cfg(test)]
mod tests;
