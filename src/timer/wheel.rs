//! A hierarchical timing wheel (Varghese and Lauck, 1987): to arm and to cancel cost the same however many timers there
//! are.
//!
//! ```text
//!   level 0   |.|.|X|.|..    64 slots of one tick
//!   level 1   |.|.|.|X|..    64 slots of 64 ticks
//!   level 2   |X|.|.|.|..    64 slots of 4,096 ticks, and so on
//! ```
//!
//! A timer sits on the level of the highest group of six bits in which its tick differs from the current one. When time
//! reaches a slot of a higher level its timers move down (they cascade); on level 0 they are due. A bitmap a level says
//! which slots hold timers, so that an empty stretch of any length is crossed in one step.

use crate::slots::{Key, Slots};

/// A tick is 2^17 ns, 131 us: what a timer may be late.
const TICK_BITS: u32 = 17;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// With seven levels the wheel spans 18 years; what lies beyond waits on the last level and is looked at again.
const LEVELS: usize = 7;
const SPAN_BITS: u32 = SLOT_BITS * LEVELS as u32;

/// Names a timer that is armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey(Key);

struct Timer<T> {
    value: T,
    /// The first tick at whose start the deadline has passed.
    tick: u64,
    /// Which list this is in: level * SLOTS + slot.
    list: u16,
    previous: Option<Key>,
    next: Option<Key>,
}

pub(crate) struct Wheel<T> {
    timers: Slots<Timer<T>>,
    /// The first timer of each slot of each level.
    lists: Vec<Option<Key>>,
    /// Which slots of a level hold timers.
    occupied: [u64; LEVELS],
    /// Every timer with an earlier tick has been handed out, but those at `due`.
    now: u64,
}

impl<T> Wheel<T> {
    pub(crate) fn new() -> Wheel<T> {
        Wheel { timers: Slots::new(), lists: vec![None; LEVELS * SLOTS], occupied: [0; LEVELS], now: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.timers.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Arms a timer for `deadline`, in nanoseconds on the clock that [`Wheel::advance`] is given. One that has passed
    /// fires at the next advance.
    pub(crate) fn insert(&mut self, deadline: u64, value: T) -> TimerKey {
        let tick = deadline.div_ceil(1 << TICK_BITS).max(self.now);
        let key = self.timers.insert(Timer { value, tick, list: 0, previous: None, next: None });
        self.link(key, tick);
        TimerKey(key)
    }

    /// Disarms a timer and gives its value back, or `None` if it has fired.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.timers.get(key.0)?;
        self.unlink(key.0);
        self.timers.remove(key.0).map(|timer| timer.value)
    }

    /// The value of a timer that has not fired.
    pub(crate) fn get_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        self.timers.get_mut(key.0).map(|timer| &mut timer.value)
    }

    /// Moves time on to `now` and appends the values of at most `limit` timers whose deadline has come to `expired`, in the
    /// order of their ticks. Says whether more are due.
    pub(crate) fn advance(&mut self, now: u64, limit: usize, expired: &mut Vec<T>) -> bool {
        let target = now >> TICK_BITS;
        let mut budget = limit;
        while let Some((level, slot, start)) = self.next_slot() {
            if start > target {
                break;
            }
            self.now = self.now.max(start);
            let list = level * SLOTS + slot;
            while let Some(key) = self.lists[list] {
                if budget == 0 {
                    return true;
                }
                budget -= 1;
                self.unlink(key);
                match self.timers.get(key).map(|timer| timer.tick) {
                    Some(tick) if tick > self.now => self.link(key, tick),
                    _ => expired.extend(self.timers.remove(key).map(|timer| timer.value)),
                }
            }
        }
        self.now = self.now.max(target);
        false
    }

    /// When to call [`Wheel::advance`] next: not later than the first deadline's tick.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.next_slot().map(|(_, _, start)| start << TICK_BITS)
    }

    /// The occupied slot that time reaches first: its level, its number, and the tick at which it starts.
    #[inline]
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        if self.is_empty() {
            return None;
        }
        // Whatever is on a lower level comes before everything on a higher one.
        let level = self.occupied.iter().position(|occupied| *occupied != 0)?;
        let shift = SLOT_BITS * level as u32;
        let current = (self.now >> shift) as u32 % SLOTS as u32;
        let ahead = self.occupied[level].rotate_right(current).trailing_zeros();
        let slot = (current + ahead) as usize % SLOTS;
        let start = ((self.now >> shift) + u64::from(ahead)) << shift;
        Some((level, slot, start.max(self.now)))
    }

    /// The list for a tick: that of the highest group of bits in which it differs from now.
    fn place(&self, tick: u64) -> usize {
        // A tick beyond the span goes to the last slot that the span still has.
        let tick = tick.min(self.now | ((1 << SPAN_BITS) - 1));
        let differing = (self.now ^ tick) | 1;
        let level = ((63 - differing.leading_zeros()) / SLOT_BITS) as usize;
        let slot = (tick >> (SLOT_BITS * level as u32)) as usize % SLOTS;
        level * SLOTS + slot
    }

    fn link(&mut self, key: Key, tick: u64) {
        let list = self.place(tick);
        let next = self.lists[list].replace(key);
        self.occupied[list / SLOTS] |= 1 << (list % SLOTS);
        if let Some(timer) = self.timers.get_mut(key) {
            (timer.list, timer.previous, timer.next) = (list as u16, None, next);
        }
        if let Some(next) = next.and_then(|next| self.timers.get_mut(next)) {
            next.previous = Some(key);
        }
    }

    fn unlink(&mut self, key: Key) {
        let Some(timer) = self.timers.get(key) else { return };
        let (list, previous, next) = (usize::from(timer.list), timer.previous, timer.next);
        match previous.and_then(|previous| self.timers.get_mut(previous)) {
            Some(previous) => previous.next = next,
            None => self.lists[list] = next,
        }
        if let Some(next) = next.and_then(|next| self.timers.get_mut(next)) {
            next.previous = previous;
        }
        if self.lists[list].is_none() {
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        }
    }
}
