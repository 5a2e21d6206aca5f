//! Accepting connections on one core.

use crate::io::{Accepted, Address, Listener, Readiness, Socket};
use crate::limits;
use crate::runtime::{Core, Interrupt, Source, panic_message, sleep, spawn_local};
use crate::slots::Key;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::time::Duration;

/// How long to wait for descriptors to come free before accept is tried again. Nobody says when they do.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

type Serve = Box<dyn FnMut(&Rc<Core>, Socket, Address)>;

/// A listener on the reactor.
pub(super) struct Acceptor {
    core: Weak<Core>,
    key: Key,
    listener: Listener,
    serve: RefCell<Serve>,
    /// Descriptors or memory have run out; a timer will look again.
    exhausted: Cell<bool>,
}

impl Acceptor {
    pub(super) fn start(
        core: &Rc<Core>,
        listener: Listener,
        serve: impl FnMut(&Rc<Core>, Socket, Address) + 'static,
    ) -> io::Result<()> {
        let mut parts = Some((listener, Box::new(serve) as Serve));
        let acceptor = core.register(|key| {
            let (listener, serve) = parts.take().expect("registered once");
            let core = Rc::downgrade(core);
            Rc::new(Acceptor { core, key, listener, serve: RefCell::new(serve), exhausted: Cell::new(false) })
        })?;
        core.arm(acceptor.key, acceptor.listener.as_fd(), Readiness::READ);
        Ok(())
    }

    /// Accepts at most `limit` connections; says whether more may wait.
    fn accept(&self, core: &Rc<Core>, limit: usize) -> bool {
        for _ in 0..limit {
            match self.listener.accept() {
                Accepted::Connection(socket, peer) => self.serve(core, socket, peer),
                Accepted::Empty => return false,
                Accepted::Lost(error) => tracing::debug!(%error, "a connection was lost before it was accepted"),
                Accepted::Exhausted(error) => {
                    self.pause(core, &error);
                    return false;
                }
            }
        }
        true
    }

    /// A panic in the user's function that makes handlers costs that connection only.
    fn serve(&self, core: &Rc<Core>, socket: Socket, peer: Address) {
        let mut serve = self.serve.borrow_mut();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| serve(core, socket, peer))) {
            tracing::error!(panic = panic_message(&*panic), "no handler could be made for a connection");
        }
    }

    /// Trying again at once would spin, and waiting for an event would hang: the next one comes with the next
    /// connection only.
    fn pause(&self, core: &Rc<Core>, error: &io::Error) {
        if self.exhausted.replace(true) {
            return;
        }
        tracing::warn!(%error, "connections wait: none can be accepted until descriptors come free");
        let (core, key) = (Rc::downgrade(core), self.key);
        spawn_local(async move {
            sleep(EXHAUSTED_PAUSE).await;
            if let Some(core) = core.upgrade() {
                core.look_again(key);
            }
        })
        .detach();
    }
}

impl Source for Acceptor {
    fn socket(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    fn ready(&self, core: &Rc<Core>, readiness: Readiness) -> usize {
        let by_timer = readiness == Readiness::NONE;
        if self.exhausted.get() && !by_timer {
            return 0;
        }
        let was_exhausted = self.exhausted.replace(false);
        if self.accept(core, limits::ACCEPT) {
            core.look_again(self.key);
        } else if !self.exhausted.get() {
            if was_exhausted {
                tracing::info!("connections are accepted again");
            }
            core.arm(self.key, self.listener.as_fd(), Readiness::READ);
        }
        0
    }

    fn interrupt(&self, _: Interrupt) {
        let Some(core) = self.core.upgrade() else { return };
        // Those whom the system has let in already would be reset with the listener.
        self.accept(&core, limits::BACKLOG as usize);
        core.deregister(self.key, false);
    }
}
