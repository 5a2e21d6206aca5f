//! Which core this thread is: the one thread-local of the library.

use super::contain::drop_contained;
use super::core::{Core, CoreConfig, PreparedCore};
use super::inbox::Inbox;
use crate::io::{Pinned, pin_thread};
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

thread_local! {
    static CURRENT: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// Calls `f` with this thread's core, if it is one. While the thread ends it is none.
#[inline]
pub(crate) fn with_current<R>(f: impl FnOnce(&Rc<Core>) -> R) -> Option<R> {
    CURRENT.try_with(|current| current.borrow().as_ref().map(f)).ok().flatten()
}

/// This thread's core, or a panic that says what is missing.
#[track_caller]
pub(crate) fn expect_current(what: &str) -> Rc<Core> {
    with_current(Rc::clone).unwrap_or_else(|| {
        panic!("{what} needs a core: call it in tiderace::block_on, in a handler or in a task of theirs")
    })
}

/// `work` for a thread that this one starts: such a thread inherits the one processor that a core keeps to, and would compete
/// with the core for it.
pub(crate) fn unpinned<R>(work: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let affinity = with_current(|core| core.affinity.get()).flatten();
    move || {
        if let Some(affinity) = affinity {
            affinity.apply();
        }
        work()
    }
}

/// Panics on a thread that is a core already.
#[track_caller]
pub(crate) fn assert_free() {
    let occupied = with_current(|_| ()).is_some();
    assert!(!occupied, "this thread is a core already: to wait here would block it, use .await instead");
}

/// A thread that is a core until this is dropped.
pub(crate) struct Entered {
    core: Rc<Core>,
    _pinned: Option<Pinned>,
}

impl Entered {
    /// Makes this thread a core.
    ///
    /// # Panics
    /// If it is one already.
    #[track_caller]
    pub(crate) fn new(prepared: PreparedCore) -> Entered {
        assert_free();
        // First of all, so that the memory of the core is that processor's.
        let pinned = prepared.processor().and_then(|processor| {
            let pinned = pin_thread(processor);
            pinned.map_err(|error| tracing::warn!(processor, %error, "a core cannot be kept to its processor")).ok()
        });
        let core = Core::new(prepared);
        core.affinity.set(pinned.as_ref().map(Pinned::before));
        CURRENT.with(|current| *current.borrow_mut() = Some(core.clone()));
        Entered { core, _pinned: pinned }
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// Turns until `future` is ready.
    pub(crate) fn run<F: Future>(&self, future: F) -> io::Result<F::Output> {
        let waker = Waker::from(Arc::new(MainWaker(self.core.inbox.clone())));
        let mut cx = Context::from_waker(&waker);
        let mut future = pin!(future);
        self.core.inbox.wake_main();
        loop {
            if self.core.inbox.take_main_woken() {
                let polled = future.as_mut().poll(&mut cx);
                // The next turn begins with a wait, and what was queued now is not to sit that out.
                self.core.flush();
                if let Poll::Ready(output) = polled {
                    return Ok(output);
                }
            }
            self.core.turn()?;
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // In this order: futures still find their core while they are dropped; what is woken elsewhere after the inbox is
        // closed is leaked there, because only this thread may drop it. All that runs destructors of users is contained, or
        // what comes after it would be left out.
        self.core.executor.clear();
        self.core.clear_sources();
        self.core.clear_locals();
        drop_contained(|| drop(self.core.collectors.take()));
        self.core.inbox.close();
        while let Some(mail) = self.core.inbox.receive() {
            drop_contained(|| drop(mail));
        }
        self.core.executor.clear();
        CURRENT.with(|current| current.borrow_mut().take());
    }
}

struct MainWaker(Arc<Inbox>);

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.0.wake_main();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_main();
    }
}

/// Makes this thread a core until `future` is ready, and returns what it returned.
///
/// Tasks that it has spawned and that have not ended by then are dropped.
///
/// # Panics
/// If the thread is a core already (await the future instead), or if the system refuses a poller.
///
/// ```
/// use std::time::Duration;
///
/// let answer = tiderace::block_on(async {
///     let task = tiderace::spawn_local(async { 6 * 7 });
///     tiderace::sleep(Duration::from_millis(1)).await;
///     task.await.unwrap()
/// });
/// assert_eq!(answer, 42);
/// ```
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let prepared = CoreConfig::default().prepare().unwrap_or_else(|error| panic!("no poller: {error}"));
    Entered::new(prepared).run(future).unwrap_or_else(|error| panic!("the poller failed: {error}"))
}
