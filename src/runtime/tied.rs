//! Tasks that end with something else than themselves: with the connection that has spawned them.

use super::core::Core;
use super::task::{JoinHandle, yield_now};
use crate::slots::{Key, Slots};
use pin_project_lite::pin_project;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

/// Tasks that end together. One that has ended by itself is not in it any more.
#[derive(Clone, Default)]
pub(crate) struct TiedTasks(Rc<RefCell<Slots<Entry>>>);

struct Entry {
    /// Wakers on other threads read it.
    is_over: Arc<AtomicBool>,
    /// Known when the task has been polled; before that it waits for its turn.
    waker: Option<Waker>,
}

impl TiedTasks {
    /// Runs `future` as a task of `core`, until it ends or [`TiedTasks::end`] is called.
    pub(crate) fn spawn<F>(&self, core: &Core, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let is_over = Arc::new(AtomicBool::new(false));
        let key = self.0.borrow_mut().insert(Entry { is_over: is_over.clone(), waker: None });
        let tie = Tie { tasks: self.clone(), key, is_over: is_over.clone() };
        let task = core.executor.spawn_until(&core.inbox, is_over, Tied { future, tie });
        JoinHandle::new(task)
    }

    /// Ends the tasks where they stand. Resolves when their futures have been dropped.
    pub(crate) async fn end(&self) {
        loop {
            let wakers: Vec<Waker> = self.0.borrow().iter().filter_map(|(_, entry)| entry.end()).collect();
            // The list is free now: a task that is woken is dropped for it, and leaves the list.
            wakers.into_iter().for_each(Waker::wake);
            if self.0.borrow().is_empty() {
                return;
            }
            // Those that had been woken before are in the queue, and are dropped in their turn.
            yield_now().await;
        }
    }
}

impl Entry {
    fn end(&self) -> Option<Waker> {
        self.is_over.store(true, Relaxed);
        self.waker.clone()
    }
}

pin_project! {
    /// A future that is in the list until it is dropped.
    struct Tied<F> {
        #[pin]
        future: F,
        // Behind the future: what has left the list has been dropped.
        tie: Tie,
    }
}

struct Tie {
    tasks: TiedTasks,
    key: Key,
    is_over: Arc<AtomicBool>,
}

impl Tie {
    /// Notes how the task is woken, once.
    fn remember(&self, cx: &Context<'_>) {
        if let Some(entry) = self.tasks.0.borrow_mut().get_mut(self.key)
            && entry.waker.is_none()
        {
            entry.waker = Some(cx.waker().clone());
        }
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        let entry = self.tasks.0.borrow_mut().remove(self.key);
        // Only now that the list is free again.
        drop(entry);
    }
}

impl<F: Future> Future for Tied<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if this.tie.is_over.load(Relaxed) {
            // It was in the queue when its end came. The wake-up drops it.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.tie.remember(cx);
        this.future.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{block_on, expect_current};

    #[test]
    fn a_task_that_has_ended_leaves_no_entry() {
        block_on(async {
            let (core, tasks) = (expect_current("a test"), TiedTasks::default());
            for round in 0..1_000 {
                let task = tasks.spawn(&core, async move { round });
                assert_eq!(task.await, Ok(round));
            }
            tasks.spawn(&core, std::future::pending::<()>()).cancel().await;
            assert!(tasks.0.borrow().is_empty());
            assert_eq!(tasks.0.borrow().slots(), 1);
        });
    }
}
