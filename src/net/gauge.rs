//! What other threads may know of a port.

use super::state::Flag;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

/// Kept by the port's core, read from anywhere. It only advises: what it says may be past, so a sender that relies on it is
/// still answered by the core.
#[derive(Default)]
pub(crate) struct Gauge {
    /// The write queue is above its high-water mark.
    full: AtomicBool,
    /// The connection has ended.
    closed: AtomicBool,
    /// Messages on their way to the core.
    in_flight: AtomicUsize,
    /// What has been asked for and is on its way to the core, as flags.
    requests: AtomicU32,
}

impl Gauge {
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Relaxed)
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Relaxed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    /// Counts one more message on its way, unless there are `limit`.
    pub(crate) fn depart(&self, limit: usize) -> bool {
        let departed = self.in_flight.fetch_add(1, Relaxed) < limit;
        if !departed {
            self.arrive();
        }
        departed
    }

    pub(crate) fn arrive(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Asks for something; says whether the core must be told, because nothing that is asked for is on its way yet.
    pub(crate) fn ask(&self, flag: Flag) -> bool {
        self.requests.fetch_or(flag.bits(), SeqCst) == 0
    }

    /// What was asked for.
    pub(crate) fn take_requests(&self) -> Flag {
        Flag::from_bits(self.requests.swap(0, SeqCst))
    }
}
