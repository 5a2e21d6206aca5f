//! The members of a group on one core.

use super::SlowMember;
use super::site::{Message, Site, Work};
use crate::codec::{Codec, Encoded};
use crate::connection::ConnectionId;
use crate::limits;
use crate::net::{Flag, Kept, Link, Unsent};
use crate::runtime::{AtTurnEnd, Core, OneshotSender, panic_message, spawn_local};
use crate::slots::{Key, Slots};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

/// A member, and its place in the list.
type Member<C> = (Key, Rc<MemberLink<C>>);

/// A member's connection.
type MemberLink<C> = Link<<C as Codec>::Encoder, C>;

pub(super) struct Members<C: Codec> {
    list: RefCell<Slots<Weak<MemberLink<C>>>>,
    posted: RefCell<Posted>,
    /// Whether the end of this turn delivers what is posted.
    scheduled: Cell<bool>,
    /// Whether members are written to just now.
    delivering: Cell<bool>,
    slow: SlowMember,
    site: Arc<Site>,
    skipped: Arc<AtomicUsize>,
}

/// What is to be sent at the end of this turn, in order.
#[derive(Default)]
struct Posted {
    work: Vec<Work>,
    bytes: usize,
}

/// Held by the connection; leaves when that closes.
struct Membership<C: Codec + 'static> {
    members: Rc<Members<C>>,
    key: Key,
}

impl<C: Codec> Membership<C> {
    fn leave(&self) {
        let left = self.members.list.borrow_mut().remove(self.key);
        if left.is_some() {
            self.members.site.members.fetch_sub(1, Relaxed);
        }
    }
}

impl<C: Codec> Drop for Membership<C> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<C: Codec> Kept for Membership<C> {
    /// A peer may take its time to close: a connection that cannot be sent to is no member meanwhile.
    fn connection_ends(&self, can_send: bool) {
        if can_send {
            self.members.deliver_to(self.key);
        }
        self.leave();
    }
}

/// Why a member did not get a message.
enum Missed {
    /// Its queue is above the high-water mark, or its protocol cannot take the message now.
    Slow,
    /// Nothing can be sent to it any more.
    Closed,
    /// Its encoder is in use, further up the stack: a destructor of the user's sends while a message is encoded.
    Encoding,
}

impl<C: Codec + 'static> Members<C> {
    pub(super) fn new(slow: SlowMember, site: Arc<Site>, skipped: Arc<AtomicUsize>) -> Members<C> {
        let (scheduled, delivering) = Default::default();
        Members { list: RefCell::default(), posted: RefCell::default(), scheduled, delivering, slow, site, skipped }
    }

    pub(super) fn join(self: &Rc<Self>, link: &Rc<MemberLink<C>>) -> bool {
        if link.keeps(|membership: &Membership<C>| Rc::ptr_eq(&membership.members, self)) {
            return false;
        }
        // What was said before is not for the new one.
        self.deliver();
        let key = self.list.borrow_mut().insert(Rc::downgrade(link));
        self.site.members.fetch_add(1, Relaxed);
        link.keep_until_closed(Membership { members: self.clone(), key });
        true
    }

    pub(super) fn leave(self: &Rc<Self>, link: &MemberLink<C>) -> bool {
        self.deliver();
        let left = link.drop_kept(|membership: &Membership<C>| Rc::ptr_eq(&membership.members, self));
        // A `Group::send` that waits for its room waits no longer.
        link.wake_writers();
        left
    }

    /// Takes in what other threads have sent.
    pub(super) fn take_in(self: &Rc<Self>, core: &Rc<Core>) {
        self.site.take_in(|work| match work {
            Work::Join(key) => self.join_by_key(core, key),
            Work::Leave(key) => self.leave_by_key(core, key),
            work => self.post(core, work),
        });
    }

    pub(super) fn join_by_key(self: &Rc<Self>, core: &Core, key: Key) {
        if let Some(link) = find::<C>(core, key) {
            self.join(&link);
        }
    }

    pub(super) fn leave_by_key(self: &Rc<Self>, core: &Core, key: Key) {
        if let Some(link) = find::<C>(core, key) {
            self.leave(&link);
        }
    }

    /// Does `work` at the end of this turn, with what else is posted until then.
    pub(super) fn post(self: &Rc<Self>, core: &Core, work: Work) {
        let mut posted = self.posted.borrow_mut();
        posted.bytes += work.cost();
        posted.work.push(work);
        let is_much = posted.bytes >= limits::GROUP_IN_FLIGHT;
        drop(posted);
        self.schedule(core);
        if is_much {
            self.deliver();
        }
    }

    /// Does `work` at once, behind what is posted.
    pub(super) fn act(self: &Rc<Self>, core: &Core, work: Work) {
        if self.delivering.get() {
            return self.post(core, work);
        }
        self.deliver();
        self.perform(work);
        if !self.posted.borrow().work.is_empty() {
            self.schedule(core);
        }
    }

    fn schedule(self: &Rc<Self>, core: &Core) {
        if !self.scheduled.replace(true) {
            core.at_turn_end(self.clone());
        }
    }

    /// Sends what is posted: to each member in one system call.
    fn deliver(&self) {
        // What a destructor posts while members are written to waits for the end of a turn.
        if self.delivering.get() {
            return;
        }
        let mut work = self.posted.take().work.into_iter().peekable();
        while let Some(next) = work.next() {
            let Work::Message(first) = next else {
                self.perform(next);
                continue;
            };
            let mut messages = vec![first];
            while let Some(Work::Message(message)) = work.next_if(|work| matches!(work, Work::Message(_))) {
                messages.push(message);
            }
            self.perform(Work::Message(Message::join(messages)));
        }
    }

    /// Sends what is posted to one member, whose connection ends before the turn does.
    fn deliver_to(&self, key: Key) {
        let mut posted = self.posted.borrow_mut();
        if posted.work.is_empty() {
            return;
        }
        if !posted.work.iter().all(|work| matches!(work, Work::Message(_))) {
            drop(posted);
            return self.deliver();
        }
        // Joined for good: the other members get the same bytes.
        let message = Message::join(posted.work.drain(..).filter_map(Work::into_message).collect());
        posted.work.push(Work::Message(message.clone()));
        drop(posted);
        let (_, full) = self.send_to(self.one(key), &message.encoded);
        // One that has no room is not disconnected: it ends already, and what it was sent before is delivered.
        self.skipped.fetch_add(full.len() * message.count, Relaxed);
    }

    fn perform(&self, work: Work) {
        let (to, message, count) = match work {
            Work::Message(Message { encoded, count }) => (self.all_but(None), encoded, count),
            Work::Except(encoded, except) => (self.all_but(Some(except)), encoded, 1),
            Work::Send(encoded, done) => return self.send(encoded, done),
            // Done when they are taken in.
            Work::Join(_) | Work::Leave(_) => return,
        };
        let (_, full) = self.send_to(to, &message);
        self.overlook(full, count);
    }

    /// Sends a message, and answers when those members have it that are waited for.
    fn send(&self, message: Encoded, done: OneshotSender<usize>) {
        let (mut queued, mut full) = self.send_to(self.all_but(None), &message);
        if self.slow != SlowMember::Wait || full.is_empty() {
            self.overlook(full, 1);
            return done.send(queued);
        }
        let (site, skipped) = (self.site.clone(), self.skipped.clone());
        spawn_local(async move {
            let finished = poll_fn(|cx| {
                if done.poll_abandoned(cx).is_ready() {
                    return Poll::Ready(false);
                }
                full.retain(|member| match poll_send::<C>(&site, member, &message, cx) {
                    Poll::Ready(sent) => {
                        queued += usize::from(sent.is_ok());
                        skipped.fetch_add(usize::from(matches!(sent, Err(Missed::Slow))), Relaxed);
                        false
                    }
                    Poll::Pending => true,
                });
                if full.is_empty() { Poll::Ready(true) } else { Poll::Pending }
            });
            if finished.await {
                done.send(queued);
            }
        })
        .detach();
    }

    /// Deals with those who had no room, and are not waited for.
    fn overlook(&self, full: Vec<Member<C>>, messages: usize) {
        self.skipped.fetch_add(full.len() * messages, Relaxed);
        if self.slow == SlowMember::Disconnect {
            full.iter().for_each(|(_, link)| link.abort_as_too_slow());
        }
    }

    fn one(&self, key: Key) -> Vec<Member<C>> {
        self.list.borrow().get(key).and_then(Weak::upgrade).map(|link| (key, link)).into_iter().collect()
    }

    fn all_but(&self, except: Option<ConnectionId>) -> Vec<Member<C>> {
        let mut members = self.all();
        if let Some(except) = except.map(ConnectionId::as_u64) {
            members.retain(|(_, link)| link.number() != except);
        }
        members
    }

    fn all(&self) -> Vec<Member<C>> {
        let list = self.list.borrow();
        let mut members = Vec::with_capacity(list.len());
        list.iter().for_each(|(key, member)| members.extend(member.upgrade().map(|link| (key, link))));
        members
    }

    /// Says how many members have taken a message, and which have no room. The list is free meanwhile: a member that closes
    /// leaves it. A panic of a member's codec ends that member's connection, not the core.
    fn send_to(&self, members: Vec<Member<C>>, message: &Encoded) -> (usize, Vec<Member<C>>) {
        let (mut sent, mut full) = (0, Vec::new());
        let mut rest = members.iter();
        self.delivering.set(true);
        // One landing place for all members: to set one up for each would be a fifth of what a delivery costs here.
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| {
            for member in rest.by_ref() {
                match send::<C>(&member.1, message) {
                    Ok(()) => sent += 1,
                    Err(Missed::Slow) => full.push(member.clone()),
                    Err(Missed::Encoding) => send_later::<C>(&member.1, message.clone()),
                    Err(Missed::Closed) => {}
                }
            }
        })) {
            let (_, link) = &members[members.len() - rest.len() - 1];
            link.end_for_panic(panic_message(&*panic));
        }
        self.delivering.set(false);
        (sent, full)
    }
}

fn find<C: Codec + 'static>(core: &Core, key: Key) -> Option<Rc<MemberLink<C>>> {
    let source: Rc<dyn Any> = core.source(key)?;
    source.downcast().ok()
}

/// Sends a message to a member as soon as its encoder is free, so that it stands where it was sent.
#[cold]
fn send_later<C: Codec + 'static>(link: &Rc<MemberLink<C>>, message: Encoded) {
    link.defer(move |link| {
        if let Some(link) = link {
            let _ = try_send::<C>(&link, &message);
        }
    });
}

/// Sends a message to a member as soon as it has room, unless it has left.
fn poll_send<C: Codec + 'static>(
    site: &Arc<Site>,
    (key, link): &Member<C>,
    message: &Encoded,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Missed>> {
    let is_this = |membership: &Membership<C>| membership.key == *key && Arc::ptr_eq(&membership.members.site, site);
    if !link.keeps(is_this) {
        return Poll::Ready(Err(Missed::Closed));
    }
    Poll::Ready(match ready!(link.poll_room(cx)) {
        Ok(()) => try_send::<C>(link, message),
        Err(_) => Err(Missed::Closed),
    })
}

/// [`send`], where a panic of the member's codec ends its connection, not the core.
fn try_send<C: Codec + 'static>(link: &MemberLink<C>, message: &Encoded) -> Result<(), Missed> {
    catch_unwind(AssertUnwindSafe(|| send::<C>(link, message))).unwrap_or_else(|panic| {
        link.end_for_panic(panic_message(&*panic));
        Err(Missed::Closed)
    })
}

/// Sends a message to one member, in the form that it understands.
#[inline]
fn send<C: Codec + 'static>(link: &MemberLink<C>, message: &Encoded) -> Result<(), Missed> {
    if link.has(Flag::DEFERRED) && !link.is_encoding() {
        link.do_deferred();
    }
    // A connection whose last message is queued is not slow.
    if link.has(Flag::SHUT.or(Flag::LAST)) {
        return Err(Missed::Closed);
    }
    let mut encoder = link.encoder().ok_or(Missed::Encoding)?;
    if !C::takes_group_messages(&encoder) {
        return Err(Missed::Slow);
    }
    let bytes = match &message.compact {
        // Only a member that has room for it: what the encoder takes for written must be.
        Some(_) if link.queued() > link.high_water() => return Err(Missed::Slow),
        Some(compact) if C::takes_compact(&mut encoder) => compact,
        _ => &message.plain,
    };
    drop(encoder);
    link.send_encoded(bytes).map_err(|unsent| match unsent {
        Unsent::Full => Missed::Slow,
        Unsent::Closed => Missed::Closed,
        Unsent::Refused(never) => match never {},
    })
}

impl<C: Codec> Drop for Members<C> {
    /// The core ends, or the group is no more.
    fn drop(&mut self) {
        self.site.end();
    }
}

impl<C: Codec + 'static> AtTurnEnd for Members<C> {
    fn turn_ends(&self) {
        self.scheduled.set(false);
        self.deliver();
    }
}
