//! Tasks: the run queue, and the list of all tasks, so that none outlives its core.

use super::current::with_current;
use super::inbox::{Inbox, Mail};
use crate::slots::{Key, Slots};
use async_task::{Runnable, Task};
use pin_project_lite::pin_project;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
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

    pub(super) fn spawn<F>(&self, inbox: &Arc<Inbox>, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let key = self.tasks.borrow_mut().insert(Waker::noop().clone());
        let inbox = inbox.clone();
        let (runnable, task) =
            async_task::spawn_local(Listed { listing: Listing(key), future }, move |task| schedule(&inbox, task));
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
    match with_current(|core| Arc::ptr_eq(&core.inbox, inbox).then(|| core.clone())).flatten() {
        Some(core) => core.executor.push(runnable),
        None => schedule_elsewhere(inbox, runnable),
    }
}

#[cold]
fn schedule_elsewhere(inbox: &Inbox, runnable: Runnable) {
    if let Err(Mail::Wake(orphan)) = inbox.send(Mail::Wake(runnable)) {
        // The core is gone, and so is its thread, the only one that may drop this future.
        std::mem::forget(orphan);
    }
}

pin_project! {
    /// A future that is in its executor's list until it is dropped.
    struct Listed<F> {
        listing: Listing,
        #[pin]
        future: F,
    }
}

struct Listing(Key);

impl Drop for Listing {
    fn drop(&mut self) {
        with_current(|core| core.executor.tasks.borrow_mut().remove(self.0));
    }
}

impl<F: Future> Future for Listed<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}
