//! A datagram socket on the reactor, which receives before any task runs, and sends when all have run.

use super::outgoing::Outgoing;
use super::queue::{SendQueue, Waiting};
use crate::io::{Batch, DatagramSocket, Readiness};
use crate::runtime::{Core, Interrupt, Source};
use crate::slots::Key;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub(crate) struct DatagramLink {
    pub(crate) core: Rc<Core>,
    pub(super) key: Key,
    pub(super) socket: DatagramSocket,
    /// Which of its server's listeners it is, if any.
    pub(super) listener: Option<usize>,
    /// Whether it has a handler, and so ends with its server.
    served: Cell<bool>,
    /// The server ends.
    interrupted: Cell<bool>,
    /// More may wait in the socket.
    readable: Cell<bool>,
    /// The socket took no more.
    pub(super) blocked: Cell<bool>,
    /// A look or a flush is asked for already.
    again: Cell<bool>,
    pub(super) unflushed: Cell<bool>,
    /// Nothing more is received.
    ended: Cell<bool>,
    /// What was received and not taken; `None` while it is lent, and before the first.
    received: Cell<Option<Box<Batch>>>,
    lent: Cell<bool>,
    pub(super) failure: Cell<Option<io::Error>>,
    pub(super) outgoing: RefCell<Outgoing>,
    /// Datagrams are being sent, further up the stack: a subscriber of `tracing` that is told of a lost one might send, too.
    pub(super) sending: Cell<bool>,
    reader: Cell<Option<Waker>>,
    pub(super) writers: RefCell<Vec<Waker>>,
    /// Futures elsewhere that wait for room in the queue, and for the end.
    pub(super) room: Waiting,
    pub(super) closed: Waiting,
    pub(super) shared: Arc<Shared>,
}

/// What senders in other threads see.
pub(super) struct Shared {
    pub(super) queue: SendQueue,
}

impl DatagramLink {
    pub(super) fn new(
        core: &Rc<Core>,
        socket: DatagramSocket,
        listener: Option<usize>,
    ) -> io::Result<Rc<DatagramLink>> {
        let mut socket = Some(socket);
        let link = core.register(|key| {
            Rc::new(DatagramLink {
                core: core.clone(),
                key,
                socket: socket.take().expect("registered once"),
                listener,
                served: Cell::new(false),
                interrupted: Cell::new(false),
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
                room: Waiting::default(),
                closed: Waiting::default(),
                shared: Arc::new(Shared { queue: SendQueue::new() }),
            })
        })?;
        link.arm();
        Ok(link)
    }

    /// On the portable path, asks for the events that are still of interest.
    pub(super) fn arm(&self) {
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

    pub(super) fn wake_reader(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    pub(super) fn look_again(&self) {
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

    /// It has a handler from here on.
    pub(super) fn serve(&self) {
        self.served.set(true);
        if self.interrupted.get() {
            self.end();
        }
    }

    pub(super) fn is_served(&self) -> bool {
        self.served.get()
    }

    /// Nothing more is received; what was, is still to be taken.
    pub(super) fn end(&self) {
        self.ended.set(true);
        self.readable.set(false);
        self.wake_reader();
    }

    /// Takes it out of the reactor. What waits to be sent is sent, as far as the socket takes it.
    pub(super) fn close(&self) {
        self.shared.queue.close();
        let mut lost = 0;
        while !self.shared.queue.is_empty() && !self.blocked.get() && !self.sending.get() {
            self.take_in();
            self.send();
        }
        while let Some(queued) = self.shared.queue.pop() {
            queued.release();
            lost += 1;
        }
        self.send();
        lost += self.outgoing.borrow().len();
        if lost > 0 {
            tracing::debug!(lost, "datagrams were not sent: the socket was closed while the system took no more");
        }
        // Other servers may have duplicates, for which the kernel would go on to watch.
        self.core.deregister(self.key, true);
        self.room.give_up();
        self.closed.release();
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
            if self.shared.queue.is_told() {
                self.take_in();
            }
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
        if how != Interrupt::Refuse {
            self.interrupted.set(true);
            if self.served.get() {
                self.end();
            }
        }
    }
}
