//! Output: from the encoder into the write queue, from the queue to the socket.

use super::encoding::Encoding;
use super::{Port, Rare, WriteEvent};
use crate::buffer::{Direct, Ending, Outbound, Output};
use crate::io::{Address, unacknowledged};
use crate::net::Flag;
use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll, Waker};

/// With so many tasks waiting to write it is worth to look which of them still do.
const MANY_WRITERS: usize = 16;

/// Why a message was not queued.
pub(crate) enum Unsent<E> {
    /// The queue is above its high-water mark.
    Full,
    /// Nothing can be sent any more.
    Closed,
    /// The encoder refused it.
    Refused(E),
}

impl Port {
    /// Bytes that wait to be written.
    #[inline]
    pub(crate) fn queued(&self) -> usize {
        let queue = self.outbound.take();
        let queued = queue.as_ref().map_or(0, |queue| queue.len());
        self.outbound.set(queue);
        queued
    }

    /// Whether nothing is queued, and nobody watches writes.
    pub(crate) fn is_unused(&self) -> bool {
        !self.has(Flag::BLOCKED.or(Flag::WATCHED).or(Flag::FLUSHING).or(Flag::HELD)) && self.queued() == 0
    }

    #[inline]
    pub(crate) fn is_above_high_water(&self) -> bool {
        self.queued() > self.high_water()
    }

    #[inline]
    pub(crate) fn high_water(&self) -> usize {
        self.limits.get().high as usize
    }

    /// Gives an encoder the write queue, unless more than `high` bytes are in it. An encoder that fails half-way, or panics,
    /// leaves nothing behind.
    #[inline(always)]
    pub(crate) fn with_output<E>(
        &self,
        high: usize,
        encode: impl FnOnce(&mut Output<'_>) -> Result<(), E>,
    ) -> Result<(), Unsent<E>> {
        if self.has(Flag::SHUT) {
            return Err(Unsent::Closed);
        }
        self.with_open_output(high, encode)
    }

    /// The same, of a port of which it is known that it is not shut.
    #[inline(always)]
    pub(crate) fn with_open_output<E>(
        &self,
        high: usize,
        encode: impl FnOnce(&mut Output<'_>) -> Result<(), E>,
    ) -> Result<(), Unsent<E>> {
        let queue = match self.outbound.take() {
            Some(queue) => queue,
            None => self.core.pool.borrow_mut().outbound(),
        };
        if queue.len() > high {
            self.outbound.set(Some(queue));
            return Err(Unsent::Full);
        }
        let mut encoding = Encoding::new(self, queue);
        let mut output = encoding.output();
        encode(&mut output).map_err(Unsent::Refused)?;
        let ending = output.ending();
        encoding.succeeded();
        if ending != Ending::None {
            self.ends_behind_message(ending);
        }
        Ok(())
    }

    /// Writes as much of the queue as the socket takes.
    pub(crate) fn flush(&self) {
        if self.has(Flag::BLOCKED.or(Flag::HELD)) {
            return self.stays_queued();
        }
        let Some(mut queue) = self.outbound.take() else { return };
        if self.has(Flag::WATCHED) {
            let Some(told) = self.tell_of_write(queue) else { return };
            queue = told;
        }
        let (mut total, mut left) = (0, queue.len());
        while left > 0 {
            let sent = match queue.as_slice() {
                Some(bytes) => self.socket.send(bytes),
                None => self.send_segments(&queue),
            };
            match sent {
                Poll::Ready(Ok(written)) => {
                    left = queue.advance(written);
                    total += written;
                }
                Poll::Ready(Err(error)) => {
                    self.fail_write(&error);
                    queue.clear();
                    left = 0;
                }
                Poll::Pending => {
                    self.block();
                    break;
                }
            }
        }
        self.state.clear(Flag::FLUSHING);
        self.core.meter.written(total);
        self.core.meter.unwritten(&self.unwritten, left);
        if left == 0 {
            self.give_outbound(queue);
        } else {
            self.put_back(queue);
        }
        if let Some(rare) = self.rare.get() {
            self.written(rare, total, left);
        }
    }

    /// The socket takes nothing: other threads may want to know how much waits.
    #[cold]
    fn stays_queued(&self) {
        if let Some(rare) = self.rare.get() {
            self.tell_of_queue(rare);
        }
    }

    /// Puts the queue back with what the socket did not take, before what was sent meanwhile: shared bytes that are released
    /// by a write may have somebody who sends for that.
    #[cold]
    fn put_back(&self, mut queue: Box<Outbound>) {
        if let Some(newer) = self.outbound.take() {
            queue.append(*newer);
        }
        self.outbound.set(Some(queue));
    }

    /// Tells the watcher what is about to be written, and gives back what is left to write: it may have written by itself.
    #[cold]
    fn tell_of_write(&self, queue: Box<Outbound>) -> Option<Box<Outbound>> {
        let queued = queue.len();
        self.outbound.set(Some(queue));
        if queued > 0 {
            self.tell_watcher(WriteEvent::Before { queued });
        }
        self.outbound.take()
    }

    /// Tells those who want to know.
    fn written(&self, rare: &Rare, written: usize, queued: usize) {
        if written > 0 {
            self.count_written(rare, written);
            if self.has(Flag::TIMED) {
                self.touch();
            }
            if self.has(Flag::WATCHED) {
                self.tell_watcher(WriteEvent::After { written, queued });
            }
        }
        self.tell_of_room(rare);
    }

    /// Out of the usual way, and so are the many slices that it keeps on the stack.
    #[inline(never)]
    fn send_segments(&self, queue: &Outbound) -> Poll<io::Result<usize>> {
        // Shared bytes are released as they are written, and their owner may send for that.
        self.state.set(Flag::FLUSHING);
        queue.with_slices(&[], |slices| self.socket.send_vectored(slices))
    }

    #[inline(always)]
    pub(super) fn give_outbound(&self, queue: Box<Outbound>) {
        self.core.pool.borrow_mut().give_outbound(queue);
    }

    pub(super) fn block(&self) {
        self.state.set(Flag::BLOCKED);
        self.arm();
        if self.has(Flag::TIMED) {
            self.write_has_stalled();
        }
    }

    /// The socket takes bytes again.
    #[cold]
    pub(super) fn unblock(&self) {
        self.state.clear(Flag::BLOCKED);
        self.flush();
        // A stream that writes past the queue waits for the socket itself.
        self.wake_writers();
    }

    /// Writes the queue although the socket has not said that it takes more.
    #[cold]
    pub(crate) fn try_again_to_flush(&self) {
        if self.has(Flag::BLOCKED) {
            self.unblock();
        }
    }

    /// How much the kernel holds that the peer has not taken, in its own measure. Zero where it cannot tell.
    #[cold]
    pub(crate) fn unacknowledged(&self) -> u32 {
        let is_unix = self.peer().is_ok_and(Address::is_unix);
        unacknowledged(self.socket.as_fd(), is_unix).unwrap_or(0)
    }

    /// Has the queue written at the end of this turn, together with what is queued until then.
    pub(crate) fn flush_later(&self) {
        if !self.has(Flag::UNFLUSHED) {
            self.state.set(Flag::UNFLUSHED);
            self.core.flush_later(self.key);
        }
    }

    /// The time for that has come.
    pub(in crate::net) fn flush_now(&self) {
        self.state.clear(Flag::UNFLUSHED);
        self.flush();
    }

    /// Ready when the queue is below its mark: `send` may go on. Ready with the failure if there will be no more room.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_queue(cx, self.limits.get().low as usize)
    }

    /// The same, while no method of a handler runs: it is the peer for whom everybody waits. Ready also when one of `requests`
    /// is there.
    pub(crate) fn poll_room_for_answer(&self, cx: &mut Context<'_>, requests: Flag) -> Poll<io::Result<()>> {
        self.state.set(Flag::WAITING);
        let room = match self.has(requests) {
            true => Poll::Ready(Ok(())),
            false => self.poll_room(cx),
        };
        if room.is_ready() {
            self.state.clear(Flag::WAITING);
        } else {
            // It might never have waited for news.
            self.register_reader(cx);
        }
        room
    }

    /// Ready when every byte has been handed to the kernel.
    pub(crate) fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_queue(cx, 0)
    }

    /// Ready when at most `mark` bytes are queued.
    fn poll_queue(&self, cx: &mut Context<'_>, mark: usize) -> Poll<io::Result<()>> {
        self.flush();
        match self.failure() {
            Some(error) => Poll::Ready(Err(error)),
            None if self.queued() <= mark && !self.has(Flag::HELD) => Poll::Ready(Ok(())),
            None => {
                self.register_writer(cx);
                Poll::Pending
            }
        }
    }

    /// Ready when the socket takes bytes again.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.has(Flag::BLOCKED) {
            return Poll::Ready(());
        }
        self.register_writer(cx);
        Poll::Pending
    }

    fn register_writer(&self, cx: &mut Context<'_>) {
        let mut writers = self.rare().writers.take();
        if !writers.iter().any(|waker| waker.will_wake(cx.waker())) {
            if writers.len() == writers.capacity() && writers.len() >= MANY_WRITERS {
                // Tasks that have given up are among them, and nothing else would drop their wakers while the peer does not
                // read. Those that still wait come again. The next time is when there are twice as many.
                let room = 2 * writers.len();
                std::mem::replace(&mut writers, Vec::with_capacity(room)).into_iter().for_each(Waker::wake);
            }
            writers.push(cx.waker().clone());
        }
        self.rare().writers.set(writers);
    }

    /// Tells those who wait for room, here and elsewhere. They look at the queue for themselves: one may want it low, another
    /// empty.
    fn tell_of_room(&self, rare: &Rare) {
        self.tell_of_queue(rare);
        if self.queued() <= self.limits.get().low as usize {
            rare.writers.take().into_iter().for_each(Waker::wake);
        }
    }

    pub(crate) fn wake_writers(&self) {
        if let Some(rare) = self.rare.get() {
            rare.writers.take().into_iter().for_each(Waker::wake);
            if self.is_failed() {
                self.tell_of_end_of_output();
            }
        }
    }

    /// Writes past the queue, for who has flushed it: a stream's own `write`.
    pub(crate) fn send_now(&self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = self.socket.send(bytes);
        match &sent {
            Poll::Pending => self.block(),
            Poll::Ready(Err(error)) => self.fail_write(error),
            Poll::Ready(Ok(written)) => {
                self.core.meter.written(*written);
                if self.has(Flag::TIMED) {
                    self.touch();
                }
            }
        }
        sent
    }

    /// Nothing can be sent from here on.
    pub(crate) fn shut(&self) {
        self.state.set(Flag::SHUT);
        self.tell_of_end_of_output();
    }

    /// Tells the peer that nothing more will come. What is no socket refuses that: its end is its close.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        let told = self.socket.shutdown_write();
        match &told {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                if self.has(Flag::DISCARD) {
                    // A close is not to wait for the end of a peer that waits for this one's.
                    self.state.set(Flag::ENDED);
                }
            }
            _ => self.shut(),
        }
        told
    }
}

impl Direct for Port {
    fn is_stopping(&self) -> bool {
        self.has(Flag::STOP)
    }

    fn write_through(&self, queue: &mut Outbound, bytes: &[u8]) -> usize {
        // Who watches is called by a flush: here the encoder and the queue are in use, and a watcher may send.
        let closed_to_output = Flag::BLOCKED.or(Flag::SHUT).or(Flag::WATCHED).or(Flag::FLUSHING).or(Flag::HELD);
        if self.has(closed_to_output) || self.is_failed() {
            return 0;
        }
        match queue.with_slices(bytes, |slices| self.socket.send_vectored(slices)) {
            Poll::Ready(Ok(written)) => {
                if let Some(rare) = self.rare.get() {
                    self.count_written(rare, written.min(queue.len()));
                }
                self.core.meter.written(written);
                if self.has(Flag::TIMED) {
                    self.touch();
                }
                queue.write_through(written)
            }
            Poll::Ready(Err(error)) => {
                self.fail_write(&error);
                0
            }
            Poll::Pending => {
                self.block();
                0
            }
        }
    }
}
