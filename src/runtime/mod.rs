//! One core: a thread with its own poller, executor, timers, block pool and mailbox. [`turn`] is the loop; who has read
//! that function knows the library.

mod again;
#[cfg(feature = "blocking")]
mod blocking;
mod busy_poll;
mod contain;
mod core;
mod current;
#[cfg(feature = "http")]
mod date;
mod executor;
mod inbox;
mod merge;
mod oneshot;
mod schedule;
mod source;
mod sync;
mod task;
mod tied;
mod time;
mod turn;

#[cfg(feature = "blocking")]
pub use blocking::spawn_blocking;
pub use current::block_on;
pub use schedule::{after, at, every};
pub use task::{JoinError, JoinHandle, spawn_local, yield_now};
pub use time::{Elapsed, Interval, Sleep, Timeout, interval, sleep, sleep_until, timeout};

pub(crate) use self::core::{Core, CoreConfig, PreparedCore, Remote};
pub(crate) use contain::{CatchPanic, drop_contained, panic_message};
pub(crate) use current::{Entered, assert_free, expect_current, unpinned, with_current};
#[cfg(feature = "websocket")]
pub(crate) use date::coarse_seconds;
#[cfg(feature = "http")]
pub(crate) use date::http_date;
pub(crate) use merge::Merge;
pub(crate) use oneshot::{Receiver as OneshotReceiver, Sender as OneshotSender, oneshot};
pub(crate) use source::{AtTurnEnd, Interrupt, Source};
pub(crate) use tied::TiedTasks;
