//! The other end of a datagram.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The peer that a datagram came from, and the address of this host that the peer had asked.
///
/// An answer that is sent to a `Peer` leaves from the address that was asked (RFC 1122, section 4.1.3.5), also on a host with
/// several addresses whose socket is bound to all of them. A [`SocketAddr`] can be sent to as well; then the system chooses
/// the address that the datagram leaves from.
///
/// Two values are equal if peer, asked address and interface are. For a table of peers,
/// [`addr`](Peer::addr) is the key.
///
/// ```
/// use std::net::SocketAddr;
/// use tiderace::Peer;
///
/// let address: SocketAddr = "192.0.2.7:53".parse().unwrap();
/// let peer = Peer::from(address);
/// assert_eq!(peer.addr(), address);
/// assert_eq!(peer.local_ip(), None);
/// assert_eq!(peer.to_string(), "192.0.2.7:53");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    address: SocketAddr,
    /// The address to answer from; `None` leaves it to the system.
    local: Option<IpAddr>,
    /// The index of the interface that the datagram came by; 0 where it is not known.
    interface: u32,
}

impl Peer {
    /// A peer whose datagram came to a socket of an IPv6 kind shows as IPv4 if that is what it speaks.
    pub(super) fn new(address: SocketAddr, local: Option<IpAddr>, interface: u32) -> Peer {
        let address = match address {
            SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
                Some(v4) => SocketAddr::from((v4, v6.port())),
                None => address,
            },
            SocketAddr::V4(_) => address,
        };
        Peer { address, local: local.map(|local| local.to_canonical()), interface }
    }

    /// The address of the peer.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The address of this host that answers to this peer leave from: the one that the peer has asked, or, where it has asked
    /// a multicast or broadcast address, the one that the system has chosen for that.
    ///
    /// `None` when the socket is bound to one address, which [`UdpSocket::local_addr`](crate::UdpSocket::local_addr) tells,
    /// when the system is to choose, and on systems other than Linux.
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.local
    }

    /// The index of the network interface that the datagram came by, where [`local_ip`](Peer::local_ip) is known, too. Answers
    /// take the way that the routes say.
    pub fn interface(&self) -> Option<u32> {
        (self.interface != 0).then_some(self.interface)
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Peer {
        Peer { address, local: None, interface: 0 }
    }
}

impl From<Peer> for SocketAddr {
    fn from(peer: Peer) -> SocketAddr {
        peer.address
    }
}

/// The address of the peer.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_of_a_dual_stack_socket_shows_as_ipv4() {
        let peer = Peer::new("[::ffff:192.0.2.1]:7".parse().unwrap(), Some("::ffff:192.0.2.2".parse().unwrap()), 3);
        assert_eq!(peer.addr(), "192.0.2.1:7".parse().unwrap());
        assert_eq!(peer.local_ip(), Some("192.0.2.2".parse().unwrap()));
        assert_eq!(peer.interface(), Some(3));
        let peer = Peer::new("[2001:db8::1]:7".parse().unwrap(), None, 0);
        assert_eq!(peer.addr(), "[2001:db8::1]:7".parse().unwrap());
        assert_eq!(peer.interface(), None);
    }
}
