//! When a server that stops must have ended.

use crate::io::{Clock, Nanos, nanos};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::time::{Duration, Instant};

/// Set by any thread, and only ever to an earlier time.
pub(super) struct StopBy {
    clock: Clock,
    /// The shortest time that was asked for, and when it ends. [`NEVER`]: no stop was asked for.
    within: AtomicU64,
    by: AtomicU64,
}

const NEVER: Nanos = Nanos::MAX;

impl Default for StopBy {
    fn default() -> StopBy {
        StopBy { clock: Clock::start(), within: NEVER.into(), by: NEVER.into() }
    }
}

impl StopBy {
    /// Asks for the end within this time from now.
    pub(super) fn within(&self, within: Duration) {
        let within = nanos(within).min(NEVER - 1);
        self.within.fetch_min(within, AcqRel);
        self.by.fetch_min(self.end_of(within), AcqRel);
    }

    /// A server that was told to stop before it began has its time from now on.
    pub(super) fn begin(&self) {
        let mut within = self.within.load(Acquire);
        while within < NEVER {
            self.by.store(self.end_of(within), Release);
            // A call that came in between may have asked for less.
            let latest = self.within.load(Acquire);
            if latest == within {
                break;
            }
            within = latest;
        }
    }

    /// When the server must have ended; `None` if it is not to stop.
    pub(super) fn get(&self) -> Option<Instant> {
        let by = self.by.load(Acquire);
        (by < NEVER).then(|| self.clock.instant(by))
    }

    fn end_of(&self, within: Nanos) -> Nanos {
        self.clock.now().saturating_add(within).min(NEVER - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_stop_shortens_the_time_and_cannot_extend_it() {
        let stop = StopBy::default();
        assert_eq!(stop.get(), None);
        stop.within(Duration::MAX);
        let first = stop.get().unwrap();
        stop.within(Duration::from_secs(10));
        let second = stop.get().unwrap();
        assert!(second < first);
        stop.within(Duration::from_secs(20));
        assert_eq!(stop.get(), Some(second));
    }

    #[test]
    fn the_time_of_a_server_that_was_stopped_before_it_began_counts_from_its_beginning() {
        let stop = StopBy::default();
        stop.within(Duration::from_secs(10));
        let asked = stop.get().unwrap();
        stop.begin();
        assert!(stop.get().unwrap() >= asked);
        let never = StopBy::default();
        never.begin();
        assert_eq!(never.get(), None);
    }
}
