//! How long to wait before another try.

use crate::limits;
use std::time::Duration;

/// The pauses between tries to connect: each is twice as long as the one before, up to a maximum, and a random part of up
/// to one half is taken off it, so that the clients of a server that went away do not all come back at once.
///
/// ```
/// use std::time::Duration;
/// use tiderace::Backoff;
///
/// let backoff = Backoff::default().first(Duration::from_millis(50)).tries(10);
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    tries: Option<u32>,
}

impl Default for Backoff {
    /// From 100 milliseconds to 30 seconds, for ever.
    fn default() -> Backoff {
        Backoff { first: limits::RECONNECT_FIRST, max: limits::RECONNECT_MAX, tries: None }
    }
}

impl Backoff {
    /// The pause before the second try. Default: 100 milliseconds.
    pub fn first(mut self, pause: Duration) -> Backoff {
        self.first = pause;
        self
    }

    /// The longest pause. Default: 30 seconds. A connection that has held for longer than this counts as a success: after
    /// it, the pauses begin with the first again.
    pub fn max(mut self, pause: Duration) -> Backoff {
        self.max = pause;
        self
    }

    /// Gives up after so many tries without such a success. Default: never.
    ///
    /// A connection that was made and has ended before it had held for longer than [`max`](Backoff::max) counts as one of the
    /// tries that failed. So with the default of 30 seconds, `tries(3)` gives up after three connections in a row that have
    /// lived for 30 seconds or less.
    pub fn tries(mut self, tries: u32) -> Backoff {
        self.tries = Some(tries);
        self
    }

    pub(crate) fn is_success(&self, held: Duration) -> bool {
        held > self.max
    }

    /// How long to pause after `failed` tries in a row, at least one; `None`: give up.
    pub(crate) fn pause(&self, failed: u32) -> Option<Duration> {
        if self.tries.is_some_and(|tries| failed >= tries) {
            return None;
        }
        let doubled = 1_u32.checked_shl(failed - 1).and_then(|times| self.first.checked_mul(times));
        let pause = doubled.map_or(self.max, |pause| pause.min(self.max));
        // Not a product of the whole: the longest duration, as a fraction, is rounded up to more than there can be.
        Some(pause.saturating_sub((pause / 2).mul_f64(fastrand::f64())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_maximum_and_no_two_are_the_same() {
        let backoff = Backoff::default().first(Duration::from_millis(100)).max(Duration::from_secs(1));
        for (failed, longest) in
            [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (6, 1000), (99, 1000), (u32::MAX, 1000)]
        {
            let longest = Duration::from_millis(longest);
            let pauses: Vec<Duration> = (0..100).map(|_| backoff.pause(failed).unwrap()).collect();
            assert!(pauses.iter().all(|pause| *pause >= longest / 2 && *pause <= longest), "{pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
        }
    }

    #[test]
    fn after_the_last_try_there_is_no_pause() {
        let backoff = Backoff::default().tries(3);
        assert!(backoff.pause(2).is_some());
        assert_eq!(backoff.pause(3), None);
    }

    #[test]
    fn the_longest_durations_do_not_overflow() {
        let backoff = Backoff::default().first(Duration::MAX).max(Duration::from_secs(5));
        assert!(backoff.pause(7).unwrap() <= Duration::from_secs(5));
    }
}
