//! Sending datagrams from elsewhere.

use super::link::{DatagramLink, Shared};
use super::queue::Rejected;
use crate::error::{Error, Result};
use crate::io::{Peer, check_length};
use crate::runtime::{Core, Remote, oneshot, with_current};
use crate::slots::Key;
use bytes::Bytes;
use std::any::Any;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// A [`UdpSocket`](crate::UdpSocket) from outside of its handler: from another thread, task, or core. It is cheap to clone, and
/// outlives its socket, after which it fails.
///
/// What it sends goes through a queue to the socket's core, and leaves with what else that turn of the core sends. All senders
/// of a socket share the queue. It takes 2 MiB, of which each datagram uses 64 bytes more than its payload. A datagram costs an
/// allocation of its payload and far less than a microsecond; only the first one of a burst wakes the core.
///
/// | | when the queue is full |
/// |---|---|
/// | [`try_send_to`](UdpSender::try_send_to), [`try_send`](UdpSender::try_send) | fail with [`Error::Busy`] |
/// | [`feed_to`](UdpSender::feed_to), [`feed`](UdpSender::feed) | wait; for tasks |
/// | [`feed_to_blocking`](UdpSender::feed_to_blocking), [`feed_blocking`](UdpSender::feed_blocking) | wait; for threads |
///
/// As with any datagram, success does not say that it arrives. One that the system refuses is logged at level `debug`.
///
/// ```
/// use tiderace::{Result, UdpSocket, block_on, timeout};
///
/// fn main() -> Result {
///     block_on(async {
///         let mut here = UdpSocket::bind("udp://127.0.0.1:0").await?;
///         let there = UdpSocket::connect(here.local_addr()?).await?;
///         let sender = there.sender();
///         let thread = std::thread::spawn(move || sender.feed_blocking("from a thread"));
///         assert_eq!(here.recv_from().await?.0, b"from a thread");
///         thread.join().unwrap()
///     })
/// }
/// ```
#[derive(Clone)]
pub struct UdpSender {
    core: Remote,
    key: Key,
    shared: Arc<Shared>,
}

impl UdpSender {
    pub(super) fn new(link: &DatagramLink) -> UdpSender {
        UdpSender { core: link.core.remote(), key: link.key, shared: link.shared.clone() }
    }

    /// Sends a datagram without waiting, to a [`SocketAddr`](std::net::SocketAddr) or to the [`Peer`] that a datagram came from:
    /// then it leaves from the address that this peer has asked.
    ///
    /// # Errors
    /// [`Error::Closed`] when the socket is closed, [`Error::Busy`] when the queue is full, and [`Error::Io`] when this datagram
    /// is too long.
    pub fn try_send_to(&self, payload: impl Into<Bytes>, to: impl Into<Peer>) -> Result {
        self.post(payload.into(), Some(to.into())).map_err(Error::from)
    }

    /// Sends a datagram to the peer of a connected socket; else like [`try_send_to`](UdpSender::try_send_to).
    pub fn try_send(&self, payload: impl Into<Bytes>) -> Result {
        self.post(payload.into(), None).map_err(Error::from)
    }

    /// Resolves when the queue has room for any datagram: at once, or, after it was full, when it is half empty. Other senders
    /// may take the room first.
    ///
    /// # Errors
    /// [`Error::Closed`] when the socket is closed.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ready(&self) -> Result {
        if self.is_closed() {
            return Err(Error::Closed);
        }
        if self.shared.queue.has_room() {
            return Ok(());
        }
        let (waiter, room) = oneshot();
        self.on_core(|link| link.wait_for_room(waiter));
        room.receive().await.ok_or(Error::Closed)
    }

    /// Sends a datagram, as [`try_send_to`](UdpSender::try_send_to) does; waits while the queue is full.
    ///
    /// # Errors
    /// [`Error::Closed`] when the socket is closed, and [`Error::Io`] when this datagram is too long.
    ///
    /// # Cancel safety
    /// Safe: while this waits, the datagram is not queued.
    pub async fn feed_to(&self, payload: impl Into<Bytes>, to: impl Into<Peer>) -> Result {
        self.post_when_ready(payload.into(), Some(to.into())).await
    }

    /// Sends a datagram to the peer of a connected socket; else like [`feed_to`](UdpSender::feed_to).
    pub async fn feed(&self, payload: impl Into<Bytes>) -> Result {
        self.post_when_ready(payload.into(), None).await
    }

    /// Sends a datagram, as [`try_send_to`](UdpSender::try_send_to) does; blocks this thread while the queue is full.
    ///
    /// # Errors
    /// [`Error::Closed`] when the socket is closed, [`Error::Io`] when this datagram is too long, and [`Error::Other`] on a
    /// thread that is a core, which must not block: use [`feed_to`](UdpSender::feed_to) there.
    pub fn feed_to_blocking(&self, payload: impl Into<Bytes>, to: impl Into<Peer>) -> Result {
        self.post_blocking(payload.into(), Some(to.into()))
    }

    /// Sends a datagram to the peer of a connected socket; else like [`feed_to_blocking`](UdpSender::feed_to_blocking).
    pub fn feed_blocking(&self, payload: impl Into<Bytes>) -> Result {
        self.post_blocking(payload.into(), None)
    }

    /// Closes the socket: nothing more is received. What was sent leaves, and the handler's
    /// [`on_close`](crate::DatagramHandler::on_close) is called when its method in hand returns. A socket without a handler
    /// fails to receive with [`Error::Closed`], and lives on until it is dropped.
    pub fn close(&self) {
        self.on_core(DatagramLink::end);
    }

    /// Whether the socket is closed. `false` may be out of date as soon as it is returned.
    pub fn is_closed(&self) -> bool {
        self.shared.queue.is_closed() || self.core.has_ended()
    }

    /// Resolves when the socket is closed, by whatever.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn closed(&self) {
        if self.is_closed() {
            return;
        }
        let (waiter, closed) = oneshot();
        self.on_core(|link| link.wait_for_close(waiter));
        closed.receive().await;
    }

    fn post(&self, payload: Bytes, to: Option<Peer>) -> Result<(), NotPosted> {
        check_length(payload.len(), to.map(|to| to.addr())).map_err(NotPosted::TooLong)?;
        if self.core.has_ended() {
            return Err(NotPosted::Queue(Rejected::Closed));
        }
        if self.shared.queue.push(payload, to).map_err(NotPosted::Queue)? {
            self.on_core(DatagramLink::take_in);
        }
        Ok(())
    }

    async fn post_when_ready(&self, mut payload: Bytes, to: Option<Peer>) -> Result {
        loop {
            match self.post(payload, to) {
                Err(NotPosted::Queue(Rejected::Full(back))) => payload = back,
                posted => return posted.map_err(Error::from),
            }
            self.ready().await?;
        }
    }

    fn post_blocking(&self, payload: Bytes, to: Option<Peer>) -> Result {
        if with_current(|_| ()).is_some() {
            return Err(Error::msg("this thread is a core, which must not block: await feed or feed_to instead"));
        }
        match self.post(payload, to) {
            Err(NotPosted::Queue(Rejected::Full(back))) => {
                futures_lite::future::block_on(self.post_when_ready(back, to))
            }
            posted => posted.map_err(Error::from),
        }
    }

    /// Has `work` done with the socket on its core: at once if this is that core, else in its next turn. It is dropped where the
    /// core is gone, or the socket.
    fn on_core(&self, work: impl FnOnce(&DatagramLink) + Send + 'static) {
        let key = self.key;
        let work = move |core: &Rc<Core>| {
            let source: Option<Rc<dyn Any>> = core.source(key).map(|source| source as Rc<dyn Any>);
            if let Some(Ok(link)) = source.map(Rc::downcast::<DatagramLink>) {
                work(&link);
            }
        };
        match with_current(Rc::clone).filter(|core| core.is_at(&self.core)) {
            Some(core) => work(&core),
            None => {
                self.core.run(work);
            }
        }
    }
}

/// Why a datagram was not posted.
enum NotPosted {
    TooLong(std::io::Error),
    Queue(Rejected),
}

impl From<NotPosted> for Error {
    fn from(reason: NotPosted) -> Error {
        match reason {
            NotPosted::TooLong(error) => Error::Io(error),
            NotPosted::Queue(Rejected::Full(_)) => Error::Busy,
            NotPosted::Queue(Rejected::Closed) => Error::Closed,
        }
    }
}

impl fmt::Debug for UdpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
