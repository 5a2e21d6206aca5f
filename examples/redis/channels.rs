//! Channels: a group for each, and for each version of the protocol, in which a message is written once for all.

use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Mutex;
use tiderace::resp::{Commands, Reply, Version};
use tiderace::{Conn, Group, Result, SlowMember};

#[derive(Default)]
pub struct Channels(Mutex<HashMap<Bytes, Channel>>);

#[derive(Clone)]
struct Channel {
    old: Group<Commands>,
    new: Group<Commands>,
}

impl Channel {
    fn group(&self, version: Version) -> &Group<Commands> {
        match version {
            Version::Resp2 => &self.old,
            Version::Resp3 => &self.new,
        }
    }

    fn len(&self) -> usize {
        self.old.len() + self.new.len()
    }
}

impl Default for Channel {
    fn default() -> Channel {
        // As Redis does it: whoever cannot keep up is disconnected, and knows that something was missed.
        let group = |version| Group::with_policy(Commands::default().version(version), SlowMember::Disconnect);
        Channel { old: group(Version::Resp2), new: group(Version::Resp3) }
    }
}

impl Channels {
    pub fn join(&self, name: &Bytes, conn: &Conn<Commands>, version: Version) {
        let mut channels = self.0.lock().unwrap();
        channels.entry(name.clone()).or_default().group(version).join(conn);
    }

    pub fn leave(&self, name: &Bytes, conn: &Conn<Commands>) {
        let mut channels = self.0.lock().unwrap();
        if let Some(channel) = channels.get(name) {
            channel.old.leave(conn);
            channel.new.leave(conn);
            if channel.len() == 0 {
                channels.remove(name);
            }
        }
    }

    // ANCHOR: publish
    /// Sends a message to all who listen, and says how many those are.
    pub fn publish(&self, name: &[u8], message: &[u8]) -> Result<usize> {
        let channel = self.0.lock().unwrap().get(name).cloned();
        let Some(channel) = channel else { return Ok(0) };
        let reply = [Reply::Bulk(b"message"), Reply::Bulk(name), Reply::Bulk(message)];
        for group in [&channel.old, &channel.new] {
            if !group.is_empty() {
                group.try_send(&Reply::Push(&reply))?;
            }
        }
        Ok(channel.len())
    }
    // ANCHOR_END: publish
}
