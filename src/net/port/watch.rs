//! Telling a user of writes.

use super::Port;
use crate::net::Flag;
use crate::runtime::panic_message;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is told to who watches a connection's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteEvent {
    /// The queue is about to be written.
    Before {
        /// The bytes that wait in it.
        queued: usize,
    },
    /// Bytes have been handed to the system.
    After {
        /// How many.
        written: usize,
        /// The bytes that wait now.
        queued: usize,
    },
}

pub(super) type Watcher = Box<dyn FnMut(WriteEvent)>;

impl Port {
    /// Has `watcher` told of each write.
    pub(crate) fn watch(&self, watcher: impl FnMut(WriteEvent) + 'static) {
        self.rare().watcher.set(Some(Box::new(watcher)));
        self.state.set(Flag::WATCHED);
    }

    #[cold]
    pub(super) fn tell_watcher(&self, event: WriteEvent) {
        // Out of its place while it runs: it may do anything, also watch anew.
        let Some(mut watcher) = self.rare().watcher.take() else { return };
        // It is called by the loop, too, whose other connections it must not bring down.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| watcher(event))) {
            tracing::error!(panic = panic_message(&*panic), "a watcher of writes panicked");
            return self.notify(Flag::ABORT);
        }
        let newer = self.rare().watcher.take();
        self.rare().watcher.set(newer.or(Some(watcher)));
    }
}
