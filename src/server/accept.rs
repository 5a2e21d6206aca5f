//! Accepting connections on one core.

use super::refusal::Refuser;
use crate::connection::{ConnectionLimits, Incoming};
use crate::io::{Accepted, Listener, Readiness};
use crate::limits;
use crate::runtime::{Core, Interrupt, Source, panic_message, sleep, spawn_local};
use crate::slots::Key;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// How long to wait for descriptors to come free, or for a listener to become usable, before accept is tried again. Nobody
/// says when they do.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// A listener on the reactor.
pub(super) struct Acceptor {
    core: Weak<Core>,
    key: Key,
    listener: Arc<Listener>,
    limits: ConnectionLimits,
    refuser: Refuser,
    /// Brings a connection to the core that serves it.
    deliver: RefCell<Box<dyn FnMut(Incoming)>>,
    /// A look is asked for already: more connections wait than one look accepts.
    again: Cell<bool>,
    /// Accepting has failed, because descriptors have run out, say; a timer will look again.
    exhausted: Cell<bool>,
    /// That is in the log already.
    logged: Cell<bool>,
    /// The server stops: the listener closes as soon as no connection waits at it.
    closing: Cell<bool>,
    open: Rc<OpenAcceptors>,
}

/// Counts the acceptors of a core that are open.
#[derive(Default)]
pub(super) struct OpenAcceptors {
    count: Cell<usize>,
    closed: Cell<Option<Waker>>,
}

impl OpenAcceptors {
    /// Resolves when none is.
    pub(super) async fn closed(&self) {
        poll_fn(|cx| {
            self.closed.set(Some(cx.waker().clone()));
            if self.count.get() == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    }
}

impl Acceptor {
    pub(super) fn start(
        core: &Rc<Core>,
        listener: Arc<Listener>,
        limits: ConnectionLimits,
        refuser: Refuser,
        open: &Rc<OpenAcceptors>,
        deliver: impl FnMut(Incoming) + 'static,
    ) -> io::Result<()> {
        let mut parts = Some((listener, limits, refuser, Box::new(deliver)));
        let acceptor = core.register(|key| {
            let (listener, limits, refuser, deliver) = parts.take().expect("registered once");
            let (core, deliver) = (Rc::downgrade(core), RefCell::new(deliver as Box<dyn FnMut(Incoming)>));
            let (again, exhausted, logged, closing) = Default::default();
            let open = open.clone();
            Rc::new(Acceptor { core, key, listener, limits, refuser, deliver, again, exhausted, logged, closing, open })
        })?;
        open.count.set(open.count.get() + 1);
        core.arm(acceptor.key, acceptor.listener.as_fd(), Readiness::READ);
        Ok(())
    }

    /// Accepts at most `limit` connections; says whether more may wait.
    fn accept(&self, core: &Rc<Core>, limit: usize) -> bool {
        let mut lost_in_a_row = 0;
        for _ in 0..limit {
            match self.listener.accept() {
                Accepted::Connection(socket, peer) => {
                    lost_in_a_row = 0;
                    match self.limits.admit() {
                        Some(admission) => {
                            guarded(&mut *self.deliver.borrow_mut(), Incoming { socket, peer, admission });
                        }
                        None => self.refuser.refuse(core, socket, &peer),
                    }
                }
                Accepted::Empty => return false,
                Accepted::Lost(error) => {
                    tracing::debug!(%error, "a connection was lost before it was accepted");
                    lost_in_a_row += 1;
                    // An error that does not belong to a connection comes again and again.
                    if lost_in_a_row == limits::ACCEPT {
                        self.pause(core, &error, "connections wait: every one is lost before it can be accepted");
                        return false;
                    }
                }
                Accepted::Exhausted(error) => {
                    self.pause(core, &error, "connections wait: none can be accepted until descriptors come free");
                    return false;
                }
                // Nothing waits at it that could be lost with it.
                Accepted::Unusable(_) if self.closing.get() => return false,
                Accepted::Unusable(error) => {
                    self.pause(core, &error, "a listener accepts nothing any more");
                    return false;
                }
            }
        }
        true
    }

    /// Ends the watch of the listener and closes it. Others may have duplicates, for which the kernel would go on to watch.
    fn close(&self, core: &Core) {
        core.deregister(self.key, true);
        self.open.count.set(self.open.count.get() - 1);
        if let Some(waker) = self.open.closed.take() {
            waker.wake();
        }
    }

    /// Trying again at once would spin, and waiting for an event would hang: the next one comes with the next
    /// connection only.
    fn pause(&self, core: &Rc<Core>, error: &io::Error, what: &str) {
        if self.exhausted.replace(true) {
            return;
        }
        if !self.logged.replace(true) {
            tracing::warn!(%error, "{what}");
        }
        core.arm(self.key, self.listener.as_fd(), Readiness::NONE);
        let (core, key) = (Rc::downgrade(core), self.key);
        spawn_local(async move {
            sleep(EXHAUSTED_PAUSE).await;
            if let Some(core) = core.upgrade() {
                core.look_soon(key);
            }
        })
        .detach();
    }
}

/// Accepts what waits already at a listener that is not on the reactor yet.
pub(super) fn accept_waiting(listener: &Listener, limits: &ConnectionLimits, mut deliver: impl FnMut(Incoming)) {
    for _ in 0..limits::BACKLOG {
        // What has failed here fails again where it is seen to.
        let Accepted::Connection(socket, peer) = listener.accept() else { return };
        if let Some(admission) = limits.admit() {
            guarded(&mut deliver, Incoming { socket, peer, admission });
        }
    }
}

/// Calls what may call a user's function, that makes handlers or picks cores: a panic in it costs that connection only.
pub(super) fn guarded(serve: &mut dyn FnMut(Incoming), incoming: Incoming) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| serve(incoming))) {
        tracing::error!(panic = panic_message(&*panic), "no handler could be made for a connection");
    }
}

impl Source for Acceptor {
    fn socket(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    fn ready(&self, core: &Rc<Core>, readiness: Readiness) -> usize {
        let was_asked_for = readiness == Readiness::NONE;
        if was_asked_for {
            self.again.set(false);
        } else if self.exhausted.get() || self.again.get() {
            // It waits for its turn, or for the timer: an event is no reason to accept before that.
            return 0;
        }
        self.exhausted.set(false);
        if self.accept(core, limits::ACCEPT) {
            self.again.set(true);
            core.look_soon(self.key);
        } else if self.closing.get() && !(self.exhausted.get() && self.listener.has_waiting()) {
            self.close(core);
        } else if !self.exhausted.get() {
            if self.logged.replace(false) {
                tracing::info!("connections are accepted again");
            }
            core.arm(self.key, self.listener.as_fd(), Readiness::READ);
        }
        0
    }

    fn interrupt(&self, how: Interrupt) {
        let Some(core) = self.core.upgrade() else { return };
        match how {
            // The connections that wait would be reset with the listener. A turn accepts only some of them, because there
            // may be any number, and the connections of this core go on meanwhile.
            Interrupt::Refuse => {
                self.closing.set(true);
                if !self.again.replace(true) {
                    core.look_soon(self.key);
                }
            }
            Interrupt::Stop | Interrupt::Silent => {}
            Interrupt::Abort => self.close(&core),
        }
    }
}
