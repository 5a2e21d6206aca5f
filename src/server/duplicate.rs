//! The listeners of a running server, for other servers.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Weak;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

/// The sockets of one `listen`. The cores own them, and close them.
pub(super) struct Duplicable {
    sockets: Vec<Weak<dyn AsFd + Send + Sync>>,
    /// There are duplicates, so the file of a Unix socket is left to those who have them.
    is_duplicated: AtomicBool,
}

impl Duplicable {
    pub(super) fn new(sockets: Vec<Weak<dyn AsFd + Send + Sync>>) -> Duplicable {
        Duplicable { sockets, is_duplicated: AtomicBool::new(false) }
    }

    pub(super) fn duplicate(&self) -> io::Result<Vec<OwnedFd>> {
        // Before the look at the sockets: a server that ends meanwhile must not remove a file that is in use.
        self.is_duplicated.store(true, Release);
        let duplicate = |socket: &Weak<dyn AsFd + Send + Sync>| {
            let socket = socket.upgrade().ok_or_else(Duplicable::not_listening)?;
            socket.as_fd().try_clone_to_owned()
        };
        self.sockets.iter().map(duplicate).collect()
    }

    pub(super) fn is_duplicated(&self) -> bool {
        self.is_duplicated.load(Acquire)
    }

    pub(super) fn not_listening() -> io::Error {
        io::Error::new(io::ErrorKind::NotConnected, "the server does not listen")
    }
}
