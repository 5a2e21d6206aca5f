//! The members of a group on one core.

use super::SlowMember;
use crate::connection::ConnectionId;
use crate::net::{Flag, Link, Unsent};
use crate::runtime::{AtTurnEnd, Core, OneshotSender, spawn_local};
use crate::slots::{Key, Slots};
use bytes::Bytes;
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub(super) struct Members<E> {
    list: RefCell<Slots<Weak<Link<E>>>>,
    /// What is to be sent at the end of this turn.
    posted: RefCell<Vec<Bytes>>,
    slow: SlowMember,
    /// For other threads to read: how many there are, and how often one was skipped.
    count: Arc<AtomicUsize>,
    skipped: Arc<AtomicUsize>,
}

/// Held by the connection; leaves when that closes.
struct Membership<E: 'static> {
    members: Rc<Members<E>>,
    key: Key,
}

impl<E> Drop for Membership<E> {
    fn drop(&mut self) {
        let left = self.members.list.borrow_mut().remove(self.key);
        if left.is_some() {
            self.members.count.fetch_sub(1, Relaxed);
        }
    }
}

impl<E: 'static> Members<E> {
    pub(super) fn new(slow: SlowMember, count: Arc<AtomicUsize>, skipped: Arc<AtomicUsize>) -> Members<E> {
        Members { list: RefCell::default(), posted: RefCell::default(), slow, count, skipped }
    }

    pub(super) fn join(self: &Rc<Self>, link: &Rc<Link<E>>) -> bool {
        if link.keeps(|membership: &Membership<E>| Rc::ptr_eq(&membership.members, self)) {
            return false;
        }
        // What was said before is not for the new one.
        self.deliver();
        let key = self.list.borrow_mut().insert(Rc::downgrade(link));
        self.count.fetch_add(1, Relaxed);
        link.keep_until_closed(Membership { members: self.clone(), key });
        true
    }

    pub(super) fn leave(self: &Rc<Self>, link: &Link<E>) -> bool {
        self.deliver();
        link.drop_kept(|membership: &Membership<E>| Rc::ptr_eq(&membership.members, self))
    }

    /// Sends `bytes` to every member at the end of this turn, with what else is posted until then.
    pub(super) fn post(self: &Rc<Self>, core: &Core, bytes: &Bytes) {
        let mut posted = self.posted.borrow_mut();
        if posted.is_empty() {
            core.at_turn_end(self.clone());
        }
        posted.push(bytes.clone());
    }

    /// Sends `bytes` to all but one.
    pub(super) fn post_except(&self, bytes: &Bytes, except: ConnectionId) {
        self.deliver();
        let (_, full) = self.send_to_all(bytes, Some(except));
        self.overlook(full, 1);
    }

    /// Sends `bytes`, and answers when those have it that are waited for.
    pub(super) fn send(&self, bytes: Bytes, done: OneshotSender<usize>) {
        self.deliver();
        let (mut queued, full) = self.send_to_all(&bytes, None);
        if self.slow != SlowMember::Wait || full.is_empty() {
            self.overlook(full, 1);
            return done.send(queued);
        }
        spawn_local(async move {
            for link in full {
                let room = poll_fn(|cx| link.poll_room(cx)).await;
                if room.is_ok() && link.send_encoded(&bytes).is_ok() {
                    queued += 1;
                }
            }
            done.send(queued);
        })
        .detach();
    }

    /// Sends what was posted in this turn: to each member in one system call.
    fn deliver(&self) {
        let mut posted = self.posted.take();
        let messages = posted.len();
        let bytes = match messages {
            0 => return,
            1 => posted.remove(0),
            _ => posted.concat().into(),
        };
        let (_, full) = self.send_to_all(&bytes, None);
        self.overlook(full, messages);
    }

    /// Deals with those who had no room, and are not waited for.
    fn overlook(&self, full: Vec<Rc<Link<E>>>, messages: usize) {
        self.skipped.fetch_add(full.len() * messages, Relaxed);
        if self.slow == SlowMember::Disconnect {
            full.iter().for_each(|link| link.notify(Flag::TOO_SLOW.or(Flag::ABORT)));
        }
    }

    /// Says how many members have taken `bytes`, and who has no room.
    fn send_to_all(&self, bytes: &Bytes, except: Option<ConnectionId>) -> (usize, Vec<Rc<Link<E>>>) {
        let except = except.map(ConnectionId::as_u64);
        // The list is free while members are written to: one that closes leaves it.
        let members: Vec<Rc<Link<E>>> = self.list.borrow().iter().filter_map(|(_, member)| member.upgrade()).collect();
        let (mut sent, mut full) = (0, Vec::new());
        for link in members {
            if Some(link.number()) == except {
                continue;
            }
            match link.send_encoded(bytes) {
                Ok(()) => sent += 1,
                Err(Unsent::Full) => full.push(link),
                Err(_) => {}
            }
        }
        (sent, full)
    }
}

impl<E: 'static> AtTurnEnd for Members<E> {
    fn turn_ends(&self) {
        self.deliver();
    }
}
