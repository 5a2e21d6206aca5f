//! Waiting for the end of a server, on any thread.

use atomic_waker::AtomicWaker;
use concurrent_queue::ConcurrentQueue;
use std::future::poll_fn;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Weak};
use std::task::Poll;

/// Whether a server has ended, and those that wait for that.
pub(super) struct End {
    has_come: AtomicBool,
    /// Those that have given up leave a dead entry, which a later one takes away.
    waiting: ConcurrentQueue<Weak<AtomicWaker>>,
}

impl Default for End {
    fn default() -> End {
        End { has_come: AtomicBool::new(false), waiting: ConcurrentQueue::unbounded() }
    }
}

impl End {
    pub(super) fn has_come(&self) -> bool {
        self.has_come.load(SeqCst)
    }

    /// The server has ended.
    pub(super) fn comes(&self) {
        self.has_come.store(true, SeqCst);
        self.wake_all();
    }

    /// Resolves when it has come.
    pub(super) async fn wait(&self) {
        let waiter = Arc::new(AtomicWaker::new());
        let mut listed = false;
        poll_fn(|cx| {
            // Registered before the look, so that an end which comes in between wakes.
            waiter.register(cx.waker());
            if !std::mem::replace(&mut listed, true) {
                self.list(&waiter);
            }
            if self.has_come() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    }

    /// Adds a waiter, and looks at two others: so dead entries go faster than waiters come.
    fn list(&self, waiter: &Arc<AtomicWaker>) {
        let _ = self.waiting.push(Arc::downgrade(waiter));
        for _ in 0..2 {
            match self.waiting.pop() {
                Ok(other) if other.strong_count() > 0 => drop(self.waiting.push(other)),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        // Those that were out of the queue for a moment have missed an end that came then.
        if self.has_come() {
            self.wake_all();
        }
    }

    fn wake_all(&self) {
        while let Ok(waiter) = self.waiting.pop() {
            if let Some(waiter) = waiter.upgrade() {
                waiter.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn waits_that_are_given_up_leave_nothing_that_grows() {
        let end = End::default();
        for _ in 0..1000 {
            assert!(block_on(poll_once(end.wait())).is_none());
        }
        assert!(end.waiting.len() <= 2, "{} entries", end.waiting.len());
        end.comes();
        block_on(end.wait());
    }

    #[test]
    fn every_waiter_hears_of_the_end() {
        let end = End::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| block_on(end.wait()));
            }
            end.comes();
        });
    }
}
