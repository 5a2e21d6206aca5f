//! A socket and its buffers: what both a served connection and a user's stream stand on.
//!
//! ```text
//!   socket --recv--> ring --lent--> task            in:  drained by the reactor before any task runs
//!   socket <--send-- outbound <--encode-- task      out: flushed when the task pauses
//! ```
//!
//! The ring and the write queue are borrowed from the core's pool while they hold bytes, and only then.

mod deadlines;
mod encoding;
mod failure;
mod file;
mod hand_over;
mod input;
mod output;
mod waiting;
mod watch;

pub(crate) use deadlines::TimeLimits;
pub(crate) use hand_over::HandedOver;
pub(crate) use output::Unsent;
pub(crate) use waiting::Until;
pub use watch::WriteEvent;

use deadlines::Deadlines;
use waiting::Waiting;
use watch::Watcher;

use super::gauge::Gauge;
use super::state::{Flag, State};
use crate::buffer::{Class, Outbound, Ring};
use crate::error::CloseReason;
use crate::io::{Address, Socket};
use crate::limits;
use crate::meter::Level;
use crate::runtime::Core;
use crate::slots::Key;
use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

/// The marks of a write queue, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Above this a `send` waits.
    pub(crate) high: u32,
    /// Down to this it waits.
    pub(crate) low: u32,
}

impl Limits {
    pub(crate) fn new(high: u32, low: u32) -> Limits {
        assert!(low <= high, "a low-water mark of {low} bytes above the high one of {high}");
        Limits { high, low }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { high: limits::WRITE_HIGH_WATER, low: limits::WRITE_LOW_WATER }
    }
}

pub(crate) struct Port {
    pub(crate) core: Rc<Core>,
    pub(crate) key: Key,
    pub(crate) socket: Socket,
    state: State,
    /// The size of the next ring.
    class: Cell<Class>,
    /// The error number that ended the connection; 0: none; negative: it ended the sending, and there may be more to receive.
    /// No system has a number above 4,095.
    failure: Cell<i16>,
    limits: Cell<Limits>,
    ring: Cell<Option<Box<Ring>>>,
    outbound: Cell<Option<Box<Outbound>>>,
    reader: Cell<Option<Waker>>,
    /// What the buffers hold, as far as it has been counted.
    unhandled: Level,
    unwritten: Level,
    peer: OnceCell<Address>,
    rare: OnceCell<Box<Rare>>,
}

/// What hardly any connection has, kept out of the way of those that do not.
#[derive(Default)]
struct Rare {
    /// Who waits for room in the write queue.
    writers: Cell<Vec<Waker>>,
    /// Made with the first handle.
    gauge: OnceCell<Arc<Gauge>>,
    /// Made when a handle first waits for something.
    waiting: OnceCell<Box<Waiting>>,
    deadlines: Deadlines,
    /// Is told of writes.
    watcher: Cell<Option<Watcher>>,
    /// What ends with the connection.
    kept: RefCell<Vec<Box<dyn Kept>>>,
    /// Takes the socket when the handler has given it up.
    taker: Cell<Option<Taker>>,
    /// What is to be done when the encoder is free.
    deferred: Cell<Vec<Deferred>>,
    /// The peer takes messages too slowly for a group that does not wait.
    too_slow: Cell<bool>,
    /// Bytes that were received while the connection closed.
    discarded: Cell<usize>,
    /// What an encoder said when it panicked outside of the connection's task.
    panic: Cell<Option<String>>,
}

/// Work that came while a message was encoded.
type Deferred = Box<dyn FnOnce()>;

/// A value that a connection keeps until it is closed.
pub(crate) trait Kept: Any {
    /// The connection is about to end. Where it can still send, this is the last moment for it.
    fn connection_ends(&self, _can_send: bool) {}
}

/// Takes a socket over, on its core.
type Taker = Box<dyn FnOnce(HandedOver)>;

impl Port {
    pub(crate) fn new(core: Rc<Core>, key: Key, socket: Socket, limits: Limits, flags: Flag) -> Port {
        Port {
            core,
            key,
            socket,
            state: State::new(flags),
            class: Cell::new(Class::SMALLEST),
            failure: Cell::new(0),
            limits: Cell::new(limits),
            ring: Cell::new(None),
            outbound: Cell::new(None),
            reader: Cell::new(None),
            unhandled: Level::default(),
            unwritten: Level::default(),
            peer: OnceCell::new(),
            rare: OnceCell::new(),
        }
    }

    pub(crate) fn with_peer(self, peer: Address) -> Port {
        if peer.is_unix() {
            // What comes with the bytes of a Unix socket splits its reads.
            self.state.set(Flag::READ_ON);
        }
        let _ = self.peer.set(peer);
        self
    }

    /// The peer's address; it stays known after the connection has ended.
    pub(crate) fn peer(&self) -> io::Result<&Address> {
        if self.peer.get().is_none() {
            let _ = self.peer.set(self.socket.peer_address()?);
        }
        self.peer.get().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    #[inline]
    pub(crate) fn has(&self, flags: Flag) -> bool {
        self.state.has(flags)
    }

    #[inline]
    pub(crate) fn take(&self, flags: Flag) -> bool {
        self.state.take(flags)
    }

    /// What handles know of the connection, which has this number.
    pub(crate) fn gauge(&self, number: u64) -> &Arc<Gauge> {
        self.rare().gauge.get_or_init(|| {
            let gauge = Gauge::new(self.core.remote(), self.key, number, self.peer().ok().cloned());
            gauge.set_high_water(self.high_water());
            gauge.set_queued(self.queued());
            Arc::new(gauge)
        })
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// Keeps a value for as long as the port exists.
    pub(crate) fn keep_until_closed(&self, value: impl Kept) {
        self.rare().kept.borrow_mut().push(Box::new(value));
    }

    /// Such a value, if it keeps one.
    pub(crate) fn kept<T: Kept + Clone>(&self) -> Option<T> {
        let kept = self.rare.get()?.kept.borrow();
        kept.iter().find_map(|value| as_any(&**value).downcast_ref::<T>().cloned())
    }

    /// Whether it keeps such a value.
    pub(crate) fn keeps<T: Kept>(&self, wanted: impl Fn(&T) -> bool) -> bool {
        let Some(rare) = self.rare.get() else { return false };
        rare.kept.borrow().iter().any(|value| as_any(&**value).downcast_ref::<T>().is_some_and(&wanted))
    }

    /// Tells the values that the connection ends.
    #[cold]
    pub(crate) fn tell_kept(&self, can_send: bool) {
        let Some(rare) = self.rare.get() else { return };
        // Out of their place meanwhile, because what they send may call a user's code.
        let kept = rare.kept.take();
        kept.iter().for_each(|value| value.connection_ends(can_send));
        let newer = rare.kept.replace(kept);
        rare.kept.borrow_mut().extend(newer);
    }

    /// Such a value, which it keeps no longer.
    pub(crate) fn take_kept<T: Kept>(&self) -> Option<T> {
        let mut kept = self.rare.get()?.kept.borrow_mut();
        let at = kept.iter().position(|value| as_any(&**value).is::<T>())?;
        let value: Box<dyn Any> = kept.swap_remove(at);
        value.downcast().ok().map(|value| *value)
    }

    /// Drops the values of type `T` for which `unwanted` says so.
    pub(crate) fn drop_kept<T: Kept>(&self, unwanted: impl Fn(&T) -> bool) -> bool {
        let mut kept = self.rare().kept.take();
        let before = kept.len();
        kept.retain(|value| !as_any(&**value).downcast_ref::<T>().is_some_and(&unwanted));
        let dropped = kept.len() < before;
        self.rare().kept.borrow_mut().append(&mut kept);
        dropped
    }

    /// Has `taker` called with the socket when [`Port::give_up`] is.
    pub(crate) fn set_taker(&self, taker: impl FnOnce(HandedOver) + 'static) {
        self.rare().taker.set(Some(Box::new(taker)));
    }

    /// Gives the socket to who was named for that.
    pub(crate) fn give_up(&self) -> io::Result<()> {
        if let Some(taker) = self.rare().taker.take() {
            taker(self.hand_over()?);
        }
        Ok(())
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
        if let Some(gauge) = self.rare.get().and_then(|rare| rare.gauge.get()) {
            gauge.set_high_water(self.high_water());
        }
    }

    /// Keeps work for [`Port::do_deferred`]. Says whether it is the first.
    #[cold]
    pub(super) fn defer(&self, work: impl FnOnce() + 'static) -> bool {
        let mut deferred = self.rare().deferred.take();
        deferred.push(Box::new(work));
        self.rare().deferred.set(deferred);
        let is_first = !self.has(Flag::DEFERRED);
        self.state.set(Flag::DEFERRED);
        is_first
    }

    /// Does what was kept. Not to be called while a message is encoded.
    #[cold]
    pub(crate) fn do_deferred(&self) {
        self.state.clear(Flag::DEFERRED);
        self.rare().deferred.take().into_iter().for_each(|work| work());
    }

    /// Ends the connection here and now; its descriptor closes with the last reference to it.
    pub(crate) fn deregister(&self) {
        self.core.deregister(self.key, false);
    }
}

fn as_any(value: &dyn Kept) -> &dyn Any {
    value
}

impl Drop for Port {
    fn drop(&mut self) {
        // One that has ended otherwise has said so before.
        self.end(CloseReason::Shutdown.number());
        self.core.meter.unhandled(&self.unhandled, 0);
        self.core.meter.unwritten(&self.unwritten, 0);
        if let Some(mut ring) = self.ring.take() {
            ring.consume(ring.len());
            self.core.pool.borrow_mut().give_ring(ring);
        }
        if let Some(mut outbound) = self.outbound.take() {
            // Before the pool is borrowed: who owns shared bytes may do anything when they are released.
            outbound.clear();
            self.give_outbound(outbound);
        }
    }
}
