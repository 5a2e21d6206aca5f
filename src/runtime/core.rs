//! The state of one core. Everything here belongs to one thread; [`Remote`] is what others hold of it.

use super::again::Again;
use super::busy_poll::BusyPoll;
use super::contain::drop_contained;
use super::executor::Executor;
use super::inbox::{Inbox, Mail, Unopened};
use super::source::{AtTurnEnd, Interrupt, Source};
use crate::buffer::{Class, Pool};
use crate::io::{Affinity, Clock, Event, Nanos, OpenPoller, Poller, Readiness, nanos};
use crate::limits;
use crate::meter::Meter;
use crate::slots::{Key, Slots};
use crate::timer::Wheel;
use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// What can be set of a core.
#[derive(Clone)]
pub(crate) struct CoreConfig {
    /// Which core of its server this is.
    pub(crate) index: usize,
    /// How long to poll on before a sleep, at most; zero turns it off.
    pub(crate) busy_poll: Duration,
    /// Whether to use the portable poller where there is a better one.
    pub(crate) portable: bool,
    /// The largest ring that connections read into.
    pub(crate) largest_ring: Class,
    /// The processor to run on, if not any.
    pub(crate) processor: Option<usize>,
    /// Where to count what it does.
    pub(crate) meter: Meter,
    /// Where to count the connections that are open, for other threads to read.
    pub(crate) open: Arc<AtomicUsize>,
}

impl Default for CoreConfig {
    fn default() -> Self {
        CoreConfig {
            index: 0,
            busy_poll: limits::BUSY_POLL,
            portable: false,
            largest_ring: Class::LARGEST,
            processor: None,
            meter: Meter::default(),
            open: Arc::default(),
        }
    }
}

/// A core whose descriptors are open, for the thread that will be it.
pub(crate) struct PreparedCore {
    config: CoreConfig,
    poller: OpenPoller,
    inbox: Unopened,
}

impl CoreConfig {
    pub(crate) fn prepare(self) -> io::Result<PreparedCore> {
        let poller = OpenPoller::new(self.portable)?;
        let inbox = Unopened::new(Inbox::new(poller.notifier()));
        Ok(PreparedCore { config: self, poller, inbox })
    }
}

impl PreparedCore {
    #[cfg(feature = "metrics")]
    pub(crate) fn meter(&self) -> &Meter {
        &self.config.meter
    }

    pub(super) fn processor(&self) -> Option<usize> {
        self.config.processor
    }

    /// What is sent there is done as soon as the core begins.
    pub(crate) fn remote(&self) -> Remote {
        Remote(self.inbox.shared())
    }
}

pub(crate) struct Core {
    pub(crate) index: usize,
    pub(crate) largest_ring: Class,
    pub(crate) meter: Meter,
    pub(crate) pool: RefCell<Pool>,
    pub(super) clock: Clock,
    /// When the last wait ended.
    pub(super) now: Cell<Nanos>,
    pub(super) poller: RefCell<Poller>,
    /// Whether the poller wants to be asked for every event.
    one_shot: bool,
    pub(super) sources: RefCell<Slots<Rc<dyn Source>>>,
    /// What the last wait brought; those before `handled` are dealt with.
    pub(super) events: RefCell<Vec<Event>>,
    pub(super) handled: Cell<usize>,
    /// Sources that are to be looked at again, event or not.
    pub(super) again: RefCell<Again>,
    /// Sources that have something to write at the end of this turn.
    pub(super) unflushed: RefCell<Vec<Key>>,
    pub(super) collectors: RefCell<Vec<Rc<dyn AtTurnEnd>>>,
    pub(super) executor: Executor,
    pub(super) timers: RefCell<Wheel<Waker>>,
    pub(super) expired: RefCell<Vec<Waker>>,
    pub(super) busy_poll: RefCell<BusyPoll>,
    pub(super) inbox: Arc<Inbox>,
    /// How many connections there have been.
    connections: Cell<u64>,
    /// How many are open, and who waits for the last of them.
    open: Arc<AtomicUsize>,
    emptied: Cell<Option<Waker>>,
    #[cfg(feature = "http")]
    pub(super) http_date: super::date::HttpDate,
    /// Where this thread might run before it was kept to one processor, if it was.
    pub(super) affinity: Cell<Option<Affinity>>,
    /// How the server that this core belongs to ends, if it does.
    interrupted: Cell<Option<Interrupt>>,
    /// Stops the server that this core belongs to.
    stop: OnceCell<Box<dyn Fn(Duration)>>,
    /// What rooms above keep on this core, each under a number of its own.
    locals: RefCell<HashMap<u64, Rc<dyn Any>>>,
}

/// A core as other threads see it.
#[derive(Clone)]
pub(crate) struct Remote(pub(super) Arc<Inbox>);

impl Core {
    pub(super) fn new(prepared: PreparedCore) -> Rc<Core> {
        let (config, poller) = (prepared.config, prepared.poller.into_poller());
        let clock = Clock::start();
        Rc::new(Core {
            index: config.index,
            largest_ring: config.largest_ring,
            meter: config.meter,
            pool: RefCell::default(),
            now: Cell::new(clock.now()),
            clock,
            inbox: prepared.inbox.open(),
            one_shot: poller.is_one_shot(),
            poller: RefCell::new(poller),
            sources: RefCell::new(Slots::new()),
            events: RefCell::default(),
            handled: Cell::new(0),
            again: RefCell::default(),
            unflushed: RefCell::default(),
            collectors: RefCell::default(),
            executor: Executor::new(),
            timers: RefCell::new(Wheel::new()),
            expired: RefCell::default(),
            busy_poll: RefCell::new(BusyPoll::new(nanos(config.busy_poll))),
            connections: Cell::new(0),
            open: config.open,
            emptied: Cell::new(None),
            #[cfg(feature = "http")]
            http_date: Default::default(),
            affinity: Cell::new(None),
            interrupted: Cell::new(None),
            stop: OnceCell::new(),
            locals: RefCell::default(),
        })
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote(self.inbox.clone())
    }

    pub(crate) fn is_at(&self, remote: &Remote) -> bool {
        Arc::ptr_eq(&self.inbox, &remote.0)
    }

    /// When the last wait ended.
    pub(crate) fn time(&self) -> Instant {
        self.clock.instant(self.now.get())
    }

    /// What is kept under `id` on this core; made if it is not there.
    pub(crate) fn local<T: 'static>(&self, id: u64, make: impl FnOnce() -> T) -> Rc<T> {
        let found = self.find_local(id);
        found.unwrap_or_else(|| {
            let made = Rc::new(make());
            let replaced = self.locals.borrow_mut().insert(id, made.clone());
            drop(replaced);
            made
        })
    }

    pub(crate) fn find_local<T: 'static>(&self, id: u64) -> Option<Rc<T>> {
        self.locals.borrow().get(&id).cloned()?.downcast().ok()
    }

    pub(crate) fn remove_local(&self, id: u64) {
        let removed = self.locals.borrow_mut().remove(&id);
        // Only now that the table is free again.
        drop(removed);
    }

    pub(super) fn clear_locals(&self) {
        for (_, local) in self.locals.take() {
            drop_contained(|| drop(local));
        }
    }

    /// Says how the server is stopped that this core belongs to.
    pub(crate) fn belongs_to(&self, stop: impl Fn(Duration) + 'static) {
        let _ = self.stop.set(Box::new(stop));
    }

    /// Stops the server that this core belongs to, as a handler has asked.
    pub(crate) fn stop_server(&self, within: Duration) {
        match self.stop.get() {
            Some(stop) => stop(within),
            None => tracing::warn!("a handler asks its server to stop, but its connection belongs to none"),
        }
    }

    /// A number that no other connection of this core has had.
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.set(self.connections.get() + 1);
        self.connections.get()
    }

    pub(crate) fn connection_opened(&self, is_accepted: bool) {
        self.open.fetch_add(1, Relaxed);
        self.meter.opened(is_accepted);
    }

    pub(crate) fn connection_closed(&self) {
        if self.open.fetch_sub(1, Relaxed) == 1
            && let Some(waker) = self.emptied.take()
        {
            waker.wake();
        }
    }

    /// How many connections of handlers are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Resolves when none is.
    pub(crate) async fn emptied(&self) {
        poll_fn(|cx| {
            self.emptied.set(Some(cx.waker().clone()));
            if self.open_connections() == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    }

    /// Puts a source into the table and watches its socket. Nothing is reported on the portable path before
    /// [`Core::arm`].
    pub(crate) fn register<S: Source>(&self, make: impl FnOnce(Key) -> Rc<S>) -> io::Result<Rc<S>> {
        let mut made = None;
        let key = self.sources.borrow_mut().insert_with(|key| made.insert(make(key)).clone());
        let source = made.expect("the table makes what it inserts");
        if let Err(error) = self.poller.borrow().add(source.socket(), key.raw()) {
            self.sources.borrow_mut().remove(key);
            return Err(error);
        }
        if let Some(how) = self.interrupted.get() {
            source.interrupt(how);
        }
        Ok(source)
    }

    /// Tells all sources, and those that are registered from here on, that the server ends.
    pub(crate) fn interrupt(&self, how: Interrupt) {
        self.interrupted.set(Some(how));
        self.sources().iter().for_each(|source| source.interrupt(how));
    }

    /// Whether the server that this core belongs to has begun to end its connections; `false` too while it only accepts
    /// nothing more.
    pub(crate) fn ends_connections(&self) -> bool {
        matches!(self.interrupted.get(), Some(Interrupt::Stop | Interrupt::Silent | Interrupt::Abort))
    }

    /// Whether it accepts connections no more.
    pub(crate) fn accepts_nothing(&self) -> bool {
        self.interrupted.get().is_some()
    }

    /// Asks for the next event of a source.
    #[inline]
    pub(crate) fn arm(&self, key: Key, socket: BorrowedFd<'_>, interest: Readiness) {
        let armed = self.poller.borrow().arm(socket, key.raw(), interest);
        // Told only now that the poller is free again: a subscriber may do anything.
        if let Err(error) = armed {
            tracing::error!(%error, "a socket cannot be watched");
        }
    }

    #[inline]
    pub(crate) fn is_one_shot(&self) -> bool {
        self.one_shot
    }

    /// Takes a source out of the table. `stays_open` says that its descriptor outlives it; else closing it ends the watch
    /// wherever the system does that by itself.
    pub(crate) fn deregister(&self, key: Key, stays_open: bool) {
        let Some(source) = self.sources.borrow_mut().remove(key) else { return };
        let deleted = match stays_open || self.is_one_shot() {
            true => self.poller.borrow().delete(source.socket()),
            false => Ok(()),
        };
        if let Err(error) = deleted {
            tracing::error!(%error, "a socket cannot be taken out of the poller");
        }
    }

    pub(crate) fn source(&self, key: Key) -> Option<Rc<dyn Source>> {
        self.sources.borrow().get(key).cloned()
    }

    /// All sources as they are now.
    pub(crate) fn sources(&self) -> Vec<Rc<dyn Source>> {
        self.sources.borrow().iter().map(|(_, source)| source.clone()).collect()
    }

    /// Has the source looked at in the next turn, although no event names it. A source is to ask for one look at a time.
    pub(crate) fn look_soon(&self, key: Key) {
        self.again.borrow_mut().push_soon(key);
    }

    /// Has the source looked at when its turn among those that stream comes, although no event names it. A source is to ask
    /// for one look at a time.
    #[inline]
    pub(crate) fn look_again(&self, key: Key) {
        self.again.borrow_mut().push_streaming(key);
    }

    /// Has the collector called at the end of this turn, before sources are flushed. To be asked once a turn.
    pub(crate) fn at_turn_end(&self, collector: Rc<dyn AtTurnEnd>) {
        self.collectors.borrow_mut().push(collector);
    }

    /// Has the source flushed at the end of this turn.
    pub(crate) fn flush_later(&self, key: Key) {
        self.unflushed.borrow_mut().push(key);
    }
}

impl Remote {
    /// How many letters wait for the core.
    #[cfg(feature = "metrics")]
    pub(crate) fn mail(&self) -> usize {
        self.0.waiting()
    }

    /// Whether both are the same core.
    pub(crate) fn is_same(&self, other: &Remote) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether the core is gone for good.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.is_closed()
    }

    /// Has `work` done on the core; says whether the core is still there to do it.
    pub(crate) fn run(&self, work: impl FnOnce(&Rc<Core>) + Send + 'static) -> bool {
        self.0.send(Mail::Run(Box::new(work))).is_ok()
    }
}
