//! The connection as its handler sees it.

use super::handle::Handle;
use super::id::ConnectionId;
use super::settings::{Counted, Settings};
use crate::codec::{Codec, Encoder};
use crate::error::{Error, Result};
use crate::io::{Address, SocketOptions};
use crate::net::{Flag, Limits, Link, Stream, Unsent, WriteEvent};
use crate::runtime::spawn_local;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// A connection, lent to its [`Handler`](crate::Handler).
pub struct Conn<C: Codec> {
    pub(crate) link: Rc<Link<C::Encoder, C>>,
    pub(super) counted: Counted,
    /// While a message is lent: how many bytes of the same piece lie behind it, and how many beyond that piece.
    pub(super) behind: u32,
    pub(super) beyond: u32,
}

impl<C: Codec> Conn<C> {
    pub(super) fn new(link: Rc<Link<C::Encoder, C>>, counted: Counted) -> Conn<C> {
        Conn { link, counted, behind: 0, beyond: 0 }
    }

    /// Encodes a message and queues it. What is queued leaves in one write when the handler waits or returns; a payload
    /// of 16 KiB or more goes to the socket at once.
    ///
    /// Waits while more than the high-water mark (256 KiB unless set) is queued, until it is down to the low one.
    ///
    /// # Errors
    /// [`Error::Closed`] when nothing can be sent any more, [`Error::Encode`] when the codec cannot send this message.
    ///
    /// # Cancel safety
    /// Safe: the message is queued as a whole or not at all. It is not queued while this waits.
    #[inline]
    pub fn send<'a, M: ?Sized>(&'a mut self, message: &'a M) -> impl Future<Output = Result> + 'a
    where
        C::Encoder: Encoder<M>,
    {
        // By hand, because this future is a part of nearly every handler's, and so of every idle connection: it holds the
        // two references and nothing else.
        poll_fn(move |cx| match self.link.push(message) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(unsent) => self.wait_for_room(unsent, cx),
        })
    }

    /// Pending until another try is worth it; ready when none is.
    #[cold]
    fn wait_for_room<E>(&self, unsent: Unsent<E>, cx: &mut Context<'_>) -> Poll<Result>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        if !matches!(unsent, Unsent::Full) {
            return Poll::Ready(Err(error(unsent)));
        }
        if ready!(self.link.poll_room(cx)).is_err() {
            return Poll::Ready(Err(Error::Closed));
        }
        // Again from the start, not in a loop around the encoder: that is everybody's way, and this is not.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Like [`send`](Conn::send), but fails where that would wait.
    pub fn try_send<M: ?Sized>(&mut self, message: &M) -> Result<(), TrySendError>
    where
        C::Encoder: Encoder<M>,
    {
        let mut sent = self.link.push(message);
        if matches!(sent, Err(Unsent::Full)) {
            self.link.flush();
            sent = self.link.push(message);
        }
        sent.map_err(|unsent| match unsent {
            Unsent::Full => TrySendError::Full,
            Unsent::Closed => TrySendError::Closed,
            Unsent::Refused(error) => TrySendError::Encode(error.into()),
        })
    }

    /// Waits until everything queued has been handed to the system.
    ///
    /// # Errors
    /// [`Error::Closed`] when that cannot happen any more.
    ///
    /// # Cancel safety
    /// Safe: bytes leave the queue only for the socket.
    pub fn flush(&mut self) -> impl Future<Output = Result> + '_ {
        poll_fn(|cx| self.link.poll_flushed(cx).map_err(|_| Error::Closed))
    }

    /// Sends what is queued, and tells the peer that nothing more will come. Its messages are still handled; to send
    /// fails from here on.
    ///
    /// # Errors
    /// [`Error::Closed`] when nothing can be sent any more; [`Error::Io`] with
    /// [`Unsupported`](io::ErrorKind::Unsupported) where the connection is no socket, whose end is its close.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn finish(&mut self) -> Result {
        // What its groups were told in this turn is sent at the end of it, which comes too late for this connection.
        self.link.tell_kept(true);
        self.flush().await?;
        self.link.shutdown_write().map_err(|error| match error.kind() {
            io::ErrorKind::Unsupported => Error::Io(error),
            _ => Error::Closed,
        })
    }

    /// Closes the connection when the handler's current method returns: no further message is handled, and what was
    /// sent is delivered. The reason is [`CloseReason::Closed`](crate::CloseReason::Closed).
    pub fn close(&mut self) {
        self.link.notify(Flag::CLOSE);
    }

    /// Stops the server, as [`ServerHandle::stop`](crate::ServerHandle::stop) does, from any method of a handler, also
    /// `on_close`. This connection goes on like the others, until the stop comes to it. On a core that belongs to no server
    /// this does nothing but log that.
    pub fn stop_server(&self, within: Duration) {
        self.link.core.stop_server(within);
    }

    /// Closes the connection when nothing has been received and nothing sent for so long, while no method of the handler
    /// ran. `None`: never. Default: that of the server, or of the [codec](crate::codec::Codec::patience), which have none unless
    /// told otherwise, but for HTTP.
    ///
    /// It costs a timer for each connection, which moves only when it goes off: a message costs one more look at the time.
    pub fn set_idle_timeout(&mut self, limit: Option<Duration>) {
        self.link.set_idle_timeout(limit);
    }

    /// Closes the connection when a message that has begun is not complete so long after that, as
    /// [`Server::message_timeout`](crate::Server::message_timeout) says. `None`: never. Default: that of the server, which has
    /// none unless told otherwise.
    ///
    /// A message that has begun already, such as a request of which a part is handled, has this time from here on.
    pub fn set_message_timeout(&mut self, limit: Option<Duration>) {
        self.link.set_message_timeout(limit);
    }

    /// Closes the connection when the peer has taken nothing for so long of what is queued. `None`: never. Default: that of
    /// the server, which has none unless told otherwise.
    pub fn set_write_timeout(&mut self, limit: Option<Duration>) {
        self.link.set_write_timeout(limit);
    }

    /// Closes the connection if it waits for a message at `deadline`: for the rest of one too, however slowly it comes.
    /// A connection that is [paused](Conn::pause) waits for none. It stands until it is set anew; `None`, the default, means
    /// never.
    pub fn set_read_deadline(&mut self, deadline: Option<Instant>) {
        self.link.set_read_deadline(deadline);
    }

    /// Closes the connection if anything that was sent is still queued at `deadline`, since the peer does not take it. It
    /// stands until it is set anew; `None`, the default, means never.
    pub fn set_write_deadline(&mut self, deadline: Option<Instant>) {
        self.link.set_write_deadline(deadline);
    }

    /// Has `watcher` called before the queue is written, and after each write that took something. It replaces an earlier
    /// one. It runs within the loop, and must be quick.
    pub fn watch_writes(&mut self, watcher: impl FnMut(WriteEvent) + 'static) {
        self.link.watch(watcher);
    }

    /// Gives the connection up when the handler's current method returns: `then` gets it as a [`Stream`], with the bytes that
    /// no message has claimed, and what it returns runs as a task of this core. What was sent before leaves first.
    ///
    /// The handler ends with [`CloseReason::Detached`](crate::CloseReason::Detached), and handles of this connection with it.
    ///
    /// From then on the server knows nothing of the connection: neither [`connections`](crate::ServerHandle::connections) nor
    /// [`max_connections`](crate::Server::max_connections) counts it, and it has no time limits. A server that stops does not
    /// wait for the task, but drops it when its core has nothing else to end. What must be finished stays in a handler, or is
    /// waited for in [`Server::on_shutdown`](crate::Server::on_shutdown).
    ///
    /// ```
    /// use tiderace::{Conn, Handler, Result, codec::Lines};
    /// use futures_lite::AsyncWriteExt;
    ///
    /// struct Upgrade;
    ///
    /// impl Handler for Upgrade {
    ///     type Codec = Lines;
    ///
    ///     async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
    ///         if line == "raw" {
    ///             conn.detach(|mut stream| async move {
    ///                 let _ = stream.write_all(b"from here on, plain bytes").await;
    ///             });
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn detach<F>(&mut self, then: impl FnOnce(Stream) -> F + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let core = self.link.core.clone();
        self.link.set_taker(move |handed_over| match Stream::take_over(&core, handed_over) {
            Ok(stream) => spawn_local(then(stream)).detach(),
            Err(error) => tracing::error!(%error, "a detached connection cannot be watched"),
        });
        self.link.notify(Flag::DETACH);
    }

    /// Stops reading: no further message is handled, and the peer is slowed down, until [`resume`](Conn::resume) or
    /// [`Handle::resume`](crate::Handle::resume).
    ///
    /// While it reads nothing, a connection does not notice that its peer goes away. Only a failed write ends it, and then what
    /// was received before and not handled is dropped.
    pub fn pause(&mut self) {
        self.link.pause();
    }

    /// Goes on reading.
    pub fn resume(&mut self) {
        self.link.resume();
    }

    /// A handle for other threads and tasks.
    pub fn handle(&self) -> Handle<C> {
        Handle::new(&self.link)
    }

    /// Attaches a value to the connection, which [`Handle::value`] finds from any thread. Says whether it did: the first value
    /// stays. What is to change is a lock or an atomic in it.
    ///
    /// State that only the handler needs is better kept in its fields.
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use tiderace::{Conn, Handle, Handler, Result, codec::Lines};
    ///
    /// struct Name(Mutex<String>);
    ///
    /// struct Guest;
    ///
    /// impl Handler for Guest {
    ///     type Codec = Lines;
    ///
    ///     async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
    ///         conn.set_value(Name(Mutex::default()));
    ///         Ok(())
    ///     }
    ///
    ///     async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
    ///         if let Some(name) = conn.value::<Name>() {
    ///             *name.0.lock().unwrap() = line.into();
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// fn name_of(peer: &Handle<Lines>) -> Option<String> {
    ///     Some(peer.value::<Name>()?.0.lock().unwrap().clone())
    /// }
    /// ```
    pub fn set_value<T: Send + Sync + 'static>(&mut self, value: T) -> bool {
        self.link.gauge().set_value(Arc::new(value))
    }

    /// The value that was attached, if it is a `T`.
    pub fn value<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.link.gauge().value().cloned()?.downcast().ok()
    }

    /// This connection's number.
    pub fn id(&self) -> ConnectionId {
        ConnectionId::of(&self.link)
    }

    /// By which of its server's listeners the connection came: their number, in the order of the
    /// [`listen`](crate::Server::listen)s. `None` for one that did not come by a listener.
    pub fn listener(&self) -> Option<usize> {
        self.settings().listener
    }

    pub(super) fn settings(&self) -> &Settings {
        self.counted.settings()
    }

    /// The options of the socket below.
    pub fn options(&self) -> SocketOptions<'_> {
        self.link.socket.options()
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> io::Result<&Address> {
        self.link.peer()
    }

    /// The address of this end.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.link.socket.local_address()
    }

    /// Bytes that have been received and not handled: in `on_message`, those that lie behind the message. What waits in the
    /// kernel does not count.
    pub fn buffered(&self) -> usize {
        match self.link.has(Flag::LENT) {
            true => self.behind as usize + self.beyond as usize,
            false => self.link.unhandled(),
        }
    }

    /// Bytes that are queued and not yet handed to the system.
    pub fn queued(&self) -> usize {
        self.link.queued()
    }

    /// Sets the marks of the write queue, in bytes: above `high`, [`send`](Conn::send) waits until the queue is down to
    /// `low`. Defaults: those of the server, or 256 KiB and 128 KiB.
    ///
    /// # Panics
    /// If `low` is above `high`.
    pub fn set_write_marks(&mut self, high: u32, low: u32) {
        self.link.set_limits(Limits::new(high, low));
        // Senders that wait might have room now.
        self.link.wake_writers();
    }
}

/// What the user is told of a message that was not queued.
pub(crate) fn error<E: std::error::Error + Send + Sync + 'static>(unsent: Unsent<E>) -> Error {
    match unsent {
        // Full is for those who wait; who gives up waiting has lost the connection.
        Unsent::Full | Unsent::Closed => Error::Closed,
        Unsent::Refused(error) => Error::Encode(error.into()),
    }
}

impl<C: Codec> Drop for Conn<C> {
    /// However the connection has ended, also by a panic of what was dropped for it: its core forgets it.
    fn drop(&mut self) {
        use crate::error::CloseReason;

        self.link.deregister();
        let reason = if std::thread::panicking() { CloseReason::Panic(String::new()) } else { CloseReason::Shutdown };
        self.link.end(reason.number());
    }
}

impl<C: Codec> AsFd for Conn<C> {
    /// The socket, to set what [`options`](Conn::options) does not have, or to duplicate it. It must be neither read nor
    /// written through.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.socket.as_fd()
    }
}

impl<C: Codec> fmt::Debug for Conn<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("id", &self.id()).field("peer", &self.peer_addr().ok()).finish_non_exhaustive()
    }
}

/// Why a message was not queued at once.
#[derive(Debug)]
#[non_exhaustive]
pub enum TrySendError {
    /// More than the high-water mark is queued.
    Full,
    /// Nothing can be sent any more.
    Closed,
    /// The codec cannot send this message.
    Encode(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrySendError::Full => f.write_str("the write queue is above its high-water mark"),
            TrySendError::Closed => Error::Closed.fmt(f),
            TrySendError::Encode(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TrySendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Its own text is that of the codec's error.
            TrySendError::Encode(error) => error.source(),
            _ => None,
        }
    }
}
