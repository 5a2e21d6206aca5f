//! Datagrams from other threads and tasks, on their way to the socket's core.
//!
//! Any thread pushes; only the core pops. The first push to an idle queue tells the core, and those that follow only append:
//!
//! ```text
//!   sender                              core
//!   push the datagram                   pop until nothing is left
//!   if !swap(told, true): tell it       swap(told, false)
//!                                       if something is there after all: go on, unless swap(told, true) finds it set
//! ```
//!
//! Either the core's first swap comes before the sender's, which then tells it, or after it, and the core finds the datagram.
//! A core that leaves datagrams behind leaves the flag set, too, and comes back by itself.

use super::outgoing::cost;
use crate::io::Peer;
use crate::limits;
use crate::runtime::{OneshotSender, panic_message};
use bytes::Bytes;
use concurrent_queue::ConcurrentQueue;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::{Context, Waker};

/// The most that a datagram counts for.
const LARGEST: usize = 64 * 1024 + limits::DATAGRAM_OVERHEAD;
/// Where senders that wait for room go on: half, so that they wake seldom.
const LOW: usize = limits::SEND_QUEUE / 2;

const _: () = assert!(LOW + LARGEST <= limits::SEND_QUEUE);

pub(super) struct SendQueue {
    datagrams: ConcurrentQueue<Queued>,
    /// What those in the queue count for, and those that are about to be in it.
    cost: AtomicUsize,
    /// The core knows, or will, that something is in the queue.
    told: AtomicBool,
}

pub(super) struct Queued {
    pub(super) payload: Bytes,
    pub(super) to: Option<Peer>,
}

impl Queued {
    /// Drops the payload on the core, which a panic of the owner of shared bytes must not end.
    pub(super) fn release(self) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(self.payload))) {
            tracing::error!(
                panic = panic_message(&*panic),
                "the owner of a datagram's bytes panicked when they were released"
            );
        }
    }
}

/// Why a datagram was not queued.
pub(super) enum Rejected {
    /// The queue is full; the payload comes back.
    Full(Bytes),
    /// The socket is closed.
    Closed,
}

impl SendQueue {
    pub(super) fn new() -> SendQueue {
        SendQueue { datagrams: ConcurrentQueue::unbounded(), cost: 0.into(), told: false.into() }
    }

    /// Appends a datagram, and says whether the core must be told.
    pub(super) fn push(&self, payload: Bytes, to: Option<Peer>) -> Result<bool, Rejected> {
        let more = cost(payload.len());
        let fits = |queued: usize| Some(queued + more).filter(|queued| *queued <= limits::SEND_QUEUE);
        if self.cost.fetch_update(Relaxed, Relaxed, fits).is_err() {
            return Err(if self.is_closed() { Rejected::Closed } else { Rejected::Full(payload) });
        }
        match self.datagrams.push(Queued { payload, to }) {
            Ok(()) => Ok(!self.told.swap(true, AcqRel)),
            Err(_) => Err(Rejected::Closed),
        }
    }

    /// Whether there is room for any datagram.
    pub(super) fn has_room(&self) -> bool {
        self.cost.load(Relaxed) + LARGEST <= limits::SEND_QUEUE
    }

    pub(super) fn is_closed(&self) -> bool {
        self.datagrams.is_closed()
    }

    // The rest is for the core alone.

    pub(super) fn pop(&self) -> Option<Queued> {
        let queued = self.datagrams.pop().ok()?;
        self.cost.fetch_sub(cost(queued.payload.len()), Relaxed);
        Some(queued)
    }

    /// Whether something may be in the queue that the core has been told of.
    pub(super) fn is_told(&self) -> bool {
        self.told.load(Acquire)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Whether the core is done with the queue: from here on it is told again.
    pub(super) fn is_done(&self) -> bool {
        self.told.swap(false, AcqRel);
        self.datagrams.is_empty() || self.told.swap(true, AcqRel)
    }

    /// Whether senders that wait for room may go on.
    pub(super) fn is_low(&self) -> bool {
        self.cost.load(Relaxed) <= LOW
    }

    /// Nothing can be pushed from here on.
    pub(super) fn close(&self) {
        self.datagrams.close();
    }
}

/// Futures elsewhere that wait for something of a socket.
#[derive(Default)]
pub(super) struct Waiting(RefCell<Vec<OneshotSender<()>>>);

impl Waiting {
    pub(super) fn add(&self, waiter: OneshotSender<()>) {
        let mut waiting = self.0.take();
        let mut abandoned = Vec::new();
        // Futures that were dropped are looked for whenever the list has doubled, so that it does not grow without bound.
        if waiting.len() >= 16 && waiting.len().is_power_of_two() {
            let mut cx = Context::from_waker(Waker::noop());
            (abandoned, waiting) = waiting.into_iter().partition(|waiter| waiter.poll_abandoned(&mut cx).is_ready());
        }
        waiting.push(waiter);
        self.0.borrow_mut().append(&mut waiting);
        // Only now that the list is free again: a waker may do anything.
        drop(abandoned);
    }

    /// Tells all of them that it has happened.
    pub(super) fn release(&self) {
        let waiting = self.0.take();
        waiting.into_iter().for_each(|waiter| waiter.send(()));
    }

    /// Tells all of them that it will not.
    pub(super) fn give_up(&self) {
        let waiting = self.0.take();
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::oneshot;

    #[test]
    fn queue_of_empty_datagrams_is_bounded() {
        let queue = SendQueue::new();
        let taken = (0..).take_while(|_| queue.push(Bytes::new(), None).is_ok()).count();
        assert_eq!(taken, limits::SEND_QUEUE / cost(0));
        assert!(queue.pop().is_some());
        assert!(queue.push(Bytes::new(), None).is_ok());
    }

    #[test]
    fn queue_tells_the_core_once_until_it_is_done() {
        let queue = SendQueue::new();
        let tells = |queue: &SendQueue| queue.push(Bytes::new(), None).is_ok_and(|tells| tells);
        assert!(tells(&queue));
        assert!(!tells(&queue));
        while queue.pop().is_some() {}
        assert!(!tells(&queue));
        assert!(!queue.is_done());
        while queue.pop().is_some() {}
        assert!(queue.is_done());
        assert!(tells(&queue));
        queue.close();
        assert!(matches!(queue.push(Bytes::new(), None), Err(Rejected::Closed)));
    }

    #[test]
    fn waiting_list_forgets_futures_that_were_dropped() {
        let waiting = Waiting::default();
        let stays: Vec<_> = (0..3)
            .map(|_| {
                let (waiter, waits) = oneshot();
                waiting.add(waiter);
                waits
            })
            .collect();
        for _ in 0..10_000 {
            waiting.add(oneshot().0);
        }
        assert!(waiting.0.borrow().len() <= 16, "{}", waiting.0.borrow().len());
        waiting.release();
        for waits in stays {
            assert_eq!(futures_lite::future::block_on(waits.receive()), Some(()));
        }
    }
}
