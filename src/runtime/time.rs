//! Timers as users see them. Each is an entry in its core's wheel: arming and cancelling cost the same however many there
//! are, and none of it is a system call.

use super::core::Core;
use super::current::{expect_current, with_current};
use crate::io::{Nanos, nanos};
use crate::timer::TimerKey;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Waits for `duration`: never less, and at most a millisecond more on a core that is not busy.
///
/// # Cancel safety
/// Safe: dropping it takes the timer out of the wheel.
///
/// # Panics
/// Outside a core.
///
/// ```
/// # use std::time::{Duration, Instant};
/// tiderace::block_on(async {
///     let began = Instant::now();
///     tiderace::sleep(Duration::from_millis(5)).await;
///     assert!(began.elapsed() >= Duration::from_millis(5));
/// });
/// ```
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    sleep_on(expect_current("sleep"), duration)
}

fn sleep_on(core: Rc<Core>, duration: Duration) -> Sleep {
    let deadline = core.clock.now().saturating_add(nanos(duration));
    Sleep { deadline, entry: None, core }
}

/// Waits until `deadline`, as [`sleep`] does.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    let core = expect_current("sleep_until");
    Sleep { deadline: core.clock.nanos(deadline), entry: None, core }
}

/// What [`sleep`] returns.
///
/// It may be made on one core and awaited on another of the same thread, as in the next [`block_on`](crate::block_on): its timer
/// moves to the core that polls it.
///
/// # Panics
/// When it is polled outside a core: nothing would wake it.
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    deadline: Nanos,
    entry: Option<TimerKey>,
    core: Rc<Core>,
}

impl Sleep {
    /// When it ends.
    pub fn deadline(&self) -> Instant {
        self.core.clock.instant(self.deadline)
    }

    /// Lets it end at another time instead, also if it has ended already.
    pub fn reset(&mut self, deadline: Instant) {
        self.disarm();
        self.deadline = self.core.clock.nanos(deadline);
    }

    /// The core that polls it is the one whose wheel wakes it: that of an ended core does not turn any more.
    #[inline]
    fn be_here(&mut self) {
        if with_current(|here| !Rc::ptr_eq(here, &self.core)).unwrap_or(true) {
            self.move_here();
        }
    }

    #[cold]
    fn move_here(&mut self) {
        self.disarm();
        let here = expect_current("sleep");
        if self.deadline != Nanos::MAX {
            self.deadline = here.clock.nanos(self.deadline());
        }
        self.core = here;
    }

    fn disarm(&mut self) {
        if let Some(entry) = self.entry.take() {
            let waker = self.core.timers.borrow_mut().cancel(entry);
            // Dropped only now that the wheel is free again: the last waker of a task drops the task.
            drop(waker);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.be_here();
        let core = self.core.clone();
        if core.now.get() >= self.deadline {
            self.disarm();
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let mut timers = core.timers.borrow_mut();
        let replaced = match self.entry.and_then(|entry| timers.get_mut(entry)) {
            Some(armed) => Some(std::mem::replace(armed, waker)),
            None => {
                self.entry = Some(timers.insert(self.deadline, waker));
                None
            }
        };
        drop(timers);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline()).finish()
    }
}

/// Ticks every `period`, the first time one period from now.
///
/// # Panics
/// Outside a core, or if the period is zero.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period longer than zero");
    Interval { sleep: sleep(period), period }
}

/// What [`interval`] returns.
#[derive(Debug)]
pub struct Interval {
    sleep: Sleep,
    period: Duration,
}

impl Interval {
    /// Waits for the next tick and returns when it was due. Ticks that nobody waited for are left out; the ones that
    /// follow are still due at whole periods after the first.
    ///
    /// # Cancel safety
    /// Safe: a tick that is given up is still to come.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| Pin::new(&mut self.sleep).poll(cx)).await;
        let due = self.sleep.deadline;
        let period = nanos(self.period);
        let missed = self.sleep.core.clock.now().saturating_sub(due) / period;
        self.sleep.deadline = due.saturating_add((missed + 1).saturating_mul(period));
        self.sleep.core.clock.instant(due)
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }
}

/// Gives `future` at most `duration` to end; the future is dropped when it does not.
///
/// # Cancel safety
/// That of `future`.
///
/// # Panics
/// Outside a core: where it is called, not where it is awaited. So it stands in an async block that
/// [`block_on`](crate::block_on) is given, and not around it.
///
/// ```
/// # use std::{future::pending, time::Duration};
/// tiderace::block_on(async {
///     let late = tiderace::timeout(Duration::from_millis(1), pending::<()>()).await;
///     assert!(late.is_err());
///     assert_eq!(tiderace::timeout(Duration::from_secs(1), async { 7 }).await.unwrap(), 7);
/// });
/// ```
#[track_caller]
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep_on(expect_current("timeout"), duration), duration }
}

pin_project! {
    /// What [`timeout`] returns.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Sleep,
        duration: Duration,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(this.sleep).poll(cx).map(|()| Err(Elapsed { after: *this.duration }))
    }
}

/// A time limit has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    /// The limit.
    pub after: Duration,
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not done within {:?}", self.after)
    }
}

impl std::error::Error for Elapsed {}
