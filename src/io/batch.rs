//! Datagrams as they are received: many by one system call.

#[cfg(target_os = "linux")]
use super::datagram::Family;
use super::datagram::{BATCH, DatagramSocket};
use super::peer::Peer;
use std::io;
#[cfg(target_os = "linux")]
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::task::Poll;

/// Room for any datagram, so that none is ever cut short (RFC 768: a 16-bit length counts the header, too).
const SLOT: usize = 64 * 1024;

/// Datagrams that have been received and not handled. The system gives memory only to the pages that they touch.
pub(crate) struct Batch {
    storage: Box<[u8]>,
    received: Vec<(Range<usize>, Peer)>,
    next: usize,
    #[cfg(target_os = "linux")]
    headers: Headers,
}

#[cfg(target_os = "linux")]
type Headers = nix::sys::socket::MultiHeaders<nix::sys::socket::SockaddrStorage>;

impl Batch {
    /// Room for what `socket` receives.
    pub(crate) fn new(socket: &DatagramSocket) -> Batch {
        #[cfg(not(target_os = "linux"))]
        let _ = socket;
        Batch {
            storage: vec![0; BATCH * SLOT].into_boxed_slice(),
            received: Vec::with_capacity(BATCH),
            next: 0,
            #[cfg(target_os = "linux")]
            headers: headers(socket),
        }
    }

    /// Whether all that was received has been taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.received.len()
    }

    /// Where the next datagram lies, and whose it is.
    pub(crate) fn next(&mut self) -> Option<(Range<usize>, Peer)> {
        let next = self.received.get(self.next)?.clone();
        self.next += 1;
        Some(next)
    }

    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.storage[range]
    }

    /// Receives what waits in the socket, as far as there is room; says how many bytes these are. `Pending` when there is nothing; an
    /// empty batch, when a signal has come between. What was received before is gone.
    pub(crate) fn receive(&mut self, socket: &DatagramSocket) -> Poll<io::Result<usize>> {
        self.next = 0;
        self.received.clear();
        self.fill(socket)
    }

    /// Whether more may wait than there was room for.
    pub(crate) fn is_full(&self) -> bool {
        self.received.len() == BATCH
    }

    #[cfg(target_os = "linux")]
    fn fill(&mut self, socket: &DatagramSocket) -> Poll<io::Result<usize>> {
        use nix::errno::Errno;
        use nix::sys::socket::{MsgFlags, recvmmsg};
        use std::io::IoSliceMut;
        use std::os::fd::{AsFd, AsRawFd};

        let mut slots = self.storage.chunks_exact_mut(SLOT);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(slots.next().expect("there are as many"))]);
        let fd = socket.as_fd().as_raw_fd();
        let messages = match recvmmsg(fd, &mut self.headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None) {
            Ok(messages) => messages,
            Err(Errno::EAGAIN) => return Poll::Pending,
            Err(Errno::EINTR) => return Poll::Ready(Ok(0)),
            Err(error) => return Poll::Ready(Err(error.into())),
        };
        let (mut total, mut told_all) = (0, true);
        for (message, start) in messages.zip((0..).step_by(SLOT)) {
            total += message.bytes;
            let Some(from) = message.address.as_ref().and_then(to_socket_address) else { continue };
            let from = if !socket.tells_local() {
                Peer::new(from, None, 0)
            } else if let Some((local, interface)) = asked(&message) {
                Peer::new(from, local, interface)
            } else {
                told_all = false;
                Peer::new(from, None, 0)
            };
            self.received.push((start..start + message.bytes, from));
        }
        if !told_all {
            // The kernel has written over how much room there is. That matters only where an option that the user has set
            // takes some of it.
            self.headers = headers(socket);
        }
        Poll::Ready(Ok(total))
    }

    #[cfg(not(target_os = "linux"))]
    fn fill(&mut self, socket: &DatagramSocket) -> Poll<io::Result<usize>> {
        use rustix::io::Errno;
        use rustix::net::{RecvFlags, recvfrom};
        use std::os::fd::AsFd;

        let mut total = 0;
        for (slot, start) in self.storage.chunks_exact_mut(SLOT).zip((0..).step_by(SLOT)) {
            match recvfrom(socket.as_fd(), slot, RecvFlags::empty()) {
                Ok((length, _, Some(from))) => {
                    let Ok(from) = std::net::SocketAddr::try_from(from) else { continue };
                    total += length;
                    self.received.push((start..start + length, Peer::new(from, None, 0)));
                }
                Ok((_, _, None)) => {}
                Err(_) if !self.received.is_empty() => break,
                Err(Errno::AGAIN) => return Poll::Pending,
                Err(Errno::INTR) => return Poll::Ready(Ok(0)),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        Poll::Ready(Ok(total))
    }
}

/// Room for the addresses of a batch, and for what the kernel tells besides.
#[cfg(target_os = "linux")]
fn headers(socket: &DatagramSocket) -> Headers {
    use nix::libc::{in_pktinfo, in6_pktinfo};
    let control = match socket.family() {
        _ if !socket.tells_local() => None,
        Family::V4 => Some(nix::cmsg_space!(in_pktinfo)),
        Family::V6 => Some(nix::cmsg_space!(in6_pktinfo)),
    };
    Headers::preallocate(BATCH, control)
}

/// The address of this host to answer from, as far as there is one, and the interface that a datagram came by.
#[cfg(target_os = "linux")]
fn asked<S>(message: &nix::sys::socket::RecvMsg<'_, '_, S>) -> Option<(Option<IpAddr>, u32)> {
    use nix::sys::socket::ControlMessageOwned::{Ipv4PacketInfo, Ipv6PacketInfo};
    let (asked, local, interface): (IpAddr, IpAddr, u32) = message.cmsgs().ok()?.find_map(|control| match control {
        Ipv4PacketInfo(info) => {
            let address = |address: nix::libc::in_addr| Ipv4Addr::from(address.s_addr.to_ne_bytes());
            Some((address(info.ipi_addr).into(), address(info.ipi_spec_dst).into(), info.ipi_ifindex.cast_unsigned()))
        }
        Ipv6PacketInfo(info) => {
            let address = IpAddr::from(info.ipi6_addr.s6_addr);
            Some((address, address, info.ipi6_ifindex))
        }
        _ => None,
    })?;
    // What waited before the kernel was told to tell comes without the local address that it had chosen.
    let local = if local.is_unspecified() { asked } else { local }.to_canonical();
    let is_mine = match local {
        IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast(),
        IpAddr::V6(v6) => !v6.is_multicast(),
    };
    Some((is_mine.then_some(local), interface))
}

#[cfg(target_os = "linux")]
fn to_socket_address(address: &nix::sys::socket::SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}
