//! Output: from handlers, tasks and senders into the queue of a socket, from the queue to the system.

use super::link::DatagramLink;
use super::outgoing::Step;
use crate::io::{Peer, check_length};
use crate::limits;
use crate::runtime::OneshotSender;
use std::cell::Cell;
use std::io;
use std::task::{Context, Poll, Waker};

/// Datagrams from elsewhere that are taken over in one look: eight system calls.
const TAKE_IN: usize = 256;
/// Up to where they fill the queue of the socket.
const ROOM_FOR_OTHERS: usize = (limits::WRITE_LOW_WATER + limits::WRITE_HIGH_WATER) as usize / 2;

impl DatagramLink {
    /// Queues a datagram; `false` if too much waits already.
    pub(super) fn push(&self, payload: &[u8], to: Option<Peer>) -> io::Result<bool> {
        check_length(payload.len(), to.map(|to| to.addr()))?;
        let mut outgoing = self.outgoing.borrow_mut();
        if outgoing.cost() > limits::WRITE_HIGH_WATER as usize {
            return Ok(false);
        }
        outgoing.push(payload, to);
        let fills_batch = outgoing.fills_batch();
        drop(outgoing);
        if fills_batch {
            self.send();
        } else {
            self.flush_soon();
        }
        Ok(true)
    }

    /// What waits to be sent counts for, in bytes.
    pub(super) fn queued(&self) -> usize {
        self.outgoing.borrow().cost()
    }

    /// Sends what waits, as far as the socket takes it. No queue is borrowed while anything is told: a subscriber of `tracing`
    /// and a waker may do anything.
    pub(super) fn send(&self) {
        if self.blocked.get() || self.sending.get() {
            return;
        }
        let sending = Sending::begin(&self.sending);
        // What is sent because of a lost datagram waits for the next turn, or a subscriber could keep the core here for ever.
        let mut left = self.outgoing.borrow().len();
        while left > 0 {
            let step = self.outgoing.borrow_mut().send(&self.socket);
            match step {
                Step::Sent(sent) => left -= sent.min(left),
                Step::Blocked => {
                    self.blocked.set(true);
                    self.arm();
                    break;
                }
                Step::Earlier(error) => {
                    self.failure.set(Some(error));
                    self.wake_reader();
                }
                Step::Lost(error, to) => {
                    left -= 1;
                    tracing::debug!(%error, to = ?to.map(|to| to.addr()), "a datagram was not sent");
                }
            }
        }
        drop(sending);
        if self.has_room() {
            let writers = self.writers.take();
            writers.into_iter().for_each(Waker::wake);
        }
        if !self.blocked.get() && !self.outgoing.borrow().is_empty() {
            self.look_again();
        }
    }

    /// Whether tasks that wait for room may go on.
    fn has_room(&self) -> bool {
        self.outgoing.borrow().cost() <= limits::WRITE_LOW_WATER as usize
    }

    /// Takes over what was sent from elsewhere. What finds no room, or no time in this turn, stays in its queue, and is looked at
    /// again.
    pub(super) fn take_in(&self) {
        let queue = &self.shared.queue;
        if !self.has_room() {
            self.send();
        }
        // The socket's own tasks have the rest of the room, so that neither keeps the other waiting for good.
        let mut is_full = !self.has_room();
        let mut budget = TAKE_IN;
        while !is_full && budget > 0 {
            let Some(queued) = queue.pop() else {
                if queue.is_done() {
                    break;
                }
                continue;
            };
            budget -= 1;
            let mut outgoing = self.outgoing.borrow_mut();
            outgoing.push(&queued.payload, queued.to);
            let is_enough = outgoing.fills_batch() || outgoing.cost() > ROOM_FOR_OTHERS;
            drop(outgoing);
            // Only now that the queue is free again: the owner of shared bytes may do anything when they are released.
            queued.release();
            if is_enough {
                self.send();
                is_full = self.outgoing.borrow().cost() > ROOM_FOR_OTHERS;
            }
        }
        if budget == 0 {
            self.look_again();
        }
        self.flush_soon();
        if queue.is_low() {
            self.room.release();
        }
    }

    fn flush_soon(&self) {
        let waits = !self.blocked.get() && !self.sending.get() && !self.outgoing.borrow().is_empty();
        if waits && !self.unflushed.replace(true) {
            self.core.flush_later(self.key);
        }
    }

    /// Has the waiter told when the queue of the senders has room.
    pub(super) fn wait_for_room(&self, waiter: OneshotSender<()>) {
        match self.shared.queue.has_room() {
            true => waiter.send(()),
            false => self.room.add(waiter),
        }
    }

    /// Has the waiter told, or dropped, when this is closed.
    pub(super) fn wait_for_close(&self, waiter: OneshotSender<()>) {
        self.closed.add(waiter);
    }

    /// Ready when there is room for more, after there was none.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.send();
        self.wait_until(self.has_room(), cx)
    }

    /// Ready when nothing waits to be sent.
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.take_in();
        self.send();
        let is_empty = self.shared.queue.is_empty() && self.outgoing.borrow().is_empty();
        self.wait_until(is_empty, cx)
    }

    fn wait_until(&self, is_met: bool, cx: &mut Context<'_>) -> Poll<()> {
        if is_met {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let mut writers = self.writers.borrow_mut();
        if !writers.iter().any(|waiting| waiting.will_wake(&waker)) {
            writers.push(waker);
        }
        Poll::Pending
    }
}

/// A mark that is taken back also if a subscriber panics.
struct Sending<'a>(&'a Cell<bool>);

impl Sending<'_> {
    fn begin(mark: &Cell<bool>) -> Sending<'_> {
        mark.set(true);
        Sending(mark)
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
