//! Datagrams as they are received: many by one system call.

use super::datagram::{BATCH, DatagramSocket};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::task::Poll;

/// Room for any datagram, so that none is ever cut short (RFC 768: a 16-bit length counts the header, too).
const SLOT: usize = 64 * 1024;

/// Datagrams that have been received and not handled. The system gives memory only to the pages that they touch.
pub(crate) struct Batch {
    storage: Box<[u8]>,
    received: Vec<(Range<usize>, SocketAddr)>,
    next: usize,
    #[cfg(target_os = "linux")]
    headers: nix::sys::socket::MultiHeaders<nix::sys::socket::SockaddrStorage>,
}

impl Batch {
    pub(crate) fn new() -> Batch {
        Batch {
            storage: vec![0; BATCH * SLOT].into_boxed_slice(),
            received: Vec::with_capacity(BATCH),
            next: 0,
            #[cfg(target_os = "linux")]
            headers: nix::sys::socket::MultiHeaders::preallocate(BATCH, None),
        }
    }

    /// Whether all that was received has been taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.received.len()
    }

    /// Where the next datagram lies, and whose it is.
    pub(crate) fn next(&mut self) -> Option<(Range<usize>, SocketAddr)> {
        let next = self.received.get(self.next)?.clone();
        self.next += 1;
        Some(next)
    }

    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.storage[range]
    }

    /// Receives what there is, as far as there is room; says how many bytes these are. `Pending` when there is nothing.
    /// What was received before is gone.
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
            Err(Errno::EAGAIN | Errno::EINTR) => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error.into())),
        };
        let mut total = 0;
        for (message, start) in messages.zip((0..).step_by(SLOT)) {
            total += message.bytes;
            let from = message.address.as_ref().and_then(to_socket_address);
            self.received.extend(from.map(|from| (start..start + message.bytes, from)));
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
                    let Ok(from) = SocketAddr::try_from(from) else { continue };
                    total += length;
                    self.received.push((start..start + length, from));
                }
                Ok((_, _, None)) => {}
                Err(_) if !self.received.is_empty() => break,
                Err(Errno::AGAIN | Errno::INTR) => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        Poll::Ready(Ok(total))
    }
}

#[cfg(target_os = "linux")]
fn to_socket_address(address: &nix::sys::socket::SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}
