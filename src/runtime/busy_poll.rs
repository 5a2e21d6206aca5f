//! Whether to poll on before a sleep.
//!
//! Falling asleep and being woken costs more than a small message. Where events follow each other within some tens of
//! microseconds it is cheaper, and much faster, to poll on. Where they do not, it burns time for nothing. So the wait
//! polls on only after a streak of short gaps between events; each time that this fails the streak must be twice as long,
//! and each time that it succeeds it may be shorter again. A server with rare events never polls on.

use crate::io::Nanos;

/// The streak that is asked for at best, and at worst.
const STREAK: (u32, u32) = (4, 1024);

pub(super) struct BusyPoll {
    /// How long to poll on; 0: never.
    limit: Nanos,
    /// Short gaps since the last long one.
    streak: u32,
    /// The streak from which on to poll.
    needed: u32,
}

impl BusyPoll {
    pub(super) fn new(limit: Nanos) -> BusyPoll {
        BusyPoll { limit, streak: 0, needed: STREAK.0 }
    }

    #[inline]
    pub(super) fn limit(&self) -> Nanos {
        self.limit
    }

    /// Whether to poll on before the next sleep.
    #[inline]
    pub(super) fn is_worth_it(&self) -> bool {
        self.streak >= self.needed && self.limit > 0
    }

    /// An event came while polling on.
    #[inline]
    pub(super) fn hit(&mut self) {
        self.streak = self.streak.saturating_add(1);
        self.needed = (self.needed - self.needed / 4).max(STREAK.0);
    }

    /// None came.
    pub(super) fn miss(&mut self) {
        self.streak = 0;
        self.needed = (self.needed * 2).min(STREAK.1);
    }

    /// A sleep ended after `gap`. It counts as short up to twice the limit: the sleep itself has lengthened it.
    #[inline]
    pub(super) fn slept(&mut self, gap: Nanos) {
        self.streak = if gap <= 2 * self.limit { self.streak.saturating_add(1) } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Nanos = 50_000;

    #[test]
    fn rare_events_are_slept_for() {
        let mut busy = BusyPoll::new(LIMIT);
        for _ in 0..10_000 {
            assert!(!busy.is_worth_it());
            busy.slept(1_000_000);
        }
    }

    #[test]
    fn a_dense_stream_is_polled_for_and_its_end_costs_one_miss() {
        let mut busy = BusyPoll::new(LIMIT);
        (0..STREAK.0).for_each(|_| busy.slept(20_000));
        for _ in 0..100 {
            assert!(busy.is_worth_it());
            busy.hit();
        }
        busy.miss();
        assert!(!busy.is_worth_it());
    }

    #[test]
    fn gaps_that_only_seem_short_are_tried_ever_more_seldom() {
        let mut busy = BusyPoll::new(LIMIT);
        let mut misses = 0;
        for _ in 0..10_000 {
            if busy.is_worth_it() {
                misses += 1;
                busy.miss();
            }
            busy.slept(LIMIT + 20_000);
        }
        assert!(misses < 20, "{misses} misses in 10,000 gaps");
    }

    #[test]
    fn a_limit_of_zero_turns_it_off() {
        let mut busy = BusyPoll::new(0);
        (0..100).for_each(|_| busy.slept(0));
        assert!(!busy.is_worth_it());
    }
}
