//! Work at a later time.

use super::task::{JoinHandle, spawn_local};
use super::time::{interval, sleep, sleep_until};
use std::future::Future;
use std::time::{Duration, Instant};

/// Runs `work` as a task of this core after `delay`. The handle that is returned cancels it; dropped, it does not.
///
/// # Panics
/// Outside a core.
///
/// ```
/// # use std::time::Duration;
/// tiderace::block_on(async {
///     let reminder = tiderace::after(Duration::from_millis(1), async { "now" });
///     assert_eq!(reminder.await.unwrap(), "now");
///
///     let never = tiderace::after(Duration::from_secs(3600), async { unreachable!() });
///     never.abort();
/// });
/// ```
#[track_caller]
pub fn after<F>(delay: Duration, work: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let delay = sleep(delay);
    spawn_local(async move {
        delay.await;
        work.await
    })
}

/// Runs `work` as a task of this core at `deadline`, or at once if that is past; else like [`after`].
#[track_caller]
pub fn at<F>(deadline: Instant, work: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_local(async move {
        sleep_until(deadline).await;
        work.await
    })
}

/// Runs `work` again and again as a task of this core, for the first time after one `period`. A run that takes longer than
/// the period delays the next one, which then comes at once.
///
/// It goes on until it is aborted by the handle that is returned, or the core ends: to drop the handle does not end it, and
/// neither does the end of the connection whose handler has begun it. What is to end with a connection is begun by
/// [`Conn::every`](crate::Conn::every). Work that can tell by itself when it is over is better a loop over an [`interval`] in a
/// task of [`spawn_local`].
///
/// # Panics
/// Outside a core, and if `period` is zero.
///
/// ```
/// # use std::{cell::Cell, rc::Rc, time::Duration};
/// tiderace::block_on(async {
///     let count = Rc::new(Cell::new(0));
///     let counting = count.clone();
///     let counter = tiderace::every(Duration::from_millis(1), move || {
///         counting.set(counting.get() + 1);
///         async {}
///     });
///     while count.get() < 3 {
///         tiderace::yield_now().await;
///     }
///     counter.abort();
/// });
/// ```
#[track_caller]
pub fn every<F, W>(period: Duration, mut work: W) -> JoinHandle<()>
where
    W: FnMut() -> F + 'static,
    F: Future + 'static,
{
    let mut ticks = interval(period);
    spawn_local(async move {
        loop {
            ticks.tick().await;
            work().await;
        }
    })
}
