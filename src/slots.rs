//! A table whose keys go stale: each carries the generation of its slot, so that an event of a closed socket cannot hit
//! the connection that took its place.
//!
//! Entries live in chunks. A table of 100,000 that grows copies none of them.

use std::fmt;

/// How many low bits of a raw key are the index; the rest is the generation, or what there is room for of it.
const INDEX_BITS: u32 = if usize::BITS == 64 { 32 } else { 20 };
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;
/// The part of a generation that a raw key has: all of it where pointers have 64 bits.
const RAW_GENERATION: u32 = (usize::MAX >> INDEX_BITS) as u32;

const CHUNK_BITS: u32 = 10;
const CHUNK: usize = 1 << CHUNK_BITS;

/// The end of the list of free slots. No slot has this index, which also keeps `usize::MAX` from being a key.
const NONE: u32 = INDEX_MASK as u32;

/// Where a value stands in [`Slots`], and which of all that stood there.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64);

impl Key {
    #[inline]
    fn new(index: u32, generation: u32) -> Key {
        Key(u64::from(generation) << 32 | u64::from(index))
    }

    /// The slot, for tables and lists that run beside this one. At any time at most one valid key has it.
    #[inline]
    pub(crate) fn index(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// As one number. Never `u64::MAX`.
    #[inline]
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The inverse of [`Key::number`]. Of another number it makes a key that finds nothing or an arbitrary value, no worse.
    #[inline]
    pub(crate) fn from_number(number: u64) -> Key {
        Key(number)
    }

    /// The key that is the whole of this raw one, which it is where pointers have 64 bits.
    #[inline]
    pub(crate) fn from_raw(raw: usize) -> Option<Key> {
        (usize::BITS == 64).then_some(Key(raw as u64))
    }

    /// As a number for the kernel to carry, which [`Slots::key_of_raw`] takes back. Never `usize::MAX`, which a poller keeps for
    /// itself. Where pointers have 32 bits, it has the last 12 of the generation: enough for events, which are handled in the turn
    /// that brings them, and not for what is kept.
    #[inline]
    pub(crate) fn raw(self) -> usize {
        (self.generation() as usize) << INDEX_BITS | self.index() as usize
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index(), self.generation())
    }
}

/// Values under keys. Insertion, access and removal take constant time.
pub(crate) struct Slots<T> {
    /// All chunks but the last are full, of slots if not of values.
    chunks: Vec<Vec<Slot<T>>>,
    /// The slot that was vacated last, which is probably still in cache.
    free: u32,
    len: usize,
}

struct Slot<T> {
    value: Option<T>,
    /// Goes up when the value is removed.
    generation: u32,
    /// While vacant: the next free slot.
    next_free: u32,
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Self {
        Slots { chunks: Vec::new(), free: NONE, len: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.insert_with(|_| value)
    }

    /// Inserts a value that knows its own key.
    ///
    /// # Panics
    /// If 2^32 slots (2^20 where pointers have 32 bits) are taken, or if `make` does: then nothing is inserted.
    #[inline]
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        if self.free == NONE {
            self.grow();
        }
        let index = self.free;
        let slot = self.slot_mut(index);
        let key = Key::new(index, slot.generation);
        slot.value = Some(make(key));
        self.free = slot.next_free;
        self.len += 1;
        key
    }

    /// Adds one slot to the empty list of free ones.
    #[cold]
    fn grow(&mut self) {
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            // The first chunk starts small: most tables never fill it.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let full = (self.chunks.len() - 1) << CHUNK_BITS;
        let last = self.chunks.last_mut().expect("there is a chunk now");
        let index = full + last.len();
        assert!(index < NONE as usize, "a table of {index} slots is full");
        last.push(Slot { value: None, generation: 0, next_free: NONE });
        self.free = index as u32;
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let index = key.index() as usize;
        let slot = self.chunks.get(index >> CHUNK_BITS)?.get(index & (CHUNK - 1))?;
        if slot.generation == key.generation() { slot.value.as_ref() } else { None }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let index = key.index() as usize;
        let slot = self.chunks.get_mut(index >> CHUNK_BITS)?.get_mut(index & (CHUNK - 1))?;
        if slot.generation == key.generation() { slot.value.as_mut() } else { None }
    }

    /// Takes the value out, once: the key is stale from now on.
    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        Some(self.remove_at(key.index()))
    }

    /// The key that [`Key::raw`] has shortened. Of another number it makes a key that finds nothing or an arbitrary value.
    #[inline]
    pub(crate) fn key_of_raw(&self, raw: usize) -> Key {
        let (index, generation) = ((raw & INDEX_MASK) as u32, (raw >> INDEX_BITS) as u32);
        // The rest of the generation is that of the slot, as it is now.
        let slot =
            self.chunks.get(index as usize >> CHUNK_BITS).and_then(|chunk| chunk.get(index as usize & (CHUNK - 1)));
        Key::new(index, slot.map_or(0, |slot| slot.generation & !RAW_GENERATION) | generation)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.chunks.iter().enumerate().flat_map(|(chunk, slots)| {
            slots.iter().enumerate().filter_map(move |(offset, slot)| {
                let key = Key::new((chunk << CHUNK_BITS | offset) as u32, slot.generation);
                slot.value.as_ref().map(|value| (key, value))
            })
        })
    }
}

/// By index alone, for lists that are threaded through a table and hold no vacant slot. These panic at one.
impl<T> Slots<T> {
    #[inline]
    pub(crate) fn at(&self, index: u32) -> &T {
        let index = index as usize;
        self.chunks[index >> CHUNK_BITS][index & (CHUNK - 1)].value.as_ref().expect("a slot in use")
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> &mut T {
        self.slot_mut(index).value.as_mut().expect("a slot in use")
    }

    #[inline]
    pub(crate) fn remove_at(&mut self, index: u32) -> T {
        let free = self.free;
        let slot = self.slot_mut(index);
        let value = slot.value.take().expect("a slot in use");
        slot.generation = slot.generation.wrapping_add(1);
        slot.next_free = free;
        self.free = index;
        self.len -= 1;
        value
    }

    #[inline]
    fn slot_mut(&mut self, index: u32) -> &mut Slot<T> {
        let index = index as usize;
        &mut self.chunks[index >> CHUNK_BITS][index & (CHUNK - 1)]
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots::new()
    }
}

#[cfg(test)]
impl<T> Slots<T> {
    /// How many slots there are, vacant ones included.
    pub(crate) fn slots(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
#[path = "slots/tests.rs"] // in full, so that a benchmark can take this file in
mod tests;
