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
    first: Allowance,
    /// How long a message may take, and what the one that has begun has left of that.
    message: Cell<Option<Duration>>,
    begun: Allowance,
    read: Cell<Option<Instant>>,
    write: Cell<Option<Instant>>,
    /// How long the peer may take nothing of what is queued, and since when it does.
    stall: Cell<Option<Duration>>,
    stalled: Cell<Option<Instant>>,
    timer: RefCell<Option<Sleep>>,
}

/// Time that the peer may take. It runs only while the connection waits for the peer, so that a method which takes long, or
/// pauses the connection, leaves the peer what it had.
#[derive(Default)]
struct Allowance {
    /// What is left, while it does not run.
    left: Cell<Option<Duration>>,
    /// When it ends, while it runs.
    end: Cell<Option<Instant>>,
}

impl Allowance {
    fn give(&self, limit: Option<Duration>) {
        self.left.set(limit);
        self.end.set(None);
    }

    fn run(&self, now: Instant) {
        if let Some(left) = self.left.take() {
            self.end.set(now.checked_add(left));
        }
    }

    fn halt(&self, now: Instant) {
        if let Some(end) = self.end.take() {
            self.left.set(Some(end.saturating_duration_since(now)));
        }
    }
}

impl Deadlines {
    /// What goes along when the connection gets another handler, whose messages begin anew.
    pub(super) fn hand_on(&self) -> Deadlines {
        Deadlines {
            idle: self.idle.take().into(),
            active: self.active.take().into(),
            first: Allowance { left: self.first.left.take().into(), end: self.first.end.take().into() },
            message: self.message.take().into(),
            begun: Allowance::default(),
            read: self.read.take().into(),
            write: self.write.take().into(),
            stall: self.stall.take().into(),
            stalled: self.stalled.take().into(),
            timer: RefCell::default(),
        }
    }
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
            self.deadlines().first.give(Some(within));
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

    /// Whether a peer that is quiet for half of its idle time is asked for a sign of life.
    pub(crate) fn set_pings(&self, on: bool) {
        self.state.clear(Flag::PINGS);
        self.state.set(Flag::NONE.with(Flag::PINGS, on));
    }

    /// It counts for the message that has begun, too, from here on.
    pub(crate) fn set_message_timeout(&self, limit: Option<Duration>) {
        let deadlines = self.deadlines();
        deadlines.message.set(limit);
        if self.has(Flag::BEGUN) {
            deadlines.begun.give(limit);
            if self.has(Flag::WAITING) && !self.has(Flag::PAUSED) {
                deadlines.begun.run(self.core.time());
            }
        }
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
        let limit = self.deadlines().message.get();
        if limit.is_some() && !self.has(Flag::BEGUN) {
            self.state.set(Flag::BEGUN);
            self.deadlines().begun.give(limit);
        }
    }

    /// The frame that has come is no message.
    #[cold]
    pub(crate) fn is_wordless(&self) {
        self.state.set(Flag::WORDLESS);
    }

    /// A message has come that the handler is to see, or a handshake is done: the peer has spoken.
    #[cold]
    pub(crate) fn has_spoken(&self) {
        let was_limited = self.has(Flag::UNSPOKEN);
        self.state.clear(Flag::UNSPOKEN.or(Flag::FRESH));
        if was_limited {
            self.deadlines().first.give(None);
        }
    }

    /// The message that had begun has ended, with its last frame.
    #[cold]
    pub(crate) fn message_is_over(&self) {
        if self.state.take(Flag::BEGUN) {
            self.deadlines().begun.give(None);
        }
    }

    /// The connection waits for its peer, whose time runs.
    #[cold]
    pub(super) fn peer_is_awaited(&self) {
        self.touch();
        if !self.has(Flag::PAUSED) {
            let now = self.core.time();
            self.deadlines().first.run(now);
            self.deadlines().begun.run(now);
        }
    }

    /// The connection has something else to do than to wait for its peer, whose time stands still.
    #[cold]
    pub(crate) fn peer_is_not_awaited(&self) {
        let now = self.core.time();
        self.deadlines().first.halt(now);
        self.deadlines().begun.halt(now);
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
        let Deadlines { idle, active, first, begun, read, write, stall, stalled, .. } = self.deadlines();
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
            (first.end.get().filter(|_| waiting), Some(TimeLimit::FirstMessage)),
            (begun.end.get().filter(|_| waiting), Some(TimeLimit::Message)),
            // A connection that is paused waits for no message.
            (read.get().filter(|_| waiting && !self.has(Flag::PAUSED)), Some(TimeLimit::Read)),
            (write.get().filter(|_| queued > 0 || self.has(Flag::HELD)), Some(TimeLimit::Write { queued })),
            (stalled(), Some(TimeLimit::Write { queued })),
        ];
        let set = limits.into_iter().filter_map(|(deadline, limit)| deadline.map(|deadline| (deadline, limit)));
        set.min_by_key(|(deadline, _)| *deadline)
    }
}
