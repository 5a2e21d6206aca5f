//! A write to a peer that is gone is an error, and raises no SIGPIPE: a host program may not have Rust's runtime, which ignores
//! that signal.

use rustix::net::SendFlags;
use std::io;
use std::os::fd::AsFd;

/// What is said with every send.
#[cfg(not(target_vendor = "apple"))]
pub(super) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(super) const NO_SIGNAL: SendFlags = SendFlags::empty();

/// Nothing: every send says it.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn raise_no_signal(_: &impl AsFd) -> io::Result<()> {
    Ok(())
}

/// What is said of the socket where no send can say it. `socket2` does so of those that it makes and accepts.
#[cfg(target_vendor = "apple")]
pub(super) fn raise_no_signal(socket: &impl AsFd) -> io::Result<()> {
    socket2::SockRef::from(socket).set_nosigpipe(true)
}
