//! The connection as other threads and tasks see it.

use super::conn::{ConnectionId, error};
use crate::codec::{Codec, Encoder};
use crate::error::Error;
use crate::io::Address;
use crate::net::{Flag, Gauge, Link};
use crate::runtime::{Remote, oneshot, with_current};
use crate::slots::Key;
use crate::{limits, runtime};
use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// A connection from outside of its handler: from another thread, task, or connection.
///
/// It is cheap to clone and outlives its connection, after which everything fails with an error that says so. What is
/// sent is encoded on the connection's own core, also while the handler waits, and leaves with whatever else that turn of
/// the core sends.
pub struct Handle<C: Codec> {
    shared: Arc<Shared>,
    codec: PhantomData<fn() -> C>,
}

struct Shared {
    core: Remote,
    key: Key,
    id: ConnectionId,
    peer: Option<Address>,
    gauge: Arc<Gauge>,
}

impl<C: Codec> Handle<C> {
    pub(crate) fn new(link: &Rc<Link<C::Encoder>>) -> Self {
        let (core, key, peer) = (link.core.remote(), link.key, link.peer().ok().cloned());
        let shared = Shared { core, key, id: ConnectionId::of(link), peer, gauge: link.gauge().clone() };
        Handle { shared: Arc::new(shared), codec: PhantomData }
    }

    /// The connection's number.
    pub fn id(&self) -> ConnectionId {
        self.shared.id
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> Option<&Address> {
        self.shared.peer.as_ref()
    }

    /// Whether the connection has ended. `false` may be out of date as soon as it is returned.
    pub fn is_closed(&self) -> bool {
        self.shared.gauge.is_closed()
    }

    /// Sends a message without waiting.
    ///
    /// Success means that the message is on its way to the connection's core. If the connection ends first it is lost; if
    /// the codec cannot send it, that is logged. [`send`](Handle::send) tells either.
    ///
    /// # Errors
    /// [`HandleSendError::Full`] above the connection's high-water mark, or with 1,024 messages of this connection under
    /// way to its core; [`HandleSendError::Closed`] when the connection has ended. Both give the message back.
    pub fn try_send<M>(&self, message: M) -> Result<(), HandleSendError<M>>
    where
        C::Encoder: Encoder<M>,
        M: Send + 'static,
    {
        let gauge = &self.shared.gauge;
        if gauge.is_closed() {
            return Err(HandleSendError::Closed(message));
        }
        if gauge.is_full() || !gauge.depart(limits::IN_FLIGHT) {
            return Err(HandleSendError::Full(message));
        }
        let id = self.shared.id;
        self.on_core(move |link| {
            let Some(link) = link else { return };
            link.gauge().arrive();
            if let Err(error) = queue(&link, &message) {
                tracing::warn!(connection = %id, %error, "a message from a handle was not sent");
            }
        });
        Ok(())
    }

    /// Sends a message; resolves when the connection has queued it, which waits above the high-water mark.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended, [`Error::Encode`] when the codec cannot send this message.
    ///
    /// # Cancel safety
    /// Not safe once polled: the message may be sent or not.
    pub async fn send<M>(&self, message: M) -> crate::Result
    where
        C::Encoder: Encoder<M>,
        M: Send + 'static,
    {
        let (done, queued) = oneshot();
        self.on_core(move |link| {
            let Some(link) = link else { return };
            if !link.is_above_high_water() {
                return done.send(queue(&link, &message));
            }
            runtime::spawn_local(async move {
                // Who gives up must not leave the message waiting: nothing counts those.
                let room = poll_fn(|cx| match done.poll_abandoned(cx) {
                    Poll::Ready(()) => Poll::Ready(None),
                    Poll::Pending => link.poll_room(cx).map(Some),
                });
                if let Some(room) = room.await {
                    done.send(room.map_err(|_| Error::Closed).and_then(|()| queue(&link, &message)));
                }
            });
        });
        queued.receive().await.unwrap_or(Err(Error::Closed))
    }

    /// Resolves when everything that was sent before this has been handed to the system, by whomever; what this thread or
    /// task has sent through this handle was sent before.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended, so that some of it may not have been.
    ///
    /// # Cancel safety
    /// Safe.
    ///
    /// ```
    /// use tiderace::{Handle, Result, codec::Lines};
    ///
    /// async fn last_words(peer: &Handle<Lines>) -> Result {
    ///     peer.send("good night").await?;
    ///     peer.flush().await
    /// }
    /// ```
    pub async fn flush(&self) -> crate::Result {
        let (done, flushed) = oneshot();
        self.on_core(move |link| {
            let Some(link) = link else { return };
            runtime::spawn_local(async move {
                let flushed = poll_fn(|cx| link.poll_flushed(cx)).await;
                done.send(flushed.map_err(|_| Error::Closed));
            })
            .detach();
        });
        flushed.receive().await.unwrap_or(Err(Error::Closed))
    }

    /// Has the handler's [`on_wake`](crate::Handler::on_wake) called.
    pub fn wake(&self) {
        self.notify(Flag::WAKE);
    }

    /// Closes the connection when its handler's current method returns; what was sent is delivered.
    pub fn close(&self) {
        self.notify(Flag::CLOSE);
    }

    /// Closes the connection now: what the handler waits for is dropped, and so is what was not written yet.
    pub fn abort(&self) {
        self.notify(Flag::ABORT);
    }

    /// Stops reading, as [`Conn::pause`](crate::Conn::pause) does.
    pub fn pause(&self) {
        self.on_core(|link| {
            if let Some(link) = link {
                link.pause();
            }
        });
    }

    /// Goes on reading.
    pub fn resume(&self) {
        self.on_core(|link| {
            if let Some(link) = link {
                link.resume();
            }
        });
    }

    /// Several calls of one turn are one letter, however many threads make them.
    fn notify(&self, flag: Flag) {
        if self.shared.gauge.ask(flag) {
            self.on_core(move |link| {
                if let Some(link) = link {
                    link.notify(link.gauge().take_requests());
                }
            });
        }
    }

    /// Has `work` done with the connection on its core, or with `None` if it has ended: at once if this is that core, else
    /// in its next turn. A core that is gone drops the work.
    pub(crate) fn on_core(&self, work: impl FnOnce(Option<Rc<Link<C::Encoder>>>) + Send + 'static) {
        let key = self.shared.key;
        let here = with_current(Rc::clone).filter(|core| core.is_at(&self.shared.core));
        let find = move |core: &runtime::Core| {
            let source: Rc<dyn Any> = core.source(key)?;
            source.downcast::<Link<C::Encoder>>().ok()
        };
        match here {
            Some(core) => match find(&core) {
                Some(link) if link.is_encoding() => link.defer(work),
                link => work(link),
            },
            None => {
                self.shared.core.run(move |core| work(find(core)));
            }
        }
    }
}

/// Calls `visit` for each connection of a core that speaks `C`, and says how many these are.
pub(crate) fn visit<C: Codec>(core: &runtime::Core, visit: impl Fn(Handle<C>)) -> usize {
    let mut visited = 0;
    for source in core.sources() {
        let source: Rc<dyn Any> = source;
        if let Ok(link) = source.downcast::<Link<C::Encoder>>()
            && link.has(Flag::SERVED)
        {
            // A panic of the visitor is nobody's fault but its own: it may be called again.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| visit(Handle::new(&link)))) {
                tracing::error!(panic = runtime::panic_message(&*panic), "a visitor of connections panicked");
            }
            visited += 1;
        }
    }
    visited
}

/// Queues a message outside of the connection's own task. A panic of the encoder ends that connection, as one in its handler
/// does, not its core and not the sender.
fn queue<E: Encoder<M> + 'static, M>(link: &Link<E>, message: &M) -> crate::Result {
    let queued = match catch_unwind(AssertUnwindSafe(|| link.push_anyway(message))) {
        Ok(queued) => queued,
        Err(panic) => {
            link.end_for_panic(runtime::panic_message(&*panic));
            return Err(Error::Closed);
        }
    };
    sent(link);
    queued.map_err(error)
}

/// A message has been queued from outside: it leaves at the end of this turn.
fn sent<E: 'static>(link: &Link<E>) {
    if link.is_above_high_water() {
        link.gauge().set_full(true);
    }
    link.flush_later();
}

impl<C: Codec> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Handle { shared: self.shared.clone(), codec: PhantomData }
    }
}

impl<C: Codec> fmt::Debug for Handle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("id", &self.id()).field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// Why a message was not sent; it is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandleSendError<M> {
    /// Too much waits to be sent already.
    Full(M),
    /// The connection has ended.
    Closed(M),
}

impl<M> HandleSendError<M> {
    /// The message.
    pub fn into_message(self) -> M {
        match self {
            HandleSendError::Full(message) | HandleSendError::Closed(message) => message,
        }
    }
}

impl<M> fmt::Display for HandleSendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HandleSendError::Full(_) => "too much waits to be sent on this connection",
            HandleSendError::Closed(_) => "the connection is closed",
        })
    }
}

impl<M> fmt::Debug for HandleSendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<M> std::error::Error for HandleSendError<M> {}
