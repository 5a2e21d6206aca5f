//! Sources that have more to read than one look takes. No event names them: an edge is not repeated.

use crate::slots::Key;
use std::collections::VecDeque;

/// Bytes that one source may bring before others that stream, too: about a millisecond. What its peer has just written is
/// still in cache, and what waits is not; to take turns after every read costs a streaming server half as much again.
const STREAK: usize = 4 * 1024 * 1024;
/// Bytes that all streaming sources together may bring before each of them is looked at, if one look each does not take
/// more: it bounds how long the last one waits. 64 of them keep their whole streaks.
const ROUND: usize = 64 * STREAK;

/// Two queues. In the first are sources that were looked at for an event: each is looked at once in every turn, so that a
/// message that has just come does not wait for those that stream. In the second are sources that stream: they take turns.
#[derive(Default)]
pub(super) struct Again {
    soon: VecDeque<Key>,
    streaming: VecDeque<Key>,
    /// The streaming source that was looked at last, and the bytes that it has brought since another one was.
    streak: Option<(Key, usize)>,
}

impl Again {
    pub(super) fn push_soon(&mut self, key: Key) {
        self.soon.push_back(key);
    }

    /// In front of the others if it was looked at last, until its streak ends.
    #[inline]
    pub(super) fn push_streaming(&mut self, key: Key) {
        match self.streak {
            Some((last, read)) if last == key && read < self.longest_streak() => self.streaming.push_front(key),
            _ => self.streaming.push_back(key),
        }
    }

    #[inline]
    fn longest_streak(&self) -> usize {
        STREAK.min(ROUND / (self.streaming.len() + 1))
    }

    pub(super) fn next_soon(&mut self) -> Option<Key> {
        self.soon.pop_front()
    }

    pub(super) fn next_streaming(&mut self) -> Option<Key> {
        self.streaming.pop_front()
    }

    /// A streaming source was looked at. One that has read nothing has no streak to go on with.
    pub(super) fn has_brought(&mut self, key: Key, bytes: usize) {
        let before = self.streak.filter(|(last, _)| *last == key).map_or(0, |(_, bytes)| bytes);
        self.streak = (bytes > 0).then_some((key, before + bytes));
    }

    /// How many sources are in each of the two queues.
    #[inline]
    pub(super) fn lengths(&self) -> (usize, usize) {
        (self.soon.len(), self.streaming.len())
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.soon.is_empty() && self.streaming.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Slots;

    fn keys<const N: usize>() -> [Key; N] {
        let mut slots = Slots::new();
        std::array::from_fn(|_| slots.insert(()))
    }

    /// Looks at the next streaming source, which brings so many bytes and has still more.
    fn look(again: &mut Again, bytes: usize) -> Key {
        let key = again.next_streaming().unwrap();
        again.has_brought(key, bytes);
        again.push_streaming(key);
        key
    }

    #[test]
    fn a_streak_ends_when_another_waits() {
        let [one, other] = keys();
        let mut again = Again::default();
        again.push_streaming(one);
        again.push_streaming(other);
        let looks = STREAK / 1024;
        assert!((0..looks).all(|_| look(&mut again, 1024) == one));
        assert!((0..looks).all(|_| look(&mut again, 1024) == other));
        assert!(look(&mut again, 1024) == one);
    }

    #[test]
    fn a_source_that_brings_nothing_has_no_streak() {
        let [one, other] = keys();
        let mut again = Again::default();
        again.push_streaming(one);
        again.push_streaming(other);
        let looked_at: Vec<bool> = (0..4).map(|_| look(&mut again, 0) == one).collect();
        assert_eq!(looked_at, [true, false, true, false]);
    }

    #[test]
    fn a_round_is_bounded_however_many_stream() {
        const SOURCES: usize = 256;
        let mut again = Again::default();
        let keys = keys::<SOURCES>();
        keys.iter().for_each(|key| again.push_streaming(*key));
        let last = keys[SOURCES - 1];
        let looks = (1..).find(|_| look(&mut again, 1024) == last).unwrap();
        assert!(looks * 1024 <= ROUND + SOURCES * 1024, "{looks} looks before the last one's");
    }
}
