//! Counting, for one core. Only that core writes, so that a count is a load, an addition and a store; any thread may read,
//! and sees each number by itself as it was a moment ago.

use super::{REASONS, Turn};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The upper bounds of a turn's duration, in nanoseconds: 1, 2 and 5 of each decade, from a microsecond to a second.
pub(crate) const TURN_BOUNDS: [u64; 19] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
];
/// Those of the events that a turn deals with.
pub(crate) const EVENT_BOUNDS: [u64; 9] = [0, 1, 2, 4, 8, 16, 32, 64, 128];

#[derive(Clone, Default)]
pub(crate) struct Meter(Arc<Counts>);

/// On cache lines of its own, because it is written all the time.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counts {
    pub(crate) opened: Count,
    /// Those of them that a listener has accepted.
    pub(crate) accepted: Count,
    pub(crate) closed: [Count; REASONS.len()],
    pub(crate) bytes_in: Count,
    pub(crate) bytes_out: Count,
    pub(crate) messages_in: Count,
    pub(crate) messages_out: Count,
    /// Bytes received and not handled, and bytes sent and not written, as they are now.
    pub(crate) unhandled: Count,
    pub(crate) unwritten: Count,
    pub(crate) timers: Count,
    pub(crate) letters: Count,
    pub(crate) tasks: Count,
    /// Nanoseconds.
    pub(crate) longest_turn: Count,
    pub(crate) turns: Histogram<{ TURN_BOUNDS.len() }>,
    pub(crate) events: Histogram<{ EVENT_BOUNDS.len() }>,
}

#[derive(Default)]
pub(crate) struct Count(AtomicU64);

/// How many values were within each bound and beyond the last, and their sum.
pub(crate) struct Histogram<const N: usize> {
    pub(crate) within: [Count; N],
    pub(crate) beyond: Count,
    pub(crate) sum: Count,
}

/// How many bytes one connection contributes to a sum.
#[derive(Default)]
pub(crate) struct Level(Cell<u32>);

impl Count {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline]
    fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    #[inline]
    fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }

    /// Replaces the part of a sum that one connection contributes.
    #[inline]
    fn move_level(&self, level: &Level, to: usize) {
        let to = u32::try_from(to).unwrap_or(u32::MAX);
        let before = level.0.replace(to);
        if before != to {
            self.add(u64::from(to).wrapping_sub(u64::from(before)));
        }
    }
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Histogram { within: std::array::from_fn(|_| Count::default()), beyond: Count::default(), sum: Count::default() }
    }
}

impl<const N: usize> Histogram<N> {
    #[inline]
    fn record(&self, value: u64, bounds: &[u64; N]) {
        let bucket = bounds.partition_point(|bound| *bound < value);
        self.within.get(bucket).unwrap_or(&self.beyond).add(1);
        self.sum.add(value);
    }
}

impl Meter {
    /// Whether anything is counted, for what would have to be found out first.
    pub(crate) const COUNTS: bool = true;

    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.0
    }

    pub(crate) fn opened(&self, is_accepted: bool) {
        self.0.opened.add(1);
        self.0.accepted.add(is_accepted.into());
    }

    /// By its place in [`REASONS`].
    pub(crate) fn closed(&self, reason: usize) {
        self.0.closed[reason].add(1);
    }

    #[inline]
    pub(crate) fn received(&self, bytes: usize) {
        self.0.bytes_in.add(bytes as u64);
    }

    #[inline]
    pub(crate) fn written(&self, bytes: usize) {
        self.0.bytes_out.add(bytes as u64);
    }

    #[inline]
    pub(crate) fn message_in(&self) {
        self.0.messages_in.add(1);
    }

    #[inline]
    pub(crate) fn message_out(&self) {
        self.0.messages_out.add(1);
    }

    #[inline]
    pub(crate) fn unhandled(&self, level: &Level, bytes: usize) {
        self.0.unhandled.move_level(level, bytes);
    }

    #[inline]
    pub(crate) fn unwritten(&self, level: &Level, bytes: usize) {
        self.0.unwritten.move_level(level, bytes);
    }

    pub(crate) fn turn(&self, turn: &Turn, nanos: u64) {
        let counts = &*self.0;
        counts.timers.add(turn.timers as u64);
        counts.letters.add(turn.letters as u64);
        counts.tasks.add(turn.tasks as u64);
        counts.events.record(turn.events as u64, &EVENT_BOUNDS);
        counts.turns.record(nanos, &TURN_BOUNDS);
        if nanos > counts.longest_turn.get() {
            counts.longest_turn.set(nanos);
        }
    }
}
