//! Time limits of a connection. Only one that has any pays for them.
//!
//! The limits are looked at when the connection's task pauses. One timer stands for the earliest of them, and it moves
//! lazily: activity writes down a time, and the timer, when it goes off too early, sets itself anew.

use super::Port;
use crate::codec::{Busy, Patience, Step};
use crate::error::TimeLimit;
use crate::net::Flag;
use crate::runtime::Sleep;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(100);

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
    /// It was said by the server or a handler, and is not the protocol's.
    is_said: Cell<bool>,
    /// Apart, because most protocols have no limits of their own.
    protocol: OnceCell<Box<Protocol>>,
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

/// What a protocol asks for by itself.
#[derive(Default)]
struct Protocol {
    patience: Cell<Patience>,
    /// Whether it is the peer that the connection waits for.
    busy: Cell<Busy>,
    /// What is left for the step of a message that is waited for, and the number of that step.
    step: Allowance,
    at: Cell<Option<u64>>,
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
    /// That of the protocol is for the time between messages, which have their own.
    fn idle(&self) -> Option<Duration> {
        match self.is_said.get() {
            true => self.idle.get(),
            false => self.protocol.get().and_then(|own| own.patience.get().idle.filter(|_| own.at.get().is_none())),
        }
    }

    fn busy(&self) -> Busy {
        self.protocol.get().map_or(Busy::Free, |own| own.busy.get())
    }

    /// What goes along when the connection gets another handler, whose messages begin anew.
    pub(super) fn hand_on(&self) -> Deadlines {
        Deadlines {
            idle: self.idle.take().into(),
            is_said: self.is_said.take().into(),
            protocol: OnceCell::new(),
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

    /// The limits that the protocol has by itself.
    pub(crate) fn set_patience(&self, patience: Patience) {
        if patience.is_timed() {
            self.deadlines().protocol.get_or_init(Box::default).patience.set(patience);
            self.touch();
        } else if self.has(Flag::TIMED) {
            if let Some(own) = self.deadlines().protocol.get() {
                own.patience.set(patience);
            }
            self.touch();
        }
    }

    /// Looks at what the connection waits for: at its peer, for a step of a message, or at something here.
    #[cold]
    pub(crate) fn waits_for(&self, busy: Busy, step: Option<Step>) {
        let protocol = &self.deadlines().protocol;
        if protocol.get().is_none() && busy == Busy::Free && step.is_none() {
            return;
        }
        let own = protocol.get_or_init(Box::default);
        own.busy.set(busy);
        let number = step.map(|step| step.number);
        if own.at.replace(number) != number {
            own.step.give(step.map(|step| step.within));
        }
    }

    /// The first message has not come in its time.
    #[cold]
    pub(crate) fn first_message_is_late(&self) {
        if self.has(Flag::FRESH) {
            self.state.set(Flag::UNSPOKEN);
            self.deadlines().first.give(Some(Duration::ZERO));
            if self.has(Flag::WAITING) && !self.has(Flag::PAUSED) {
                self.deadlines().first.run(self.core.time());
            }
            self.notify(Flag::NEWS);
        }
    }

    pub(crate) fn set_idle_timeout(&self, limit: Option<Duration>) {
        self.deadlines().idle.set(limit);
        self.deadlines().is_said.set(true);
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
            if let Some(own) = self.deadlines().protocol.get() {
                own.step.run(now);
            }
        }
    }

    /// The connection has waited for its peer, and has something else to do.
    #[cold]
    pub(super) fn peer_was_awaited(&self) {
        if let Some(own) = self.deadlines().protocol.get() {
            own.step.halt(self.core.time());
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
                        match self.deadlines().busy() {
                            Busy::Free => self.state.set(Flag::ASKED),
                            _ => self.deadlines().active.set(Some(self.core.time())),
                        }
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
        let deadlines = self.deadlines();
        let Deadlines { active, first, begun, read, write, stall, stalled, .. } = deadlines;
        // While a method runs, it is not the peer for whom everybody waits.
        let waiting = self.has(Flag::WAITING);
        let (own, busy) = (deadlines.protocol.get(), deadlines.busy());
        let idle = deadlines.idle().filter(|_| waiting && busy == Busy::Free);
        // One without a pause would leave no time for anything else.
        let heartbeat = own.and_then(|own| own.patience.get().heartbeat).map(|after| after.max(SHORTEST_HEARTBEAT));
        let heartbeat = heartbeat.filter(|_| waiting && busy == Busy::Streaming);
        let step = own.and_then(|own| own.step.end.get()).filter(|_| waiting);
        let since =
            |limit: Option<Duration>| active.get().zip(limit).and_then(|(active, limit)| active.checked_add(limit));
        // Who is not read from cannot answer.
        let pings = self.has(Flag::PINGS) && !self.has(Flag::ASKED.or(Flag::PAUSED));
        let queued = self.queued();
        let stalled = || {
            let (limit, since) = stall.get().zip(stalled.get())?;
            since.checked_add(limit).filter(|_| self.has(Flag::BLOCKED))
        };
        let limits = [
            (since(idle), Some(TimeLimit::Idle)),
            (since(idle.filter(|_| pings).map(|idle| idle / 2)), None),
            (since(heartbeat), None),
            (step, Some(TimeLimit::Progress)),
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
