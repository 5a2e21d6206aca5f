//! What crosses threads, or loom's stand-ins for it while the mailbox is modelled.

#[cfg(not(tiderace_loom))]
pub(super) use {
    concurrent_queue::ConcurrentQueue as Queue,
    std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst, fence},
};

#[cfg(tiderace_loom)]
pub(super) use self::model::Queue;
#[cfg(tiderace_loom)]
pub(super) use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst, fence};

/// A queue that loom can see into, with the part of `ConcurrentQueue`'s interface that is in use.
#[cfg(tiderace_loom)]
mod model {
    use concurrent_queue::PushError;
    use loom::sync::Mutex;
    use std::collections::VecDeque;

    pub(crate) struct Queue<T>(Mutex<(VecDeque<T>, bool)>);

    impl<T> Queue<T> {
        pub(crate) fn unbounded() -> Self {
            Queue(Mutex::new((VecDeque::new(), false)))
        }

        pub(crate) fn push(&self, value: T) -> Result<(), PushError<T>> {
            let mut queue = self.0.lock().unwrap();
            if queue.1 {
                return Err(PushError::Closed(value));
            }
            queue.0.push_back(value);
            Ok(())
        }

        pub(crate) fn pop(&self) -> Result<T, ()> {
            self.0.lock().unwrap().0.pop_front().ok_or(())
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.lock().unwrap().0.is_empty()
        }

        pub(crate) fn is_closed(&self) -> bool {
            self.0.lock().unwrap().1
        }

        pub(crate) fn close(&self) -> bool {
            !std::mem::replace(&mut self.0.lock().unwrap().1, true)
        }
    }
}
