//! Tasks: the run queue, and the list of all tasks, so that none outlives its core.

use super::contain::{Contained, drop_contained, poll_caught};
use super::core::Core;
use super::current::with_current;
use super::inbox::{Inbox, Mail};
use super::task::Ended;
use crate::slots::{Key, Slots};
use async_task::{Runnable, Task};
use pin_project_lite::pin_project;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

pub(super) struct Executor {
    /// Woken tasks in the order of their wakes. Only this thread touches it.
    queue: RefCell<VecDeque<Runnable>>,
    /// A waker of each task that has not ended.
    tasks: RefCell<Slots<Waker>>,
}

impl Executor {
    pub(super) fn new() -> Executor {
        Executor { queue: RefCell::default(), tasks: RefCell::new(Slots::new()) }
    }

    #[inline(always)]
    pub(super) fn push(&self, runnable: Runnable) {
        self.queue.borrow_mut().push_back(runnable);
    }

    #[inline]
    pub(super) fn pop(&self) -> Option<Runnable> {
        self.queue.borrow_mut().pop_front()
    }

    #[inline]
    pub(super) fn has_work(&self) -> bool {
        !self.queue.borrow().is_empty()
    }

    pub(super) fn spawn<F>(&self, inbox: &Arc<Inbox>, future: F) -> Task<Ended<F::Output>>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let inbox = inbox.clone();
        self.spawn_with(future, move |task| schedule(&inbox, task))
    }

    /// Like [`spawn`](Executor::spawn); the task is cancelled by the first wake-up that finds `is_over` set.
    pub(super) fn spawn_until<F>(
        &self,
        inbox: &Arc<Inbox>,
        is_over: Arc<AtomicBool>,
        future: F,
    ) -> Task<Ended<F::Output>>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let inbox = inbox.clone();
        self.spawn_with(future, move |task| schedule_until(&inbox, &is_over, task))
    }

    #[inline(always)]
    fn spawn_with<F>(&self, future: F, schedule: impl Fn(Runnable) + Send + Sync + 'static) -> Task<Ended<F::Output>>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let key = self.tasks.borrow_mut().insert(Waker::noop().clone());
        let (runnable, task) = async_task::spawn_local(Listed::new(key, future), schedule);
        if let Some(waker) = self.tasks.borrow_mut().get_mut(key) {
            *waker = runnable.waker();
        }
        self.push(runnable);
        task
    }

    /// Drops every task, also those that are spawned or woken by that.
    pub(super) fn clear(&self) {
        loop {
            let wakers: Vec<Waker> = self.tasks.borrow().iter().map(|(_, waker)| waker.clone()).collect();
            // A woken task is in the queue, and one that is dropped from there is cancelled.
            wakers.into_iter().for_each(Waker::wake);
            let mut dropped = false;
            while let Some(runnable) = self.pop() {
                dropped = true;
                drop(runnable);
            }
            if !dropped {
                return;
            }
        }
    }
}

/// Puts a woken task where its core will find it. Called by wakers, from any thread.
#[inline]
fn schedule(inbox: &Arc<Inbox>, runnable: Runnable) {
    match here(inbox) {
        Some(core) => core.executor.push(runnable),
        None => schedule_elsewhere(inbox, runnable),
    }
}

/// The same, unless the task is over.
fn schedule_until(inbox: &Arc<Inbox>, is_over: &AtomicBool, runnable: Runnable) {
    match here(inbox) {
        // A task that is dropped instead of run is cancelled.
        Some(_) if is_over.load(Relaxed) => drop(runnable),
        Some(core) => core.executor.push(runnable),
        None => schedule_elsewhere(inbox, runnable),
    }
}

/// The core whose inbox this is, if the caller runs on it.
#[inline]
fn here(inbox: &Arc<Inbox>) -> Option<Rc<Core>> {
    with_current(|core| Arc::ptr_eq(&core.inbox, inbox).then(|| core.clone())).flatten()
}

#[cold]
fn schedule_elsewhere(inbox: &Inbox, runnable: Runnable) {
    if let Err(Mail::Wake(orphan)) = inbox.send(Mail::Wake(runnable)) {
        // The core is gone, and so is its thread, the only one that may drop this future.
        std::mem::forget(orphan);
    }
}

pin_project! {
    /// A future that is in its executor's list until it is dropped. Its panics go no further: in the middle of a task's end
    /// one would abort the process.
    struct Listed<F> {
        #[pin]
        life: Life<F>,
    }

    impl<F> PinnedDrop for Listed<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut life = this.project().life;
            drop_contained(|| life.set(Life::Over));
        }
    }
}

pin_project! {
    /// No larger than what it holds: the listing is never zero.
    #[project = LifeProjected]
    enum Life<F> {
        Running {
            listing: Listing,
            #[pin]
            future: F,
        },
        Over,
    }
}

/// A place in the list: one more than the key, as a number.
struct Listing(NonZeroU64);

impl<F> Listed<F> {
    fn new(key: Key, future: F) -> Listed<F> {
        let listing = NonZeroU64::MIN.checked_add(key.number()).expect("no key is the largest number");
        Listed { life: Life::Running { listing: Listing(listing), future } }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        let key = Key::from_number(self.0.get() - 1);
        with_current(|core| core.executor.tasks.borrow_mut().remove(key));
    }
}

impl<F: Future> Future for Listed<F> {
    type Output = Ended<F::Output>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().life.project() {
            LifeProjected::Running { future, .. } => poll_caught(future, cx).map(|ended| ended.map(Contained::new)),
            LifeProjected::Over => unreachable!("a task is not polled after its end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every connection is one of these.
    #[test]
    fn listing_costs_no_more_than_its_key() {
        assert_eq!(size_of::<Listed<[u64; 23]>>(), size_of::<(Key, [u64; 23])>());
    }
}
