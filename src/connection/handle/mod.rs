//! The connection as other threads and tasks see it.

mod error;
mod send;

pub use error::HandleSendError;

use super::id::ConnectionId;
use crate::codec::Codec;
use crate::error::{CloseKind, Error};
use crate::io::{Address, SocketOptions};
use crate::net::{Flag, Gauge, Link, Until};
use crate::runtime::{Core, Remote, oneshot, panic_message, with_current};
use crate::slots::Key;
use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

/// A connection from outside of its handler: from another thread, task, or connection.
///
/// It is cheap to clone and outlives its connection, after which everything fails with an error that says so. What is
/// sent is encoded on the connection's own core, also while the handler waits, and leaves with whatever else that turn of
/// the core sends.
///
/// What one thread asks of a connection through handles is done in that order: a message that is sent before a
/// [`close`](Handle::close) is delivered, one that is sent before a [`wake`](Handle::wake) is queued before
/// [`on_wake`](crate::Handler::on_wake) is called.
///
/// Handles are equal if they belong to the same connection.
pub struct Handle<C: Codec> {
    gauge: Arc<Gauge>,
    codec: PhantomData<fn() -> C>,
}

/// The connection of a codec, on its core.
type LinkOf<C> = Rc<Link<<C as Codec>::Encoder, C>>;

/// What is asked of a connection without an answer. Asked for twice, with nothing in between, it is one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Request {
    Wake = 1,
    Close,
    Abort,
    Pause,
    Resume,
    Finish,
}

impl<C: Codec> Handle<C> {
    pub(crate) fn new(link: &Rc<Link<C::Encoder, C>>) -> Self {
        Handle { gauge: link.gauge().clone(), codec: PhantomData }
    }

    /// The connection's number.
    pub fn id(&self) -> ConnectionId {
        ConnectionId::from_number(self.gauge.number)
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> Option<&Address> {
        self.gauge.peer.as_ref()
    }

    /// Whether the connection has ended, that is whether its `on_close` has returned. `false` may be out of date as soon as it
    /// is returned.
    pub fn is_closed(&self) -> bool {
        self.gauge.ended().is_some()
    }

    /// Resolves when the connection has ended: when its [`on_close`](crate::Handler::on_close) has returned, or at once if it
    /// has. Nothing can be sent on it any more; its socket may stay open for a little longer, until the peer's end shows.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    ///
    /// ```
    /// use tiderace::{Handle, codec::Lines};
    ///
    /// async fn close(peer: &Handle<Lines>) {
    ///     peer.close();
    ///     println!("{} has ended: {}", peer.id(), peer.closed().await);
    /// }
    /// ```
    pub async fn closed(&self) -> CloseKind {
        if self.gauge.ended().is_none() {
            let (done, ended) = oneshot();
            self.on_core(move |link| {
                if let Some(link) = link {
                    link.wait_for(Until::Ended, done);
                }
            });
            ended.receive().await;
        }
        // A connection that says nothing of its end has ended with its core.
        self.gauge.ended().map_or(CloseKind::Shutdown, CloseKind::from_number)
    }

    /// Has the handler's [`on_wake`](crate::Handler::on_wake) called, once in a turn of the core at most.
    pub fn wake(&self) {
        self.ask(Request::Wake);
    }

    /// Closes the connection when its handler's current method returns; what was sent before is delivered.
    pub fn close(&self) {
        self.ask(Request::Close);
    }

    /// Closes the connection now: what the handler waits for is dropped, and so is what was not written yet.
    ///
    /// [`on_close`](crate::Handler::on_close) is called all the same. If that waits, another call of this drops what it waits
    /// for.
    pub fn abort(&self) {
        self.ask(Request::Abort);
    }

    /// Tells the peer that nothing more will come, as [`Conn::finish`](crate::Conn::finish) does, when everything that was sent
    /// before has been handed to the system. The peer's messages are still handled; to send fails from here on.
    pub fn finish(&self) {
        self.ask(Request::Finish);
    }

    /// Stops reading, as [`Conn::pause`](crate::Conn::pause) does.
    pub fn pause(&self) {
        self.ask(Request::Pause);
    }

    /// Goes on reading.
    pub fn resume(&self) {
        self.ask(Request::Resume);
    }

    /// Calls `with` with the options of the socket below, on the connection's core, and returns what it returns. It must be
    /// quick.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended. [`Error::Other`] when `with` has panicked.
    ///
    /// # Cancel safety
    /// Once this has been polled, `with` is called even if it is dropped.
    ///
    /// ```
    /// use tiderace::{Handle, Result, codec::Lines};
    ///
    /// async fn deliver_at_once(peer: &Handle<Lines>) -> Result {
    ///     Ok(peer.with_options(|options| options.set_no_delay(true)).await??)
    /// }
    /// ```
    pub async fn with_options<R: Send + 'static>(
        &self,
        with: impl FnOnce(SocketOptions<'_>) -> R + Send + 'static,
    ) -> crate::Result<R> {
        let (done, answer) = oneshot();
        self.on_core(move |link| {
            let Some(link) = link else { return };
            let called = catch_unwind(AssertUnwindSafe(|| with(link.socket.options())));
            done.send(called.map_err(|panic| panic_message(&*panic)));
        });
        let called = answer.receive().await.ok_or(Error::Closed)?;
        called.map_err(|panic| Error::msg(format_args!("the closure panicked: {panic}")))
    }

    /// The value that the handler has attached by [`Conn::set_value`](crate::Conn::set_value), if that is a `T`. It is there
    /// for as long as there are handles, also after the connection has ended.
    pub fn value<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.gauge.value().cloned()?.downcast().ok()
    }

    fn ask(&self, request: Request) {
        // A wake goes through the mail even here, because `on_wake` might ask for the next one, and others must have their turn.
        if request != Request::Wake
            && let Some(link) = self.link_here()
        {
            return match link {
                Some(link) if link.is_encoding() => link.defer(move |link| meet(link, request)),
                link => meet(link, request),
            };
        }
        let (gauge, key) = (self.gauge.clone(), self.gauge.key);
        if gauge.requests.ask(request as u32) {
            self.gauge.core.run(move |core| {
                gauge.requests.opened(request as u32);
                meet(find::<C>(core, key), request);
            });
        }
    }

    /// The connection, or `None` if it has ended, provided that this is its core.
    #[inline]
    fn link_here(&self) -> Option<Option<LinkOf<C>>> {
        with_current(|core| core.is_at(&self.gauge.core).then(|| find::<C>(core, self.gauge.key))).flatten()
    }

    /// The connection's core, and its key there.
    pub(crate) fn place(&self) -> (&Remote, Key) {
        (&self.gauge.core, self.gauge.key)
    }

    /// Something was sent to the connection in another way: a request that comes behind it stays behind it.
    pub(crate) fn has_sent(&self) {
        self.gauge.requests.separate();
    }

    /// Has `work` done with the connection on its core, or with `None` if it has ended: at once if this is that core, else
    /// in its next turn. A core that is gone drops the work.
    pub(crate) fn on_core(&self, work: impl FnOnce(Option<Rc<Link<C::Encoder, C>>>) + Send + 'static) {
        match self.link_here() {
            Some(Some(link)) if link.is_encoding() => link.defer(work),
            Some(link) => work(link),
            None => self.mail(work),
        }
    }

    /// The same, where this is another core.
    fn mail(&self, work: impl FnOnce(Option<Rc<Link<C::Encoder, C>>>) + Send + 'static) {
        let key = self.gauge.key;
        self.gauge.core.run(move |core| {
            // What users send may panic when it is dropped, which must not end the core.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(find::<C>(core, key)))) {
                tracing::error!(panic = panic_message(&*panic), "what a handle has sent panicked");
            }
        });
        self.gauge.requests.separate();
    }
}

fn find<C: Codec>(core: &Core, key: Key) -> Option<Rc<Link<C::Encoder, C>>> {
    let source: Rc<dyn Any> = core.source(key)?;
    source.downcast().ok()
}

fn meet<E: 'static, C: 'static>(link: Option<Rc<Link<E, C>>>, request: Request) {
    let Some(link) = link else { return };
    match request {
        Request::Wake => link.notify(Flag::WAKE),
        Request::Close => link.notify(Flag::CLOSE),
        Request::Abort => link.notify(Flag::ABORT),
        Request::Pause => link.pause(),
        Request::Resume => link.resume(),
        Request::Finish => link.finish(),
    }
}

/// Calls `visit` for each connection of a core that speaks `C`, and says how many these are.
pub(crate) fn visit<C: Codec>(core: &Core, visit: impl Fn(Handle<C>)) -> usize {
    let mut visited = 0;
    for source in core.sources() {
        let source: Rc<dyn Any> = source;
        if let Ok(link) = source.downcast::<Link<C::Encoder, C>>()
            && link.is_served()
        {
            // A panic of the visitor ends nothing else: the next connection is visited.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| visit(Handle::new(&link)))) {
                tracing::error!(panic = panic_message(&*panic), "a visitor of connections panicked");
            }
            visited += 1;
        }
    }
    visited
}

impl<C: Codec> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Handle { gauge: self.gauge.clone(), codec: PhantomData }
    }
}

impl<C: Codec> PartialEq for Handle<C> {
    /// Whether both belong to the same connection.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.gauge, &other.gauge)
    }
}

impl<C: Codec> Eq for Handle<C> {}

impl<C: Codec> Hash for Handle<C> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.gauge).hash(state);
    }
}

impl<C: Codec> From<&super::Conn<C>> for Handle<C> {
    fn from(conn: &super::Conn<C>) -> Self {
        conn.handle()
    }
}

impl<C: Codec> fmt::Debug for Handle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, closed) = (self.peer_addr(), self.is_closed());
        f.debug_struct("Handle")
            .field("id", &self.id())
            .field("peer", &peer)
            .field("closed", &closed)
            .finish_non_exhaustive()
    }
}
