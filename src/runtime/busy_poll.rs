//! Whether to poll on before a sleep.
//!
//! Falling asleep and being woken costs more than a small message. Where one event follows another within some tens of
//! microseconds it can be cheaper, and is much faster, to poll on. Three questions decide, all by what was seen lately:
//!
//! - *Is the work light?* What a sleep costs is little beside the handling of many bytes, and to come early for them is to
//!   come too often. A core that streams never polls on.
//! - *Are the gaps short?* Only after a streak of short gaps is polling considered. Each time that it waits in vain the
//!   streak must be twice as long, and each time that an event comes it may be shorter again. A server with rare events
//!   never polls on.
//! - *Does it pay?* A core that sleeps finds several events when it wakes, and may so do its work with less. So the
//!   processor time for a byte is measured, once in a while, with sleeping and with polling, and polling goes on only
//!   where it does not cost more.

use crate::io::Nanos;

/// The streak of short gaps that is asked for at best, and at worst.
const STREAK: (u32, u32) = (4, 1024);
/// The bytes that a turn may bring on average for its work to count as light, and over how many turns (a power of two's
/// exponent) the average fades.
const LIGHT: u64 = 8 * 1024;
const FADES: u32 = 4;
/// The waits over which the cost of sleeping and that of polling are measured.
const MEASURED: u32 = 256;
/// How many waits a verdict for polling holds, and one against it at first and at last.
const HOLDS: u32 = 64 * 1024;
const REJECTED: (u32, u32) = (4 * 1024, 64 * 1024);
/// What an event counts for in the work that is done, in bytes: it is work even where it brings none.
const EVENT: u64 = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Sleeping, to see what that costs.
    MeasureSleep,
    /// Polling, to see what that costs.
    MeasurePoll,
    /// Polling: it pays.
    Poll,
    /// Sleeping: polling did not pay.
    Sleep,
}

pub(super) struct BusyPoll {
    /// How long to poll on; 0: never.
    limit: Nanos,
    /// The bytes that a turn has brought of late, times 2^[`FADES`].
    load: u64,
    /// Short gaps since the last long one.
    streak: u32,
    /// The streak from which on to poll.
    needed: u32,
    phase: Phase,
    /// Waits until the phase ends.
    left: u32,
    /// Where the measurement began, in processor time, and the work since then, in bytes.
    began: Nanos,
    work: u64,
    /// What sleeping costs for a byte of work.
    sleep_cost: f64,
    /// How long the next verdict against polling holds.
    rejected: u32,
}

impl BusyPoll {
    pub(super) fn new(limit: Nanos) -> BusyPoll {
        BusyPoll {
            limit,
            load: 0,
            streak: 0,
            needed: STREAK.0,
            phase: Phase::MeasureSleep,
            left: MEASURED,
            began: 0,
            work: 0,
            sleep_cost: 0.0,
            rejected: REJECTED.0,
        }
    }

    #[inline]
    pub(super) fn limit(&self) -> Nanos {
        self.limit
    }

    /// What this turn has brought, by which the load and the cost are judged.
    #[inline]
    pub(super) fn worked(&mut self, events: usize, bytes: usize) {
        self.load = self.load - (self.load >> FADES) + bytes as u64;
        self.work += events as u64 * EVENT + bytes as u64;
    }

    /// Whether to poll on before the sleep that is due. `processor_time` is asked for at the borders of a measurement.
    #[inline]
    pub(super) fn is_worth_it(&mut self, processor_time: impl FnOnce() -> Nanos) -> bool {
        if self.streak < self.needed || self.load > LIGHT << FADES || self.limit == 0 {
            return false;
        }
        self.left -= 1;
        if self.left == 0 {
            self.next_phase(processor_time());
        } else if self.began == 0 {
            self.began = processor_time();
        }
        matches!(self.phase, Phase::MeasurePoll | Phase::Poll)
    }

    #[cold]
    fn next_phase(&mut self, now: Nanos) {
        let cost = now.saturating_sub(self.began) as f64 / self.work as f64;
        (self.phase, self.left) = match self.phase {
            Phase::Poll | Phase::Sleep => (Phase::MeasureSleep, MEASURED),
            Phase::MeasureSleep => {
                self.sleep_cost = cost;
                (Phase::MeasurePoll, MEASURED)
            }
            Phase::MeasurePoll if cost <= self.sleep_cost => {
                self.rejected = REJECTED.0;
                (Phase::Poll, HOLDS)
            }
            Phase::MeasurePoll => {
                let rejected = self.rejected;
                self.rejected = (2 * rejected).min(REJECTED.1);
                (Phase::Sleep, rejected)
            }
        };
        (self.began, self.work) = (now, 0);
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
        self.streak = if gap <= self.limit.saturating_mul(2) { self.streak.saturating_add(1) } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Nanos = 50_000;

    /// A core whose events come `gap` after each other, and for which a wait costs what is said.
    struct Core {
        busy: BusyPoll,
        processor_time: Nanos,
        polls: u32,
        bytes: usize,
    }

    impl Core {
        fn new() -> Core {
            Core { busy: BusyPoll::new(LIMIT), processor_time: 1, polls: 0, bytes: 64 }
        }

        fn waits(&mut self, n: u32, gap: Nanos, sleep_costs: Nanos, poll_costs: Nanos) {
            for _ in 0..n {
                if self.busy.is_worth_it(|| self.processor_time) {
                    self.polls += 1;
                    self.processor_time += poll_costs;
                    if gap <= LIMIT { self.busy.hit() } else { self.busy.miss() }
                } else {
                    self.processor_time += sleep_costs;
                    self.busy.slept(gap);
                }
                self.busy.worked(1, self.bytes);
            }
        }
    }

    #[test]
    fn rare_events_are_slept_for() {
        let mut core = Core::new();
        core.waits(100_000, 1_000_000, 20_000, 50_000);
        assert_eq!(core.polls, 0);
    }

    #[test]
    fn dense_events_are_polled_for_where_that_is_cheaper() {
        let mut core = Core::new();
        core.waits(1_000_000, 15_000, 22_000, 20_000);
        assert!(core.polls > 990_000, "{} of 1,000,000", core.polls);
    }

    #[test]
    fn dense_events_are_slept_for_where_that_is_cheaper() {
        let mut core = Core::new();
        core.waits(100_000, 15_000, 14_000, 28_000);
        assert!(core.polls < 2_000, "{} of 100,000", core.polls);
    }

    #[test]
    fn streams_are_slept_for() {
        let mut core = Core::new();
        core.bytes = 32 * 1024;
        core.waits(100_000, 15_000, 22_000, 20_000);
        assert!(core.polls < 10, "{} of 100,000", core.polls);
        core.bytes = 64;
        core.waits(100_000, 15_000, 22_000, 20_000);
        assert!(core.polls > 90_000, "{} of 100,000", core.polls);
    }

    #[test]
    fn the_verdict_follows_the_load() {
        let mut core = Core::new();
        core.waits(10_000, 15_000, 14_000, 28_000);
        core.polls = 0;
        core.waits(100_000, 15_000, 22_000, 20_000);
        assert!(core.polls > 50_000, "{} of 100,000", core.polls);
        core.polls = 0;
        core.waits(1_000_000, 15_000, 14_000, 28_000);
        assert!(core.polls < HOLDS + 10_000, "{} of 1,000,000", core.polls);
    }

    #[test]
    fn the_end_of_a_dense_stream_costs_one_miss() {
        let mut core = Core::new();
        core.waits(1_000, 15_000, 22_000, 20_000);
        core.polls = 0;
        core.waits(1_000, 1_000_000, 22_000, 50_000);
        assert_eq!(core.polls, 1);
    }

    #[test]
    fn gaps_that_only_seem_short_are_tried_ever_more_seldom() {
        let mut core = Core::new();
        core.waits(10_000, LIMIT + 20_000, 20_000, 20_000);
        assert!(core.polls < 20, "{} of 10,000", core.polls);
    }

    #[test]
    fn a_limit_of_zero_turns_it_off() {
        let mut core = Core { busy: BusyPoll::new(0), ..Core::new() };
        core.waits(10_000, 0, 20_000, 1);
        assert_eq!(core.polls, 0);
    }
}
