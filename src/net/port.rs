//! A socket and its buffers: what both a served connection and a user's stream stand on.
//!
//! ```text
//!   socket --recv--> ring --lent--> task            in:  drained by the reactor before any task runs
//!   socket <--send-- outbound <--encode-- task      out: flushed when the task pauses
//! ```
//!
//! The ring and the write queue are borrowed from the core's pool while they hold bytes, and only then.

use super::gauge::Gauge;
use super::state::{Flag, State};
use crate::buffer::{Class, Direct, Outbound, Ring};
use crate::io::{Address, Readiness, Socket};
use crate::limits;
use crate::runtime::Core;
use crate::slots::Key;
use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The marks of a write queue, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Above this a `send` waits.
    pub(crate) high: u32,
    /// Down to this it waits.
    pub(crate) low: u32,
}

impl Limits {
    pub(crate) fn new(high: u32, low: u32) -> Limits {
        assert!(low <= high, "a low-water mark of {low} bytes above the high one of {high}");
        Limits { high, low }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { high: limits::WRITE_HIGH_WATER, low: limits::WRITE_LOW_WATER }
    }
}

pub(crate) struct Port {
    pub(crate) core: Rc<Core>,
    pub(crate) key: Key,
    pub(crate) socket: Socket,
    state: State,
    /// The size of the next ring.
    class: Cell<Class>,
    /// The error number that ended the connection; 0: none.
    failure: Cell<i32>,
    limits: Cell<Limits>,
    ring: Cell<Option<Box<Ring>>>,
    pub(super) outbound: RefCell<Option<Box<Outbound>>>,
    reader: Cell<Option<Waker>>,
    /// Who waits for room in the write queue; boxed, because hardly anybody ever does.
    #[allow(clippy::box_collection)]
    writers: Cell<Option<Box<Vec<Waker>>>>,
    peer: OnceCell<Address>,
    /// Made with the first handle.
    gauge: OnceCell<Arc<Gauge>>,
}

impl Port {
    pub(crate) fn new(core: Rc<Core>, key: Key, socket: Socket, limits: Limits, flags: Flag) -> Port {
        Port {
            core,
            key,
            socket,
            state: State::new(flags),
            class: Cell::new(Class::SMALLEST),
            failure: Cell::new(0),
            limits: Cell::new(limits),
            ring: Cell::new(None),
            outbound: RefCell::new(None),
            reader: Cell::new(None),
            writers: Cell::new(None),
            peer: OnceCell::new(),
            gauge: OnceCell::new(),
        }
    }

    pub(crate) fn with_peer(self, peer: Address) -> Port {
        let _ = self.peer.set(peer);
        self
    }

    /// The peer's address; it stays known after the connection has ended.
    pub(crate) fn peer(&self) -> io::Result<&Address> {
        if self.peer.get().is_none() {
            let _ = self.peer.set(self.socket.peer_address()?);
        }
        self.peer.get().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    #[inline]
    pub(crate) fn has(&self, flags: Flag) -> bool {
        self.state.has(flags)
    }

    #[inline]
    pub(crate) fn take(&self, flags: Flag) -> bool {
        self.state.take(flags)
    }

    pub(crate) fn gauge(&self) -> &Arc<Gauge> {
        self.gauge.get_or_init(Arc::default)
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
    }

    /// Why the socket is of no more use, if it is not.
    #[inline]
    pub(crate) fn failure(&self) -> Option<io::Error> {
        match self.failure.get() {
            0 => None,
            number => Some(io::Error::from_raw_os_error(number)),
        }
    }

    #[inline]
    pub(crate) fn is_failed(&self) -> bool {
        self.failure.get() != 0
    }

    pub(crate) fn fail(&self, error: &io::Error) {
        if !self.is_failed() {
            self.failure.set(error.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error()));
        }
        self.state.clear(Flag::READABLE.or(Flag::BLOCKED));
        // What is queued can go nowhere.
        if let Some(mut outbound) = self.outbound.try_borrow_mut().ok().and_then(|mut outbound| outbound.take()) {
            outbound.clear();
            self.core.pool.borrow_mut().give_outbound(outbound);
        }
        self.notify(Flag::NEWS);
        self.wake_writers();
    }

    // Events: the reactor calls these.

    /// Deals with what the socket is ready for; says how many bytes were read.
    pub(super) fn ready(&self, readiness: Readiness) -> usize {
        if readiness == Readiness::NONE {
            self.state.clear(Flag::AGAIN);
        }
        if readiness.contains(Readiness::WRITE) && self.state.take(Flag::BLOCKED) {
            self.flush();
            self.wake_writers_below_mark();
        }
        if readiness.contains(Readiness::READ) {
            self.state.set(Flag::READABLE);
        }
        if readiness.contains(Readiness::END) {
            self.state.set(Flag::END_NEAR);
        }
        let closed_to_input = Flag::LENT.or(Flag::PAUSED).or(Flag::ENDED);
        let read = if self.has(Flag::READABLE) && !self.has(closed_to_input) { self.drain() } else { 0 };
        self.arm();
        read
    }

    /// Reads what there is, as far as the ring has room, and wakes the reader.
    fn drain(&self) -> usize {
        let core = &self.core;
        let mut ring = self.ring.take().unwrap_or_else(|| core.pool.borrow_mut().ring(self.class.get()));
        let mut total = 0;
        while self.has(Flag::READABLE) && !ring.is_full() {
            let room = ring.capacity() - ring.len();
            match self.socket.recv(ring.spare()) {
                Poll::Ready(Ok(0)) => {
                    self.state.clear(Flag::READABLE);
                    self.state.set(Flag::ENDED.or(Flag::NEWS));
                }
                Poll::Ready(Ok(read)) => {
                    total += read;
                    // A short read has emptied the socket. Only an end that is near must be read for by itself.
                    if read < room && !self.has(Flag::END_NEAR) {
                        self.state.clear(Flag::READABLE);
                    }
                    if self.has(Flag::DISCARD) {
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
        self.class.set(self.class.get().after_read(total, ring.is_full()));
        self.keep(ring);
        if self.has(Flag::NEWS) {
            self.wake_reader();
        }
        total
    }

    /// On the portable path, asks for the events that are still of interest. Bytes that are known to be there are not.
    fn arm(&self) {
        if !self.core.is_one_shot() {
            return;
        }
        let deaf = Flag::READABLE.or(Flag::PAUSED).or(Flag::ENDED);
        let interest = Readiness::NONE
            .with(Readiness::READ, !self.has(deaf) && !self.is_failed())
            .with(Readiness::WRITE, self.has(Flag::BLOCKED));
        self.core.arm(self.key, self.socket.as_fd(), interest);
    }

    pub(crate) fn watch(&self) {
        self.arm();
    }

    fn look_again(&self) {
        if !self.has(Flag::AGAIN) {
            self.state.set(Flag::AGAIN);
            self.core.look_again(self.key);
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
    pub(crate) fn put_ring(&self, mut ring: Box<Ring>) {
        self.state.clear(Flag::LENT);
        if ring.capacity() > Class::LARGEST.bytes() && ring.len() < ring.capacity() / 4 && !ring.is_empty() {
            // A rare giant has passed.
            ring.resize(Class::LARGEST.bytes());
        }
        self.keep(ring);
        if self.has(Flag::READABLE) && !self.has(Flag::PAUSED) {
            self.look_again();
        }
    }

    #[inline]
    fn keep(&self, ring: Box<Ring>) {
        if ring.is_empty() {
            self.core.pool.borrow_mut().give_ring(ring);
        } else {
            self.ring.set(Some(ring));
        }
    }

    /// How many received bytes wait, while the ring is not lent.
    pub(crate) fn buffered(&self) -> usize {
        let ring = self.ring.take();
        let buffered = ring.as_ref().map_or(0, |ring| ring.len());
        self.ring.set(ring);
        buffered
    }

    /// Ready when something has happened since the last time: input, the end of it, a failure, a request.
    #[inline]
    pub(crate) fn poll_news(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.take(Flag::NEWS) {
            return Poll::Ready(());
        }
        let waker = self.reader.take().filter(|waker| waker.will_wake(cx.waker()));
        self.reader.set(Some(waker.unwrap_or_else(|| cx.waker().clone())));
        Poll::Pending
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

    /// From here on input is thrown away, so that a peer which is busy sending can not keep a close from its end.
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

    // Output.

    /// Bytes that wait to be written.
    #[inline]
    pub(crate) fn queued(&self) -> usize {
        self.outbound.borrow().as_ref().map_or(0, |outbound| outbound.len())
    }

    #[inline]
    pub(crate) fn is_above_high_water(&self) -> bool {
        self.queued() > self.limits.get().high as usize
    }

    /// Writes as much of the queue as the socket takes.
    pub(crate) fn flush(&self) {
        let mut outbound = self.outbound.borrow_mut();
        let Some(queue) = outbound.as_mut() else { return };
        while !queue.is_empty() && !self.has(Flag::BLOCKED) {
            match queue.with_slices(&[], |slices| self.socket.send(slices)) {
                Poll::Ready(Ok(written)) => queue.advance(written),
                Poll::Ready(Err(error)) => {
                    drop(outbound);
                    return self.fail(&error);
                }
                Poll::Pending => self.block(),
            }
        }
        if queue.is_empty() {
            if let Some(queue) = outbound.take() {
                self.core.pool.borrow_mut().give_outbound(queue);
            }
        }
    }

    fn block(&self) {
        self.state.set(Flag::BLOCKED);
        self.arm();
    }

    /// Has the queue written at the end of this turn, together with what is queued until then.
    pub(crate) fn flush_later(&self) {
        if !self.has(Flag::UNFLUSHED) {
            self.state.set(Flag::UNFLUSHED);
            self.core.flush_later(self.key);
        }
    }

    /// The time for that has come.
    pub(super) fn flush_now(&self) {
        self.state.clear(Flag::UNFLUSHED);
        self.flush();
    }

    /// Ready when the queue is below its mark: `send` may go on. Ready with the failure if there will be no more room.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_queue(cx, self.limits.get().low as usize)
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
            None if self.queued() <= mark => Poll::Ready(Ok(())),
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
        let mut writers = self.writers.take().unwrap_or_default();
        if !writers.iter().any(|waker| waker.will_wake(cx.waker())) {
            writers.push(cx.waker().clone());
        }
        self.writers.set(Some(writers));
    }

    /// Those who wait look at the queue for themselves: one may want it low, another empty.
    fn wake_writers_below_mark(&self) {
        if self.queued() <= self.limits.get().low as usize {
            self.wake_writers();
            if let Some(gauge) = self.gauge.get() {
                gauge.set_full(false);
            }
        }
    }

    fn wake_writers(&self) {
        if let Some(writers) = self.writers.take() {
            writers.into_iter().for_each(Waker::wake);
        }
    }

    /// Writes past the queue, for who has flushed it: a stream's own `write`.
    pub(crate) fn send_now(&self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = self.socket.send(&[io::IoSlice::new(bytes)]);
        match &sent {
            Poll::Pending => self.block(),
            Poll::Ready(Err(error)) => self.fail(error),
            Poll::Ready(Ok(_)) => {}
        }
        sent
    }

    /// Tells the peer that nothing more will come.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.state.set(Flag::SHUT);
        self.socket.shutdown_write()
    }

    /// Ends the connection here and now; its descriptor closes with the last reference to it.
    pub(crate) fn deregister(&self) {
        self.core.deregister(self.key, false);
    }

    /// Takes the buffers that are still borrowed, for a stream that moves elsewhere.
    pub(crate) fn take_input(&self) -> Option<Box<Ring>> {
        self.ring.take()
    }
}

impl Direct for Port {
    fn write_through(&self, queue: &mut Outbound, bytes: &[u8]) -> usize {
        if self.has(Flag::BLOCKED.or(Flag::SHUT)) || self.is_failed() {
            return 0;
        }
        match queue.with_slices(bytes, |slices| self.socket.send(slices)) {
            Poll::Ready(Ok(written)) => {
                let queued = written.min(queue.len());
                queue.advance(queued);
                written - queued
            }
            Poll::Ready(Err(error)) => {
                self.fail(&error);
                0
            }
            Poll::Pending => {
                self.block();
                0
            }
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if let Some(gauge) = self.gauge.get() {
            gauge.close();
        }
        let mut pool = self.core.pool.borrow_mut();
        if let Some(mut ring) = self.ring.take() {
            ring.consume(ring.len());
            pool.give_ring(ring);
        }
        if let Some(mut outbound) = self.outbound.take() {
            outbound.clear();
            pool.give_outbound(outbound);
        }
    }
}
