//! The client as its user sees it.

use super::answer::Answer;
use super::channels::{Channels, Kind};
use super::config::RedisConfig;
use super::encode::changes_connection;
use super::subscription::Subscription;
use super::wire::{Outcome, Wire};
use super::{FromReply, Pipeline, RedisError, session};
use crate::error::Result as Outer;
use crate::net::Stream;
use crate::runtime::expect_current;
use crate::slots::Key;
use std::cell::OnceCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A client of a Redis: one connection, which all tasks of a core share, and which is made again when it breaks.
///
/// It is cheap to clone, and stays on its core: each core makes its own of a [`RedisConfig`]. The connection closes with the last
/// clone, request and subscription, after what was sent has left. On a core of a server it ends with the server, when the
/// replies have come that are awaited.
///
/// Commands leave in the order in which they are asked for, those of one turn of the core in one write, and none waits for the
/// reply to another. Commands that change the connection for all (`SELECT`, `MULTI`, `WATCH`, `SUBSCRIBE` and the like) are refused:
/// the database stands in the URL, transactions are [atomic pipelines](Pipeline::atomic), and channels have [`Redis::subscribe`].
///
/// When the connection breaks, commands that were sent fail with [`RedisError::Lost`]: they may have been executed, and are never
/// sent again by the client. Those that were not sent wait for the next connection, up to the limits of the configuration.
///
/// ```no_run
/// use tiderace::redis::Redis;
///
/// fn main() -> tiderace::Result {
///     tiderace::block_on(async {
///         let redis = Redis::connect("redis://127.0.0.1").await?;
///         redis.command(&["SET", "x", "1"]).await?;
///         let x: i64 = redis.query(&["INCR", "x"]).await?;
///         assert_eq!(x, 2);
///         Ok(())
///     })
/// }
/// ```
#[derive(Clone)]
pub struct Redis {
    owner: Rc<Owner>,
}

/// Closes the connections when nothing holds it any more.
pub(super) struct Owner {
    wire: Rc<Wire>,
    /// The connection that listens to channels, once there was a subscription. In version 2 of the protocol one that listens takes
    /// no other commands, and in both a burst of messages must not hold up replies.
    listening: OnceCell<Rc<Wire>>,
}

impl Redis {
    /// Connects to the Redis of a URL, with all defaults: see [`RedisConfig`].
    ///
    /// # Errors
    /// As [`RedisConfig::new`] and [`RedisConfig::connect`] have them.
    ///
    /// # Panics
    /// Outside a core.
    pub async fn connect(url: &str) -> Outer<Redis> {
        RedisConfig::new(url)?.connect().await
    }

    #[track_caller]
    pub(super) fn over(config: RedisConfig, first: Option<Stream>) -> Redis {
        let wire = Wire::new(expect_current("RedisConfig::start"), config, None);
        session::start(&wire, first);
        Redis { owner: Rc::new(Owner { wire, listening: OnceCell::new() }) }
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.owner.wire
    }

    /// Sends a command, the name first. It is queued by this call, and the future waits for the reply: several that are called
    /// before the first is awaited are under way together.
    ///
    /// # Errors
    /// [`RedisError::Server`] when the server refuses it; the others say why there is no reply, and whether it was sent.
    ///
    /// # Cancel safety
    /// A future that is dropped leaves its command on its way, and the reply is thrown away when it comes. A command that still
    /// waits for a connection is not sent.
    #[inline]
    pub fn command<A: AsRef<[u8]>>(&self, arguments: &[A]) -> Request {
        let key = if changes_connection(arguments) { refused(arguments) } else { self.owner.wire.send(arguments) };
        Request::new(self.owner.clone(), key)
    }

    /// Sends a command, as [`command`](Redis::command) does, and makes a type of Rust's of the reply.
    ///
    /// # Errors
    /// Those of [`command`](Redis::command), and [`RedisError::Type`] when the reply is of another type.
    pub fn query<T: FromReply>(&self, arguments: &[impl AsRef<[u8]>]) -> Query<T> {
        Query { request: self.command(arguments), reply: std::marker::PhantomData }
    }

    /// The value of a key: `GET`.
    pub fn get<T: FromReply>(&self, key: impl AsRef<[u8]>) -> Query<T> {
        self.query(&[b"GET", key.as_ref()])
    }

    /// Sets a key: `SET`. It keeps no time to live.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Query<()> {
        self.query(&[b"SET", key.as_ref(), value.as_ref()])
    }

    /// Deletes a key, and says whether it was there: `DEL`.
    pub fn del(&self, key: impl AsRef<[u8]>) -> Query<bool> {
        self.query(&[b"DEL", key.as_ref()])
    }

    /// Adds to the number of a key, and returns what it is then: `INCRBY`.
    pub fn incr(&self, key: impl AsRef<[u8]>, by: i64) -> Query<i64> {
        self.query(&[b"INCRBY", key.as_ref(), by.to_string().as_bytes()])
    }

    /// Publishes to a channel, and says how many have received it: `PUBLISH`.
    pub fn publish(&self, channel: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Query<u64> {
        self.query(&[b"PUBLISH", channel.as_ref(), payload.as_ref()])
    }

    /// Several commands that are sent together.
    pub fn pipeline(&self) -> Pipeline<'_> {
        Pipeline::new(self)
    }

    /// Listens to a channel, on a second connection that all subscriptions of this client share. Resolves when the server has
    /// confirmed it. It is renewed when the connection is made again.
    ///
    /// # Errors
    /// Those of [`command`](Redis::command).
    ///
    /// # Cancel safety
    /// Safe: a subscription that is given up ends.
    pub async fn subscribe(&self, channel: impl AsRef<[u8]>) -> Result<Subscription, RedisError> {
        self.listen(Kind::Channel, channel.as_ref()).await
    }

    /// Listens to all channels whose names match a pattern, such as `news.*`, as [`subscribe`](Redis::subscribe) does.
    pub async fn psubscribe(&self, pattern: impl AsRef<[u8]>) -> Result<Subscription, RedisError> {
        self.listen(Kind::Pattern, pattern.as_ref()).await
    }

    async fn listen(&self, kind: Kind, name: &[u8]) -> Result<Subscription, RedisError> {
        let wire = self.owner.listening.get_or_init(|| {
            let config = self.owner.wire.config.clone();
            let wire = Wire::new(self.owner.wire.core.clone(), config, Some(Channels::default()));
            session::start(&wire, None);
            wire
        });
        let subscription = Subscription::new(self.owner.clone(), wire.clone(), kind, name);
        Request::on(self.owner.clone(), wire.clone(), wire.send(&[kind.subscribe(), name])).await?;
        Ok(subscription)
    }
}

#[cold]
fn refused<A: AsRef<[u8]>>(arguments: &[A]) -> Result<Key, RedisError> {
    let name = arguments.first().map_or(&b""[..], |name| name.as_ref());
    Err(RedisError::Shared { command: String::from_utf8_lossy(name).to_ascii_uppercase() })
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.wire.close();
        if let Some(listening) = self.listening.get() {
            listening.close();
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redis").field(&self.owner.wire.config).finish()
    }
}

/// A command on its way: what [`Redis::command`] returns.
#[must_use = "a command is sent all the same, but its error would be overlooked"]
pub struct Request {
    owner: Rc<Owner>,
    /// The connection, where it is not the one for commands.
    other: Option<Rc<Wire>>,
    key: Result<Key, Option<RedisError>>,
}

impl Request {
    #[inline]
    pub(super) fn new(owner: Rc<Owner>, key: Result<Key, RedisError>) -> Request {
        Request { owner, other: None, key: key.map_err(Some) }
    }

    pub(super) fn of(redis: &Redis, key: Result<Key, RedisError>) -> Request {
        Request::new(redis.owner.clone(), key)
    }

    fn on(owner: Rc<Owner>, wire: Rc<Wire>, key: Result<Key, RedisError>) -> Request {
        Request { owner, other: Some(wire), key: key.map_err(Some) }
    }

    #[inline]
    fn wire(&self) -> &Wire {
        self.other.as_ref().unwrap_or(&self.owner.wire)
    }

    #[inline]
    pub(super) fn poll_outcome(&mut self, cx: &Context<'_>) -> Poll<Result<Outcome, RedisError>> {
        let outcome = match &mut self.key {
            Ok(key) => {
                let key = *key;
                ready!(self.wire().poll(key, cx))
            }
            Err(error) => Err(error.take().unwrap_or(RedisError::Closed)),
        };
        // It has been taken.
        self.key = Err(None);
        Poll::Ready(outcome)
    }
}

impl Future for Request {
    type Output = Result<Answer, RedisError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.poll_outcome(cx)) {
            Ok(Outcome::One(answer)) => answer.checked(),
            Ok(Outcome::Several(_)) => Err(RedisError::Closed),
            Err(error) => Err(error),
        })
    }
}

impl Drop for Request {
    #[inline]
    fn drop(&mut self) {
        if let Ok(key) = self.key {
            self.wire().abandon(key);
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

/// A command on its way whose reply becomes a `T`: what [`Redis::query`] returns.
#[must_use = "a command is sent all the same, but its error would be overlooked"]
#[derive(Debug)]
pub struct Query<T> {
    request: Request,
    reply: std::marker::PhantomData<fn() -> T>,
}

impl<T: FromReply> Future for Query<T> {
    type Output = Result<T, RedisError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(Pin::new(&mut self.request).poll(cx)).and_then(|answer| answer.to()))
    }
}
