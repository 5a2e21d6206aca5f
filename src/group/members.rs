//! The members of a group on one core.

use super::SlowMember;
use crate::connection::ConnectionId;
use crate::net::{Flag, Link, Unsent};
use crate::runtime::{OneshotSender, spawn_local};
use crate::slots::{Key, Slots};
use bytes::Bytes;
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub(super) struct Members<E> {
    list: RefCell<Slots<Weak<Link<E>>>>,
    /// For other threads to read.
    count: Arc<AtomicUsize>,
}

/// How a message went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Queued {
    pub(super) queued: usize,
    pub(super) skipped: usize,
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
    pub(super) fn new(count: Arc<AtomicUsize>) -> Members<E> {
        Members { list: RefCell::default(), count }
    }

    pub(super) fn join(self: &Rc<Self>, link: &Rc<Link<E>>) -> bool {
        if link.keeps(|membership: &Membership<E>| Rc::ptr_eq(&membership.members, self)) {
            return false;
        }
        let key = self.list.borrow_mut().insert(Rc::downgrade(link));
        self.count.fetch_add(1, Relaxed);
        link.keep_until_closed(Membership { members: self.clone(), key });
        true
    }

    pub(super) fn leave(self: &Rc<Self>, link: &Link<E>) -> bool {
        link.drop_kept(|membership: &Membership<E>| Rc::ptr_eq(&membership.members, self))
    }

    /// Queues `bytes` for every member that has room; says how many have not.
    pub(super) fn post(&self, bytes: &Bytes, slow: SlowMember, except: Option<ConnectionId>) -> usize {
        let (_, full) = self.queue(bytes, except);
        if slow == SlowMember::Disconnect {
            full.iter().for_each(|link| link.notify(Flag::TOO_SLOW.or(Flag::ABORT)));
        }
        full.len()
    }

    /// Like [`Members::post`], and answers when those have it that are waited for.
    pub(super) fn send(&self, bytes: Bytes, slow: SlowMember, done: OneshotSender<Queued>) {
        let (queued, full) = self.queue(&bytes, None);
        let skipped = full.len();
        match slow {
            SlowMember::Wait if skipped > 0 => {
                spawn_local(async move {
                    let mut answer = Queued { queued, skipped: 0 };
                    for link in full {
                        let room = poll_fn(|cx| link.poll_room(cx)).await;
                        if room.is_ok() && link.push_encoded(&bytes).is_ok() {
                            link.flush_later();
                            answer.queued += 1;
                        }
                    }
                    done.send(answer);
                })
                .detach();
            }
            SlowMember::Disconnect => {
                full.iter().for_each(|link| link.notify(Flag::TOO_SLOW.or(Flag::ABORT)));
                done.send(Queued { queued, skipped });
            }
            _ => done.send(Queued { queued, skipped }),
        }
    }

    /// Queues for all that have room. Says how many these are, and who has none.
    fn queue(&self, bytes: &Bytes, except: Option<ConnectionId>) -> (usize, Vec<Rc<Link<E>>>) {
        let except = except.map(ConnectionId::as_u64);
        // The list is free while members are written to: one that closes leaves it.
        let members: Vec<Rc<Link<E>>> = self.list.borrow().iter().filter_map(|(_, member)| member.upgrade()).collect();
        let (mut queued, mut full) = (0, Vec::new());
        for link in members {
            if Some(link.number()) == except {
                continue;
            }
            match link.push_encoded(bytes) {
                Ok(()) => {
                    link.flush_later();
                    queued += 1;
                }
                Err(Unsent::Full) => full.push(link),
                Err(_) => {}
            }
        }
        (queued, full)
    }
}
