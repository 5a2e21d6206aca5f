//! What becomes of a server's ticker.

use std::time::Duration;

/// What the function of [`Server::on_tick`](crate::Server::on_tick) returns. A [`Duration`] is [`After`](Tick::After), and `None`
/// is [`End`](Tick::End).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tick {
    /// Call it again after this time.
    After(Duration),
    /// Call it no more.
    End,
    /// Call it no more, and stop the server within this time, as [`ServerHandle::stop`](crate::ServerHandle::stop) does.
    StopServer(Duration),
}

impl From<Duration> for Tick {
    fn from(after: Duration) -> Tick {
        Tick::After(after)
    }
}

impl From<Option<Duration>> for Tick {
    fn from(after: Option<Duration>) -> Tick {
        after.map_or(Tick::End, Tick::After)
    }
}
