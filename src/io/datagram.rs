//! Datagram sockets that never block.

use super::address::unmapped;
use super::no_signal::raise_no_signal;
use super::options::ListenOptions;
use socket2::{InterfaceIndexOrAddress, SockAddr, SockRef, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

/// Datagrams that one system call moves, at most.
pub(crate) const BATCH: usize = 32;
/// The longest payload that IPv4 carries: 65,535 less 20 bytes for its header and 8 for UDP's (RFC 768, RFC 791).
const LONGEST_V4: usize = 65_507;
/// The longest one that IPv6 carries, which does not count its own header (RFC 8200, section 3).
const LONGEST_V6: usize = 65_527;

/// A UDP socket that never blocks.
#[derive(Debug)]
pub(crate) struct DatagramSocket {
    /// Shared with what duplicates it for other servers.
    fd: Arc<OwnedFd>,
    family: Family,
    /// Whether the kernel tells of each datagram which address of this host was asked.
    tells_local: bool,
}

/// What the kernel takes and gives as addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    /// Addresses of IPv4 stand in those of IPv6 (RFC 4291, section 2.5.5.2).
    V6,
}

impl DatagramSocket {
    /// Binds a socket. With `shared`, several of this process have the port, and the kernel spreads their peers over them.
    pub(crate) fn bind(address: &SockAddr, options: &ListenOptions, shared: bool) -> io::Result<DatagramSocket> {
        let socket = DatagramSocket::unbound(address, options)?;
        if shared || options.reuse_port {
            options.share_port(&socket, address, || DatagramSocket::unbound(address, options))?;
        }
        socket.bind(address)?;
        DatagramSocket::new(socket.into())
    }

    /// One more for the port of a shared one.
    pub(crate) fn bind_another(address: &SockAddr, options: &ListenOptions) -> io::Result<DatagramSocket> {
        let socket = DatagramSocket::unbound(address, options)?;
        socket.set_reuse_port(true)?;
        socket.bind(address)?;
        DatagramSocket::new(socket.into())
    }

    fn unbound(address: &SockAddr, options: &ListenOptions) -> io::Result<socket2::Socket> {
        let socket = socket2::Socket::new(address.domain(), Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        options.apply_to_datagrams(&socket, address)?;
        hear_joined_groups_only(&socket, address.is_ipv6())?;
        Ok(socket)
    }

    /// One that sends to, and hears, only this peer.
    pub(crate) fn connect(address: &SockAddr) -> io::Result<DatagramSocket> {
        let socket = socket2::Socket::new(address.domain(), Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(address)?;
        DatagramSocket::new(socket.into())
    }

    pub(crate) fn from_fd(fd: OwnedFd) -> io::Result<DatagramSocket> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        raise_no_signal(&fd)?;
        DatagramSocket::new(fd)
    }

    fn new(fd: OwnedFd) -> io::Result<DatagramSocket> {
        let bound = SockRef::from(&fd).local_addr()?.as_socket();
        let family = if bound.is_some_and(|bound| bound.is_ipv6()) { Family::V6 } else { Family::V4 };
        // A socket with one address answers from that, and is spared the work.
        let hears_all = bound.is_some_and(|bound| bound.ip().is_unspecified());
        let tells_local = hears_all && tell_local(fd.as_fd(), family)?;
        Ok(DatagramSocket { fd: Arc::new(fd), family, tells_local })
    }

    /// The same descriptor once more. It is closed with the last of them.
    pub(crate) fn share(&self) -> DatagramSocket {
        DatagramSocket { fd: self.fd.clone(), ..*self }
    }

    /// Its descriptor, as long as it is open.
    pub(crate) fn descriptor(&self) -> Weak<OwnedFd> {
        Arc::downgrade(&self.fd)
    }

    pub(crate) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.fd)
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    /// Whether each datagram that is received says which address of this host was asked.
    pub(crate) fn tells_local(&self) -> bool {
        self.tells_local
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket().local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// The peer of a connected one.
    pub(crate) fn peer_address(&self) -> io::Result<SocketAddr> {
        self.socket().peer_addr()?.as_socket().map(unmapped).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Joins or leaves a multicast group on a network interface, or on the one that the system chooses.
    pub(crate) fn multicast(&self, group: IpAddr, interface: Option<&str>, join: bool) -> io::Result<()> {
        let index = interface.map_or(Ok(0), |name| self.interface_index(name))?;
        let socket = self.socket();
        match (group, join) {
            (IpAddr::V4(group), true) => socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index)),
            (IpAddr::V4(group), false) => socket.leave_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index)),
            (IpAddr::V6(group), true) => socket.join_multicast_v6(&group, index),
            (IpAddr::V6(group), false) => socket.leave_multicast_v6(&group, index),
        }
    }

    /// Sends multicasts by this network interface.
    #[cfg(target_os = "linux")]
    pub(crate) fn set_multicast_interface(&self, name: &str) -> io::Result<()> {
        use rustix::net::sockopt::set_ip_multicast_if_with_ifindex;
        let index = self.interface_index(name)?;
        let any = std::net::Ipv4Addr::UNSPECIFIED;
        let of_v4 = set_ip_multicast_if_with_ifindex(&self.fd, &any, &any, index);
        match self.family {
            Family::V4 => Ok(of_v4?),
            // The other one is for peers of IPv4, which this socket need not have.
            Family::V6 => self.socket().set_multicast_if_v6(index),
        }
    }

    #[cfg(target_os = "linux")]
    fn interface_index(&self, name: &str) -> io::Result<u32> {
        rustix::net::netdevice::name_to_index(&self.fd, name)
            .map_err(|error| io::Error::new(io::Error::from(error).kind(), format!("no network interface {name:?}")))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn set_multicast_interface(&self, name: &str) -> io::Result<()> {
        self.interface_index(name).map(drop)
    }

    #[cfg(not(target_os = "linux"))]
    fn interface_index(&self, _: &str) -> io::Result<u32> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "interfaces can be named on Linux only"))
    }
}

/// Has a socket hear the multicast groups that it has joined itself, and not those that any socket of the host has (ip(7),
/// `IP_MULTICAST_ALL`), as other systems do.
#[cfg(target_os = "linux")]
fn hear_joined_groups_only(socket: &socket2::Socket, is_v6: bool) -> io::Result<()> {
    let of_v4 = socket.set_multicast_all_v4(false);
    if !is_v6 {
        return of_v4;
    }
    match socket.set_multicast_all_v6(false) {
        // Not before Linux 4.20.
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOPROTOOPT) => Ok(()),
        set => set,
    }
}

#[cfg(not(target_os = "linux"))]
fn hear_joined_groups_only(_: &socket2::Socket, _: bool) -> io::Result<()> {
    Ok(())
}

/// Has the kernel tell of each datagram which address was asked (ip(7), RFC 3542 section 6); says whether it does.
#[cfg(target_os = "linux")]
fn tell_local(socket: BorrowedFd<'_>, family: Family) -> io::Result<bool> {
    use nix::sys::socket::{setsockopt, sockopt};
    match family {
        Family::V4 => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
        Family::V6 => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    Ok(true)
}

#[cfg(not(target_os = "linux"))]
fn tell_local(_: BorrowedFd<'_>, _: Family) -> io::Result<bool> {
    Ok(false)
}

/// Refuses what no datagram to that address can carry.
pub(crate) fn check_length(length: usize, to: Option<SocketAddr>) -> io::Result<()> {
    let longest = if to.is_some_and(|to| to.is_ipv4()) { LONGEST_V4 } else { LONGEST_V6 };
    if length <= longest {
        return Ok(());
    }
    let error = format!("expected at most {longest} bytes for a datagram, found {length}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, error))
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
