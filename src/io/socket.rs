//! Stream sockets that never block.

use super::descriptor::{self, Kind};
use super::no_signal::{NO_SIGNAL, raise_no_signal};
use super::options::{Lingers, lingers};
use super::{Address, SocketOptions};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer};
use socket2::{SockAddr, SockRef, Type};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::Poll;
use std::time::Duration;

/// A connected, or connecting, stream socket that never blocks.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd, Lingers);

/// `Pending` when the socket would block, else what the call said.
#[inline]
fn ready<T>(result: Result<T, Errno>) -> Poll<io::Result<T>> {
    match result {
        Ok(value) => Poll::Ready(Ok(value)),
        Err(Errno::AGAIN) => Poll::Pending,
        Err(error) => Poll::Ready(Err(error.into())),
    }
}

/// Repeats a call that a signal has interrupted.
#[inline]
pub(super) fn uninterrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

impl Socket {
    pub(crate) fn from_fd(fd: OwnedFd) -> io::Result<Socket> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        raise_no_signal(&fd)?;
        let lingers = lingers(&SockRef::from(&fd));
        Ok(Socket(fd, lingers.into()))
    }

    /// Takes over any descriptor, which need not be a socket; says whether it is one.
    ///
    /// # Errors
    /// For what is always ready and so cannot be watched, and for a socket that is no stream.
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<(Socket, Kind)> {
        let kind = descriptor::kind(&fd)?;
        Ok((Socket::from_fd(fd)?, kind))
    }

    /// One that was accepted, and so does not block already. What its listener lingers, it does.
    pub(super) fn accepted(fd: OwnedFd, lingers: bool) -> Socket {
        Socket(fd, lingers.into())
    }

    /// Begins to connect; the socket becomes writable when that has succeeded or failed.
    pub(crate) fn connect(address: &SockAddr) -> io::Result<Socket> {
        let socket = socket2::Socket::new(address.domain(), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        if !address.is_unix() {
            socket.set_tcp_nodelay(true)?;
        }
        match socket.connect(address) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        Ok(Socket(socket.into(), Lingers::default()))
    }

    /// Whether both ends are this socket. The kernel may give an outgoing connection the port that it goes to as its own,
    /// where nothing listens there, and it then meets itself (simultaneous open, RFC 9293, section 3.5).
    pub(crate) fn is_connected_to_itself(&self) -> bool {
        let socket = SockRef::from(&self.0);
        let of = |address: io::Result<SockAddr>| address.ok().and_then(|address| address.as_socket());
        of(socket.local_addr()).is_some_and(|local| of(socket.peer_addr()) == Some(local))
    }

    /// Takes the error that the kernel has noted for this socket.
    pub(crate) fn take_error(&self) -> io::Result<()> {
        rustix::net::sockopt::socket_error(&self.0)?.map_err(io::Error::from)
    }

    #[inline]
    pub(crate) fn recv(&self, room: (&mut [u8], &mut [u8])) -> Poll<io::Result<usize>> {
        let (first, second) = room;
        ready(if second.is_empty() {
            let received = uninterrupted(|| rustix::net::recv(&self.0, &mut *first, RecvFlags::empty()));
            received.map(|(n, _)| n).or_else(|error| descriptor::read(&self.0, first, error))
        } else {
            uninterrupted(|| {
                rustix::io::readv(&self.0, &mut [IoSliceMut::new(&mut *first), IoSliceMut::new(&mut *second)])
            })
            .or_else(|error| descriptor::end_or(&self.0, error))
        })
    }

    /// Writes, and raises no signal where the peer is gone.
    #[inline]
    pub(crate) fn send(&self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = uninterrupted(|| rustix::net::send(&self.0, bytes, NO_SIGNAL));
        ready(sent.or_else(|error| descriptor::write(&self.0, &[IoSlice::new(bytes)], error)))
    }

    /// Writes several slices in one system call.
    pub(crate) fn send_vectored(&self, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match slices {
            [one] => self.send(one),
            _ => {
                let sent = uninterrupted(|| {
                    rustix::net::sendmsg(&self.0, slices, &mut SendAncillaryBuffer::default(), NO_SIGNAL)
                });
                ready(sent.or_else(|error| descriptor::write(&self.0, slices, error)))
            }
        }
    }

    /// Has the kernel send a part of a file, and moves `offset` behind it.
    #[cfg(target_os = "linux")]
    pub(super) fn send_file(&self, file: BorrowedFd<'_>, offset: &mut u64, count: usize) -> Result<usize, Errno> {
        uninterrupted(|| rustix::fs::sendfile(&self.0, file, Some(&mut *offset), count))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn send_file(&self, _: BorrowedFd<'_>, _: &mut u64, _: usize) -> Result<usize, Errno> {
        Err(Errno::NOSYS)
    }

    /// Tells the peer that nothing more will come. [`Unsupported`](io::ErrorKind::Unsupported) for what is no socket.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        rustix::net::shutdown(&self.0, rustix::net::Shutdown::Write).map_err(|error| match error {
            Errno::NOTSOCK => io::Error::new(io::ErrorKind::Unsupported, "only a socket has a write side to shut down"),
            error => error.into(),
        })
    }

    /// Makes the close that follows a reset: queued bytes are dropped, and no state lingers in the kernel.
    pub(crate) fn reset_on_close(&self) -> io::Result<()> {
        self.options().set_linger(Some(Duration::ZERO))
    }

    pub(crate) fn options(&self) -> SocketOptions<'_> {
        SocketOptions::noting(self.0.as_fd(), &self.1)
    }

    /// A descriptor of the same socket for another owner, with the options that it has.
    pub(crate) fn give_away(&self) -> io::Result<OwnedFd> {
        let fd = self.0.try_clone()?;
        // The options are the socket's, not the descriptor's: they are the new owner's now.
        self.1.set(false);
        Ok(fd)
    }

    pub(crate) fn local_address(&self) -> io::Result<Address> {
        Address::of(&SockRef::from(&self.0).local_addr()?)
    }

    pub(crate) fn peer_address(&self) -> io::Result<Address> {
        Address::of(&SockRef::from(&self.0).peer_addr()?)
    }
}

impl AsFd for Socket {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.1.get() {
            // Else the close blocks this thread, also where the socket itself does not block (socket(7)).
            let _ = self.options().set_linger(None);
        }
    }
}
