//! The wheel itself: lists of entries by place, and time moving over them.

use super::place::{LEVELS, Place, SLOTS, TICK};
use crate::slots::{Key, Slots};

/// No entry.
const NONE: u32 = u32::MAX;

/// A timer that was armed. It goes stale when the timer fires or is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey(Key);

/// Values that wait for their deadlines. Never early, late by at most a tick; the [module](super) has the idea.
pub(crate) struct Wheel<T> {
    /// The tick up to which time has moved. It never goes back.
    elapsed: u64,
    /// One bit for each slot that has entries. They lie after the slot of `elapsed`, with two exceptions that lie in it:
    /// at level 0 what was due when it was inserted, and above it what a cascade has not moved yet.
    occupied: [u64; LEVELS],
    /// The first entry of each slot, of a ring in order of insertion.
    heads: [[u32; SLOTS]; LEVELS],
    entries: Slots<Entry<T>>,
}

struct Entry<T> {
    value: T,
    /// The first tick at which the deadline has passed.
    tick: u64,
    /// Neighbours in the slot's ring.
    previous: u32,
    next: u32,
    place: Place,
}

impl<T> Wheel<T> {
    pub(crate) fn new() -> Self {
        Wheel { elapsed: 0, occupied: [0; LEVELS], heads: [[NONE; SLOTS]; LEVELS], entries: Slots::new() }
    }

    #[inline]
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keeps `value` until `deadline`; if that has passed, until the next [`Wheel::advance`].
    #[inline]
    pub(crate) fn insert(&mut self, deadline: u64, value: T) -> TimerKey {
        let tick = deadline.div_ceil(TICK);
        let place = Place { level: 0, slot: 0 };
        let key = self.entries.insert(Entry { value, tick, previous: NONE, next: NONE, place });
        self.link(key.index());
        TimerKey(key)
    }

    /// Gives the value back, unless it has expired or was cancelled before.
    #[inline]
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.entries.get(key.0)?;
        Some(self.take(key.0.index()))
    }

    /// The value of a timer that still waits, to be replaced.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        self.entries.get_mut(key.0).map(|entry| &mut entry.value)
    }

    /// Moves time on to `now` and appends the values whose deadlines have passed to `expired`, by tick. What was
    /// already late when it was inserted counts as of that moment.
    ///
    /// Touches at most `limit` entries, those that only cascade included, so that no turn is long. Says whether it must
    /// be called again because there is more to do at `now`.
    pub(crate) fn advance(&mut self, now: u64, limit: usize, expired: &mut Vec<T>) -> bool {
        let now = (now / TICK).max(self.elapsed);
        let mut left = limit;
        while let Some((place, start)) = self.next_slot() {
            if start > now {
                break;
            }
            self.elapsed = start;
            while let Some(index) = self.first(place) {
                if left == 0 {
                    return true;
                }
                left -= 1;
                if self.entries.at(index).tick <= start {
                    expired.push(self.take(index));
                } else {
                    self.unlink(index);
                    self.link(index);
                }
            }
        }
        self.elapsed = now;
        false
    }

    /// When [`Wheel::advance`] must be called next, rounded up to a tick: the earliest deadline or, if that is beyond
    /// level 0, the cascade before it, of which there are at most [`LEVELS`] in a timer's life.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        // Only a deadline in the last tick of all does not fit: it never comes.
        self.next_slot().map(|(_, start)| start.saturating_mul(TICK))
    }

    /// The occupied slot that time reaches first, and its first tick.
    ///
    /// It is not enough to look at the lowest level that has one: a cascade that ran into its limit goes first, and its
    /// slot starts at `elapsed`.
    #[inline]
    fn next_slot(&self) -> Option<(Place, u64)> {
        let mut next: Option<(Place, u64)> = None;
        for (level, slots) in self.occupied.iter().enumerate().filter(|(_, slots)| **slots != 0) {
            let place = Place { level: level as u8, slot: slots.trailing_zeros() as u8 };
            let start = place.start(self.elapsed);
            if next.is_none_or(|(_, earliest)| start < earliest) {
                next = Some((place, start));
            }
        }
        next
    }

    #[inline]
    fn head(&mut self, place: Place) -> &mut u32 {
        &mut self.heads[usize::from(place.level)][usize::from(place.slot)]
    }

    #[inline]
    fn first(&mut self, place: Place) -> Option<u32> {
        Some(*self.head(place)).filter(|head| *head != NONE)
    }

    #[inline]
    fn take(&mut self, index: u32) -> T {
        self.unlink(index);
        self.entries.remove_at(index).value
    }

    /// Puts an entry that is in no ring at the end of the one where it belongs now.
    #[inline]
    fn link(&mut self, index: u32) {
        let tick = self.entries.at(index).tick.max(self.elapsed);
        let place = Place::of(tick, self.elapsed);
        let (previous, next) = match self.first(place) {
            Some(head) => (std::mem::replace(&mut self.entries.at_mut(head).previous, index), head),
            None => {
                *self.head(place) = index;
                self.occupied[usize::from(place.level)] |= 1 << place.slot;
                (index, index)
            }
        };
        let entry = self.entries.at_mut(index);
        (entry.place, entry.previous, entry.next) = (place, previous, next);
        self.entries.at_mut(previous).next = index;
    }

    #[inline]
    fn unlink(&mut self, index: u32) {
        let &Entry { place, previous, next, .. } = self.entries.at(index);
        if next == index {
            *self.head(place) = NONE;
            self.occupied[usize::from(place.level)] &= !(1 << place.slot);
            return;
        }
        self.entries.at_mut(previous).next = next;
        self.entries.at_mut(next).previous = previous;
        let head = self.head(place);
        if *head == index {
            *head = next;
        }
    }
}

#[cfg(test)]
impl<T> Wheel<T> {
    pub(super) fn elapsed(&self) -> u64 {
        self.elapsed
    }

    /// How many slots the table of entries ever needed at once.
    pub(super) fn slots(&self) -> usize {
        self.entries.slots()
    }
}
