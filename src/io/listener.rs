//! Listening sockets that never block.

use super::options::{ListenOptions, lingers};
use super::socket_file::{FolderLock, remove_if_stale};
use super::{Address, Socket};
use rustix::io::Errno;
use socket2::{SockAddr, SockRef, Type};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A listening socket that never blocks.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: socket2::Socket,
    /// Whether a close of what is accepted would wait in the kernel.
    lingers: bool,
}

/// What became of one call to accept.
pub(crate) enum Accepted {
    Connection(Socket, Address),
    /// Nobody waits.
    Empty,
    /// This one is lost (it was reset while it waited, say); others may wait.
    Lost(io::Error),
    /// Descriptors or memory have run out: those who wait must go on waiting.
    Exhausted(io::Error),
    /// The listener itself accepts nothing, because another descriptor of it was used to shut it down, say.
    Unusable(io::Error),
}

impl Listener {
    /// Binds and listens. With `shared`, several listeners of this process take turns in the kernel's hands.
    pub(crate) fn bind(address: &SockAddr, options: &ListenOptions, shared: bool) -> io::Result<Listener> {
        // Held until this listens: another server that looks before that finds a file that seems stale.
        let _lock = match address.as_pathname() {
            Some(path) => {
                let lock = FolderLock::of(path)?;
                remove_if_stale(path)?;
                lock
            }
            None => None,
        };
        let socket = Listener::unbound(address, options)?;
        if !address.is_unix() && (shared || options.reuse_port) {
            options.share_port(&socket, address, || Listener::unbound(address, options))?;
        }
        Listener::listen(socket, address, options)
    }

    /// One more listener for the port of a shared one.
    pub(crate) fn bind_another(address: &SockAddr, options: &ListenOptions) -> io::Result<Listener> {
        let socket = Listener::unbound(address, options)?;
        socket.set_reuse_port(true)?;
        Listener::listen(socket, address, options)
    }

    fn unbound(address: &SockAddr, options: &ListenOptions) -> io::Result<socket2::Socket> {
        let socket = socket2::Socket::new(address.domain(), Type::STREAM, None)?;
        options.apply(&socket, address)?;
        Ok(socket)
    }

    fn listen(socket: socket2::Socket, address: &SockAddr, options: &ListenOptions) -> io::Result<Listener> {
        socket.bind(address)?;
        socket.listen(options.backlog())?;
        Listener::ready(socket)
    }

    fn ready(socket: socket2::Socket) -> io::Result<Listener> {
        socket.set_nonblocking(true)?;
        let lingers = lingers(&SockRef::from(&socket));
        Ok(Listener { socket, lingers })
    }

    /// Takes over a listener that is bound already, with the options that it has.
    pub(crate) fn from_fd(fd: OwnedFd) -> io::Result<Listener> {
        let socket = socket2::Socket::from(fd);
        if !socket.local_addr()?.is_unix() {
            socket.set_tcp_nodelay(true)?;
        }
        Listener::ready(socket)
    }

    pub(crate) fn local_address(&self) -> io::Result<SockAddr> {
        self.socket.local_addr()
    }

    /// Whether a connection waits. Without a descriptor to spare, `accept` does not tell.
    pub(crate) fn has_waiting(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut listener = [PollFd::new(&self.socket, PollFlags::IN)];
        poll(&mut listener, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    pub(crate) fn accept(&self) -> Accepted {
        match accept(&self.socket) {
            Ok((fd, address)) => match Address::of(&address) {
                Ok(address) => Accepted::Connection(Socket::accepted(fd, self.lingers), address),
                Err(error) => Accepted::Lost(error),
            },
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::AGAIN) => Accepted::Empty,
                Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Accepted::Exhausted(error),
                Some(Errno::INVAL | Errno::BADF | Errno::NOTSOCK) => Accepted::Unusable(error),
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
    // The options are inherited, which saves a system call for each.
    let (fd, address) = rustix::net::acceptfrom_with(listener, flags)?;
    let address = match address.map(std::net::SocketAddr::try_from) {
        Some(Ok(address)) => address.into(),
        // A Unix socket; it is asked, since hardly any peer of one has a name.
        _ => SockRef::from(&fd).peer_addr()?,
    };
    Ok((fd, address))
}

#[cfg(not(target_os = "linux"))]
fn accept(listener: &socket2::Socket) -> io::Result<(OwnedFd, SockAddr)> {
    let (socket, address) = listener.accept()?;
    socket.set_nonblocking(true)?;
    if !address.is_unix() {
        socket.set_tcp_nodelay(SockRef::from(listener).tcp_nodelay()?)?;
    }
    Ok((socket.into(), address))
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
