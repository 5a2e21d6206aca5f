//! Where a Redis is, and how it is to be spoken to.

use super::url::{self, Parts};
use super::{Redis, RedisError};
use crate::client::{Backoff, Connector};
use crate::error::Result;
use crate::limits;
use crate::resp::{Replies, Version};
use crate::runtime::yield_now;
use std::fmt;
use std::time::Duration;

/// Where a Redis is, and how it is to be spoken to. It may go to other threads, so that each core makes a client of its own.
///
/// ```no_run
/// use std::time::Duration;
/// use tiderace::redis::RedisConfig;
///
/// # async fn connect() -> tiderace::Result {
/// let config = RedisConfig::new("redis://app:p%40ss@127.0.0.1:6379/2")?.named("orders")?.timeout(Some(Duration::from_secs(1)));
/// let redis = config.connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisConfig {
    connector: Connector,
    address: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: u32,
    pub(super) name: Option<String>,
    pub(super) protocol: Version,
    pub(super) replies: Replies,
    pub(super) timeout: Option<Duration>,
    pub(super) keep_alive: Option<Duration>,
    pub(super) backoff: Backoff,
    pub(super) max_in_flight: usize,
    pub(super) max_unsent: (usize, usize),
    pub(super) max_queued: u32,
    pub(super) max_messages: usize,
}

impl RedisConfig {
    /// Reads a URL:
    ///
    /// - `redis://HOST:PORT/DB`: the port is 6379 and the database 0 unless named, `?db=DB` names it, too, and without a host
    ///   it is `localhost`. An IPv6 address stands in brackets.
    /// - `redis://USER:PASSWORD@HOST` and `redis://:PASSWORD@HOST`, where the user is `default`.
    /// - `unix:///PATH?db=DB`, also with `USER:PASSWORD@` in front of the path.
    ///
    /// User and password are percent-decoded (RFC 3986, section 2.1): `%40` is an `@`. There is no TLS: `rediss` is refused.
    ///
    /// # Errors
    /// [`RedisError::Url`] when it is none; the password is never a part of that.
    pub fn new(url: &str) -> Result<RedisConfig> {
        let Parts { endpoint, user, password, database } = url::parse(url)?;
        let connector = Connector::new(&*endpoint)?.timeout(limits::REDIS_TIMEOUT);
        Ok(RedisConfig {
            connector,
            address: endpoint,
            user,
            password,
            database,
            name: None,
            protocol: Version::Resp3,
            replies: Replies::default(),
            timeout: Some(limits::REDIS_TIMEOUT),
            keep_alive: Some(limits::REDIS_KEEP_ALIVE),
            backoff: Backoff::default().max(limits::REDIS_RECONNECT_MAX),
            max_in_flight: limits::REDIS_IN_FLIGHT,
            max_unsent: (limits::REDIS_UNSENT, limits::REDIS_UNSENT_BYTES),
            max_queued: limits::REDIS_QUEUED,
            max_messages: limits::REDIS_MESSAGES,
        })
    }

    /// The name that the server shows for the connection (`CLIENT LIST`). Default: none.
    ///
    /// # Errors
    /// [`RedisError::Url`] for one with spaces, line ends or letters beyond ASCII, which Redis refuses.
    pub fn named(mut self, name: &str) -> Result<RedisConfig, RedisError> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RedisError::Url { expected: "a name of visible letters of ASCII", found: name.to_owned() });
        }
        self.name = Some(name.to_owned());
        Ok(self)
    }

    /// The newest version of the protocol that is tried. Default: 3; a server that does not know it is spoken to in version 2.
    pub fn protocol(mut self, newest: Version) -> RedisConfig {
        self.protocol = newest;
        self
    }

    /// The limits of replies: 16 MiB and 16 values deep, unless set here.
    pub fn replies(mut self, replies: Replies) -> RedisConfig {
        self.replies = replies;
        self
    }

    /// How long a command may wait for its reply, or for a connection; and to connect, and to greet. Default: 5 seconds.
    ///
    /// A server that has not answered one command for so long is taken for dead: the connection is closed, and what waits on it
    /// fails. So commands that block (`BLPOP`, `XREAD BLOCK`), which also keep all others waiting, belong to a client of their
    /// own, with a longer limit. `None`: a mute server is not noticed; to connect and to greet has 5 seconds all the same.
    pub fn timeout(mut self, limit: Option<Duration>) -> RedisConfig {
        self.timeout = limit;
        self.connector = self.connector.timeout(limit.unwrap_or(limits::REDIS_TIMEOUT));
        self
    }

    /// When a connection on which nothing is asked and nothing heard is tried by a `PING`. The watch looks as often as the time
    /// limit is long, so it may be that much later. Default: 15 seconds. `None`: never.
    pub fn keep_alive(mut self, after: Option<Duration>) -> RedisConfig {
        self.keep_alive = after;
        self
    }

    /// The pauses before the server is connected to again. Default: from 100 milliseconds to 2 seconds, with jitter, for ever.
    pub fn backoff(mut self, backoff: Backoff) -> RedisConfig {
        self.backoff = backoff;
        self
    }

    /// How many commands may wait for their replies, where a pipeline counts as one. Default: 65,536.
    pub fn max_in_flight(mut self, commands: usize) -> RedisConfig {
        self.max_in_flight = commands;
        self
    }

    /// How many commands, and bytes of them, may wait while there is no connection. Default: 4,096, and 1 MiB. With 0, what is
    /// asked for without a connection fails at once.
    pub fn max_unsent(mut self, commands: usize, bytes: usize) -> RedisConfig {
        self.max_unsent = (commands, bytes);
        self
    }

    /// How many bytes of commands may wait for a server that does not take them. One command more may be added while less waits.
    /// Default: 16 MiB.
    pub fn max_queued(mut self, bytes: u32) -> RedisConfig {
        self.max_queued = bytes;
        self
    }

    /// How many messages of a subscription may wait for their reader; and 4 MiB of them. Default: 1,024.
    pub fn max_messages(mut self, messages: usize) -> RedisConfig {
        self.max_messages = messages;
        self
    }

    /// Connects, and goes on as [`start`](RedisConfig::start) does.
    ///
    /// # Errors
    /// [`Error::Connect`](crate::Error::Connect) when the server cannot be reached or does not answer in time, and the like;
    /// [`RedisError::Server`] when it refuses the password or the database.
    ///
    /// # Cancel safety
    /// Safe: a half-made connection is closed.
    ///
    /// # Panics
    /// Outside a core.
    pub async fn connect(self) -> Result<Redis> {
        let stream = super::handshake::connect(&self).await?;
        let redis = Redis::over(self, Some(stream));
        // What is asked of it from here on is sent: the tasks that this is left to run within a turn or two.
        while !redis.wire().has_begun() {
            yield_now().await;
        }
        Ok(redis)
    }

    /// A client that connects when it can. What is asked of it before then waits, within the limits.
    ///
    /// # Panics
    /// Outside a core.
    #[track_caller]
    pub fn start(self) -> Redis {
        Redis::over(self, None)
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(super) fn greeting_limit(&self) -> Duration {
        self.timeout.unwrap_or(limits::REDIS_TIMEOUT)
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

/// Without the password.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("address", &self.address)
            .field("user", &self.user)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}
