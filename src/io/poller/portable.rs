//! Every system that `polling` knows: one-shot interest, armed anew after each event.

use super::{EVENTS, Event, NOTIFY, Readiness, Wait};
use polling::Events;
use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Portable {
    poller: Arc<polling::Poller>,
    buffer: Events,
    /// Sockets that the poller does not know for now, because no event of theirs is wanted: poll(2) reports a hang-up and an
    /// error also where nothing is asked for, and would do so again and again.
    parked: RefCell<HashSet<RawFd>>,
}

#[derive(Clone)]
pub(crate) struct Notifier(Arc<polling::Poller>);

impl Portable {
    pub(super) fn new(poller: Arc<polling::Poller>) -> Portable {
        let buffer = Events::with_capacity(NonZeroUsize::new(EVENTS).expect("a batch has room"));
        Portable { poller, buffer, parked: RefCell::default() }
    }

    pub(super) fn add(&self, socket: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        self.register(socket, polling::Event::none(key))
    }

    #[allow(unsafe_code)]
    fn register(&self, socket: BorrowedFd<'_>, event: polling::Event) -> io::Result<()> {
        // SAFETY: `Poller::add` asks that the source be deleted before it is closed. The reactor's table owns every socket
        // that it registers, and deletes it here when it takes it out, before the descriptor is dropped.
        unsafe { self.poller.add(socket.as_raw_fd(), event) }
    }

    pub(super) fn arm(&self, socket: BorrowedFd<'_>, key: usize, interest: Readiness) -> io::Result<()> {
        if interest == Readiness::NONE {
            return self.park(socket);
        }
        let (read, write) = (interest.contains(Readiness::READ), interest.contains(Readiness::WRITE));
        let event = polling::Event::new(key, read, write);
        if self.parked.borrow_mut().remove(&socket.as_raw_fd()) {
            self.register(socket, event)
        } else {
            self.poller.modify(socket, event)
        }
    }

    /// Has nothing more reported of a socket until it is armed.
    fn park(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        // epoll(7) and kqueue(2) report nothing more after a one-shot event. To ask them for nothing would be an interest of its
        // own: epoll would report a hang-up for it, each time anew.
        if self.poller.supports_edge() || !self.parked.borrow_mut().insert(socket.as_raw_fd()) {
            return Ok(());
        }
        self.poller.delete(socket)
    }

    pub(super) fn delete(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        if self.parked.borrow_mut().remove(&socket.as_raw_fd()) { Ok(()) } else { self.poller.delete(socket) }
    }

    pub(super) fn wait(&mut self, events: &mut Vec<Event>, wait: Wait) -> io::Result<()> {
        let timeout = match wait {
            Wait::Poll => Some(Duration::ZERO),
            Wait::Until { deadline, now } => Some(Duration::from_nanos(deadline.saturating_sub(now))),
            Wait::Forever => None,
        };
        self.buffer.clear();
        let mut waited = self.poller.wait(&mut self.buffer, timeout);
        // polling's `poll` backend (3.11) notes a notification before it writes it: a wait in between finds nothing to read.
        // It has been notified then, and has to be asked once more, or it hears of no other.
        while waited.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            waited = self.poller.wait(&mut self.buffer, Some(Duration::ZERO));
        }
        match waited {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in self.buffer.iter().filter(|event| event.key != NOTIFY) {
            // No end of stream is named. It need not be: a one-shot interest that is armed again reports it again.
            let readiness =
                Readiness::NONE.with(Readiness::READ, event.readable).with(Readiness::WRITE, event.writable);
            events.push(Event { key: event.key, readiness });
        }
        Ok(())
    }
}

impl Notifier {
    pub(super) fn new(poller: &Arc<polling::Poller>) -> Notifier {
        Notifier(poller.clone())
    }

    pub(super) fn notify(&self) -> io::Result<()> {
        self.0.notify()
    }
}
