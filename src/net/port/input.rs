//! Input: from the socket into the ring, from the ring to the task.

use super::Port;
use crate::buffer::{Class, Ring};
use crate::io::Readiness;
use crate::limits;
use crate::net::Flag;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

impl Port {
    // Events: the reactor calls these.

    /// Deals with what the socket is ready for; says how many bytes were read.
    pub(in crate::net) fn ready(&self, readiness: Readiness) -> usize {
        if readiness == Readiness::NONE {
            self.state.clear(Flag::AGAIN.or(Flag::BY_EVENT));
        }
        if readiness.contains(Readiness::WRITE) && self.has(Flag::BLOCKED) {
            self.unblock();
        }
        let readable = Flag::NONE.with(Flag::READABLE.or(Flag::BY_EVENT), readiness.contains(Readiness::READ));
        self.state.set(readable.with(Flag::READ_ON, readiness.contains(Readiness::MORE)));
        // One that is to be looked at again waits for its turn: an event is no reason to be before others.
        let closed_to_input = Flag::LENT.or(Flag::PAUSED).or(Flag::ENDED).or(Flag::AGAIN);
        let read = if self.has(Flag::READABLE) && !self.has(closed_to_input) { self.drain() } else { 0 };
        self.arm();
        read
    }

    /// Reads what there is, as far as the ring has room, and wakes the reader.
    fn drain(&self) -> usize {
        let core = &self.core;
        let (mut class, begun) = (self.class.get(), self.ring.take());
        let is_new = begun.is_none();
        let mut ring = match begun {
            // The last read has filled it, and there is more: what is left of it moves to where that has room.
            Some(ring) if ring.capacity() < class.bytes() => core.pool.borrow_mut().exchange(ring, class),
            Some(ring) => ring,
            None => core.pool.borrow_mut().ring(class),
        };
        let mut total = 0;
        while self.has(Flag::READABLE) {
            if ring.is_full() {
                if ring.capacity() >= core.largest_ring.bytes() {
                    break;
                }
                // The rest of a message that did not fit must not wait until those that stream have had their turns.
                (ring, class) = core.pool.borrow_mut().exchange_for_larger(ring);
            }
            let room = ring.capacity() - ring.len();
            match self.socket.recv(ring.spare()) {
                Poll::Ready(Ok(0)) => {
                    self.state.clear(Flag::READABLE);
                    match self.reset_by_write() {
                        Some(reset) => self.fail(&reset),
                        None => self.state.set(Flag::ENDED.or(Flag::NEWS)),
                    }
                }
                Poll::Ready(Ok(read)) => {
                    total += read;
                    // A short read has emptied the socket, unless more is known to stand behind it.
                    if read < room && !self.has(Flag::READ_ON) {
                        self.state.clear(Flag::READABLE);
                    }
                    self.state.clear(Flag::ASKED);
                    if self.has(Flag::DISCARD) {
                        if self.has_discarded(read) > limits::LINGER_BYTES {
                            self.state.set(Flag::PAUSED);
                            break;
                        }
                        if total >= Class::LARGEST.bytes() && self.has(Flag::READABLE) {
                            self.look_again();
                            break;
                        }
                        continue;
                    }
                    ring.filled(read);
                    self.state.set(Flag::NEWS);
                }
                Poll::Ready(Err(error)) => self.fail(&error),
                Poll::Pending => self.state.clear(Flag::READABLE),
            }
        }
        // A read that goes on with what an earlier one has begun is a rest, and rests are short.
        let held = if is_new { ring.len() } else { ring.capacity() };
        self.class.set(class.after_read(held, ring.is_full(), core.largest_ring));
        core.meter.received(total);
        self.keep(ring);
        if self.has(Flag::NEWS) {
            self.wake_reader();
        }
        total
    }

    /// On the portable path, asks for the events that are still of interest. Bytes that are known to be there are not.
    pub(crate) fn arm(&self) {
        if !self.core.is_one_shot() {
            return;
        }
        let deaf = Flag::READABLE.or(Flag::PAUSED).or(Flag::ENDED);
        let interest = Readiness::NONE
            .with(Readiness::READ, !self.has(deaf) && !self.is_gone())
            .with(Readiness::WRITE, self.has(Flag::BLOCKED));
        self.core.arm(self.key, self.socket.as_fd(), interest);
    }

    /// Has everything read that the kernel holds, and then the end: no event might come for it any more.
    pub(super) fn read_on(&self) {
        if self.has(Flag::ENDED) || self.is_gone() {
            return;
        }
        self.state.set(Flag::READABLE.or(Flag::READ_ON));
        if !self.has(Flag::LENT.or(Flag::PAUSED)) {
            self.look_again();
        }
    }

    fn look_again(&self) {
        if !self.has(Flag::AGAIN) {
            self.state.set(Flag::AGAIN);
            if self.has(Flag::BY_EVENT) {
                self.core.look_soon(self.key);
            } else {
                self.core.look_again(self.key);
            }
        }
    }

    // Input: the task that reads calls these.

    /// Lends the ring, if there is input. Nothing is read until it comes back.
    #[inline]
    pub(crate) fn take_ring(&self) -> Option<Box<Ring>> {
        let ring = self.ring.take()?;
        self.state.set(Flag::LENT);
        Some(ring)
    }

    /// Takes the ring back. If the socket had more to read, the reactor reads it in the next turn.
    #[inline]
    pub(crate) fn put_ring(&self, ring: Box<Ring>) {
        self.state.clear(Flag::LENT);
        let ring = if ring.is_empty() { ring } else { self.fit(ring) };
        self.keep(ring);
        if self.has(Flag::READABLE) && !self.has(Flag::PAUSED) {
            self.look_again();
        }
    }

    /// How many bytes wait in the ring, while it is not lent.
    pub(crate) fn unhandled(&self) -> usize {
        let ring = self.ring.take();
        let unhandled = ring.as_ref().map_or(0, |ring| ring.len());
        self.ring.set(ring);
        unhandled
    }

    /// Gives what is left the room that it needs.
    #[inline(never)]
    fn fit(&self, mut ring: Box<Ring>) -> Box<Ring> {
        if ring.wants_room() {
            ring = self.core.pool.borrow_mut().enlarge(ring);
        }
        if ring.capacity() > Class::LARGEST.bytes() && ring.len() < ring.capacity() / 4 {
            // A rare giant has passed.
            ring.resize(Class::LARGEST.bytes());
        }
        ring
    }

    #[inline]
    fn keep(&self, ring: Box<Ring>) {
        self.core.meter.unhandled(&self.unhandled, ring.len());
        if ring.is_empty() {
            self.core.pool.borrow_mut().give_ring(ring);
        } else {
            self.ring.set(Some(ring));
        }
    }

    /// Ready when something has happened since the last time: input, the end of it, a failure, a request.
    #[inline]
    pub(crate) fn poll_news(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.take(Flag::NEWS) {
            if self.has(Flag::TIMED) && self.has(Flag::WAITING) {
                self.peer_was_awaited();
            }
            self.state.clear(Flag::WAITING);
            return Poll::Ready(());
        }
        if self.has(Flag::TIMED) && !self.has(Flag::WAITING) {
            self.peer_is_awaited();
        }
        self.state.set(Flag::WAITING);
        self.register_reader(cx);
        Poll::Pending
    }

    #[inline]
    pub(super) fn register_reader(&self, cx: &mut Context<'_>) {
        let waker = self.reader.take().filter(|waker| waker.will_wake(cx.waker()));
        self.reader.set(Some(waker.unwrap_or_else(|| cx.waker().clone())));
    }

    /// Has the connection's task woken by what is stated from now on, also where a method of the handler waits for something
    /// else: an abort must end that. A task that has waited for news is known already.
    #[cold]
    pub(crate) fn hear_of_aborts(&self, cx: &mut Context<'_>) {
        self.register_reader(cx);
    }

    /// States a fact and wakes the reader for it.
    pub(crate) fn notify(&self, flags: Flag) {
        self.state.set(flags.or(Flag::NEWS));
        self.wake_reader();
    }

    #[inline]
    fn wake_reader(&self) {
        if let Some(waker) = self.reader.take() {
            waker.wake_by_ref();
            self.reader.set(Some(waker));
        }
    }

    pub(crate) fn pause(&self) {
        self.state.set(Flag::PAUSED);
        self.state.clear(Flag::ASKED.or(Flag::QUIET));
        if self.has(Flag::UNSPOKEN.or(Flag::BEGUN)) {
            // The peer cannot end a message that is not read.
            self.peer_is_not_awaited();
        }
        if self.has(Flag::TIMED) {
            self.peer_was_awaited();
        }
    }

    pub(crate) fn resume(&self) {
        if self.state.take(Flag::PAUSED) {
            self.notify(Flag::NEWS);
            if self.has(Flag::READABLE) {
                self.look_again();
            } else {
                self.arm();
            }
        }
    }

    /// Whether anything was received since the last call.
    #[cold]
    pub(crate) fn has_heard(&self) -> bool {
        let heard = !self.has(Flag::ASKED);
        self.state.set(Flag::ASKED);
        heard
    }

    /// Counts what was thrown away.
    #[cold]
    fn has_discarded(&self, read: usize) -> usize {
        let discarded = &self.rare().discarded;
        discarded.set(discarded.get().saturating_add(read));
        discarded.get()
    }

    /// From here on input is thrown away, so that a peer which is busy sending cannot keep a close from its end.
    pub(crate) fn discard_input(&self) {
        self.state.clear(Flag::LENT.or(Flag::PAUSED));
        self.state.set(Flag::DISCARD);
        if let Some(mut ring) = self.ring.take() {
            ring.consume(ring.len());
            self.keep(ring);
        }
        if self.has(Flag::READABLE) {
            self.look_again();
        }
        self.arm();
    }
}
