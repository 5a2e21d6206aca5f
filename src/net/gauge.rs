//! What other threads may know of a port.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

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
}
