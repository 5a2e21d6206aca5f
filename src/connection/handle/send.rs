//! Sending on a connection from elsewhere.
//!
//! A message is a letter in the mailbox of the connection's core, which encodes it as soon as it opens the letter, so that
//! everything that one thread asks of a connection is done in its order. What waits is counted in bytes: while a message is on
//! its way by its size, and then by what it adds to the write queue.

use super::{Handle, HandleSendError};
use crate::codec::{Codec, Encoder};
use crate::connection::conn::error;
use crate::connection::id::ConnectionId;
use crate::error::Error;
use crate::limits;
use crate::net::{Link, Until};
use crate::runtime::{OneshotReceiver, oneshot, panic_message, with_current};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// What became of a message that is to be confirmed.
enum Offered<M> {
    Queued(crate::Result),
    UnderWay(OneshotReceiver<crate::Result>),
    Full(M),
}

impl<C: Codec> Handle<C> {
    /// Sends a message without waiting.
    ///
    /// Success means that the message is on its way to the connection's core, behind what this thread has sent before, and in
    /// front of a [`close`](Handle::close) that it asks for later. If the connection ends first it is lost; if the codec cannot
    /// send it, that is logged. [`send`](Handle::send) tells either.
    ///
    /// On another core or thread it costs an allocation and a place in a queue, about a tenth of a microsecond, and wakes the
    /// connection's core only if that sleeps.
    ///
    /// # Errors
    /// [`HandleSendError::Full`] when more waits than handles may have waiting, 2 MiB above the high-water mark unless
    /// [set](Handle::set_limit): the peer does not keep up. [`HandleSendError::Closed`] when the connection has ended. Both give
    /// the message back.
    pub fn try_send<M>(&self, message: M) -> Result<(), HandleSendError<M>>
    where
        C::Encoder: Encoder<M>,
        M: Send + 'static,
    {
        let gauge = &self.gauge;
        if gauge.ended().is_some() {
            return Err(HandleSendError::Closed(message));
        }
        if let Some(link) = self.link_here() {
            let Some(link) = link else { return Err(HandleSendError::Closed(message)) };
            if link.is_encoding() {
                return self.send_behind(&link, message);
            }
            if !gauge.has_room() {
                return Err(HandleSendError::Full(message));
            }
            log(self.id(), queue(&link, &message));
            link.arrived(0);
            return Ok(());
        }
        let bytes = cost::<C, M>(&message);
        if !gauge.depart(bytes) {
            return Err(HandleSendError::Full(message));
        }
        let id = self.id();
        self.mail(move |link| {
            let Some(link) = link else { return };
            log(id, queue(&link, &message));
            link.arrived(bytes);
        });
        Ok(())
    }

    /// Sends a message behind the one that the connection's encoder has in hand: that has released shared bytes, whose owner
    /// sends.
    #[cold]
    fn send_behind<M>(&self, link: &Rc<Link<C::Encoder, C>>, message: M) -> Result<(), HandleSendError<M>>
    where
        C::Encoder: Encoder<M>,
        M: Send + 'static,
    {
        let (bytes, id) = (cost::<C, M>(&message), self.id());
        if !self.gauge.depart(bytes) {
            return Err(HandleSendError::Full(message));
        }
        link.defer(move |link| {
            let Some(link) = link else { return };
            log(id, queue(&link, &message));
            link.arrived(bytes);
        });
        Ok(())
    }

    /// Sends a message; resolves when the connection has queued it, which waits while its write queue is above the high-water
    /// mark.
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
        let mut message = message;
        loop {
            message = match self.offer(message) {
                Offered::Queued(queued) => return queued,
                Offered::UnderWay(queued) => return queued.receive().await.unwrap_or(Err(Error::Closed)),
                Offered::Full(message) => message,
            };
            self.wait(Until::Low).await?;
        }
    }

    fn offer<M>(&self, message: M) -> Offered<M>
    where
        C::Encoder: Encoder<M>,
        M: Send + 'static,
    {
        let gauge = &self.gauge;
        if gauge.ended().is_some() {
            return Offered::Queued(Err(Error::Closed));
        }
        if let Some(link) = self.link_here() {
            let Some(link) = link else { return Offered::Queued(Err(Error::Closed)) };
            if link.is_encoding() {
                return match self.send_behind(&link, message) {
                    Ok(()) => Offered::Queued(Ok(())),
                    Err(HandleSendError::Full(message)) => Offered::Full(message),
                    Err(HandleSendError::Closed(_)) => Offered::Queued(Err(Error::Closed)),
                };
            }
            if link.is_above_high_water() {
                return Offered::Full(message);
            }
            let queued = queue(&link, &message);
            link.arrived(0);
            return Offered::Queued(queued);
        }
        let bytes = cost::<C, M>(&message);
        if gauge.is_above_high_water() || !gauge.depart(bytes) {
            return Offered::Full(message);
        }
        let (done, queued) = oneshot();
        self.mail(move |link| {
            let Some(link) = link else { return };
            done.send(queue(&link, &message));
            link.arrived(bytes);
        });
        Offered::UnderWay(queued)
    }

    /// Sends a message, and waits for room only where [`try_send`](Handle::try_send) would say that there is none. It does not
    /// wait until the connection has queued the message, so a burst costs little.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended. If it ends later the message is lost; if the codec cannot send it, that
    /// is logged.
    ///
    /// # Cancel safety
    /// Safe: the message is sent when this is ready, and not while it waits.
    pub async fn feed<M>(&self, message: M) -> crate::Result
    where
        C::Encoder: Encoder<M>,
        M: Send + 'static,
    {
        let mut message = message;
        loop {
            message = match self.try_send(message) {
                Ok(()) => return Ok(()),
                Err(HandleSendError::Closed(_)) => return Err(Error::Closed),
                Err(HandleSendError::Full(message)) => message,
            };
            self.ready().await?;
        }
    }

    /// Like [`feed`](Handle::feed), for a plain thread: where that would wait, this puts the thread to sleep until the peer has
    /// taken about half of what waits.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended. [`Error::OnCore`] on a thread that is a core, whose connections would
    /// all wait, perhaps for each other; the message is not sent.
    ///
    /// ```
    /// use std::thread;
    /// use tiderace::{Handle, Result, codec::Lines};
    ///
    /// /// Ends with an error as soon as the peer is gone.
    /// fn count_for(peer: Handle<Lines>) -> thread::JoinHandle<Result> {
    ///     thread::spawn(move || (0..1_000_000).try_for_each(|i| peer.feed_blocking(i.to_string())))
    /// }
    /// ```
    pub fn feed_blocking<M>(&self, message: M) -> crate::Result
    where
        C::Encoder: Encoder<M>,
        M: Send + 'static,
    {
        if with_current(|_| ()).is_some() {
            return Err(Error::OnCore);
        }
        let mut message = message;
        loop {
            message = match self.try_send(message) {
                Ok(()) => return Ok(()),
                Err(HandleSendError::Closed(_)) => return Err(Error::Closed),
                Err(HandleSendError::Full(message)) => message,
            };
            futures_lite::future::block_on(self.ready())?;
        }
    }

    /// Resolves when [`try_send`](Handle::try_send) would take a message: at once unless too much waits, else when about half
    /// of what handles may have waiting is free. Another sender may be faster.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub async fn ready(&self) -> crate::Result {
        loop {
            if self.is_closed() {
                return Err(Error::Closed);
            }
            if self.gauge.has_room() {
                return Ok(());
            }
            self.wait(Until::Room).await?;
        }
    }

    /// Resolves when everything that was sent before this has been handed to the system, by whomever; what this thread or
    /// task has sent through this handle was sent before.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended, so that some of it may not have been.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
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
        self.wait(Until::Flushed).await
    }

    /// How many bytes wait to be handed to the system: in the write queue, and on their way to it. A message on its way
    /// counts at least 64.
    pub fn queued(&self) -> usize {
        match self.link_here() {
            Some(Some(link)) => link.queued(),
            _ => self.gauge.load(),
        }
    }

    /// Sets how many bytes all handles of this connection together may have waiting above the high-water mark of its write
    /// queue. Default: that of the [server](crate::Server::handle_limit), or 2 MiB.
    ///
    /// One message is taken while less waits, so the last one may go beyond it.
    pub fn set_limit(&self, bytes: usize) {
        self.gauge.set_limit(bytes);
    }

    /// Sends a message that is let in however much waits, because there is at most one like it.
    #[cfg(feature = "http")]
    pub(crate) fn post<M>(&self, message: M)
    where
        C::Encoder: Encoder<M>,
        M: Send + 'static,
    {
        let id = self.id();
        self.on_core(move |link| {
            let Some(link) = link else { return };
            log(id, queue(&link, &message));
            link.arrived(0);
        });
    }

    async fn wait(&self, until: Until) -> crate::Result {
        let (done, come) = oneshot();
        self.on_core(move |link| {
            if let Some(link) = link {
                link.wait_for(until, done);
            }
        });
        come.receive().await.ok_or(Error::Closed)
    }
}

/// What became of a message whose sender is not told.
fn log(connection: ConnectionId, queued: crate::Result) {
    match queued {
        Ok(()) => {}
        Err(Error::Closed) => tracing::debug!(%connection, "a message came too late for its connection"),
        Err(error) => {
            tracing::warn!(%connection, error = format_args!("{error:#}"), "a message from a handle was not sent");
        }
    }
}

/// What a message counts while it is on its way.
fn cost<C: Codec, M>(message: &M) -> usize
where
    C::Encoder: Encoder<M>,
{
    <C::Encoder as Encoder<M>>::size_hint(message).max(limits::HANDLE_MESSAGE)
}

/// Queues a message outside of the connection's own task. A panic of the encoder ends that connection, as one in its handler
/// does, not its core and not the sender.
fn queue<E: Encoder<M> + 'static, C: 'static, M>(link: &Link<E, C>, message: &M) -> crate::Result {
    let queued = match catch_unwind(AssertUnwindSafe(|| link.push_from_handle(message))) {
        Ok(queued) => queued,
        Err(panic) => {
            link.end_for_panic(panic_message(&*panic));
            return Err(Error::Closed);
        }
    };
    // It leaves at the end of this turn, with what else is sent until then.
    link.flush_later();
    queued.map_err(error)
}
