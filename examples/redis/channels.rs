//! Channels and patterns: a group for each, and for each version of the protocol, in which a message is written once for all.

use crate::glob;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Mutex;
use tiderace::resp::{Commands, Reply, Version};
use tiderace::{Conn, Group, Result, SlowMember};

#[derive(Default)]
pub struct Channels(Mutex<Listeners>);

#[derive(Default)]
struct Listeners {
    channels: HashMap<Bytes, Members>,
    patterns: HashMap<Bytes, Members>,
}

/// What is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One channel.
    Channel,
    /// All channels whose names match.
    Pattern,
}

impl Listeners {
    fn of(&mut self, kind: Kind) -> &mut HashMap<Bytes, Members> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }
}

#[derive(Clone)]
struct Members {
    old: Group<Commands>,
    new: Group<Commands>,
}

impl Members {
    fn len(&self) -> usize {
        self.old.len() + self.new.len()
    }

    fn send(&self, message: &[Reply<'_>]) -> Result {
        for group in [&self.old, &self.new] {
            if !group.is_empty() {
                group.try_send(&Reply::Push(message))?;
            }
        }
        Ok(())
    }
}

impl Default for Members {
    fn default() -> Members {
        // As Redis does it: a client that cannot keep up is disconnected, and knows that it has missed something.
        let group = |version| Group::with_policy(Commands::default().version(version), SlowMember::Disconnect);
        Members { old: group(Version::Resp2), new: group(Version::Resp3) }
    }
}

impl Channels {
    pub fn join(&self, kind: Kind, name: &Bytes, conn: &Conn<Commands>, version: Version) {
        let mut listeners = self.0.lock().unwrap();
        let members = listeners.of(kind).entry(name.clone()).or_default();
        let group = if version == Version::Resp3 { &members.new } else { &members.old };
        group.join(conn);
    }

    pub fn leave(&self, kind: Kind, name: &[u8], conn: &Conn<Commands>) {
        let mut listeners = self.0.lock().unwrap();
        if let Some(members) = listeners.of(kind).get(name) {
            members.old.leave(conn);
            members.new.leave(conn);
            if members.len() == 0 {
                listeners.of(kind).remove(name);
            }
        }
    }

    // ANCHOR: publish
    /// Sends a message to all clients that listen to the channel, and says how many those are.
    pub fn publish(&self, channel: &[u8], message: &[u8]) -> Result<usize> {
        let (direct, patterns) = {
            let listeners = self.0.lock().unwrap();
            let matching = listeners.patterns.iter().filter(|(pattern, _)| glob::matches(pattern, channel));
            let matching: Vec<_> = matching.map(|(pattern, members)| (pattern.clone(), members.clone())).collect();
            (listeners.channels.get(channel).cloned(), matching)
        };
        let (mut heard, [channel, message]) = (0, [channel, message].map(Reply::Bulk));
        if let Some(members) = direct {
            members.send(&[Reply::Bulk(b"message"), channel, message])?;
            heard += members.len();
        }
        for (pattern, members) in patterns {
            members.send(&[Reply::Bulk(b"pmessage"), Reply::Bulk(&pattern), channel, message])?;
            heard += members.len();
        }
        Ok(heard)
    }
    // ANCHOR_END: publish

    /// The channels that are listened to, without patterns.
    pub fn names(&self, is_wanted: impl Fn(&[u8]) -> bool) -> Vec<Bytes> {
        self.0.lock().unwrap().channels.keys().filter(|name| is_wanted(name)).cloned().collect()
    }

    /// How many clients listen to a channel, without patterns.
    pub fn count(&self, channel: &[u8]) -> usize {
        self.0.lock().unwrap().channels.get(channel).map_or(0, Members::len)
    }

    /// How many patterns there are.
    pub fn patterns(&self) -> usize {
        self.0.lock().unwrap().patterns.len()
    }
}
