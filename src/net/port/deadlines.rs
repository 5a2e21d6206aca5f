//! Time limits of a connection. Only one that has any pays for them.
//!
//! The limits are looked at when the connection's task pauses. One timer stands for the earliest of them, and it moves
//! lazily: activity writes down a time, and the timer, when it goes off too early, sets itself anew.

use super::Port;
use crate::error::TimeLimit;
use crate::net::Flag;
use crate::runtime::Sleep;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// What a connection begins with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimeLimits {
    pub(crate) idle: Option<Duration>,
    pub(crate) first_message: Option<Duration>,
    pub(crate) message: Option<Duration>,
    pub(crate) write: Option<Duration>,
}

#[derive(Default)]
pub(super) struct Deadlines {
    idle: Cell<Option<Duration>>,
    /// When bytes last went in or out, or the last method ended.
    active: Cell<Option<Instant>>,
    first: Cell<Option<Instant>>,
    /// How long a message may take, and when the one that has begun must have ended.
    message: Cell<Option<Duration>>,
    message_end: Cell<Option<Instant>>,
    read: Cell<Option<Instant>>,
    write: Cell<Option<Instant>>,
    /// How long the peer may take nothing of what is queued, and since when it does.
    stall: Cell<Option<Duration>>,
    stalled: Cell<Option<Instant>>,
    timer: RefCell<Option<Sleep>>,
}

impl Port {
    fn deadlines(&self) -> &Deadlines {
        self.state.set(Flag::TIMED);
        &self.rare().deadlines
    }

    pub(crate) fn set_time_limits(&self, limits: &TimeLimits) {
        if limits.idle.is_some() {
            self.set_idle_timeout(limits.idle);
        }
        if let Some(within) = limits.first_message {
            self.state.set(Flag::UNSPOKEN);
            self.deadlines().first.set(self.core.time().checked_add(within));
        }
        if limits.message.is_some() {
            self.set_message_timeout(limits.message);
        }
        if limits.write.is_some() {
            self.set_write_timeout(limits.write);
        }
    }

    pub(crate) fn set_idle_timeout(&self, limit: Option<Duration>) {
        self.deadlines().idle.set(limit);
        self.touch();
    }

    pub(crate) fn set_read_deadline(&self, deadline: Option<Instant>) {
        self.deadlines().read.set(deadline);
    }

    pub(crate) fn set_write_deadline(&self, deadline: Option<Instant>) {
        self.deadlines().write.set(deadline);
    }

    /// A peer that is quiet for half of its idle time is asked for a sign of life.
    pub(crate) fn set_pings(&self) {
        self.state.set(Flag::PINGS);
    }

    pub(crate) fn set_message_timeout(&self, limit: Option<Duration>) {
        self.deadlines().message.set(limit);
    }

    pub(crate) fn set_write_timeout(&self, limit: Option<Duration>) {
        self.deadlines().stall.set(limit);
        if self.has(Flag::BLOCKED) {
            self.write_has_stalled();
        }
    }

    /// The peer takes no more for now.
    #[cold]
    pub(super) fn write_has_stalled(&self) {
        self.deadlines().stalled.set(Some(self.core.time()));
        // Bytes are queued from elsewhere, too: the task must look at its limits.
        self.notify(Flag::NEWS);
    }

    /// The peer has begun a message, and not ended it.
    #[cold]
    pub(crate) fn message_has_begun(&self) {
        let deadlines = self.deadlines();
        if let Some(limit) = deadlines.message.get()
            && !self.has(Flag::BEGUN)
        {
            self.state.set(Flag::BEGUN);
            deadlines.message_end.set(self.core.time().checked_add(limit));
        }
    }

    /// The peer has ended a message for which there was a time limit.
    #[cold]
    pub(crate) fn message_has_come(&self) {
        self.state.clear(Flag::UNSPOKEN);
        self.deadlines().first.set(None);
        self.message_is_over();
    }

    /// There is no time limit for the message that has begun any more.
    #[cold]
    pub(super) fn message_is_over(&self) {
        self.state.clear(Flag::BEGUN);
        self.deadlines().message_end.set(None);
    }

    /// Something happens on the connection.
    #[cold]
    pub(super) fn touch(&self) {
        // Who was asked for a sign of life must give one.
        if !self.has(Flag::ASKED) {
            self.deadlines().active.set(Some(self.core.time()));
        }
    }

    /// Ready with the limit that has passed.
    #[cold]
    pub(crate) fn poll_deadlines(&self, cx: &mut Context<'_>) -> Poll<TimeLimit> {
        let mut timer = self.deadlines().timer.borrow_mut();
        loop {
            let Some((deadline, limit)) = self.next_deadline() else {
                *timer = None;
                return Poll::Pending;
            };
            if deadline <= self.core.time() {
                match limit {
                    Some(limit) => return Poll::Ready(limit),
                    None => {
                        self.state.set(Flag::ASKED);
                        self.notify(Flag::QUIET);
                        continue;
                    }
                }
            }
            // One that goes off earlier is left as it is: that is what makes activity cheap.
            let timer = match &mut *timer {
                Some(timer) if timer.deadline() <= deadline => timer,
                timer => timer.insert(crate::runtime::sleep_until(deadline)),
            };
            std::task::ready!(Pin::new(&mut *timer).poll(cx));
            timer.reset(deadline);
        }
    }

    /// The next one, and the limit that it is; half of the idle time is none.
    fn next_deadline(&self) -> Option<(Instant, Option<TimeLimit>)> {
        let Deadlines { idle, active, first, message_end, read, write, stall, stalled, .. } = self.deadlines();
        // While a method runs, it is not the peer for whom everybody waits.
        let waiting = self.has(Flag::WAITING);
        let since = |part: u32| {
            let (limit, active) = idle.get().zip(active.get())?;
            active.checked_add(limit / part).filter(|_| waiting)
        };
        // Who is not read from cannot answer.
        let pings = self.has(Flag::PINGS) && !self.has(Flag::ASKED.or(Flag::PAUSED));
        let queued = self.queued();
        let stalled = || {
            let (limit, since) = stall.get().zip(stalled.get())?;
            since.checked_add(limit).filter(|_| self.has(Flag::BLOCKED))
        };
        let limits = [
            (since(1), Some(TimeLimit::Idle)),
            (since(2).filter(|_| pings), None),
            (first.get().filter(|_| waiting), Some(TimeLimit::FirstMessage)),
            (message_end.get().filter(|_| waiting), Some(TimeLimit::Message)),
            (read.get().filter(|_| waiting), Some(TimeLimit::Read)),
            (write.get().filter(|_| queued > 0), Some(TimeLimit::Write { queued })),
            (stalled(), Some(TimeLimit::Write { queued })),
        ];
        let set = limits.into_iter().filter_map(|(deadline, limit)| deadline.map(|deadline| (deadline, limit)));
        set.min_by_key(|(deadline, _)| *deadline)
    }
}
