//! Waiting: the one room that imports `polling`.
//!
//! Two backends of one shape. `Epoll` registers a socket once, edge-triggered for both directions, and waits with one
//! system call. `Portable` works wherever `polling` does: one-shot interest, armed anew when it is wanted. They differ in
//! what must be done for the next event, and [`Poller::arm`] hides that: on epoll it is nothing.

#[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
mod epoll;
mod portable;

use super::Nanos;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// How many events one wait takes at most: few enough that the buffers which they fill are still in cache when the
/// tasks run.
const EVENTS: usize = 128;
/// The key of a notification; also `polling`'s own key for it.
const NOTIFY: usize = usize::MAX;

/// What a socket is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Readiness(u8);

impl Readiness {
    pub(crate) const NONE: Readiness = Readiness(0);
    /// Reading will not block.
    pub(crate) const READ: Readiness = Readiness(1);
    /// Read until the socket would block, because no further event will say that there is more: the peer has ended its stream,
    /// the connection is gone, or urgent data stands in the stream, where a read stops before it.
    pub(crate) const MORE: Readiness = Readiness(2);
    /// Writing will not block.
    pub(crate) const WRITE: Readiness = Readiness(4);

    #[inline]
    pub(crate) fn contains(self, other: Readiness) -> bool {
        self.0 & other.0 == other.0
    }

    #[inline]
    pub(crate) fn with(self, other: Readiness, on: bool) -> Readiness {
        if on { Readiness(self.0 | other.0) } else { self }
    }
}

/// A socket, named by its key, has become ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) key: usize,
    pub(crate) readiness: Readiness,
}

/// How long to wait for events.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// Not at all.
    Poll,
    /// Until this time, which is later than `now`.
    Until { deadline: Nanos, now: Nanos },
    /// Until something happens.
    Forever,
}

/// Says which sockets are ready.
pub(crate) enum Poller {
    #[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
    Epoll(epoll::Epoll),
    Portable(portable::Portable),
}

/// A poller that is open but belongs to no thread yet, so that all those of a server can be opened before any is used.
pub(crate) enum OpenPoller {
    #[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
    Epoll(epoll::Opened),
    Portable(Arc<polling::Poller>),
}

impl OpenPoller {
    /// The best poller of this system, or the portable one.
    pub(crate) fn new(portable: bool) -> io::Result<OpenPoller> {
        #[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
        if !portable && !cfg!(tiderace_portable) {
            return epoll::Opened::new().map(OpenPoller::Epoll);
        }
        let _ = portable;
        polling::Poller::new().map(Arc::new).map(OpenPoller::Portable)
    }

    pub(crate) fn notifier(&self) -> Notifier {
        match self {
            #[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
            OpenPoller::Epoll(opened) => Notifier::Epoll(opened.notifier()),
            OpenPoller::Portable(poller) => Notifier::Portable(portable::Notifier::new(poller)),
        }
    }

    pub(crate) fn into_poller(self) -> Poller {
        match self {
            #[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
            OpenPoller::Epoll(opened) => Poller::Epoll(opened.into_poller()),
            OpenPoller::Portable(poller) => Poller::Portable(portable::Portable::new(poller)),
        }
    }
}

/// Ends a wait from any thread.
#[derive(Clone)]
pub(crate) enum Notifier {
    #[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
    Epoll(epoll::Notifier),
    Portable(portable::Notifier),
}

/// Calls the same method on whichever backend there is.
macro_rules! each {
    ($of:ident, $self:expr, $backend:ident => $call:expr) => {
        match $self {
            #[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
            $of::Epoll($backend) => $call,
            $of::Portable($backend) => $call,
        }
    };
}

impl Poller {
    /// Watches a socket, which must be taken out with [`Poller::delete`] before it is closed.
    pub(crate) fn add(&self, socket: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        each!(Poller, self, poller => poller.add(socket, key))
    }

    /// Asks for the next event of a socket. On epoll every edge comes unasked.
    #[inline]
    pub(crate) fn arm(&self, socket: BorrowedFd<'_>, key: usize, interest: Readiness) -> io::Result<()> {
        each!(Poller, self, poller => poller.arm(socket, key, interest))
    }

    /// Whether a socket's events stop until [`Poller::arm`] asks for the next one.
    #[inline]
    pub(crate) fn is_one_shot(&self) -> bool {
        matches!(self, Poller::Portable(_))
    }

    pub(crate) fn delete(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        each!(Poller, self, poller => poller.delete(socket))
    }

    /// Waits and appends what has become ready to `events`.
    #[inline]
    pub(crate) fn wait(&mut self, events: &mut Vec<Event>, wait: Wait) -> io::Result<()> {
        each!(Poller, self, poller => poller.wait(events, wait))
    }
}

impl Notifier {
    /// Ends the wait that is under way, or else the next one.
    pub(crate) fn notify(&self) {
        if let Err(error) = each!(Notifier, self, notifier => notifier.notify()) {
            tracing::error!(%error, "a core could not be notified");
        }
    }
}
