//! A datagram socket on the reactor, which receives before any task runs, and sends when all have run.

use super::outgoing::{Failed, Outgoing};
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

    fn has_failed(&self) -> bool {
        let failure = self.failure.take();
        let has_failed = failure.is_some();
        self.failure.set(failure);
        has_failed
    }

    fn wake_reader(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn look_again(&self) {
        if !self.again.replace(true) {
            self.core.look_again(self.key);
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
        if outgoing.len() > limits::WRITE_HIGH_WATER as usize {
            return Ok(false);
        }
        outgoing.push(payload, to);
        let fills_batch = outgoing.fills_batch();
        drop(outgoing);
        if fills_batch {
            self.send();
        } else if !self.unflushed.replace(true) {
            self.core.flush_later(self.key);
        }
        Ok(true)
    }

    /// Bytes that wait to be sent.
    pub(super) fn queued(&self) -> usize {
        self.outgoing.borrow().len()
    }

    /// Sends what waits, as far as the socket takes it.
    pub(super) fn send(&self) {
        if self.blocked.get() || self.outgoing.borrow().is_empty() {
            return;
        }
        let blocked = self.outgoing.borrow_mut().send(&self.socket, |failed| match failed {
            Failed::Earlier(error) => self.failure.set(Some(error)),
            Failed::Lost(error, to) => tracing::debug!(%error, to = ?to.map(|to| to.addr()), "a datagram was not sent"),
        });
        if self.has_failed() {
            self.wake_reader();
        }
        if blocked {
            self.blocked.set(true);
            self.arm();
        } else {
            let writers = self.writers.take();
            writers.into_iter().for_each(Waker::wake);
        }
    }

    /// Ready when nothing waits to be sent.
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.send();
        if self.outgoing.borrow().is_empty() {
            return Poll::Ready(());
        }
        let mut writers = self.writers.borrow_mut();
        if !writers.iter().any(|waker| waker.will_wake(cx.waker())) {
            writers.push(cx.waker().clone());
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
        if readiness == Readiness::NONE {
            self.again.set(false);
        }
        if readiness.contains(Readiness::WRITE) && self.blocked.replace(false) {
            self.send();
        }
        if readiness.contains(Readiness::READ) && !self.ended.get() {
            self.readable.set(true);
        }
        let read = if self.readable.get() && !self.lent.get() && !self.again.get() { self.receive() } else { 0 };
        self.arm();
        read
    }

    fn flush(&self) {
        self.unflushed.set(false);
        self.send();
    }

    fn interrupt(&self, how: Interrupt) {
        if self.served && how != Interrupt::Refuse {
            self.end();
        }
    }
}
