//! One turn of a core. Nothing in it takes a lock, and every step is bounded.

use super::contain::drop_contained;
use super::core::Core;
use super::inbox::Mail;
use crate::io::{Event, Readiness, Wait, processor_time};
use crate::meter::{Meter, Turn};
use crate::slots::Key;
use std::io;
use std::rc::Rc;

/// Bytes to read before the tasks run that consume them: what is read should still be in cache then. A turn that stops
/// here goes on with the events that are left, without a wait.
const DRAIN: usize = 64 * 1024;
/// Timers that fire in one turn, letters that are opened, and tasks that are polled.
const EXPIRE: usize = 1024;
const MAIL: usize = 1024;
const RUN: usize = 256;
/// How often what is sent by flushing is flushed in the same turn.
const FLUSHES: usize = 4;

impl Core {
    /// Waits for events, moves bytes, and runs the tasks which that has woken.
    pub(super) fn turn(self: &Rc<Self>) -> io::Result<()> {
        self.wait()?;
        let events = self.drain();
        let timers = self.expire();
        let letters = self.mail();
        let tasks = self.run();
        self.flush();
        if Meter::COUNTS {
            self.meter.turn(&Turn { events, timers, letters, tasks }, self.clock.now() - self.now.get());
        }
        Ok(())
    }

    /// One system call, unless events are left. It sleeps only if there is nothing to do.
    fn wait(&self) -> io::Result<()> {
        let mut events = self.events.borrow_mut();
        if self.handled.get() < events.len() {
            self.now.set(self.clock.now());
            return Ok(());
        }
        events.clear();
        self.handled.set(0);
        let mut poller = self.poller.borrow_mut();
        if self.has_work() {
            poller.wait(&mut events, Wait::Poll)?;
            self.now.set(self.clock.now());
            return Ok(());
        }
        let deadline = self.timers.borrow().next_deadline();
        let mut busy_poll = self.busy_poll.borrow_mut();
        let polls = busy_poll.is_worth_it(processor_time);
        if polls {
            // Where an event comes at once, the clock is read once.
            poller.wait(&mut events, Wait::Poll)?;
        }
        let began = self.clock.now();
        let mut now = began;
        if polls {
            let end = deadline.unwrap_or(u64::MAX).min(began.saturating_add(busy_poll.limit()));
            loop {
                if !events.is_empty() || self.inbox.has_mail() {
                    self.now.set(now);
                    busy_poll.hit();
                    return Ok(());
                }
                if now >= end {
                    busy_poll.miss();
                    break;
                }
                poller.wait(&mut events, Wait::Poll)?;
                now = self.clock.now();
            }
        }
        let wait = match deadline {
            Some(deadline) if deadline <= now => Wait::Poll,
            Some(deadline) => Wait::Until { deadline, now },
            None => Wait::Forever,
        };
        if self.inbox.may_sleep() {
            let slept = poller.wait(&mut events, wait);
            self.inbox.woke();
            slept?;
        } else {
            poller.wait(&mut events, Wait::Poll)?;
        }
        self.now.set(self.clock.now());
        busy_poll.slept(self.now.get() - began);
        Ok(())
    }

    fn has_work(&self) -> bool {
        self.executor.has_work() || !self.again.borrow().is_empty() || self.inbox.has_mail() || self.has_unflushed()
    }

    /// Whether something is to be sent at the end of a turn. Before a wait, this is what the last flush has brought about.
    fn has_unflushed(&self) -> bool {
        !self.unflushed.borrow().is_empty() || !self.collectors.borrow().is_empty()
    }

    /// Moves bytes between sockets and buffers. Tasks are woken, but none runs yet.
    ///
    /// Events, looks that were asked for soon, and looks at those that stream have a budget each, or a socket that always has
    /// more would keep the others waiting. Says how many events there were.
    fn drain(self: &Rc<Self>) -> usize {
        // Those that ask from here on are looked at in the next turn.
        let (soon, streaming) = self.again.borrow().lengths();
        let events = self.events.take();
        let before = self.handled.get();
        let (mut handled, mut read) = (before, 0);
        while read < DRAIN && handled < events.len() {
            let event = events[handled];
            handled += 1;
            read += self.look(self.key_of(event), event.readiness);
        }
        self.handled.set(handled);
        self.events.replace(events);
        if soon + streaming > 0 {
            read += self.look_again_at(soon, streaming);
        }
        self.busy_poll.borrow_mut().worked(handled - before, read);
        handled - before
    }

    /// Looks at sources that no event names: at so many at most. Says how many bytes were read.
    fn look_again_at(self: &Rc<Self>, soon: usize, streaming: usize) -> usize {
        let mut read_soon = 0;
        for _ in 0..soon {
            if read_soon >= DRAIN {
                break;
            }
            let Some(key) = self.again.borrow_mut().next_soon() else { break };
            read_soon += self.look(key, Readiness::NONE);
        }
        let mut read_streaming = 0;
        for _ in 0..streaming {
            if read_streaming >= DRAIN {
                break;
            }
            let Some(key) = self.again.borrow_mut().next_streaming() else { break };
            let read = self.look(key, Readiness::NONE);
            self.again.borrow_mut().has_brought(key, read);
            read_streaming += read;
        }
        read_soon + read_streaming
    }

    #[inline]
    fn key_of(&self, event: Event) -> Key {
        // The table need not be asked where the kernel has carried the whole key.
        Key::from_raw(event.key).unwrap_or_else(|| self.sources.borrow().key_of_raw(event.key))
    }

    /// An event of a socket that has been closed meanwhile finds nothing: its key is stale.
    #[inline]
    fn look(self: &Rc<Self>, key: Key, readiness: Readiness) -> usize {
        let source = self.sources.borrow().get(key).cloned();
        source.map_or(0, |source| source.ready(self, readiness))
    }

    /// Wakes those whose time has come, and says how many these are.
    fn expire(&self) -> usize {
        if self.timers.borrow().is_empty() {
            return 0;
        }
        let mut expired = self.expired.take();
        self.timers.borrow_mut().advance(self.now.get(), EXPIRE, &mut expired);
        // Woken only now that the wheel is free again: a waker may do anything.
        let count = expired.len();
        expired.drain(..).for_each(|waker| waker.wake());
        self.expired.replace(expired);
        count
    }

    /// Does what other threads have asked for, and says how often they have.
    fn mail(self: &Rc<Self>) -> usize {
        for opened in 0..MAIL {
            match self.inbox.receive() {
                Some(Mail::Wake(runnable)) => self.executor.push(runnable),
                Some(Mail::Run(work)) => work(self),
                None => return opened,
            }
        }
        MAIL
    }

    /// Runs woken tasks, and says how many these are.
    fn run(&self) -> usize {
        for ran in 0..RUN {
            let Some(runnable) = self.executor.pop() else { return ran };
            runnable.run();
        }
        RUN
    }

    /// Sends what was queued from outside the connections' own tasks, each connection's in one write. A write may bring about
    /// others: its watcher sends, or the owner of bytes that it has released. Should that have no end, the next turn goes on
    /// with it.
    pub(super) fn flush(&self) {
        for _ in 0..FLUSHES {
            self.flush_once();
            if !self.has_unflushed() {
                return;
            }
        }
    }

    fn flush_once(&self) {
        if !self.collectors.borrow().is_empty() {
            self.collectors.take().iter().for_each(|collector| collector.turn_ends());
        }
        if self.unflushed.borrow().is_empty() {
            return;
        }
        let mut unflushed = self.unflushed.take();
        for key in unflushed.drain(..) {
            if let Some(source) = self.source(key) {
                source.flush();
            }
        }
        // Its room is kept, unless a flush has asked for another one.
        let later = self.unflushed.replace(unflushed);
        self.unflushed.borrow_mut().extend(later);
    }

    pub(super) fn clear_sources(&self) {
        let keys: Vec<Key> = self.sources.borrow().iter().map(|(key, _)| key).collect();
        for key in keys {
            drop_contained(|| {
                if let Some(source) = self.source(key) {
                    source.core_ends();
                }
                self.deregister(key, false);
            });
        }
    }
}
