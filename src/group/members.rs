//! The members of a group on one core.

use super::SlowMember;
use crate::codec::{Codec, Encoded};
use crate::connection::ConnectionId;
use crate::net::{Flag, Link, Unsent};
use crate::runtime::{AtTurnEnd, Core, OneshotSender, spawn_local};
use crate::slots::{Key, Slots};
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

pub(super) struct Members<C: Codec> {
    list: RefCell<Slots<Weak<Link<C::Encoder>>>>,
    /// What is to be sent at the end of this turn.
    posted: RefCell<Vec<Encoded>>,
    slow: SlowMember,
    /// For other threads to read: how many there are, and how often one was skipped.
    count: Arc<AtomicUsize>,
    skipped: Arc<AtomicUsize>,
}

/// Held by the connection; leaves when that closes.
struct Membership<C: Codec + 'static> {
    members: Rc<Members<C>>,
    key: Key,
}

impl<C: Codec> Drop for Membership<C> {
    fn drop(&mut self) {
        let left = self.members.list.borrow_mut().remove(self.key);
        if left.is_some() {
            self.members.count.fetch_sub(1, Relaxed);
        }
    }
}

impl<C: Codec + 'static> Members<C> {
    pub(super) fn new(slow: SlowMember, count: Arc<AtomicUsize>, skipped: Arc<AtomicUsize>) -> Members<C> {
        Members { list: RefCell::default(), posted: RefCell::default(), slow, count, skipped }
    }

    pub(super) fn join(self: &Rc<Self>, link: &Rc<Link<C::Encoder>>) -> bool {
        if link.keeps(|membership: &Membership<C>| Rc::ptr_eq(&membership.members, self)) {
            return false;
        }
        // What was said before is not for the new one.
        self.deliver();
        let key = self.list.borrow_mut().insert(Rc::downgrade(link));
        self.count.fetch_add(1, Relaxed);
        link.keep_until_closed(Membership { members: self.clone(), key });
        true
    }

    pub(super) fn leave(self: &Rc<Self>, link: &Link<C::Encoder>) -> bool {
        self.deliver();
        link.drop_kept(|membership: &Membership<C>| Rc::ptr_eq(&membership.members, self))
    }

    /// Sends a message to every member at the end of this turn, with what else is posted until then.
    pub(super) fn post(self: &Rc<Self>, core: &Core, message: Encoded) {
        let mut posted = self.posted.borrow_mut();
        if posted.is_empty() {
            core.at_turn_end(self.clone());
        }
        posted.push(message);
    }

    /// Sends a message to all but one.
    pub(super) fn post_except(&self, message: &Encoded, except: ConnectionId) {
        self.deliver();
        let (_, full) = self.send_to_all(message, Some(except));
        self.overlook(full, 1);
    }

    /// Sends a message, and answers when those have it that are waited for.
    pub(super) fn send(&self, message: Encoded, done: OneshotSender<usize>) {
        self.deliver();
        let (mut queued, full) = self.send_to_all(&message, None);
        if self.slow != SlowMember::Wait || full.is_empty() {
            self.overlook(full, 1);
            return done.send(queued);
        }
        spawn_local(async move {
            for link in full {
                let room = poll_fn(|cx| match done.poll_abandoned(cx) {
                    Poll::Ready(()) => Poll::Ready(None),
                    Poll::Pending => link.poll_room(cx).map(Some),
                });
                let Some(room) = room.await else { return };
                if room.is_ok() && send::<C>(&link, &message).is_ok() {
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
        let message = match messages {
            0 => return,
            1 => posted.remove(0),
            _ => Encoded::join(&posted),
        };
        let (_, full) = self.send_to_all(&message, None);
        self.overlook(full, messages);
    }

    /// Deals with those who had no room, and are not waited for.
    fn overlook(&self, full: Vec<Rc<Link<C::Encoder>>>, messages: usize) {
        self.skipped.fetch_add(full.len() * messages, Relaxed);
        if self.slow == SlowMember::Disconnect {
            full.iter().for_each(|link| link.notify(Flag::TOO_SLOW.or(Flag::ABORT)));
        }
    }

    /// Says how many members have taken a message, and who has no room.
    fn send_to_all(&self, message: &Encoded, except: Option<ConnectionId>) -> (usize, Vec<Rc<Link<C::Encoder>>>) {
        let except = except.map(ConnectionId::as_u64);
        // The list is free while members are written to: one that closes leaves it.
        let members: Vec<Rc<Link<C::Encoder>>> =
            self.list.borrow().iter().filter_map(|(_, member)| member.upgrade()).collect();
        let (mut sent, mut full) = (0, Vec::new());
        for link in members {
            if Some(link.number()) == except {
                continue;
            }
            match send::<C>(&link, message) {
                Ok(()) => sent += 1,
                Err(Unsent::Full) => full.push(link),
                Err(_) => {}
            }
        }
        (sent, full)
    }
}

/// Sends a message to one member, in the form that it understands.
fn send<C: Codec + 'static>(link: &Rc<Link<C::Encoder>>, message: &Encoded) -> Result<(), Unsent<Infallible>> {
    if link.has(Flag::SHUT.or(Flag::CLOSE).or(Flag::DEFERRED)) {
        if !link.is_encoding() {
            link.do_deferred();
        }
        // What ends has said its last, and is not slow.
        if link.has(Flag::SHUT.or(Flag::CLOSE)) {
            return Err(Unsent::Closed);
        }
    }
    let Some(mut encoder) = link.encoder() else {
        send_later::<C>(link, message.clone());
        return Ok(());
    };
    if !C::takes_group_messages(&encoder) {
        return Err(Unsent::Full);
    }
    // Only who has room for it: what the encoder takes for written must be.
    if message.compact.is_some() && link.queued() > link.high_water() {
        return Err(Unsent::Full);
    }
    let compact = message.compact.as_ref().filter(|_| C::takes_compact(&mut encoder));
    drop(encoder);
    link.send_encoded(compact.unwrap_or(&message.plain))
}

/// A message of a member is being encoded, and has released what sends to the group.
#[cold]
fn send_later<C: Codec + 'static>(link: &Rc<Link<C::Encoder>>, message: Encoded) {
    link.defer(move |link| {
        if let Some(link) = link {
            let _ = send::<C>(&link, &message);
        }
    });
}

impl<C: Codec + 'static> AtTurnEnd for Members<C> {
    fn turn_ends(&self) {
        self.deliver();
    }
}
