//! Datagram sockets that never block, and many datagrams by one system call.

use super::options::ListenOptions;
use rustix::io::Errno;
use rustix::net::SendFlags;
use socket2::{InterfaceIndexOrAddress, SockAddr, SockRef, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::Poll;

/// Datagrams that one system call moves, at most.
pub(crate) const BATCH: usize = 32;
/// The longest payload that IPv4 carries: 65,535 less 20 bytes for its header and 8 for UDP's (RFC 768, RFC 791).
const LONGEST_V4: usize = 65_507;
/// The longest one that IPv6 carries, which does not count its own header (RFC 8200, section 3).
const LONGEST_V6: usize = 65_527;

/// A UDP socket that never blocks.
#[derive(Debug)]
pub(crate) struct DatagramSocket(OwnedFd);

impl DatagramSocket {
    /// Binds a socket. With `shared`, several of this process have the port, and the kernel spreads their peers over them.
    pub(crate) fn bind(address: &SockAddr, options: &ListenOptions, shared: bool) -> io::Result<DatagramSocket> {
        let socket = DatagramSocket::unbound(address, options)?;
        if shared || options.reuse_port {
            options.share_port(&socket, address, || DatagramSocket::unbound(address, options))?;
        }
        socket.bind(address)?;
        Ok(DatagramSocket(socket.into()))
    }

    /// One more for the port of a shared one.
    pub(crate) fn bind_another(address: &SockAddr, options: &ListenOptions) -> io::Result<DatagramSocket> {
        let socket = DatagramSocket::unbound(address, options)?;
        socket.set_reuse_port(true)?;
        socket.bind(address)?;
        Ok(DatagramSocket(socket.into()))
    }

    fn unbound(address: &SockAddr, options: &ListenOptions) -> io::Result<socket2::Socket> {
        let socket = socket2::Socket::new(address.domain(), Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        options.apply_to_datagrams(&socket)?;
        Ok(socket)
    }

    /// One that sends to, and hears, only this peer.
    pub(crate) fn connect(address: &SockAddr) -> io::Result<DatagramSocket> {
        let socket = socket2::Socket::new(address.domain(), Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(address)?;
        Ok(DatagramSocket(socket.into()))
    }

    pub(crate) fn from_fd(fd: OwnedFd) -> io::Result<DatagramSocket> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(DatagramSocket(fd))
    }

    pub(crate) fn try_clone(&self) -> io::Result<DatagramSocket> {
        Ok(DatagramSocket(self.0.try_clone()?))
    }

    pub(crate) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.0)
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket().local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// The peer of a connected one.
    pub(crate) fn peer_address(&self) -> io::Result<SocketAddr> {
        self.socket().peer_addr()?.as_socket().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Sends one datagram; to the peer of a connected socket without an address.
    pub(crate) fn send(&self, bytes: &[u8], to: Option<SocketAddr>) -> Poll<io::Result<()>> {
        let sent = match to {
            Some(to) => rustix::net::sendto(&self.0, bytes, SendFlags::NOSIGNAL, &to),
            None => rustix::net::send(&self.0, bytes, SendFlags::NOSIGNAL),
        };
        match sent {
            Ok(_) => Poll::Ready(Ok(())),
            Err(Errno::AGAIN) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// Sends the first of several datagrams, at most [`BATCH`], and says how many it took; an error is that of the first.
    pub(crate) fn send_batch<'a>(
        &self,
        mut datagrams: impl Iterator<Item = (&'a [u8], Option<SocketAddr>)>,
    ) -> Poll<io::Result<usize>> {
        // Where only one waits, there is nothing to gather.
        let Some(first) = datagrams.next() else { return Poll::Ready(Ok(0)) };
        let Some(second) = datagrams.next() else { return self.send(first.0, first.1).map(|sent| sent.map(|()| 1)) };
        self.send_several([first, second].into_iter().chain(datagrams))
    }

    #[cfg(target_os = "linux")]
    fn send_several<'a>(
        &self,
        datagrams: impl Iterator<Item = (&'a [u8], Option<SocketAddr>)>,
    ) -> Poll<io::Result<usize>> {
        use rustix::net::addr::SocketAddrArg;
        use rustix::net::{MMsgHdr, SendAncillaryBuffer, SocketAddrAny, sendmmsg};
        use std::array::from_fn;
        use std::io::IoSlice;

        let mut slices = [IoSlice::new(&[]); BATCH];
        let mut to: [Option<SocketAddrAny>; BATCH] = from_fn(|_| None);
        let mut count = 0;
        for (i, (bytes, address)) in datagrams.take(BATCH).enumerate() {
            slices[i] = IoSlice::new(bytes);
            to[i] = address.map(|address| address.as_any());
            count = i + 1;
        }
        let mut control: [SendAncillaryBuffer<'_, '_, '_>; BATCH] = from_fn(|_| SendAncillaryBuffer::default());
        let mut control = control.iter_mut();
        let mut headers: [MMsgHdr<'_>; BATCH] = from_fn(|i| {
            let control = control.next().expect("there are as many");
            match &to[i] {
                Some(to) => MMsgHdr::new_with_addr(to, &slices[i..=i], control),
                None => MMsgHdr::new(&slices[i..=i], control),
            }
        });
        match sendmmsg(&self.0, &mut headers[..count], SendFlags::NOSIGNAL) {
            Ok(sent) => Poll::Ready(Ok(sent)),
            Err(Errno::AGAIN) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn send_several<'a>(
        &self,
        datagrams: impl Iterator<Item = (&'a [u8], Option<SocketAddr>)>,
    ) -> Poll<io::Result<usize>> {
        let mut count = 0;
        for (bytes, to) in datagrams.take(BATCH) {
            match self.send(bytes, to) {
                Poll::Ready(Ok(())) => count += 1,
                _ if count > 0 => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(count))
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
        if self.local_address()?.is_ipv6() {
            return self.socket().set_multicast_if_v6(index);
        }
        set_ip_multicast_if_with_ifindex(&self.0, &Ipv4Addr::UNSPECIFIED, &Ipv4Addr::UNSPECIFIED, index)?;
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn interface_index(&self, name: &str) -> io::Result<u32> {
        rustix::net::netdevice::name_to_index(&self.0, name)
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

/// Refuses what no datagram to that address can carry.
pub(crate) fn check_length(length: usize, to: Option<SocketAddr>) -> io::Result<()> {
    let longest = if to.is_some_and(|to| to.is_ipv4()) { LONGEST_V4 } else { LONGEST_V6 };
    if length <= longest {
        return Ok(());
    }
    let error = format!("expected at most {longest} bytes for a datagram, met {length}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, error))
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
