//! Keys and values. They are spread over shards, each with a lock of its own, so that the cores seldom meet at one.

use ahash::RandomState;
use bytes::Bytes;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

const SHARDS: usize = 64;
/// What an entry takes besides its key and its value, about.
const OVERHEAD: usize = 96;
/// Keys that are removed from a shard before others may have it.
const SWEPT_AT_ONCE: usize = 1000;

pub struct Store {
    shards: [Mutex<Shard>; SHARDS],
    /// Keyed, so that nobody can choose keys that collide.
    hasher: RandomState,
    used: AtomicUsize,
    max: usize,
}

#[derive(Default)]
struct Shard {
    entries: HashTable<Entry>,
    /// The keys that end some time, the first to end in front.
    ending: BTreeSet<(Instant, Bytes)>,
}

struct Entry {
    hash: u64,
    key: Bytes,
    value: Bytes,
    ends: Option<Instant>,
}

impl Entry {
    fn is_over(&self) -> bool {
        // The clock is asked only about keys that end.
        self.ends.is_some_and(|at| at <= Instant::now())
    }

    fn size(&self) -> usize {
        self.key.len() + self.value.len() + OVERHEAD
    }
}

/// There is no room for more.
pub struct OutOfMemory;

/// When a key ends.
#[derive(Debug, PartialEq)]
pub enum Life {
    Missing,
    Forever,
    Until(Instant),
}

impl Store {
    pub fn new(max: usize) -> Store {
        let shards = std::array::from_fn(|_| Mutex::default());
        Store { shards, hasher: RandomState::new(), used: AtomicUsize::new(0), max }
    }

    /// The shards of these keys, until what is returned is dropped: what happens to them happens at once.
    pub fn lock<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Locked<'_> {
        let mut wanted: Vec<usize> = keys.map(|key| shard_of(self.hasher.hash_one(key))).collect();
        // In one order for all, so that nobody waits for somebody who waits for them.
        wanted.sort_unstable();
        wanted.dedup();
        let shards = wanted.into_iter().map(|index| (index, self.shards[index].lock().unwrap())).collect();
        Locked { store: self, shards }
    }

    fn with<T>(&self, key: &[u8], act: impl FnOnce(&mut Shard, u64) -> T) -> T {
        let hash = self.hasher.hash_one(key);
        act(&mut self.shards[shard_of(hash)].lock().unwrap(), hash)
    }

    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.with(key, |shard, hash| shard.find(hash, key).map(|entry| entry.value.clone()))
    }

    /// Sets a key; says whether that was done, which may hang on whether there is such a key.
    pub fn set(
        &self,
        key: &[u8],
        value: Bytes,
        ends: Option<Instant>,
        only_if: Option<bool>,
    ) -> Result<bool, OutOfMemory> {
        self.with(key, |shard, hash| {
            if only_if.is_some_and(|exists| shard.find(hash, key).is_some() != exists) {
                return Ok(false);
            }
            self.put(shard, hash, key, value, ends).map(|()| true)
        })
    }

    /// Changes a value, if `change` says so; the key's end stays what it is.
    pub fn update<E: From<OutOfMemory>>(
        &self,
        key: &[u8],
        change: impl FnOnce(Option<&[u8]>) -> Result<Bytes, E>,
    ) -> Result<(), E> {
        self.with(key, |shard, hash| {
            let found = shard.find(hash, key);
            let ends = found.and_then(|entry| entry.ends);
            let value = change(found.map(|entry| &*entry.value))?;
            self.put(shard, hash, key, value, ends).map_err(E::from)
        })
    }

    pub fn exists(&self, key: &[u8]) -> bool {
        self.with(key, |shard, hash| shard.find(hash, key).is_some())
    }

    pub fn delete(&self, key: &[u8]) -> bool {
        self.with(key, |shard, hash| shard.find(hash, key).is_some() && self.remove(shard, hash, key))
    }

    /// Sets when a key ends; says whether there is such a key.
    pub fn expire(&self, key: &[u8], ends: Instant) -> bool {
        self.with(key, |shard, hash| {
            let Some(value) = shard.find(hash, key).map(|entry| entry.value.clone()) else { return false };
            self.put(shard, hash, key, value, Some(ends)).is_ok()
        })
    }

    pub fn life(&self, key: &[u8]) -> Life {
        self.with(key, |shard, hash| match shard.find(hash, key) {
            None => Life::Missing,
            Some(entry) => entry.ends.map_or(Life::Forever, Life::Until),
        })
    }

    pub fn keys(&self, matches: impl Fn(&[u8]) -> bool) -> Vec<Bytes> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap();
            let living = shard.entries.iter().filter(|entry| !entry.is_over() && matches(&entry.key));
            found.extend(living.map(|entry| entry.key.clone()));
        }
        found
    }

    pub fn clear(&self) {
        for shard in &self.shards {
            let cleared = std::mem::take(&mut *shard.lock().unwrap());
            self.used.fetch_sub(cleared.entries.iter().map(Entry::size).sum(), Relaxed);
        }
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().entries.len()).sum()
    }

    /// What keys and values take, in bytes, about.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Removes keys whose time is over.
    pub fn sweep(&self) {
        let now = Instant::now();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap();
            for _ in 0..SWEPT_AT_ONCE {
                match shard.ending.first() {
                    Some((at, key)) if *at <= now => {
                        let key = key.clone();
                        self.remove(&mut shard, self.hasher.hash_one(&*key), &key);
                    }
                    _ => break,
                }
            }
        }
    }

    fn put(
        &self,
        shard: &mut Shard,
        hash: u64,
        key: &[u8],
        value: Bytes,
        ends: Option<Instant>,
    ) -> Result<(), OutOfMemory> {
        let Shard { entries, ending } = shard;
        match entries.entry(hash, |entry| *entry.key == *key, |entry| entry.hash) {
            Slot::Occupied(mut slot) => {
                let entry = slot.get_mut();
                let (old, new) = (entry.value.len(), value.len());
                if new > old && self.used() + (new - old) > self.max {
                    return Err(OutOfMemory);
                }
                if entry.ends != ends {
                    if let Some(at) = entry.ends {
                        ending.remove(&(at, entry.key.clone()));
                    }
                    if let Some(at) = ends {
                        ending.insert((at, entry.key.clone()));
                    }
                }
                (entry.value, entry.ends) = (value, ends);
                self.used.fetch_add(new, Relaxed);
                self.used.fetch_sub(old, Relaxed);
            }
            Slot::Vacant(slot) => {
                let entry = Entry { hash, key: Bytes::copy_from_slice(key), value, ends };
                let size = entry.size();
                if self.used() + size > self.max {
                    return Err(OutOfMemory);
                }
                if let Some(at) = ends {
                    ending.insert((at, entry.key.clone()));
                }
                self.used.fetch_add(size, Relaxed);
                slot.insert(entry);
            }
        }
        Ok(())
    }

    fn remove(&self, shard: &mut Shard, hash: u64, key: &[u8]) -> bool {
        let Ok(slot) = shard.entries.find_entry(hash, |entry| *entry.key == *key) else { return false };
        let (entry, _) = slot.remove();
        if let Some(at) = entry.ends {
            shard.ending.remove(&(at, entry.key.clone()));
        }
        self.used.fetch_sub(entry.size(), Relaxed);
        true
    }
}

impl Shard {
    /// The entry of a key, unless its time is over.
    fn find(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        self.entries.find(hash, |entry| *entry.key == *key).filter(|entry| !entry.is_over())
    }
}

/// Several shards at once.
pub struct Locked<'a> {
    store: &'a Store,
    shards: Vec<(usize, MutexGuard<'a, Shard>)>,
}

impl Locked<'_> {
    fn shard(&mut self, hash: u64) -> &mut Shard {
        let index = shard_of(hash);
        let at = self.shards.binary_search_by_key(&index, |(index, _)| *index).expect("the key was named");
        &mut self.shards[at].1
    }

    pub fn get(&mut self, key: &[u8]) -> Option<Bytes> {
        let hash = self.store.hasher.hash_one(key);
        self.shard(hash).find(hash, key).map(|entry| entry.value.clone())
    }

    pub fn set(&mut self, key: &[u8], value: Bytes) -> Result<(), OutOfMemory> {
        let (store, hash) = (self.store, self.store.hasher.hash_one(key));
        store.put(self.shard(hash), hash, key, value, None)
    }
}

/// The table below uses the lowest and the highest bits.
fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}
