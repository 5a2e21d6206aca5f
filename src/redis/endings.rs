//! How requests end that have no reply.

use super::RedisError;
use super::wire::{State, Wire};
use crate::net::Flag;
use crate::slots::Key;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Wire {
    /// Fails the requests that have waited for a connection for too long; says when the next one will have.
    pub(super) fn expire_unsent(&self, now: Instant, after: Duration) -> Option<Instant> {
        loop {
            let mut requests = self.requests.borrow_mut();
            let key = requests.unsent.front()?.0;
            let began = requests.entries.get(key).map(|entry| entry.began);
            if let Some(began) = began.filter(|began| now.duration_since(*began) < after) {
                return Some(began + after);
            }
            let bytes = requests.unsent.pop_front().map_or(0, |(_, bytes)| bytes.len());
            requests.unsent_bytes -= bytes;
            drop(requests);
            let last = self.last_failure.borrow().clone();
            self.fail(key, RedisError::NotConnected { after, last });
        }
    }

    /// The server has not answered in time. Whatever came now would be too late for its request, and all others wait behind it.
    #[cold]
    pub(super) fn is_mute(&self, now: Instant, after: Duration) {
        tracing::warn!(to = %self.config.address(), ?after, "a Redis does not answer");
        self.blame.replace(Some(Arc::from(format!("no reply within {after:?}"))));
        let link = self.link.borrow_mut().take();
        let sent = std::mem::take(&mut self.requests.borrow_mut().sent);
        for key in sent {
            let began = self.requests.borrow().entries.get(key).map(|entry| entry.began);
            let error = match began {
                Some(began) if now.duration_since(began) >= after => RedisError::TimedOut { after },
                _ => RedisError::Lost(format!("no reply within {after:?} to a command before").into()),
            };
            self.fail(key, error);
        }
        if let Some(link) = link {
            self.aborted.set(true);
            link.notify(Flag::ABORT);
        }
    }

    /// The connection has ended: what was sent and has no reply has none for ever.
    pub(super) fn lost(&self, reason: &str) {
        let reason = self.blame.take().unwrap_or_else(|| Arc::from(reason));
        self.link.borrow_mut().take();
        self.last_failure.replace(Some(reason.clone()));
        let sent = std::mem::take(&mut self.requests.borrow_mut().sent);
        sent.into_iter().for_each(|key| self.fail(key, RedisError::Lost(reason.clone())));
    }

    /// No other connection will be made.
    pub(super) fn end(&self) {
        self.ended.set(true);
        let unsent = std::mem::take(&mut self.requests.borrow_mut().unsent);
        unsent.into_iter().for_each(|(key, _)| self.fail(key, RedisError::Closed));
        if let Some(channels) = &self.channels {
            channels.end();
        }
    }

    fn fail(&self, key: Key, error: RedisError) {
        let mut requests = self.requests.borrow_mut();
        let Some(entry) = requests.entries.get_mut(key) else { return };
        let before = std::mem::replace(&mut entry.state, State::Done(Err(error)));
        let removed = match before {
            State::Abandoned => requests.entries.remove(key),
            _ => None,
        };
        drop(requests);
        drop(removed);
        if let State::One(Some(waker)) | State::Several(Some(waker)) = before {
            waker.wake();
        }
    }
}
