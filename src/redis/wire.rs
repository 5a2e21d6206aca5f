//! One connection to a Redis: what waits to be sent, and what waits for its reply.
//!
//! A command is encoded into the connection's write queue when it is asked for. Its entry stands in the order of the commands that
//! were sent, and each reply belongs to the first entry there. A request that is dropped leaves its entry in that order, so that the
//! reply finds it.

use super::RedisError;
use super::answer::Answer;
use super::channels::Channels;
use super::config::RedisConfig;
use super::encode::{CommandEncoder, Encoded, Frame, Frames, append};
use crate::error::{Error, Result};
use crate::net::{Flag, Link, Unsent};
use crate::resp::Value;
use crate::runtime::Core;
use crate::slots::{Key, Slots};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

pub(super) struct Wire {
    pub(super) core: Rc<Core>,
    pub(super) config: RedisConfig,
    /// Of a connection that listens to channels.
    pub(super) channels: Option<Channels>,
    pub(super) requests: RefCell<Requests>,
    /// The connection, while commands may be sent on it.
    pub(super) link: RefCell<Option<Rc<Link<CommandEncoder, Frames>>>>,
    /// Something was received since the watch has looked last.
    pub(super) heard: Cell<bool>,
    /// Why the connection is being closed, if that is the client's own doing.
    pub(super) blame: RefCell<Option<Arc<str>>>,
    /// The connection was aborted because the server is mute, so another one is made.
    pub(super) aborted: Cell<bool>,
    /// Why the last try to connect has failed, or the last connection has ended.
    pub(super) last_failure: RefCell<Option<Arc<str>>>,
    pub(super) closing: Cell<bool>,
    /// No other connection will be made.
    pub(super) ended: Cell<bool>,
    /// The task that connects, while it waits for something else than the connection.
    pub(super) connecting: Cell<Option<Waker>>,
}

#[derive(Default)]
pub(super) struct Requests {
    pub(super) entries: Slots<Entry>,
    /// Those that were sent, in order.
    pub(super) sent: VecDeque<Key>,
    /// Those that wait for a connection.
    pub(super) unsent: VecDeque<(Key, Vec<u8>)>,
    pub(super) unsent_bytes: usize,
}

pub(super) struct Entry {
    pub(super) began: Instant,
    /// Replies that are still to come.
    missing: u32,
    pub(super) state: State,
    /// The replies to several commands.
    replies: Vec<u8>,
}

pub(super) enum State {
    One(Option<Waker>),
    Several(Option<Waker>),
    Done(std::result::Result<Answer, RedisError>),
    /// Nothing waits for the reply any more.
    Abandoned,
}

/// What came of one request.
pub(super) enum Outcome {
    One(Answer),
    Several(Vec<u8>),
}

impl Wire {
    pub(super) fn new(core: Rc<Core>, config: RedisConfig, channels: Option<Channels>) -> Rc<Wire> {
        Rc::new(Wire {
            core,
            config,
            channels,
            requests: RefCell::default(),
            link: RefCell::default(),
            heard: Cell::default(),
            blame: RefCell::default(),
            aborted: Cell::default(),
            last_failure: RefCell::default(),
            closing: Cell::default(),
            ended: Cell::default(),
            connecting: Cell::default(),
        })
    }

    /// Queues a command. It leaves at the end of this turn, with all others that are asked for until then.
    #[inline]
    pub(super) fn send<A: AsRef<[u8]>>(&self, arguments: &[A]) -> std::result::Result<Key, RedisError> {
        let link = self.link.borrow().clone();
        if let Some(link) = link {
            self.has_room(&link)?;
            match link.push(arguments) {
                Ok(()) => return Ok(self.is_sent(&link, 1, State::One(None))),
                Err(Unsent::Full) => return Err(RedisError::Full),
                Err(Unsent::Refused(error)) => return Err(RedisError::Command(error)),
                Err(Unsent::Closed) => {}
            }
        }
        let mut bytes = Vec::new();
        append(arguments, &mut bytes).map_err(RedisError::Command)?;
        self.keep(bytes, 1, State::One(None))
    }

    /// Queues several commands, as one request.
    pub(super) fn send_several(&self, commands: Vec<u8>, count: u32) -> std::result::Result<Key, RedisError> {
        let link = self.link.borrow().clone();
        if let Some(link) = link {
            self.has_room(&link)?;
            match link.push(&Encoded(&commands)) {
                Ok(()) => return Ok(self.is_sent(&link, count, State::Several(None))),
                Err(Unsent::Full) => return Err(RedisError::Full),
                Err(Unsent::Refused(error)) => return Err(RedisError::Command(error)),
                Err(Unsent::Closed) => {}
            }
        }
        self.keep(commands, count, State::Several(None))
    }

    /// Sends a command whose reply interests no one, if there is a connection.
    pub(super) fn send_and_forget<A: AsRef<[u8]>>(&self, arguments: &[A]) {
        let link = self.link.borrow().clone();
        if let Some(link) = link
            && link.push_from_handle(arguments).is_ok()
        {
            self.is_sent(&link, 1, State::Abandoned);
        }
    }

    #[inline]
    fn has_room(&self, link: &Link<CommandEncoder, Frames>) -> std::result::Result<(), RedisError> {
        let is_full = self.requests.borrow().sent.len() >= self.config.max_in_flight;
        // An argument's own `as_ref` has asked for another command.
        if is_full || link.is_encoding() { Err(RedisError::Full) } else { Ok(()) }
    }

    #[inline]
    fn is_sent(&self, link: &Link<CommandEncoder, Frames>, missing: u32, state: State) -> Key {
        link.flush_later();
        let mut requests = self.requests.borrow_mut();
        let key = requests.entries.insert(Entry::new(self.core.time(), missing, state));
        requests.sent.push_back(key);
        key
    }

    /// Keeps commands until there is a connection.
    #[cold]
    fn keep(&self, bytes: Vec<u8>, missing: u32, state: State) -> std::result::Result<Key, RedisError> {
        if self.ended.get() {
            return Err(RedisError::Closed);
        }
        let mut requests = self.requests.borrow_mut();
        let (most, most_bytes) = self.config.max_unsent;
        if requests.unsent.len() >= most || requests.unsent_bytes.saturating_add(bytes.len()) > most_bytes {
            return Err(RedisError::Full);
        }
        let key = requests.entries.insert(Entry::new(self.core.time(), missing, state));
        requests.unsent_bytes += bytes.len();
        requests.unsent.push_back((key, bytes));
        Ok(key)
    }

    /// A connection is there: what has waited for it is sent.
    pub(super) fn opened(&self, link: Rc<Link<CommandEncoder, Frames>>) {
        *self.link.borrow_mut() = Some(link.clone());
        self.heard.set(true);
        if let Some(channels) = &self.channels {
            channels.each_confirmed(|word, name| self.send_and_forget(&[word, name]));
        }
        let mut requests = self.requests.borrow_mut();
        let unsent = std::mem::take(&mut requests.unsent);
        requests.unsent_bytes = 0;
        for (key, bytes) in unsent {
            // Nothing is full or closed yet; should it be, the entry ends with the connection.
            let _ = link.push_from_handle(&Encoded(&bytes));
            requests.sent.push_back(key);
        }
        link.flush_later();
    }

    /// Gives a reply to the first request that waits for one.
    #[inline]
    pub(super) fn reply(&self, frame: Frame<'_>) -> Result {
        self.heard.set(true);
        if let Some(channels) = &self.channels {
            if channels.hear(frame) {
                return Ok(());
            }
        } else if matches!(frame.value, Value::Push(_)) {
            // Nothing that this client asks for.
            return Ok(());
        }
        let mut requests = self.requests.borrow_mut();
        let Requests { entries, sent, .. } = &mut *requests;
        let Some(key) = sent.front().copied() else { return self.nothing_was_asked() };
        let Some(entry) = entries.get_mut(key) else { return self.nothing_was_asked() };
        entry.missing -= 1;
        if entry.missing > 0 || matches!(entry.state, State::Several(_)) {
            if matches!(entry.state, State::Several(_)) {
                entry.replies.extend_from_slice(frame.bytes);
            }
            if entry.missing > 0 {
                return Ok(());
            }
        }
        sent.pop_front();
        let waker = match &mut entry.state {
            State::One(waker) => {
                let waker = waker.take();
                entry.state = State::Done(Ok(Answer::new(frame.bytes)));
                waker
            }
            // The replies are what it becomes.
            State::Several(waker) => waker.take(),
            State::Done(_) | State::Abandoned => {
                drop(entries.remove(key));
                self.unread_error(frame.value);
                None
            }
        };
        drop(requests);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    #[cold]
    fn nothing_was_asked(&self) -> Result {
        if self.link.borrow().is_none() {
            // The connection is closing, and its requests have failed.
            return Ok(());
        }
        Err(Error::msg("expected a reply to a command, found one without a command"))
    }

    /// A command that no caller waits for was refused.
    fn unread_error(&self, value: Value<'_>) {
        if let Value::Error(line) = value {
            let error = String::from_utf8_lossy(line);
            tracing::debug!(to = %self.config.address(), %error, "a Redis has refused a command whose caller has gone");
        }
    }

    /// What became of a request, once that is known.
    #[inline]
    pub(super) fn poll(&self, key: Key, cx: &Context<'_>) -> Poll<std::result::Result<Outcome, RedisError>> {
        let mut requests = self.requests.borrow_mut();
        let Some(entry) = requests.entries.get_mut(key) else { return Poll::Ready(Err(RedisError::Closed)) };
        let replaced = match &mut entry.state {
            State::Several(_) if entry.missing == 0 => {
                let replies = requests.entries.remove(key).map_or_else(Vec::new, |entry| entry.replies);
                return Poll::Ready(Ok(Outcome::Several(replies)));
            }
            State::One(waker) | State::Several(waker) => match waker {
                Some(waker) if waker.will_wake(cx.waker()) => None,
                waker => waker.replace(cx.waker().clone()),
            },
            State::Done(_) | State::Abandoned => {
                return Poll::Ready(match requests.entries.remove(key).map(|entry| entry.state) {
                    Some(State::Done(done)) => done.map(Outcome::One),
                    _ => Err(RedisError::Closed),
                });
            }
        };
        drop(requests);
        drop(replaced);
        Poll::Pending
    }

    /// Nothing waits for this request any more. What was not sent is not sent; else its reply is still to come.
    #[cold]
    pub(super) fn abandon(&self, key: Key) {
        let mut requests = self.requests.borrow_mut();
        if let Some(at) = requests.unsent.iter().position(|(unsent, _)| *unsent == key)
            && let Some((_, bytes)) = requests.unsent.remove(at)
        {
            requests.unsent_bytes -= bytes.len();
            drop(requests.entries.remove(key));
            return;
        }
        let Some(entry) = requests.entries.get_mut(key) else { return };
        let is_over = matches!(entry.state, State::Done(_)) || entry.missing == 0;
        let state = std::mem::replace(&mut entry.state, State::Abandoned);
        let replies = std::mem::take(&mut entry.replies);
        if is_over {
            drop(requests.entries.remove(key));
        }
        drop(requests);
        // A waker's drop may be that of a task.
        drop((state, replies));
    }

    /// Whether there is a connection, or none could be made.
    pub(super) fn has_begun(&self) -> bool {
        self.link.borrow().is_some() || self.ended.get() || self.last_failure.borrow().is_some()
    }

    pub(super) fn awaits_replies(&self) -> bool {
        !self.requests.borrow().sent.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.link.borrow().is_some() && !self.awaits_replies()
    }

    /// When the request was made that has waited for its reply for the longest time.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let requests = self.requests.borrow();
        requests.entries.get(*requests.sent.front()?).map(|entry| entry.began)
    }

    /// Closes when everything that was sent has left, and makes no other connection.
    pub(super) fn close(&self) {
        self.closing.set(true);
        let link = self.link.borrow().clone();
        if let Some(link) = link {
            link.notify(Flag::CLOSE);
        }
        if let Some(connecting) = self.connecting.take() {
            connecting.wake();
        }
    }
}

impl Entry {
    #[inline]
    fn new(began: Instant, missing: u32, state: State) -> Entry {
        Entry { began, missing, state, replies: Vec::new() }
    }
}
