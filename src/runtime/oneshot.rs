//! One value from one thread to a future on another.

use atomic_waker::AtomicWaker;
use concurrent_queue::{ConcurrentQueue, PopError};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

struct Shared<T> {
    value: ConcurrentQueue<T>,
    receiver: AtomicWaker,
    sender: AtomicWaker,
}

pub(crate) struct Sender<T>(Arc<Shared<T>>);
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

pub(crate) fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        value: ConcurrentQueue::bounded(1),
        receiver: AtomicWaker::new(),
        sender: AtomicWaker::new(),
    });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Sender<T> {
    pub(crate) fn send(self, value: T) {
        // Full is impossible, the sender is used up; closed is what nobody waits for any more.
        let _ = self.0.value.push(value);
    }

    /// Whether the receiver was dropped.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.value.is_closed()
    }

    /// Ready when nobody waits for the value any more.
    pub(crate) fn poll_abandoned(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Registered before the look, so that an end which comes in between wakes.
        self.0.sender.register(cx.waker());
        if self.0.value.is_closed() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.value.close();
        self.0.receiver.wake();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.value.close();
        self.0.sender.wake();
    }
}

impl<T> Receiver<T> {
    /// `None` if the sender was dropped instead of used.
    pub(crate) async fn receive(self) -> Option<T> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// The same; once it was ready, there is nothing more.
    pub(crate) fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        // Registered before the look, so that a value which comes in between wakes.
        self.0.receiver.register(cx.waker());
        match self.0.value.pop() {
            Ok(value) => Poll::Ready(Some(value)),
            Err(PopError::Closed) => Poll::Ready(None),
            Err(PopError::Empty) => Poll::Pending,
        }
    }
}
