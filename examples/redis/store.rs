//! Keys and values of all databases. They are spread over shards, each with a lock of its own, so that two cores seldom want the
//! same one.

use crate::time::now;
use crate::watch::Watched;
use ahash::RandomState;
use bytes::Bytes;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

/// As many as Redis has by default.
pub const DATABASES: usize = 16;
/// Shards of each database.
const SHARDS: usize = 64;
/// What an entry takes besides its key and its value, about.
const OVERHEAD: usize = 96;
/// Keys that are removed from a shard before its lock is released.
const SWEPT_AT_ONCE: usize = 1000;

pub struct Store {
    shards: Vec<Mutex<Shard>>,
    /// Keyed, so that no peer can choose keys that collide.
    hasher: RandomState,
    used: AtomicUsize,
    max: usize,
}

#[derive(Default)]
struct Shard {
    entries: HashTable<Entry>,
    /// The keys that end some time, the first to end in front.
    ending: BTreeSet<(i64, Bytes)>,
    watched: Watched,
}

pub struct Entry {
    hash: u64,
    pub key: Bytes,
    pub value: Bytes,
    /// In milliseconds since 1970, as all times are here.
    pub ends: Option<i64>,
}

impl Entry {
    fn is_over(&self) -> bool {
        // The clock is asked only about keys that end.
        self.ends.is_some_and(|at| at <= now())
    }

    fn size(&self) -> usize {
        self.key.len() + self.value.len() + OVERHEAD
    }
}

/// There is no room for more.
pub struct OutOfMemory;

impl Store {
    pub fn new(max: usize) -> Store {
        let shards = (0..DATABASES * SHARDS).map(|_| Mutex::default()).collect();
        Store { shards, hasher: RandomState::new(), used: AtomicUsize::new(0), max }
    }

    // ANCHOR: lock
    /// The shards of these keys of a database, locked until the value is dropped: what is done by it is done at once.
    pub fn lock<'a>(&self, db: usize, mut keys: impl Iterator<Item = &'a [u8]>) -> Locked<'_> {
        let mut index = |key: &[u8]| db * SHARDS + shard_of(self.hasher.hash_one(key));
        let (first, second) = (keys.next(), keys.next());
        let shards = match (first, second) {
            (None, _) => Shards::Several(Vec::new()),
            (Some(key), None) => return self.lock_one(db, key),
            (Some(first), Some(second)) => {
                let mut wanted: Vec<usize> = [first, second].into_iter().chain(keys).map(&mut index).collect();
                // All lock in one order, so that no two wait for each other.
                wanted.sort_unstable();
                wanted.dedup();
                Shards::Several(wanted.into_iter().map(|index| (index, self.shards[index].lock().unwrap())).collect())
            }
        };
        Locked { store: self, db, shards }
    }
    // ANCHOR_END: lock

    /// The same for one key.
    pub fn lock_one(&self, db: usize, key: &[u8]) -> Locked<'_> {
        let hash = self.hasher.hash_one(key);
        let shard = self.shards[db * SHARDS + shard_of(hash)].lock().unwrap();
        Locked { store: self, db, shards: Shards::One(hash, shard) }
    }

    /// All shards of a database, or of all databases.
    pub fn lock_all(&self, db: usize, all_databases: bool) -> Locked<'_> {
        let range = if all_databases { 0..self.shards.len() } else { db * SHARDS..(db + 1) * SHARDS };
        let shards = range.map(|index| (index, self.shards[index].lock().unwrap()));
        Locked { store: self, db, shards: Shards::Several(shards.collect()) }
    }

    #[inline]
    fn with<T>(&self, db: usize, key: &[u8], act: impl FnOnce(&mut Shard, u64) -> T) -> T {
        let hash = self.hasher.hash_one(key);
        act(&mut self.shards[db * SHARDS + shard_of(hash)].lock().unwrap(), hash)
    }

    /// Lends a value while its shard is locked: `GET`, by the shortest way.
    #[inline]
    pub fn read<T>(&self, db: usize, key: &[u8], act: impl FnOnce(Option<&Bytes>) -> T) -> T {
        self.with(db, key, |shard, hash| act(shard.find(hash, key).map(|entry| &entry.value)))
    }

    /// `SET` without options, by the shortest way: a value of the same length is written over the one before.
    pub fn set(&self, db: usize, key: &[u8], value: &[u8]) -> Result<(), OutOfMemory> {
        self.with(db, key, |shard, hash| {
            let old = shard.entries.find_mut(hash, |entry| *entry.key == *key);
            if let Some(entry) = old.filter(|entry| entry.ends.is_none() && entry.value.len() == value.len()) {
                entry.value = match std::mem::take(&mut entry.value).try_into_mut() {
                    Ok(mut own) => {
                        own.copy_from_slice(value);
                        own.freeze()
                    }
                    // An answer that is not written yet still holds it.
                    Err(_) => Bytes::copy_from_slice(value),
                };
                shard.watched.touch(key);
                return Ok(());
            }
            self.put(shard, hash, key, Bytes::copy_from_slice(value), None, self.max)
        })
    }

    /// What keys and values take, in bytes, about.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    pub fn max(&self) -> usize {
        self.max
    }

    /// Removes keys whose time is over.
    pub fn sweep(&self) {
        let now = now();
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
        ends: Option<i64>,
        max: usize,
    ) -> Result<(), OutOfMemory> {
        let Shard { entries, ending, watched } = shard;
        match entries.entry(hash, |entry| *entry.key == *key, |entry| entry.hash) {
            Slot::Occupied(mut slot) => {
                let entry = slot.get_mut();
                let (old, new) = (entry.value.len(), value.len());
                if new > old && self.used().saturating_add(new - old) > max {
                    return Err(OutOfMemory);
                }
                if entry.ends != ends {
                    if let Some(at) = entry.ends {
                        ending.remove(&(at, entry.key.clone()));
                    }
                    if let Some(at) = ends {
                        ending.insert((at, entry.key.clone()));
                    }
                    entry.ends = ends;
                }
                entry.value = value;
                // A counter that all cores write to is left alone when it stays what it is.
                if new > old {
                    self.used.fetch_add(new - old, Relaxed);
                } else if new < old {
                    self.used.fetch_sub(old - new, Relaxed);
                }
            }
            Slot::Vacant(slot) => {
                let entry = Entry { hash, key: Bytes::copy_from_slice(key), value, ends };
                let size = entry.size();
                if self.used().saturating_add(size) > max {
                    return Err(OutOfMemory);
                }
                if let Some(at) = ends {
                    ending.insert((at, entry.key.clone()));
                }
                self.used.fetch_add(size, Relaxed);
                slot.insert(entry);
            }
        }
        watched.touch(key);
        Ok(())
    }

    fn remove(&self, shard: &mut Shard, hash: u64, key: &[u8]) -> Option<Entry> {
        let Ok(slot) = shard.entries.find_entry(hash, |entry| *entry.key == *key) else { return None };
        let (entry, _) = slot.remove();
        if let Some(at) = entry.ends {
            shard.ending.remove(&(at, entry.key.clone()));
        }
        self.used.fetch_sub(entry.size(), Relaxed);
        shard.watched.touch(key);
        Some(entry)
    }
}

impl Shard {
    /// The entry of a key, unless its time is over.
    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        self.entries.find(hash, |entry| *entry.key == *key).filter(|entry| !entry.is_over())
    }
}

/// Shards that are locked, and the database that keys are looked up in.
pub struct Locked<'a> {
    store: &'a Store,
    pub db: usize,
    shards: Shards<'a>,
}

enum Shards<'a> {
    /// That of the only key, and the key's hash.
    One(u64, MutexGuard<'a, Shard>),
    /// In the order of their indices.
    Several(Vec<(usize, MutexGuard<'a, Shard>)>),
}

impl Locked<'_> {
    fn at(&mut self, key: &[u8]) -> (&Store, &mut Shard, u64) {
        match &mut self.shards {
            Shards::One(hash, shard) => (self.store, shard, *hash),
            Shards::Several(shards) => {
                let hash = self.store.hasher.hash_one(key);
                let index = self.db * SHARDS + shard_of(hash);
                let at = shards.binary_search_by_key(&index, |(index, _)| *index).expect("the key was named");
                (self.store, &mut shards[at].1, hash)
            }
        }
    }

    pub fn find(&mut self, key: &[u8]) -> Option<&Entry> {
        let (_, shard, hash) = self.at(key);
        shard.find(hash, key)
    }

    pub fn get(&mut self, key: &[u8]) -> Option<Bytes> {
        self.find(key).map(|entry| entry.value.clone())
    }

    pub fn set(&mut self, key: &[u8], value: Bytes, ends: Option<i64>) -> Result<(), OutOfMemory> {
        let (store, shard, hash) = self.at(key);
        store.put(shard, hash, key, value, ends, store.max)
    }

    /// Like `set`, when there [is room](Locked::has_room) for it.
    pub fn set_reserved(&mut self, key: &[u8], value: Bytes, ends: Option<i64>) {
        let (store, shard, hash) = self.at(key);
        let _ = store.put(shard, hash, key, value, ends, usize::MAX);
    }

    /// Removes a key; `None` if there is none, or if its time was over.
    pub fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let (store, shard, hash) = self.at(key);
        store.remove(shard, hash, key).filter(|entry| !entry.is_over())
    }

    /// Whether there is room for these keys and values; where a key is named twice, the later value counts.
    pub fn has_room<'k>(&mut self, pairs: impl Iterator<Item = (&'k [u8], &'k [u8])>) -> bool {
        let last: std::collections::HashMap<&[u8], &[u8]> = pairs.collect();
        let (mut more, mut less) = (0, 0);
        for (key, value) in last {
            let (_, shard, hash) = self.at(key);
            // A key whose time is over still takes its room.
            less += shard.entries.find(hash, |entry| *entry.key == *key).map_or(0, Entry::size);
            more += key.len() + value.len() + OVERHEAD;
        }
        more <= less || self.store.used() + (more - less) <= self.store.max
    }

    /// The shards of the database that are locked, each with its number there.
    fn of_database(&mut self) -> impl Iterator<Item = (usize, &mut Shard)> {
        let db = self.db;
        let shards = match &mut self.shards {
            Shards::One(..) => &mut [][..],
            Shards::Several(shards) => &mut shards[..],
        };
        shards
            .iter_mut()
            .filter(move |(index, _)| index / SHARDS == db)
            .map(|(index, shard)| (*index % SHARDS, &mut **shard))
    }

    pub fn keys(&mut self, matches: impl Fn(&[u8]) -> bool) -> Vec<Bytes> {
        self.of_database()
            .flat_map(|(_, shard)| shard.entries.iter())
            .filter(|entry| matches(&entry.key) && !entry.is_over())
            .map(|entry| entry.key.clone())
            .collect()
    }

    /// How many keys there are, and how many of them end.
    pub fn count(&mut self) -> (usize, usize) {
        self.of_database()
            .fold((0, 0), |(all, ending), (_, shard)| (all + shard.entries.len(), ending + shard.ending.len()))
    }

    /// Removes all keys of the database.
    pub fn clear(&mut self) {
        let store = self.store;
        for (_, shard) in self.of_database() {
            let entries = std::mem::take(&mut shard.entries);
            shard.ending.clear();
            store.used.fetch_sub(entries.iter().map(Entry::size).sum(), Relaxed);
            entries.iter().for_each(|entry| shard.watched.touch(&entry.key));
        }
    }

    /// About `count` keys from `cursor` on, and the next cursor, which is 0 at the end.
    ///
    /// Keys are visited in the order of their hashes, so that those that are there all the time are visited exactly once, whatever
    /// else comes and goes.
    pub fn scan(&mut self, cursor: u64, count: usize) -> (u64, Vec<Bytes>) {
        let mut found = Vec::new();
        for (number, shard) in self.of_database().skip((cursor >> POSITION_BITS) as usize) {
            let ahead = shard.entries.iter().map(|entry| (position(entry.hash), entry));
            let mut ahead: Vec<(u64, &Entry)> = ahead.filter(|(at, _)| *at >= cursor).collect();
            let wanted = count - found.len();
            let last = match ahead.len() > wanted {
                true => ahead.select_nth_unstable_by_key(wanted - 1, |(at, _)| *at).1.0,
                false => u64::MAX,
            };
            let visited = ahead.iter().filter(|(at, entry)| *at <= last && !entry.is_over());
            found.extend(visited.map(|(_, entry)| entry.key.clone()));
            if last < u64::MAX {
                return (last + 1, found);
            }
            if found.len() >= count && number + 1 < SHARDS {
                return ((number as u64 + 1) << POSITION_BITS, found);
            }
        }
        (0, found)
    }

    /// Begins to watch a key; says how often it had changed.
    pub fn watch(&mut self, key: &[u8]) -> u64 {
        let (store, shard, hash) = self.at(key);
        if shard.entries.find(hash, |entry| *entry.key == *key).is_some_and(Entry::is_over) {
            // Otherwise its removal would be taken for a change.
            store.remove(shard, hash, key);
        }
        shard.watched.add(key)
    }

    /// Ends that; says how often the key has changed until now.
    pub fn unwatch(&mut self, key: &[u8]) -> u64 {
        let (store, shard, hash) = self.at(key);
        if shard.entries.find(hash, |entry| *entry.key == *key).is_some_and(Entry::is_over) {
            store.remove(shard, hash, key);
        }
        shard.watched.remove(key)
    }
}

/// The table uses the lowest and the highest bits.
fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

/// Bits of a position that are behind the number of the shard.
const POSITION_BITS: u32 = u64::BITS - SHARDS.trailing_zeros();

/// Where a key stands in the order of a scan: its shard, then the rest of its hash.
fn position(hash: u64) -> u64 {
    hash.rotate_right(32 + SHARDS.trailing_zeros())
}
