//! What handles wait for, elsewhere. It is looked at on the connection's core, and holds neither a task nor the connection.

use super::{Port, Rare};
use crate::net::{Flag, Gauge};
use crate::runtime::OneshotSender;
use std::cell::{Cell, RefCell};

/// What a handle may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Everything that is queued now has been handed to the kernel.
    Flushed,
    /// The write queue is down to its low-water mark.
    Low,
    /// Handles may send again.
    Room,
    /// The connection has ended. This is never answered: the sender is dropped.
    Ended,
}

/// Below this many waiters, those that were given up may stay.
const FEW: usize = 8;

#[derive(Default)]
pub(super) struct Waiting {
    waiters: RefCell<Vec<Waiter>>,
    /// When there are more waiters, those that were given up are dropped.
    many: Cell<usize>,
    /// Bytes that were taken from the write queue since there is this count.
    written: Cell<u64>,
    /// The write side is shut down when the write queue is empty.
    finishing: Cell<bool>,
}

struct Waiter {
    until: Until,
    /// For `Flushed`: what `written` must come to.
    position: u64,
    done: OneshotSender<()>,
}

impl Waiting {
    fn push(&self, waiter: Waiter) {
        let mut waiters = self.waiters.borrow_mut();
        waiters.push(waiter);
        if waiters.len() > self.many.get().max(FEW) {
            // Seldom enough to cost each of them a constant, and so often that there are never twice as many as are waited for.
            waiters.retain(|waiter| !waiter.done.is_abandoned());
            self.many.set(2 * waiters.len());
        }
    }

    /// Answers those whose time has come.
    fn answer(&self, come: impl Fn(&Waiter) -> bool) {
        let answered: Vec<Waiter> = self.waiters.borrow_mut().extract_if(.., |waiter| come(waiter)).collect();
        // Only now that the list is free: a waker may do anything.
        answered.into_iter().for_each(|waiter| waiter.done.send(()));
    }

    /// Tells those that their time will not come.
    fn give_up(&self, unwanted: impl Fn(&Waiter) -> bool) {
        let given_up: Vec<Waiter> = self.waiters.borrow_mut().extract_if(.., |waiter| unwanted(waiter)).collect();
        drop(given_up);
    }

    fn is_empty(&self) -> bool {
        self.waiters.borrow().is_empty()
    }
}

impl Rare {
    fn waiting(&self) -> &Waiting {
        self.waiting.get_or_init(Box::default)
    }
}

impl Port {
    /// Answers `done` when `until` is the case; drops it when that cannot come any more.
    pub(crate) fn wait_for(&self, until: Until, done: OneshotSender<()>) {
        if until == Until::Flushed {
            self.flush();
        }
        let rare = self.rare();
        let has_ended = rare.gauge.get().is_some_and(|gauge| gauge.ended().is_some());
        let cannot_come = match until {
            Until::Flushed => self.is_failed(),
            Until::Low | Until::Room => self.is_failed() || self.has(Flag::SHUT),
            Until::Ended => false,
        };
        if done.is_abandoned() || has_ended || cannot_come {
            return;
        }
        // While a write is under way its queue is elsewhere: the end of it looks again.
        let is_writing = self.has(Flag::FLUSHING);
        let position = if is_writing { u64::MAX } else { rare.waiting().written.get() + self.queued() as u64 };
        rare.waiting().push(Waiter { until, position, done });
        if !is_writing {
            self.tell_of_queue(rare);
        }
    }

    fn has_come(&self, waiting: &Waiting, gauge: &Gauge, waiter: &Waiter) -> bool {
        match waiter.until {
            Until::Flushed => waiting.written.get() >= waiter.position || self.queued() == 0,
            Until::Low => self.queued() <= self.limits.get().low as usize && gauge.has_room(),
            Until::Room => gauge.has_much_room(),
            Until::Ended => false,
        }
    }

    /// So many bytes have been taken from the write queue.
    pub(super) fn count_written(&self, rare: &Rare, bytes: usize) {
        if let Some(waiting) = rare.waiting.get() {
            waiting.written.set(waiting.written.get() + bytes as u64);
        }
    }

    /// Tells other threads how long the write queue is, and those of them that wait for it to be shorter.
    pub(super) fn tell_of_queue(&self, rare: &Rare) {
        let Some(gauge) = rare.gauge.get() else { return };
        let queued = self.queued();
        gauge.set_queued(queued);
        let Some(waiting) = rare.waiting.get() else { return };
        if queued == 0 && !self.has(Flag::FLUSHING) && waiting.finishing.take() {
            // A peer that is gone need not be told.
            let _ = self.shutdown_write();
        }
        if !waiting.is_empty() {
            waiting.answer(|waiter| self.has_come(waiting, gauge, waiter));
        }
    }

    /// A message of a handle has been queued that counted for so much.
    pub(crate) fn arrived(&self, bytes: usize) {
        let Some(rare) = self.rare.get() else { return };
        if let Some(gauge) = rare.gauge.get() {
            gauge.arrive(bytes);
        }
        self.tell_of_queue(rare);
    }

    /// Shuts the write side down when everything that is queued has been written. Nothing can be sent from here on.
    pub(crate) fn finish(&self) {
        // What its groups were told in this turn leaves before.
        self.tell_kept(!self.has(Flag::SHUT));
        self.shut();
        let rare = self.rare();
        rare.waiting().finishing.set(true);
        self.flush();
        self.tell_of_queue(rare);
    }

    /// Nothing can be sent any more: those give up that wait to send, and if the socket has failed, those that wait for what
    /// was sent.
    pub(super) fn tell_of_end_of_output(&self) {
        let Some(waiting) = self.rare.get().and_then(|rare| rare.waiting.get()) else { return };
        let failed = self.is_failed();
        waiting.give_up(|waiter| match waiter.until {
            Until::Low | Until::Room => true,
            Until::Flushed => failed,
            Until::Ended => false,
        });
    }

    /// The connection has ended, for the reason of this number: handles are told, and nothing is waited for any more.
    pub(crate) fn end(&self, reason: usize) {
        let Some(rare) = self.rare.get() else { return };
        if let Some(gauge) = rare.gauge.get() {
            gauge.end(reason);
        }
        if let Some(waiting) = rare.waiting.get() {
            waiting.give_up(|_| true);
        }
        self.wake_writers();
    }
}
