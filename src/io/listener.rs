//! Listening sockets that never block.

use super::options::{ListenOptions, lingers};
use super::{Address, Socket};
use rustix::io::Errno;
use socket2::{SockAddr, SockRef, Type};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
        if let Some(path) = address.as_pathname() {
            remove_if_stale(path)?;
        }
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
        options.apply(&socket, !address.is_unix())?;
        Ok(socket)
    }

    fn listen(socket: socket2::Socket, address: &SockAddr, options: &ListenOptions) -> io::Result<Listener> {
        socket.bind(address)?;
        socket.listen(options.backlog.try_into().unwrap_or(i32::MAX))?;
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

/// Removes the file of a Unix socket on which nobody listens any more. What else stands there stays, and makes the bind
/// fail.
fn remove_if_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    let probe = socket2::Socket::new(socket2::Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        // Somebody listens, or it can not be known: the bind says what is the case.
        _ => Ok(()),
    }
}

/// The file of a Unix socket, which is removed with this, unless another has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Of a listener's address; `None` if it has no file.
    pub(crate) fn of(address: &SockAddr) -> Option<SocketFile> {
        // A path that is not absolute would mean another file once the process has gone elsewhere.
        let path = std::path::absolute(address.as_pathname()?).ok()?;
        let identity = identity(&path)?;
        Some(SocketFile { path, identity })
    }

    /// It stays.
    pub(crate) fn leave(mut self) {
        // An empty path names no file.
        self.path.clear();
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = std::fs::symlink_metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path) == Some(self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
