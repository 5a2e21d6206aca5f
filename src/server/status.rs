//! What a server is, as any thread sees it.

use super::control::{Control, ServerHandle};
use super::duplicate::Duplicable;
use crate::error::Result;
use crate::io::Address;
use std::future::Future;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The server's own hold of what it shares with its handles, which are told of the end when this is dropped.
#[derive(Default)]
pub(super) struct Owned(Arc<Control>);

impl Deref for Owned {
    type Target = Arc<Control>;

    fn deref(&self) -> &Arc<Control> {
        &self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.end.comes();
    }
}

impl ServerHandle {
    /// Where the server listens, in the order of its `listen`s; nowhere before it runs. See
    /// [`Server::local_addrs`](crate::Server::local_addrs) for one that does not.
    pub fn local_addrs(&self) -> Vec<Address> {
        self.control.addresses().to_vec()
    }

    /// Whether the server runs: from when it accepts connections, which is after its
    /// [`on_start`](crate::Server::on_start) hooks were called, until all has ended. One that stops still runs.
    pub fn is_running(&self) -> bool {
        self.control.is_open() && !self.control.end.has_come()
    }

    /// Resolves when the server has ended: [`Server::run`](crate::Server::run) has no more to do than to return. Also when it
    /// could not start, and when it was dropped instead of run.
    ///
    /// It may be awaited on any thread, by [`block_on`](crate::block_on) on one that is no core, and by any number of tasks.
    /// A task of the server itself is dropped before.
    ///
    /// # Cancel safety
    /// Safe.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tiderace::{Result, Server, block_on};
    ///
    /// # fn main() -> Result {
    /// let server = Server::new().cores(1);
    /// let handle = server.handle();
    /// let running = std::thread::spawn(|| server.run());
    /// handle.stop(Duration::from_secs(1));
    /// block_on(handle.ended());
    /// assert!(!handle.is_running());
    /// # running.join().unwrap()
    /// # }
    /// ```
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let control = self.control.clone();
        async move { control.end.wait().await }
    }

    /// Duplicates of the descriptors of the listeners, in the order of the `listen`s, for another server, in this process or in
    /// another: a [`Vec`] of them [is listened on](crate::Listen). There are several for one `listen` or `listen_udp`
    /// where each core has a socket of its own.
    ///
    /// Each keeps its port open, also after this server has ended, and the file of a Unix socket is left to the receivers. A
    /// server that is replaced in this order loses no connection: the duplicates are made, the new server runs on them, and
    /// the old one is stopped.
    ///
    /// # Errors
    /// When the server does not listen, because it has not begun or is stopping, or when the system has no descriptor left.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tiderace::{Handler, Result, Server, ServerHandle, codec::Raw};
    ///
    /// fn replace<H: Handler<Codec = Raw>>(old: &ServerHandle, handler: fn() -> H) -> Result {
    ///     let new = Server::new().listen(old.duplicate_listeners()?.remove(0), Raw, handler)?;
    ///     let old = old.clone();
    ///     new.on_start(move |_| async move { old.stop(Duration::from_secs(10)) }).run()
    /// }
    /// ```
    pub fn duplicate_listeners(&self) -> Result<Vec<Vec<OwnedFd>>> {
        let listening = self.control.listening().ok_or_else(Duplicable::not_listening)?;
        Ok(listening.iter().map(Duplicable::duplicate).collect::<std::io::Result<_>>()?)
    }
}
