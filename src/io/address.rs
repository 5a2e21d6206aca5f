//! The addresses that sockets have.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The address of one end of a connection: host and port, or the name of a Unix socket, which may have none.
///
/// It is small, because every connection keeps one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(Family);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Family {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
    /// `None`: a socket that was never bound, as most clients are.
    Unix(Option<Box<UnixName>>),
}

/// The name of a Unix socket (unix(7)).
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum UnixName {
    /// A file.
    Path(PathBuf),
    /// A name that is no file, on Linux.
    Abstract(Box<[u8]>),
}

impl Address {
    pub(crate) fn of(address: &socket2::SockAddr) -> io::Result<Address> {
        if let Some(address) = address.as_socket() {
            return Ok(unmapped(address).into());
        }
        let name = if let Some(path) = address.as_pathname() {
            Some(UnixName::Path(path.into()))
        } else if let Some(name) = address.as_abstract_namespace() {
            Some(UnixName::Abstract(name.into()))
        } else if address.is_unix() {
            None
        } else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        Ok(Address(Family::Unix(name.map(Box::new))))
    }

    /// The address of a socket that has none.
    pub(crate) fn unnamed() -> Address {
        Address(Family::Unix(None))
    }

    /// Whether it tells nothing about its socket.
    pub(crate) fn is_unnamed(&self) -> bool {
        matches!(self.0, Family::Unix(None))
    }

    /// Host and port, of an address that has them.
    pub fn as_socket(&self) -> Option<SocketAddr> {
        Some(match &self.0 {
            Family::V4(v4) => SocketAddr::V4(*v4),
            Family::V6(v6) => SocketAddr::V6(**v6),
            Family::Unix(_) => return None,
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

    /// The file of a Unix socket that has one.
    pub fn as_path(&self) -> Option<&Path> {
        match &self.0 {
            Family::Unix(Some(name)) => name.as_path(),
            _ => None,
        }
    }

    /// The abstract name of a Unix socket that has one, without the zero byte that it begins with in the kernel.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        match &self.0 {
            Family::Unix(Some(name)) => match &**name {
                UnixName::Abstract(name) => Some(name),
                UnixName::Path(_) => None,
            },
            _ => None,
        }
    }

    pub(super) fn unix_name(&self) -> Option<&UnixName> {
        match &self.0 {
            Family::Unix(name) => name.as_deref(),
            _ => None,
        }
    }

    /// Whether it belongs to a Unix socket.
    pub fn is_unix(&self) -> bool {
        matches!(self.0, Family::Unix(_))
    }
}

/// An address of IPv4 that was written as one of IPv6, because the socket hears both, is one of IPv4 again (RFC 4291, section
/// 2.5.5.2).
pub(super) fn unmapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => (ip, v6.port()).into(),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

impl UnixName {
    /// As [`UnixName::to_text`] writes it; `None`: it is empty.
    pub(super) fn parse(text: &str) -> Option<UnixName> {
        let name = match text.strip_prefix('@') {
            Some(name) if cfg!(target_os = "linux") => UnixName::Abstract(unescaped(name).into()),
            _ => UnixName::Path(OsString::from_vec(unescaped(text)).into()),
        };
        if text.is_empty() || text == "@" { None } else { Some(name) }
    }

    /// As an endpoint has it. What would mean something else there is escaped, and so is what is no text.
    pub(super) fn to_text(&self) -> String {
        let (mut text, name) = match self {
            UnixName::Path(path) => (String::new(), path.as_os_str().as_bytes()),
            UnixName::Abstract(name) => (String::from("@"), &**name),
        };
        for chunk in name.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '@' if text.is_empty() => text.push_str("%40"),
                    '?' | '%' => text.push_str(&format!("%{:02X}", u32::from(c))),
                    c if c.is_ascii_control() => text.push_str(&format!("%{:02X}", u32::from(c))),
                    c => text.push(c),
                }
            }
            chunk.invalid().iter().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
        }
        text
    }

    pub(crate) fn as_path(&self) -> Option<&Path> {
        match self {
            UnixName::Path(path) => Some(path),
            UnixName::Abstract(_) => None,
        }
    }

    pub(crate) fn to_socket_address(&self) -> io::Result<socket2::SockAddr> {
        match self {
            UnixName::Path(path) => socket2::SockAddr::unix(path),
            UnixName::Abstract(name) => socket2::SockAddr::unix(OsStr::from_bytes(&[b"\0", &name[..]].concat())),
        }
    }
}

/// Bytes that are written as a percent sign and two hexadecimal digits are those bytes (RFC 3986, section 2.1).
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let escaped = || {
            let digits = behind.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
            u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        let escaped = if *first == b'%' { escaped() } else { None };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &behind[2..] } else { behind };
    }
    bytes
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address(match address {
            SocketAddr::V4(v4) => Family::V4(v4),
            SocketAddr::V6(v6) => Family::V6(Box::new(v6)),
        })
    }
}

/// So that an address can be given to the standard library, too. A Unix socket's is an error.
impl ToSocketAddrs for Address {
    type Iter = std::option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let unix = || io::Error::new(io::ErrorKind::Unsupported, format!("expected a host and a port, found {self}"));
        self.as_socket().map(|address| Some(address).into_iter()).ok_or_else(unix)
    }
}

impl fmt::Display for Address {
    /// Host and port; `unix:` and a path, or `@` and an abstract name, or nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Family::V4(v4) => v4.fmt(f),
            Family::V6(v6) => v6.fmt(f),
            Family::Unix(Some(name)) => write!(f, "unix:{name}"),
            Family::Unix(None) => f.write_str("unix:"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnixName::Path(path) => path.display().fmt(f),
            UnixName::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
        }
    }
}

impl fmt::Debug for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
