//! What a connection listens to, and the messages that wait for their readers.

use super::encode::Frame;
use crate::limits;
use crate::resp::{Value, Values};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Whether a subscription is to one channel or to all whose names match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Channel,
    Pattern,
}

impl Kind {
    pub(super) fn subscribe(self) -> &'static [u8] {
        if self == Kind::Channel { b"SUBSCRIBE" } else { b"PSUBSCRIBE" }
    }

    pub(super) fn unsubscribe(self) -> &'static [u8] {
        if self == Kind::Channel { b"UNSUBSCRIBE" } else { b"PUNSUBSCRIBE" }
    }
}

/// A message of a channel.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub(super) pattern: Option<Bytes>,
    pub(super) channel: Bytes,
    pub(super) payload: Bytes,
}

impl Message {
    /// The channel that it was published to.
    pub fn channel(&self) -> &Bytes {
        &self.channel
    }

    /// The pattern that the channel's name matches, for a subscription to one.
    pub fn pattern(&self) -> Option<&Bytes> {
        self.pattern.as_ref()
    }

    /// What was published. All subscriptions of a core to the channel share it.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    fn size(&self) -> usize {
        size_of::<Message>() + self.channel.len() + self.payload.len()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &Bytes| bytes.escape_ascii().to_string();
        f.debug_struct("Message")
            .field("channel", &text(&self.channel))
            .field("payload", &text(&self.payload))
            .finish_non_exhaustive()
    }
}

/// Messages on their way to one subscription.
#[derive(Default)]
pub(super) struct Feed {
    messages: RefCell<VecDeque<Message>>,
    bytes: Cell<usize>,
    most: usize,
    pub(super) missed: Cell<u64>,
    pub(super) gaps: Cell<u64>,
    /// The server has confirmed the subscription: it is renewed with the connection.
    confirmed: Cell<bool>,
    ended: Cell<bool>,
    reader: Cell<Option<Waker>>,
}

impl Feed {
    /// A reader that is too slow loses the oldest messages.
    fn push(&self, message: Message) {
        let mut messages = self.messages.borrow_mut();
        self.bytes.set(self.bytes.get() + message.size());
        messages.push_back(message);
        while messages.len() > 1 && (messages.len() > self.most || self.bytes.get() > limits::REDIS_MESSAGE_BYTES) {
            let oldest = messages.pop_front();
            self.bytes.set(self.bytes.get() - oldest.map_or(0, |oldest| oldest.size()));
            self.missed.set(self.missed.get() + 1);
        }
        drop(messages);
        self.wake();
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Option<Message>> {
        if let Some(message) = self.messages.borrow_mut().pop_front() {
            self.bytes.set(self.bytes.get() - message.size());
            return Poll::Ready(Some(message));
        }
        if self.ended.get() {
            return Poll::Ready(None);
        }
        self.reader.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

type Feeds = HashMap<Box<[u8]>, Vec<Rc<Feed>>>;

/// All subscriptions of a connection.
#[derive(Default)]
pub(super) struct Channels {
    channels: RefCell<Feeds>,
    patterns: RefCell<Feeds>,
}

impl Channels {
    fn of(&self, kind: Kind) -> &RefCell<Feeds> {
        if kind == Kind::Channel { &self.channels } else { &self.patterns }
    }

    /// One more subscription, of which at most so many messages may wait.
    pub(super) fn add(&self, kind: Kind, name: &[u8], most: usize) -> Rc<Feed> {
        let feed = Rc::new(Feed { most: most.max(1), ..Feed::default() });
        self.of(kind).borrow_mut().entry(name.into()).or_default().push(feed.clone());
        feed
    }

    /// One subscription less; says whether it was the last one to that name.
    pub(super) fn remove(&self, kind: Kind, name: &[u8], feed: &Rc<Feed>) -> bool {
        let mut feeds = self.of(kind).borrow_mut();
        let Some(those) = feeds.get_mut(name) else { return false };
        those.retain(|other| !Rc::ptr_eq(other, feed));
        let is_last = those.is_empty();
        if is_last {
            feeds.remove(name);
        }
        is_last
    }

    /// Calls `subscribe` with the command and the name of all that were confirmed before.
    pub(super) fn each_confirmed(&self, mut subscribe: impl FnMut(&[u8], &[u8])) {
        for kind in [Kind::Channel, Kind::Pattern] {
            for (name, feeds) in &*self.of(kind).borrow() {
                let confirmed = || feeds.iter().filter(|feed| feed.confirmed.get());
                confirmed().for_each(|feed| feed.gaps.set(feed.gaps.get() + 1));
                if confirmed().next().is_some() {
                    subscribe(kind.subscribe(), name);
                }
            }
        }
    }

    /// Takes what was received if it is a message. Of what is not, a confirmation is noted, and remains a reply.
    pub(super) fn hear(&self, frame: Frame<'_>) -> bool {
        // Version 3 pushes, version 2 has arrays.
        let (Value::Push(values) | Value::Array(values)) = frame.value else { return false };
        let part = |index| values.get(index).and_then(|value| value.as_bytes()).unwrap_or_default();
        match (part(0), values.len()) {
            (b"message", 3) => self.deliver(Kind::Channel, part(1), part(1), part(2)),
            (b"pmessage", 4) => self.deliver(Kind::Pattern, part(1), part(2), part(3)),
            (b"subscribe", _) => return self.confirm(Kind::Channel, values),
            (b"psubscribe", _) => return self.confirm(Kind::Pattern, values),
            (b"unsubscribe" | b"punsubscribe" | b"pong", _) => return false,
            // What is pushed for other reasons, such as the invalidation of keys, is no reply.
            _ => return matches!(frame.value, Value::Push(_)),
        }
        true
    }

    fn confirm(&self, kind: Kind, values: Values<'_>) -> bool {
        let name = values.get(1).and_then(|name| name.as_bytes()).unwrap_or_default();
        if let Some(feeds) = self.of(kind).borrow().get(name) {
            feeds.iter().for_each(|feed| feed.confirmed.set(true));
        }
        false
    }

    fn deliver(&self, kind: Kind, name: &[u8], channel: &[u8], payload: &[u8]) {
        let feeds = self.of(kind).borrow().get(name).cloned().unwrap_or_default();
        if feeds.is_empty() {
            return;
        }
        let message = Message {
            pattern: (kind == Kind::Pattern).then(|| Bytes::copy_from_slice(name)),
            channel: Bytes::copy_from_slice(channel),
            payload: Bytes::copy_from_slice(payload),
        };
        feeds.iter().for_each(|feed| feed.push(message.clone()));
    }

    /// No message will come any more.
    pub(super) fn end(&self) {
        for kind in [Kind::Channel, Kind::Pattern] {
            let feeds: Vec<Rc<Feed>> = self.of(kind).borrow().values().flatten().cloned().collect();
            for feed in feeds {
                feed.ended.set(true);
                feed.wake();
            }
        }
    }
}
