//! Descriptors that are no sockets: pipes, terminals and other character devices, eventfd(2) and its like.
//!
//! recv(2) and send(2) refuse them. Only then read(2) and write(2) are tried, so that a socket pays nothing.

use super::socket::uninterrupted;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};

/// What a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Socket,
    /// Anything else that can be watched. A short read does not mean that it is empty: a terminal gives one line at a time.
    Other,
}

/// What a descriptor is. Before it is first written, the thread's SIGPIPE is held back if it is no socket.
pub(super) fn kind(fd: &OwnedFd) -> io::Result<Kind> {
    let refused = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    match FileType::from_raw_mode(fstat(fd)?.st_mode) {
        FileType::Socket if sockopt::socket_type(fd)? != SocketType::STREAM => refused("expected a stream socket"),
        FileType::Socket => Ok(Kind::Socket),
        FileType::RegularFile | FileType::Directory | FileType::BlockDevice => {
            refused("a file or directory is always ready, and cannot be watched")
        }
        _ => hold_sigpipe_back().map(|()| Kind::Other),
    }
}

/// What a poller has said of a descriptor, in words.
pub(crate) fn unwatchable(error: io::Error) -> io::Error {
    // epoll_ctl(2): the target does not support epoll.
    match Errno::from_io_error(&error) {
        Some(Errno::PERM) => io::Error::new(io::ErrorKind::InvalidInput, "this kind of descriptor cannot be watched"),
        _ => error,
    }
}

/// write(2) has no MSG_NOSIGNAL. A thread that holds the signal back gets the error alone. Elsewhere than on Linux the program
/// must ignore it, as Rust's runtime does.
pub(super) fn hold_sigpipe_back() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::signal::SigSet::from(nix::sys::signal::Signal::SIGPIPE).thread_block()?;
    Ok(())
}

/// Reads what recv(2) has refused because it is no socket.
#[cold]
pub(super) fn read(fd: &OwnedFd, room: &mut [u8], refusal: Errno) -> Result<usize, Errno> {
    match refusal {
        Errno::NOTSOCK => uninterrupted(|| rustix::io::read(fd, &mut *room)).or_else(|error| end_or(fd, error)),
        error => Err(error),
    }
}

/// What an error means of a descriptor that is no socket.
#[cold]
pub(super) fn end_or(fd: &OwnedFd, error: Errno) -> Result<usize, Errno> {
    let is = |kind| fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == kind);
    match error {
        // The writing end of a pipe is never read, but for its reader to be gone.
        Errno::BADF if !is(FileType::Socket) => Ok(0),
        // A pseudoterminal says so when its other end has been closed.
        Errno::IO if is(FileType::CharacterDevice) => Ok(0),
        error => Err(error),
    }
}

/// Writes what send(2) has refused because it is to no socket.
#[cold]
pub(super) fn write(fd: impl AsFd, slices: &[IoSlice<'_>], refusal: Errno) -> Result<usize, Errno> {
    match refusal {
        Errno::NOTSOCK => uninterrupted(|| rustix::io::writev(&fd, slices)),
        error => Err(error),
    }
}
