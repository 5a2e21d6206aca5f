//! Several commands as one.

use super::answer::Answers;
use super::client::Request;
use super::encode::{append, changes_connection};
use super::wire::Outcome;
use super::{Redis, RedisError};
use std::fmt;
use std::future::{Future, poll_fn};

/// Commands that are sent together; made by [`Redis::pipeline`].
///
/// ```no_run
/// # use tiderace::redis::{Redis, RedisError};
/// # async fn pay(redis: &Redis) -> Result<(), RedisError> {
/// let mut transfer = redis.pipeline();
/// transfer.add(&["DECRBY", "anna", "5"]).add(&["INCRBY", "ben", "5"]);
/// let balances: Vec<i64> = transfer.atomic().run().await?.all()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent before `run`"]
pub struct Pipeline<'a> {
    redis: &'a Redis,
    commands: Vec<u8>,
    count: u32,
    is_atomic: bool,
    error: Option<RedisError>,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(redis: &'a Redis) -> Pipeline<'a> {
        Pipeline { redis, commands: Vec::new(), count: 0, is_atomic: false, error: None }
    }

    /// Adds a command, the name first. One that cannot be sent is an error of [`run`](Pipeline::run), and then none is sent.
    pub fn add<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> &mut Self {
        let added = if changes_connection(arguments) {
            let name = arguments.first().map_or(&b""[..], |name| name.as_ref());
            Err(RedisError::Shared { command: String::from_utf8_lossy(name).to_ascii_uppercase() })
        } else {
            append(arguments, &mut self.commands).map_err(RedisError::Command)
        };
        match added {
            Ok(()) => self.count += 1,
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// Has the server execute all or none, with no other client's command in between: `MULTI` and `EXEC`.
    ///
    /// A command that the server refuses to queue, such as one with too few arguments, fails the whole. One that fails when it is
    /// executed does not keep the others from it: its reply is an error among the [`Answers`].
    pub fn atomic(&mut self) -> &mut Self {
        self.is_atomic = true;
        self
    }

    /// Queues the commands, at once, in one piece. The future waits for all replies; the pipeline is empty again. Without a
    /// command it resolves at once.
    ///
    /// # Errors
    /// Those of [`Redis::command`] for all of them together. What the server has refused is an error among the [`Answers`], but
    /// of an atomic pipeline that was not executed it is the error of the whole.
    ///
    /// # Cancel safety
    /// As that of [`Redis::command`].
    pub fn run(&mut self) -> impl Future<Output = Result<Answers, RedisError>> + use<> {
        let (count, is_atomic) = (self.count, std::mem::take(&mut self.is_atomic));
        let (commands, error) = (std::mem::take(&mut self.commands), self.error.take());
        self.count = 0;
        let key = match error {
            Some(error) => Some(Err(error)),
            None if count == 0 => None,
            None if is_atomic => {
                let whole = [b"*1\r\n$5\r\nMULTI\r\n", &*commands, b"*1\r\n$4\r\nEXEC\r\n"].concat();
                Some(self.redis.wire().send_several(whole, count + 2))
            }
            None => Some(self.redis.wire().send_several(commands, count)),
        };
        let request = key.map(|key| Request::of(self.redis, key));
        async move {
            let Some(mut request) = request else { return Ok(Answers::new(Vec::new(), 0)) };
            match poll_fn(|cx| request.poll_outcome(cx)).await? {
                Outcome::Several(replies) if is_atomic => Answers::of_transaction(replies, count as usize),
                Outcome::Several(replies) => Ok(Answers::new(replies, count as usize)),
                Outcome::One(_) => Err(RedisError::Closed),
            }
        }
    }
}

impl fmt::Debug for Pipeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("count", &self.count).field("atomic", &self.is_atomic).finish_non_exhaustive()
    }
}
