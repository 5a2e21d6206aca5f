//! What reaches a server from outside.

use super::attach::Attaching;
use super::deadline::StopBy;
use super::duplicate::Duplicable;
use super::ended::End;
use crate::connection::ConnectionLimit;
use crate::io::Address;
use crate::runtime::{PreparedCore, Remote, panic_message, sleep_until};
use atomic_waker::AtomicWaker;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

/// Shared by a server's cores and its handles, without a lock.
#[derive(Default)]
pub(super) struct Control {
    /// When the server must have ended, once it is to stop.
    stop_by: StopBy,
    /// Known once the server runs.
    cores: OnceLock<Vec<CoreControl>>,
    limits: OnceLock<Vec<Arc<ConnectionLimit>>>,
    listening: OnceLock<Vec<Duplicable>>,
    addresses: OnceLock<Vec<Address>>,
    /// The hooks for the start were called: connections are accepted.
    is_open: AtomicBool,
    /// A core has ended that was not told to stop.
    has_failed: AtomicBool,
    /// What connections have that are brought to the running server.
    pub(super) attaching: OnceLock<Attaching>,
    /// What is called when the server begins to stop has ended.
    hooks_over: AtomicBool,
    pub(super) end: End,
}

pub(super) struct CoreControl {
    pub(super) remote: Remote,
    pub(super) open: Arc<AtomicUsize>,
    #[cfg(feature = "metrics")]
    counts: Arc<crate::meter::Counts>,
    /// All that this core needs is there.
    is_ready: AtomicBool,
    /// No listener of this core is open any more.
    accepts_no_more: AtomicBool,
    /// Wakes the core's main future, for whatever it waits for.
    woken: AtomicWaker,
}

impl CoreControl {
    pub(super) fn new(core: &PreparedCore, open: Arc<AtomicUsize>) -> CoreControl {
        CoreControl {
            remote: core.remote(),
            open,
            #[cfg(feature = "metrics")]
            counts: core.meter().counts().clone(),
            is_ready: AtomicBool::new(false),
            accepts_no_more: AtomicBool::new(false),
            woken: AtomicWaker::new(),
        }
    }
}

impl Control {
    /// Where the server listens.
    pub(super) fn listens_on(&self, addresses: Vec<Address>) {
        let _ = self.addresses.set(addresses);
    }

    pub(super) fn addresses(&self) -> &[Address] {
        self.addresses.get().map_or(&[], Vec::as_slice)
    }

    /// Whether connections are accepted, or were until the server was told to stop.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Acquire)
    }

    /// The server begins with these cores.
    pub(super) fn begin(&self, cores: Vec<CoreControl>, limits: Vec<Arc<ConnectionLimit>>, listening: Vec<Duplicable>) {
        self.stop_by.begin();
        let _ = self.limits.set(limits);
        let _ = self.listening.set(listening);
        let _ = self.cores.set(cores);
    }

    /// What there is of listeners for other servers, once the server has begun.
    pub(super) fn listening(&self) -> Option<&[Duplicable]> {
        self.listening.get().map(Vec::as_slice)
    }

    pub(super) fn cores(&self) -> &[CoreControl] {
        self.cores.get().map_or(&[], Vec::as_slice)
    }

    pub(super) fn stop(&self, within: Duration) {
        self.stop_by.within(within);
        self.wake_cores();
    }

    /// The first core has called what is called when the server begins to stop, or never will.
    pub(super) fn hooks_are_over(&self) {
        self.hooks_over.store(true, Release);
        self.wake_cores();
    }

    /// A core has what it needs.
    pub(super) fn core_is_ready(&self, core: usize) {
        self.cores()[core].is_ready.store(true, Release);
        self.wake_cores();
    }

    /// Connections may be accepted.
    pub(super) fn open(&self) {
        self.is_open.store(true, Release);
        self.wake_cores();
    }

    /// A core cannot go on, or not even begin: the others end as well.
    pub(super) fn fail(&self) {
        self.has_failed.store(true, Release);
        self.stop(Duration::ZERO);
        self.hooks_are_over();
    }

    /// A core has closed its listeners: it hands no connection to another from here on.
    pub(super) fn accepts_no_more(&self, core: usize) {
        if let Some(core) = self.cores().get(core) {
            core.accepts_no_more.store(true, Release);
        }
        self.wake_cores();
    }

    fn wake_cores(&self) {
        self.cores().iter().for_each(|core| core.woken.wake());
    }

    /// Resolves on a core when `holds` does. To be awaited by the core's main future alone.
    async fn until(&self, core: usize, holds: impl Fn() -> bool) {
        poll_fn(|cx| {
            // Registered before the look, so that a change in between wakes.
            self.cores()[core].woken.register(cx.waker());
            if holds() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    }

    /// Resolves when every core has what it needs; says whether none has failed.
    pub(super) async fn all_ready(&self, core: usize) -> bool {
        let ready = || self.cores().iter().all(|core| core.is_ready.load(Acquire));
        self.until(core, || ready() || self.has_failed.load(Acquire)).await;
        !self.has_failed.load(Acquire)
    }

    /// Resolves when connections may be accepted; says whether no core has failed.
    pub(super) async fn opened(&self, core: usize) -> bool {
        self.until(core, || self.is_open.load(Acquire) || self.has_failed.load(Acquire)).await;
        !self.has_failed.load(Acquire)
    }

    /// Resolves when connections may be told to stop.
    pub(super) async fn hooks_over(&self, core: usize) {
        self.until(core, || self.hooks_over.load(Acquire)).await
    }

    /// Resolves when no core accepts any more.
    pub(super) async fn accepting_over(&self, core: usize) {
        self.until(core, || self.cores().iter().all(|core| core.accepts_no_more.load(Acquire))).await
    }

    /// Resolves when the server is to stop.
    pub(super) async fn stopped(&self, core: usize) {
        self.until(core, || self.stop_by.get().is_some()).await
    }

    /// What `future` returns, or `None` if the time for the stop is over first: a later call of `stop` may shorten it.
    pub(super) async fn before_the_end<F: Future>(&self, core: usize, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let Some(mut by) = self.stop_by.get() else { return Some(future.await) };
        let mut end = sleep_until(by);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            self.cores()[core].woken.register(cx.waker());
            if let Some(earlier) = self.stop_by.get().filter(|earlier| *earlier < by) {
                by = earlier;
                end.reset(by);
            }
            Pin::new(&mut end).poll(cx).map(|()| None)
        })
        .await
    }
}

/// A running server as any thread sees it. It is cheap to clone, and outlives its server.
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) control: Arc<Control>,
}

impl ServerHandle {
    pub(super) fn new(control: Arc<Control>) -> ServerHandle {
        ServerHandle { control }
    }

    /// Stops the server: it accepts the connections that wait already, and none that come later. Each connection handles the
    /// messages that it has received whole, delivers what it has sent, and closes. One that was accepted and has sent no
    /// message yet has a second to do so, and that message is handled. What is not done `within` this time is aborted.
    /// [`Server::run`](crate::Server::run) returns when all that is over.
    ///
    /// Protocols that can tell their peers do: with `Connection: close` in HTTP's responses, with a close frame (1001, going
    /// away) on a WebSocket.
    ///
    /// A connection is over when its peer has ended its side too, or has taken the time that
    /// [`close_timeout`](crate::Server::close_timeout) gives it for that. So a peer that leaves its side open keeps the server
    /// for that long, if `within` is longer.
    ///
    /// Another call may shorten the time, and cannot extend it. A server that has not begun stops as soon as it does.
    ///
    /// To replace a server without losing a connection, see
    /// [`duplicate_listeners`](ServerHandle::duplicate_listeners).
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
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ServerHandle");
        debug.field("running", &self.is_running()).field("connections", &self.connections()).finish()
    }
}
