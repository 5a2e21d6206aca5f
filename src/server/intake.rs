//! How a connection that one core has accepted comes to another.

use crate::connection::Incoming;
use crate::limits;
use atomic_waker::AtomicWaker;
use concurrent_queue::ConcurrentQueue;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

/// Connections on their way to a core, with the number of the listener that they came by.
pub(super) struct Intake {
    queue: ConcurrentQueue<(usize, Incoming)>,
    arrived: AtomicWaker,
    /// Connections that are open there.
    pub(super) open: Arc<AtomicUsize>,
}

/// Those of all cores, by their numbers.
pub(super) type Intakes = Arc<[Arc<Intake>]>;

impl Intake {
    pub(super) fn new(open: Arc<AtomicUsize>) -> Intake {
        Intake { queue: ConcurrentQueue::unbounded(), arrived: AtomicWaker::new(), open }
    }

    /// How many connections are the core's: those that are open, and those that wait for it.
    pub(super) fn load(&self) -> usize {
        self.open.load(Relaxed) + self.queue.len()
    }

    /// Hands a connection to the core, or gives it back: one that has fallen so far behind takes no more, and neither does
    /// one that ends.
    pub(super) fn push(&self, listener: usize, incoming: Incoming) -> Result<(), Incoming> {
        if self.queue.len() >= limits::INTAKE {
            return Err(incoming);
        }
        self.queue.push((listener, incoming)).map_err(|full| full.into_inner().1)?;
        self.arrived.wake();
        Ok(())
    }

    /// The next connection.
    pub(super) async fn next(&self) -> (usize, Incoming) {
        poll_fn(|cx| {
            if let Ok(next) = self.queue.pop() {
                return Poll::Ready(next);
            }
            self.arrived.register(cx.waker());
            // One may have come before the waker was there.
            self.queue.pop().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Takes no more; what has come already is still there.
    pub(super) fn close(&self) {
        self.queue.close();
    }

    /// One that has come already.
    pub(super) fn try_next(&self) -> Option<(usize, Incoming)> {
        self.queue.pop().ok()
    }
}
