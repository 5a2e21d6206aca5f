//! Every system that `polling` knows: one-shot interest, armed anew after each event.

use super::{EVENTS, Event, NOTIFY, Readiness, Wait};
use polling::Events;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Portable {
    poller: Arc<polling::Poller>,
    buffer: Events,
}

#[derive(Clone)]
pub(crate) struct Notifier(Arc<polling::Poller>);

impl Portable {
    pub(super) fn new(poller: Arc<polling::Poller>) -> Portable {
        let buffer = Events::with_capacity(NonZeroUsize::new(EVENTS).expect("a batch has room"));
        Portable { poller, buffer }
    }

    #[allow(unsafe_code)]
    pub(super) fn add(&self, socket: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        // SAFETY: `Poller::add` asks that the source be deleted before it is closed. The reactor's table owns every socket
        // that it registers, and deletes it here when it takes it out, before the descriptor is dropped.
        unsafe { self.poller.add(socket.as_raw_fd(), polling::Event::none(key)) }
    }

    pub(super) fn arm(&self, socket: BorrowedFd<'_>, key: usize, interest: Readiness) -> io::Result<()> {
        let (read, write) = (interest.contains(Readiness::READ), interest.contains(Readiness::WRITE));
        self.poller.modify(socket, polling::Event::new(key, read, write))
    }

    pub(super) fn delete(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.poller.delete(socket)
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
