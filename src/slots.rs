//! A table whose keys carry a generation: a key of what was removed never finds what took its place.

/// Entries in a chunk. The table grows by chunks, so that growing never moves what is there.
const CHUNK: usize = 1024;
/// The low bits of a key are the index, the high ones the generation.
const INDEX_BITS: u32 = if usize::BITS == 64 { 32 } else { 20 };
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;
/// One less than fits: a key of all ones is the poller's own.
const GENERATIONS: u32 = ((usize::MAX >> INDEX_BITS) - 1) as u32;
const NONE: u32 = u32::MAX;

/// Names an entry of a [`Slots`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(usize);

impl Key {
    fn new(index: u32, generation: u32) -> Key {
        Key((generation as usize) << INDEX_BITS | index as usize)
    }

    #[inline]
    pub(crate) fn raw(self) -> usize {
        self.0
    }

    #[inline]
    pub(crate) fn from_raw(raw: usize) -> Key {
        Key(raw)
    }

    #[inline]
    fn index(self) -> usize {
        self.0 & INDEX_MASK
    }

    #[inline]
    fn generation(self) -> u32 {
        (self.0 >> INDEX_BITS) as u32
    }
}

struct Entry<T> {
    /// `None` while the slot is free.
    value: Option<T>,
    /// Grows each time the slot is freed.
    generation: u32,
    /// The next free slot, while this one is.
    next_free: u32,
}

pub(crate) struct Slots<T> {
    chunks: Vec<Vec<Entry<T>>>,
    /// Head of the list of free slots.
    free: u32,
    len: usize,
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Slots<T> {
        Slots { chunks: Vec::new(), free: NONE, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.insert_with(|_| value)
    }

    /// Inserts what is made with knowledge of its key.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        if self.free == NONE {
            self.grow();
        }
        let index = self.free;
        let entry = &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK];
        let key = Key::new(index, entry.generation);
        entry.value = Some(make(key));
        self.free = entry.next_free;
        self.len += 1;
        key
    }

    /// Makes one more slot.
    fn grow(&mut self) {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            // The first chunk grows by doubling, for the many tables that stay small.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let full = self.chunks.len() - 1;
        let chunk = &mut self.chunks[full];
        let index = full * CHUNK + chunk.len();
        assert!(index <= INDEX_MASK, "a table of {index} entries is full");
        chunk.push(Entry { value: None, generation: 0, next_free: self.free });
        self.free = index as u32;
    }

    #[inline]
    fn entry(&self, key: Key) -> Option<&Entry<T>> {
        let entry = self.chunks.get(key.index() / CHUNK)?.get(key.index() % CHUNK)?;
        (entry.generation == key.generation()).then_some(entry)
    }

    #[inline]
    fn entry_mut(&mut self, key: Key) -> Option<&mut Entry<T>> {
        let entry = self.chunks.get_mut(key.index() / CHUNK)?.get_mut(key.index() % CHUNK)?;
        (entry.generation == key.generation()).then_some(entry)
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.entry(key)?.value.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.entry_mut(key)?.value.as_mut()
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let free = self.free;
        let entry = self.entry_mut(key)?;
        let value = entry.value.take()?;
        entry.generation = (entry.generation + 1) % GENERATIONS;
        entry.next_free = free;
        self.free = key.index() as u32;
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.chunks.iter().flatten().enumerate().filter_map(|(index, entry)| {
            entry.value.as_ref().map(|value| (Key::new(index as u32, entry.generation), value))
        })
    }
}
