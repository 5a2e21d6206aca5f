//! Datagrams as they are sent: many by one system call.

#[cfg(target_os = "linux")]
use super::datagram::BATCH;
use super::datagram::{DatagramSocket, Family};
use super::no_signal::NO_SIGNAL;
use super::peer::Peer;
#[cfg(target_os = "linux")]
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
#[cfg(target_os = "linux")]
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, sendmmsg};
use rustix::io::Errno;
use std::io;
#[cfg(target_os = "linux")]
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::task::Poll;

/// What sending several datagrams needs, kept from one call to the next.
#[derive(Default)]
pub(crate) struct SendBatch {
    /// For datagrams that leave from a certain address; there is none before the first of them.
    #[cfg(target_os = "linux")]
    headers: Option<Headers>,
}

/// Those of a socket's family. They name its kind of address and no more general one, because nix reads the field when it counts
/// what was sent, and only of these it takes nothing from it.
#[cfg(target_os = "linux")]
enum Headers {
    V4(MultiHeaders<SockaddrIn>),
    V6(MultiHeaders<SockaddrIn6>),
}

/// A payload and its destination; `None` is the peer of a connected socket.
pub(crate) type Datagram<'a> = (&'a [u8], Option<Peer>);

impl SendBatch {
    /// Sends the first of several datagrams, at most [`BATCH`], and says how many the socket has taken; an error is that of the
    /// first.
    pub(crate) fn send<'a>(
        &mut self,
        socket: &DatagramSocket,
        mut datagrams: impl Iterator<Item = Datagram<'a>>,
    ) -> Poll<io::Result<usize>> {
        let Some(first) = datagrams.next() else { return Poll::Ready(Ok(0)) };
        if let Some(local) = first.1.and_then(|to| to.local_ip())
            && socket.tells_local()
        {
            // One call sends from one address.
            let same = |to: &Datagram<'a>| to.1.is_some_and(|to| to.local_ip() == Some(local));
            return self.send_from(socket, local, std::iter::once(first).chain(datagrams.take_while(same)));
        }
        let mut others =
            datagrams.take_while(|to| !socket.tells_local() || to.1.is_none_or(|to| to.local_ip().is_none()));
        // Where only one waits, there is nothing to gather.
        let Some(second) = others.next() else { return send_one(socket, first).map(|sent| sent.map(|()| 1)) };
        send_several(socket, [first, second].into_iter().chain(others))
    }

    /// Sends from this address of the host, which must be the same for all.
    #[cfg(target_os = "linux")]
    fn send_from<'a>(
        &mut self,
        socket: &DatagramSocket,
        local: IpAddr,
        datagrams: impl Iterator<Item = Datagram<'a>>,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [[IoSlice::new(&[])]; BATCH];
        let mut to = [None; BATCH];
        let mut count = 0;
        for (i, (bytes, peer)) in datagrams.take(BATCH).enumerate() {
            slices[i] = [IoSlice::new(bytes)];
            to[i] = peer.map(|peer| socket.family().address(peer.addr()));
            count = i + 1;
        }
        let slices = &slices[..count];
        let headers = self.headers.get_or_insert_with(|| Headers::of(socket.family()));
        // The interface stays open: an answer goes where the routes say, which need not be where the question came by.
        match (headers, local) {
            (Headers::V4(headers), IpAddr::V4(local)) => {
                let local = in_addr { s_addr: u32::from_ne_bytes(local.octets()) };
                let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: local, ipi_addr: in_addr { s_addr: 0 } };
                let to = to.map(|to| match to {
                    Some(SocketAddr::V4(v4)) => Some(SockaddrIn::from(v4)),
                    _ => None,
                });
                send_with(socket, headers, slices, &to, ControlMessage::Ipv4PacketInfo(&info))
            }
            (Headers::V6(headers), local) => {
                let local = match local {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                    IpAddr::V6(v6) => v6,
                };
                let info = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: local.octets() }, ipi6_ifindex: 0 };
                let to = to.map(|to| match to {
                    Some(SocketAddr::V6(v6)) => Some(SockaddrIn6::from(v6)),
                    _ => None,
                });
                send_with(socket, headers, slices, &to, ControlMessage::Ipv6PacketInfo(&info))
            }
            // A peer of another socket: no datagram of this one can go there.
            (Headers::V4(_), IpAddr::V6(_)) => Poll::Ready(Err(Errno::AFNOSUPPORT.into())),
        }
    }

    /// Nothing received says which address was asked.
    #[cfg(not(target_os = "linux"))]
    fn send_from<'a>(
        &mut self,
        socket: &DatagramSocket,
        _: IpAddr,
        datagrams: impl Iterator<Item = Datagram<'a>>,
    ) -> Poll<io::Result<usize>> {
        send_several(socket, datagrams)
    }
}

#[cfg(target_os = "linux")]
impl Headers {
    fn of(family: Family) -> Headers {
        match family {
            Family::V4 => Headers::V4(MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(in_pktinfo)))),
            Family::V6 => Headers::V6(MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(in6_pktinfo)))),
        }
    }
}

#[cfg(target_os = "linux")]
fn send_with<S: SockaddrLike + Copy>(
    socket: &DatagramSocket,
    headers: &mut MultiHeaders<S>,
    slices: &[[IoSlice<'_>; 1]],
    to: &[Option<S>],
    from: ControlMessage<'_>,
) -> Poll<io::Result<usize>> {
    use nix::errno::Errno;
    use std::os::fd::AsRawFd;
    match sendmmsg(socket.as_fd().as_raw_fd(), headers, slices, to, [from], MsgFlags::MSG_NOSIGNAL) {
        Ok(sent) => Poll::Ready(Ok(sent.count())),
        Err(Errno::EAGAIN) => Poll::Pending,
        Err(error) => Poll::Ready(Err(error.into())),
    }
}

impl Family {
    /// An address as a socket of this family takes it.
    fn address(self, address: SocketAddr) -> SocketAddr {
        match (self, address) {
            (Family::V6, SocketAddr::V4(v4)) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
            _ => address,
        }
    }
}

fn send_one(socket: &DatagramSocket, (bytes, to): Datagram<'_>) -> Poll<io::Result<()>> {
    let sent = match to {
        Some(to) => rustix::net::sendto(socket.as_fd(), bytes, NO_SIGNAL, &socket.family().address(to.addr())),
        None => rustix::net::send(socket.as_fd(), bytes, NO_SIGNAL),
    };
    match sent {
        Ok(_) => Poll::Ready(Ok(())),
        Err(Errno::AGAIN) => Poll::Pending,
        Err(error) => Poll::Ready(Err(error.into())),
    }
}

#[cfg(target_os = "linux")]
fn send_several<'a>(socket: &DatagramSocket, datagrams: impl Iterator<Item = Datagram<'a>>) -> Poll<io::Result<usize>> {
    use rustix::net::addr::SocketAddrArg;
    use rustix::net::{MMsgHdr, SendAncillaryBuffer, SocketAddrAny, sendmmsg};
    use std::array::from_fn;

    let mut slices = [IoSlice::new(&[]); BATCH];
    let mut to: [Option<SocketAddrAny>; BATCH] = from_fn(|_| None);
    let mut count = 0;
    for (i, (bytes, peer)) in datagrams.take(BATCH).enumerate() {
        slices[i] = IoSlice::new(bytes);
        to[i] = peer.map(|peer| socket.family().address(peer.addr()).as_any());
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
    match sendmmsg(socket.as_fd(), &mut headers[..count], NO_SIGNAL) {
        Ok(sent) => Poll::Ready(Ok(sent)),
        Err(Errno::AGAIN) => Poll::Pending,
        Err(error) => Poll::Ready(Err(error.into())),
    }
}

#[cfg(not(target_os = "linux"))]
fn send_several<'a>(socket: &DatagramSocket, datagrams: impl Iterator<Item = Datagram<'a>>) -> Poll<io::Result<usize>> {
    let mut count = 0;
    for datagram in datagrams.take(super::datagram::BATCH) {
        match send_one(socket, datagram) {
            Poll::Ready(Ok(())) => count += 1,
            _ if count > 0 => break,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    }
    Poll::Ready(Ok(count))
}
