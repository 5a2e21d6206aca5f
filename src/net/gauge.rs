//! What other threads may know of a connection.

use crate::io::Address;
use crate::limits;
use crate::runtime::{Merge, Remote};
use crate::slots::Key;
use std::any::Any;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU8, AtomicUsize};
use std::sync::{Arc, OnceLock};

/// Shared by a connection and its handles, without a lock. What it says of queues may be past, so a sender that relies on it
/// is still answered by the core.
pub(crate) struct Gauge {
    pub(crate) core: Remote,
    pub(crate) key: Key,
    pub(crate) number: u64,
    pub(crate) peer: Option<Address>,
    /// Which request of handles is the last thing that was sent to the core.
    pub(crate) requests: Merge,
    /// Bytes of messages on their way to the core.
    under_way: AtomicUsize,
    /// Bytes in the write queue, its high-water mark, and what handles may have waiting beyond that.
    queued: AtomicUsize,
    high: AtomicUsize,
    limit: AtomicUsize,
    /// 0 while the connection lives, else one more than the number of the reason for which it has ended.
    ended: AtomicU8,
    /// The user's own.
    value: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Gauge {
    pub(super) fn new(core: Remote, key: Key, number: u64, peer: Option<Address>) -> Gauge {
        Gauge {
            core,
            key,
            number,
            peer,
            requests: Merge::default(),
            under_way: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            high: AtomicUsize::new(0),
            limit: AtomicUsize::new(limits::HANDLE_BYTES),
            ended: AtomicU8::new(0),
            value: OnceLock::new(),
        }
    }

    /// Bytes that wait: on their way to the core, and in the write queue.
    pub(crate) fn load(&self) -> usize {
        self.under_way.load(Relaxed).saturating_add(self.queued.load(Relaxed))
    }

    /// How many may wait before handles are refused.
    fn room(&self) -> usize {
        self.high.load(Relaxed).saturating_add(self.limit.load(Relaxed)).max(1)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.load() < self.room()
    }

    /// Whether so much room is free that it is worth to wake those that wait for it.
    pub(super) fn has_much_room(&self) -> bool {
        self.load() <= self.high.load(Relaxed).saturating_add(self.limit.load(Relaxed) / 2)
    }

    pub(crate) fn is_above_high_water(&self) -> bool {
        self.queued.load(Relaxed) > self.high.load(Relaxed)
    }

    /// Counts a message of so many bytes as under way, unless too much waits already.
    pub(crate) fn depart(&self, bytes: usize) -> bool {
        let before = self.under_way.fetch_add(bytes, Relaxed);
        let departs = before.saturating_add(self.queued.load(Relaxed)) < self.room();
        if !departs {
            self.arrive(bytes);
        }
        departs
    }

    pub(crate) fn arrive(&self, bytes: usize) {
        self.under_way.fetch_sub(bytes, Relaxed);
    }

    pub(crate) fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Relaxed);
    }

    /// The connection's core says how long the write queue is.
    #[inline]
    pub(super) fn set_queued(&self, bytes: usize) {
        self.queued.store(bytes, Relaxed);
    }

    pub(super) fn set_high_water(&self, bytes: usize) {
        self.high.store(bytes, Relaxed);
    }

    /// The number of the reason for which the connection has ended, if it has.
    pub(crate) fn ended(&self) -> Option<usize> {
        usize::from(self.ended.load(Acquire)).checked_sub(1)
    }

    /// The connection has ended; only the first reason counts.
    pub(super) fn end(&self, reason: usize) {
        let _ = self.ended.compare_exchange(0, reason as u8 + 1, Release, Relaxed);
    }

    pub(crate) fn value(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.value.get()
    }

    /// For the connection's core alone, so that it never waits for another thread. Says whether there was none.
    pub(crate) fn set_value(&self, value: Arc<dyn Any + Send + Sync>) -> bool {
        self.value.set(value).is_ok()
    }
}
