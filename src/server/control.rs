//! What reaches a server from outside.

use crate::codec::Codec;
use crate::connection::{ConnectionLimit, Handle, visit};
use crate::runtime::{PreparedCore, Remote, oneshot, panic_message};
use atomic_waker::AtomicWaker;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

/// Shared by a server's cores and its handles, without a lock.
#[derive(Default)]
pub(super) struct Control {
    /// How long connections may take to end, once the server is to stop.
    stop: OnceLock<Duration>,
    /// Known once the server runs.
    cores: OnceLock<Vec<CoreControl>>,
    limits: OnceLock<Vec<Arc<ConnectionLimit>>>,
    /// What is called when the server begins to stop has ended.
    hooks_over: AtomicBool,
}

pub(super) struct CoreControl {
    pub(super) remote: Remote,
    pub(super) open: Arc<AtomicUsize>,
    #[cfg(feature = "metrics")]
    counts: Arc<crate::meter::Counts>,
    stopped: AtomicWaker,
}

impl CoreControl {
    pub(super) fn new(core: &PreparedCore, open: Arc<AtomicUsize>) -> CoreControl {
        CoreControl {
            remote: core.remote(),
            open,
            #[cfg(feature = "metrics")]
            counts: core.meter().counts().clone(),
            stopped: AtomicWaker::new(),
        }
    }
}

impl Control {
    /// The server begins with these cores.
    pub(super) fn begin(&self, cores: Vec<CoreControl>, limits: Vec<Arc<ConnectionLimit>>) {
        let _ = self.limits.set(limits);
        let _ = self.cores.set(cores);
    }

    fn cores(&self) -> &[CoreControl] {
        self.cores.get().map_or(&[], Vec::as_slice)
    }

    pub(super) fn stop(&self, within: Duration) {
        let _ = self.stop.set(within);
        self.cores().iter().for_each(|core| core.stopped.wake());
    }

    /// The first core has called what is called when the server begins to stop, or never will.
    pub(super) fn hooks_are_over(&self) {
        self.hooks_over.store(true, Release);
        self.cores().iter().for_each(|core| core.stopped.wake());
    }

    /// Resolves when connections may be told to stop.
    pub(super) async fn hooks_over(&self, core: usize) {
        poll_fn(|cx| {
            self.cores()[core].stopped.register(cx.waker());
            if self.hooks_over.load(Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    }

    /// Resolves when the server is to stop, with the time that this may take.
    pub(super) async fn stopped(&self, core: usize) -> Duration {
        poll_fn(|cx| {
            // Registered before the look, so that a stop in between wakes.
            self.cores()[core].stopped.register(cx.waker());
            self.stop.get().map_or(Poll::Pending, |within| Poll::Ready(*within))
        })
        .await
    }
}

/// A running server as any thread sees it. It is cheap to clone, and outlives its server.
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
    /// A connection is over when its peer has ended its side too, or has taken the time that
    /// [`close_timeout`](crate::Server::close_timeout) gives it for that. So a peer that leaves its side open keeps the server
    /// for that long, if `within` is longer.
    ///
    /// Only the first call counts. A server that has not begun stops as soon as it does.
    pub fn stop(&self, within: Duration) {
        self.control.stop(within);
    }

    /// How many cores the server runs; 0 before it does.
    pub fn cores(&self) -> usize {
        self.control.cores().len()
    }

    /// How many connections are open, on all cores. One that was closed here counts until the peer has ended its side too,
    /// as long as [`close_timeout`](crate::Server::close_timeout) allows.
    pub fn connections(&self) -> usize {
        self.control.cores().iter().map(|core| core.open.load(Relaxed)).sum()
    }

    /// How many connections are open on each core.
    pub fn connections_per_core(&self) -> Vec<usize> {
        self.control.cores().iter().map(|core| core.open.load(Relaxed)).collect()
    }

    /// How many connections were closed at once because as many as may be were open.
    pub fn refused(&self) -> u64 {
        self.control.limits.get().map_or(0, |limits| limits.iter().map(|limit| limit.refused()).sum())
    }

    /// What the cores have counted. Feature `metrics`.
    ///
    /// The counts are read where the cores write them, so this disturbs nobody; each is right by itself, and those that
    /// belong together may be a moment apart.
    #[cfg(feature = "metrics")]
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn metrics(&self) -> crate::Metrics {
        let of = |core: &CoreControl| {
            crate::metrics::CoreMetrics::of(&core.counts, core.open.load(Relaxed), core.remote.mail())
        };
        let cores = self.control.cores().iter().map(of).collect();
        crate::Metrics { cores, connections_refused: self.refused() }
    }

    /// Has `work` done on a core, in its next turn, where it can spawn tasks, connect, and set timers. Says whether the core
    /// is there to do it: before the server runs, and after it has ended, it is not.
    ///
    /// A panic in `work` is logged.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tiderace::{ServerHandle, after};
    ///
    /// fn remind(server: &ServerHandle) {
    ///     server.run_on(0, || after(Duration::from_secs(60), async { println!("a minute has passed") }).detach());
    /// }
    /// ```
    pub fn run_on(&self, core: usize, work: impl FnOnce() + Send + 'static) -> bool {
        self.control.cores().get(core).is_some_and(|core| {
            core.remote.run(move |_| {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                    tracing::error!(panic = panic_message(&*panic), "work that was run on a core panicked");
                }
            })
        })
    }

    /// Calls `visit` with a handle to each open connection that speaks `C`, on the core of that connection; resolves when
    /// all were visited, with their number.
    ///
    /// Connections that open meanwhile may be missed.
    ///
    /// # Cancel safety
    /// The visits go on if this is dropped after its first poll.
    ///
    /// ```
    /// use tiderace::{Result, ServerHandle, codec::Lines};
    ///
    /// async fn announce(server: &ServerHandle) -> usize {
    ///     server.for_each::<Lines>(|connection| drop(connection.try_send("back in five minutes"))).await
    /// }
    /// ```
    pub fn for_each<C: Codec>(
        &self,
        visit: impl Fn(Handle<C>) + Clone + Send + 'static,
    ) -> impl Future<Output = usize> {
        let visits: Vec<_> = (self.control.cores().iter())
            .map(|core| {
                let (done, visited) = oneshot();
                let visit = visit.clone();
                core.remote.run(move |core| done.send(self::visit(core, visit)));
                visited
            })
            .collect();
        async move {
            let mut total = 0;
            for visited in visits {
                total += visited.receive().await.unwrap_or(0);
            }
            total
        }
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("connections", &self.connections()).finish()
    }
}
