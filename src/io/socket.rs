//! Non-blocking stream sockets and listeners.

use super::Address;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use socket2::{Domain, Protocol, SockAddr, Type};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::Poll;

/// A connected, or connecting, stream socket that never blocks.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

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
fn uninterrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
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
        Ok(Socket(fd))
    }

    /// Begins to connect; the socket becomes writable when that has succeeded or failed.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Socket> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        Ok(Socket(socket.into()))
    }

    /// Takes the error that the kernel has noted for this socket.
    pub(crate) fn take_error(&self) -> io::Result<()> {
        rustix::net::sockopt::socket_error(&self.0)?.map_err(io::Error::from)
    }

    #[inline]
    pub(crate) fn recv(&self, room: (&mut [u8], &mut [u8])) -> Poll<io::Result<usize>> {
        let (first, second) = room;
        ready(if second.is_empty() {
            uninterrupted(|| rustix::net::recv(&self.0, &mut *first, RecvFlags::empty()).map(|(n, _)| n))
        } else {
            uninterrupted(|| {
                rustix::io::readv(&self.0, &mut [IoSliceMut::new(&mut *first), IoSliceMut::new(&mut *second)])
            })
        })
    }

    /// Writes, and raises no signal where the peer is gone.
    #[inline]
    pub(crate) fn send(&self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready(uninterrupted(|| rustix::net::send(&self.0, bytes, NO_SIGNAL)))
    }

    /// Writes several slices in one system call.
    pub(crate) fn send_vectored(&self, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match slices {
            [one] => self.send(one),
            _ => ready(uninterrupted(|| {
                rustix::net::sendmsg(&self.0, slices, &mut SendAncillaryBuffer::default(), NO_SIGNAL)
            })),
        }
    }

    /// Tells the peer that nothing more will come.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.0, rustix::net::Shutdown::Write)?)
    }

    /// Makes the close that follows a reset: queued bytes are dropped, and no state lingers in the kernel.
    pub(crate) fn reset_on_close(&self) -> io::Result<()> {
        socket2::SockRef::from(&self.0).set_linger(Some(std::time::Duration::ZERO))
    }

    pub(crate) fn local_address(&self) -> io::Result<Address> {
        Address::of(&socket2::SockRef::from(&self.0).local_addr()?)
    }

    pub(crate) fn peer_address(&self) -> io::Result<Address> {
        Address::of(&socket2::SockRef::from(&self.0).peer_addr()?)
    }
}

const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

impl AsFd for Socket {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A listening socket that never blocks.
#[derive(Debug)]
pub(crate) struct Listener(socket2::Socket);

/// What became of one call to accept.
pub(crate) enum Accepted {
    Connection(Socket, Address),
    /// Nobody waits.
    Empty,
    /// This one is lost (it was reset while it waited, say); others may wait.
    Lost(io::Error),
    /// Descriptors or memory have run out: those who wait must go on waiting.
    Exhausted(io::Error),
}

impl Listener {
    /// Binds and listens. With `shared`, several listeners of this process take turns in the kernel's hands.
    pub(crate) fn bind(address: SocketAddr, backlog: u32, shared: bool) -> io::Result<Listener> {
        let socket = Listener::unbound(address)?;
        if shared {
            #[cfg(target_os = "linux")]
            {
                // Another process that also shares the port would be let in; so first see that nobody has it.
                Listener::unbound(address)?.bind(&address.into())?;
                socket.set_reuse_port(true)?;
            }
        }
        Listener::listen(socket, address, backlog)
    }

    /// One more listener for the port of a shared one.
    #[cfg(target_os = "linux")]
    pub(crate) fn bind_another(address: SocketAddr, backlog: u32) -> io::Result<Listener> {
        let socket = Listener::unbound(address)?;
        socket.set_reuse_port(true)?;
        Listener::listen(socket, address, backlog)
    }

    fn unbound(address: SocketAddr) -> io::Result<socket2::Socket> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A port whose last connections are still in TIME_WAIT may be bound again.
        socket.set_reuse_address(true)?;
        Ok(socket)
    }

    fn listen(socket: socket2::Socket, address: SocketAddr, backlog: u32) -> io::Result<Listener> {
        socket.bind(&address.into())?;
        socket.listen(backlog.try_into().unwrap_or(i32::MAX))?;
        Listener::from_socket(socket)
    }

    pub(crate) fn from_std(listener: std::net::TcpListener) -> io::Result<Listener> {
        Listener::from_socket(listener.into())
    }

    fn from_socket(socket: socket2::Socket) -> io::Result<Listener> {
        socket.set_nonblocking(true)?;
        // Accepted sockets inherit this on Linux, which saves a system call for each; elsewhere `accept` repeats it.
        socket.set_tcp_nodelay(true)?;
        Ok(Listener(socket))
    }

    pub(crate) fn try_clone(&self) -> io::Result<Listener> {
        Ok(Listener(self.0.try_clone()?))
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn accept(&self) -> Accepted {
        match accept(&self.0) {
            Ok((fd, address)) => match Address::of(&address) {
                Ok(address) => Accepted::Connection(Socket(fd), address),
                Err(error) => Accepted::Lost(error),
            },
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::AGAIN) => Accepted::Empty,
                Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Accepted::Exhausted(error),
                // accept(2): errors that belong to the new connection, and signals.
                _ => Accepted::Lost(error),
            },
        }
    }
}

#[cfg(target_os = "linux")]
fn accept(listener: &socket2::Socket) -> io::Result<(OwnedFd, SockAddr)> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (fd, address) = rustix::net::acceptfrom_with(listener, flags)?;
    let address = address.ok_or(Errno::INVAL)?;
    let address = SocketAddr::try_from(address).map_err(|_| Errno::AFNOSUPPORT)?;
    Ok((fd, address.into()))
}

#[cfg(not(target_os = "linux"))]
fn accept(listener: &socket2::Socket) -> io::Result<(OwnedFd, SockAddr)> {
    let (socket, address) = listener.accept()?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    Ok((socket.into(), address))
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
