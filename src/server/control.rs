//! What reaches a server from outside.

use atomic_waker::AtomicWaker;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

/// Shared by a server's cores and its handles. No turn of a core takes its lock: cores join before they begin.
#[derive(Default)]
pub(super) struct Control {
    /// How long connections may take to end, once the server is to stop.
    stop: OnceLock<Duration>,
    cores: Mutex<Vec<Arc<CoreControl>>>,
}

#[derive(Default)]
pub(super) struct CoreControl {
    pub(super) open: Arc<AtomicUsize>,
    stopped: AtomicWaker,
}

impl Control {
    pub(super) fn join(&self) -> Arc<CoreControl> {
        let core = Arc::new(CoreControl::default());
        self.cores().push(core.clone());
        core
    }

    fn cores(&self) -> std::sync::MutexGuard<'_, Vec<Arc<CoreControl>>> {
        // The list is whole at every moment, also where somebody has panicked.
        self.cores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stop(&self, within: Duration) {
        let _ = self.stop.set(within);
        self.cores().iter().for_each(|core| core.stopped.wake());
    }

    /// Resolves when the server is to stop, with the time that this may take.
    pub(super) async fn stopped(&self, core: &CoreControl) -> Duration {
        poll_fn(|cx| {
            // Registered before the look, so that a stop in between wakes.
            core.stopped.register(cx.waker());
            self.stop.get().map_or(Poll::Pending, |within| Poll::Ready(*within))
        })
        .await
    }
}

/// A running server as any thread sees it. It is cheap to clone.
#[derive(Clone)]
pub struct ServerHandle {
    control: Arc<Control>,
}

impl ServerHandle {
    pub(super) fn new(control: Arc<Control>) -> ServerHandle {
        ServerHandle { control }
    }

    /// Stops the server: nothing more is accepted, each connection finishes the message in hand, delivers what it has
    /// sent, and closes. What is not done `within` this time is aborted. [`Server::run`](crate::Server::run) returns when
    /// all that is over.
    ///
    /// Only the first call counts. A server that has not begun stops as soon as it does.
    pub fn stop(&self, within: Duration) {
        self.control.stop(within);
    }

    /// How many connections are open, on all cores.
    pub fn connections(&self) -> usize {
        self.control.cores().iter().map(|core| core.open.load(Relaxed)).sum()
    }

    /// How many connections are open on each core.
    pub fn connections_per_core(&self) -> Vec<usize> {
        self.control.cores().iter().map(|core| core.open.load(Relaxed)).collect()
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("connections", &self.connections()).finish()
    }
}
