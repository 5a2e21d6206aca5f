//! A datagram socket on the reactor, which receives before any task runs, and sends when all have run.

use super::outgoing::{Outgoing, Step};
use crate::io::{Batch, DatagramSocket, Peer, Readiness, check_length};
use crate::limits;
use crate::runtime::{Core, Interrupt, Source};
use crate::slots::Key;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::{Context, Poll, Waker};

pub(crate) struct DatagramLink {
    pub(crate) core: Rc<Core>,
    pub(super) key: Key,
    pub(super) socket: DatagramSocket,
    /// Whether it belongs to a server, and ends with that.
    served: bool,
    /// More may wait in the socket.
    readable: Cell<bool>,
    /// The socket took no more.
    blocked: Cell<bool>,
    /// A look or a flush is asked for already.
    again: Cell<bool>,
    unflushed: Cell<bool>,
    /// Nothing more is received.
    ended: Cell<bool>,
    /// What was received and not taken; `None` while it is lent, and before the first.
    received: Cell<Option<Box<Batch>>>,
    lent: Cell<bool>,
    failure: Cell<Option<io::Error>>,
    outgoing: RefCell<Outgoing>,
    /// Datagrams are being sent, further up the stack: a subscriber of `tracing` that is told of a lost one might send, too.
    sending: Cell<bool>,
    reader: Cell<Option<Waker>>,
    writers: RefCell<Vec<Waker>>,
    pub(super) shared: Arc<Shared>,
}

/// What senders in other threads see.
#[derive(Default)]
pub(super) struct Shared {
    /// How many datagrams are under way to the socket's core.
    pub(super) in_flight: AtomicUsize,
    pub(super) closed: AtomicBool,
}

impl DatagramLink {
    pub(super) fn new(core: &Rc<Core>, socket: DatagramSocket, served: bool) -> io::Result<Rc<DatagramLink>> {
        let mut socket = Some(socket);
        let link = core.register(|key| {
            Rc::new(DatagramLink {
                core: core.clone(),
                key,
                socket: socket.take().expect("registered once"),
                served,
                readable: Cell::new(false),
                blocked: Cell::new(false),
                again: Cell::new(false),
                unflushed: Cell::new(false),
                ended: Cell::new(false),
                received: Cell::new(None),
                lent: Cell::new(false),
                failure: Cell::new(None),
                outgoing: RefCell::default(),
                sending: Cell::new(false),
                reader: Cell::new(None),
                writers: RefCell::default(),
                shared: Arc::default(),
            })
        })?;
        link.arm();
        Ok(link)
    }

    /// On the portable path, asks for the events that are still of interest.
    fn arm(&self) {
        if self.core.is_one_shot() {
            let deaf = self.readable.get() || self.ended.get();
            let interest = Readiness::NONE.with(Readiness::READ, !deaf).with(Readiness::WRITE, self.blocked.get());
            self.core.arm(self.key, self.socket.as_fd(), interest);
        }
    }

    /// Receives one batch, if the last one has been taken.
    fn receive(&self) -> usize {
        let mut batch = self.received.take().unwrap_or_else(|| Box::new(Batch::new(&self.socket)));
        let mut total = 0;
        if batch.is_empty() && self.readable.get() {
            match batch.receive(&self.socket) {
                Poll::Ready(Ok(bytes)) => {
                    total = bytes;
                    // A batch that is not full has emptied the socket.
                    self.readable.set(batch.is_full() || batch.is_empty());
                }
                Poll::Ready(Err(error)) => self.failure.set(Some(error)),
                Poll::Pending => self.readable.set(false),
            }
            self.wake_reader();
        }
        self.received.set(Some(batch));
        total
    }

    fn wake_reader(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn look_again(&self) {
        if !self.again.replace(true) {
            self.core.look_soon(self.key);
        }
    }

    /// Lends what was received: ready when there is something, or nothing more will be. It is to come back by
    /// [`DatagramLink::give_back`].
    pub(crate) fn poll_received(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Box<Batch>>>> {
        if let Some(error) = self.failure.take() {
            self.look_again();
            return Poll::Ready(Err(error));
        }
        match self.received.take() {
            Some(batch) if !batch.is_empty() => {
                self.lent.set(true);
                return Poll::Ready(Ok(Some(batch)));
            }
            batch => self.received.set(batch),
        }
        if self.ended.get() {
            return Poll::Ready(Ok(None));
        }
        if self.readable.get() {
            self.look_again();
        }
        self.reader.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    pub(crate) fn give_back(&self, batch: Box<Batch>) {
        self.lent.set(false);
        self.received.set(Some(batch));
    }

    /// Nothing more is received; what was, is still to be taken.
    pub(super) fn end(&self) {
        self.ended.set(true);
        self.readable.set(false);
        self.wake_reader();
    }

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
        if self.sending.get() {
            // Sent where those before it are.
        } else if fills_batch {
            self.send();
        } else if !self.unflushed.replace(true) {
            self.core.flush_later(self.key);
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

    /// Whether those who wait for room may go on.
    fn has_room(&self) -> bool {
        self.outgoing.borrow().cost() <= limits::WRITE_LOW_WATER as usize
    }

    /// Ready when there is room for more, after there was none.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.send();
        self.wait_until(self.has_room(), cx)
    }

    /// Ready when nothing waits to be sent.
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.send();
        let is_empty = self.outgoing.borrow().is_empty();
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

    /// Takes it out of the reactor. What waits to be sent is sent, as far as the socket takes it.
    pub(super) fn close(&self) {
        self.shared.closed.store(true, std::sync::atomic::Ordering::Release);
        self.send();
        self.core.deregister(self.key, false);
    }
}

impl Source for DatagramLink {
    fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn ready(&self, _: &Rc<Core>, readiness: Readiness) -> usize {
        let is_second_look = readiness == Readiness::NONE;
        if is_second_look {
            self.again.set(false);
        }
        if readiness.contains(Readiness::READ) && !self.ended.get() {
            self.readable.set(true);
        }
        let read = if self.readable.get() && !self.lent.get() && !self.again.get() { self.receive() } else { 0 };
        // Sent after that, because it may ask for another look.
        if is_second_look || (readiness.contains(Readiness::WRITE) && self.blocked.replace(false)) {
            self.send();
        }
        self.arm();
        read
    }

    fn flush(&self) {
        self.unflushed.set(false);
        self.send();
    }

    fn core_ends(&self) {
        self.end();
    }

    fn interrupt(&self, how: Interrupt) {
        if self.served && how != Interrupt::Refuse {
            self.end();
        }
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
