//! Which keys are watched (`WATCH`), and how often each has changed since the first client began.

use bytes::Bytes;
use std::collections::HashMap;

#[derive(Default)]
pub struct Watched(HashMap<Bytes, Watch>);

#[derive(Default)]
struct Watch {
    clients: usize,
    changes: u64,
}

impl Watched {
    /// One more client watches; says how often the key had changed.
    pub fn add(&mut self, key: &[u8]) -> u64 {
        let watch = self.0.entry(Bytes::copy_from_slice(key)).or_default();
        watch.clients += 1;
        watch.changes
    }

    /// One client less; says how often the key has changed.
    pub fn remove(&mut self, key: &[u8]) -> u64 {
        let Some(watch) = self.0.get_mut(key) else { return 0 };
        watch.clients -= 1;
        let changes = watch.changes;
        if watch.clients == 0 {
            self.0.remove(key);
        }
        changes
    }

    /// A key has changed. Mostly none is watched, which costs a comparison.
    #[inline]
    pub fn touch(&mut self, key: &[u8]) {
        if !self.0.is_empty()
            && let Some(watch) = self.0.get_mut(key)
        {
            watch.changes += 1;
        }
    }
}
