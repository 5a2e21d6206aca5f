//! Linux: edge-triggered, registered once, one system call a wait.
//!
//! The descriptor is that of `polling`'s poller, but `Poller::wait` itself would make five system calls where one does.
//! Three more differences from it. EPOLLRDHUP and EPOLLPRI are asked for, because an end of stream that comes in the same
//! edge as the last bytes is never reported again, and neither are the bytes behind an urgent one. A notification is an edge
//! of an eventfd, which need not be read. The deadline sits in a timerfd that is set only when an earlier one is wanted, and
//! counts nanoseconds where epoll_wait(2) counts milliseconds.

use super::{EVENTS, Event, NOTIFY, Readiness, Wait};
use crate::io::Nanos;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The key of the timer's event.
const TIMER: usize = NOTIFY - 1;
const NO_DEADLINE: Nanos = Nanos::MAX;
const ZERO: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The descriptors of a poller, which may be opened on one thread for another.
pub(crate) struct Opened {
    poller: polling::Poller,
    timer: OwnedFd,
    notified: Arc<OwnedFd>,
}

pub(crate) struct Epoll {
    opened: Opened,
    /// When the timer goes off; [`NO_DEADLINE`] when it does not.
    timer_set_to: Nanos,
    buffer: Vec<epoll::Event>,
}

#[derive(Clone)]
pub(crate) struct Notifier(Arc<OwnedFd>);

impl Opened {
    pub(super) fn new() -> io::Result<Opened> {
        let poller = polling::Poller::new()?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let notified = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let edge = EventFlags::IN | EventFlags::ET;
        epoll::add(&poller, &timer, EventData::new_u64(TIMER as u64), edge)?;
        epoll::add(&poller, &notified, EventData::new_u64(NOTIFY as u64), edge)?;
        Ok(Opened { poller, timer, notified: Arc::new(notified) })
    }

    pub(super) fn notifier(&self) -> Notifier {
        Notifier(self.notified.clone())
    }

    pub(super) fn into_poller(self) -> Epoll {
        Epoll { opened: self, timer_set_to: NO_DEADLINE, buffer: Vec::with_capacity(EVENTS) }
    }
}

impl Epoll {
    pub(super) fn add(&self, socket: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        let both = EventFlags::IN | EventFlags::PRI | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.opened.poller, socket, EventData::new_u64(key as u64), both)?)
    }

    /// Nothing: every edge comes unasked.
    #[inline]
    pub(super) fn arm(&self, _: BorrowedFd<'_>, _: usize, _: Readiness) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn delete(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.opened.poller, socket)?)
    }

    #[inline]
    pub(super) fn wait(&mut self, events: &mut Vec<Event>, wait: Wait) -> io::Result<()> {
        let timeout = match wait {
            Wait::Poll => Some(&ZERO),
            Wait::Forever => None,
            Wait::Until { deadline, now } => {
                if deadline < self.timer_set_to {
                    self.set_timer(deadline, now)?;
                }
                None
            }
        };
        self.buffer.clear();
        match epoll::wait(&self.opened.poller, rustix::buffer::spare_capacity(&mut self.buffer), timeout) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in &self.buffer {
            // The kernel's structure is packed: its fields are copied out, never borrowed.
            let (flags, data) = (event.flags, event.data);
            match data.u64() as usize {
                NOTIFY => {}
                TIMER => self.timer_set_to = NO_DEADLINE,
                key => events.push(Event { key, readiness: readiness(flags) }),
            }
        }
        Ok(())
    }

    #[cold]
    fn set_timer(&mut self, deadline: Nanos, now: Nanos) -> io::Result<()> {
        // Zero would disarm the timer.
        let ns = deadline.saturating_sub(now).max(1);
        let after = Timespec { tv_sec: (ns / 1_000_000_000) as _, tv_nsec: (ns % 1_000_000_000) as _ };
        let once = Itimerspec { it_interval: ZERO, it_value: after };
        timerfd_settime(&self.opened.timer, TimerfdTimerFlags::empty(), &once)?;
        self.timer_set_to = deadline;
        Ok(())
    }
}

#[inline]
fn readiness(flags: EventFlags) -> Readiness {
    // EPOLLERR and EPOLLHUP come unasked and mean that both directions answer at once, if only with an error.
    let gone = flags.intersects(EventFlags::ERR | EventFlags::HUP);
    let more = gone || flags.intersects(EventFlags::RDHUP | EventFlags::PRI);
    Readiness::NONE
        .with(Readiness::READ, more || flags.contains(EventFlags::IN))
        .with(Readiness::WRITE, gone || flags.contains(EventFlags::OUT))
        .with(Readiness::MORE, more)
}

impl Notifier {
    pub(super) fn notify(&self) -> io::Result<()> {
        // Each write is an edge. The counter is full after 2^64 of them, and even then the edge has come.
        match rustix::io::write(&*self.0, &1u64.to_ne_bytes()) {
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
