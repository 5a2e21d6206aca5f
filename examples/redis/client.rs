//! A client's connection.

use crate::channels::Channels;
use crate::commands;
use crate::store::Store;
use bytes::Bytes;
use std::sync::Arc;
use tiderace::resp::{Command, Commands, Reply, Version};
use tiderace::{CloseReason, Conn, Handler, Result};

/// Channels that one client may listen to.
const MOST_CHANNELS: usize = 1024;

/// What all clients share.
pub struct Shared {
    pub store: Store,
    pub channels: Channels,
}

pub struct Client {
    shared: Arc<Shared>,
    version: Version,
    channels: Vec<Bytes>,
}

impl Client {
    pub fn new(shared: Arc<Shared>) -> Client {
        Client { shared, version: Version::Resp2, channels: Vec::new() }
    }

    async fn subscribe(&mut self, conn: &mut Conn<Commands>, command: Command<'_>) -> Result {
        for name in command.arguments() {
            if !self.channels.iter().any(|known| known == name) {
                if self.channels.len() == MOST_CHANNELS {
                    conn.send(&Reply::Error("ERR too many channels")).await?;
                    continue;
                }
                let name = Bytes::copy_from_slice(name);
                self.shared.channels.join(&name, conn, self.version);
                self.channels.push(name);
            }
            self.confirm(conn, "subscribe", Reply::Bulk(name)).await?;
        }
        Ok(())
    }

    /// From the named channels, or from all.
    async fn unsubscribe(&mut self, conn: &mut Conn<Commands>, command: Command<'_>) -> Result {
        let mut names: Vec<Bytes> = command.arguments().map(Bytes::copy_from_slice).collect();
        if names.is_empty() {
            names.clone_from(&self.channels);
        }
        if names.is_empty() {
            return self.confirm(conn, "unsubscribe", Reply::Null).await;
        }
        for name in names {
            self.channels.retain(|known| *known != name);
            self.shared.channels.leave(&name, conn);
            self.confirm(conn, "unsubscribe", Reply::Bulk(&name)).await?;
        }
        Ok(())
    }

    async fn confirm(&self, conn: &mut Conn<Commands>, what: &str, name: Reply<'_>) -> Result {
        let count = Reply::Integer(self.channels.len() as i64);
        conn.send(&Reply::Push(&[Reply::Bulk(what.as_bytes()), name, count])).await
    }

    async fn hello(&mut self, conn: &mut Conn<Commands>, command: Command<'_>) -> Result {
        match command.get(1) {
            None => {}
            Some(b"2") => self.version = Version::Resp2,
            Some(b"3") => self.version = Version::Resp3,
            Some(_) => return conn.send(&Reply::Error("NOPROTO unsupported protocol version")).await,
        }
        conn.send(&self.version).await?;
        // What comes from channels is written in the new version, too.
        for name in &self.channels {
            self.shared.channels.leave(name, conn);
            self.shared.channels.join(name, conn, self.version);
        }
        let proto = if self.version == Version::Resp3 { 3 } else { 2 };
        conn.send(&Reply::Map(&[
            (Reply::Bulk(b"server"), Reply::Bulk(b"redis")),
            (Reply::Bulk(b"version"), Reply::Bulk(commands::VERSION.as_bytes())),
            (Reply::Bulk(b"proto"), Reply::Integer(proto)),
            (Reply::Bulk(b"id"), Reply::Integer(conn.id().as_u64() as i64)),
            (Reply::Bulk(b"mode"), Reply::Bulk(b"standalone")),
            (Reply::Bulk(b"role"), Reply::Bulk(b"master")),
            (Reply::Bulk(b"modules"), Reply::Array(&[])),
        ]))
        .await
    }

    /// Commands that concern the connection; nothing else is left to a client of version 2 that listens to channels, because
    /// messages and their like are all that it expects.
    async fn manage(&mut self, conn: &mut Conn<Commands>, command: Command<'_>) -> Result {
        let mut space = [0; commands::LONGEST_NAME];
        let name = commands::capitals(command.name(), &mut space);
        match (name, command.len()) {
            (b"SUBSCRIBE", 2..) => self.subscribe(conn, command).await,
            (b"UNSUBSCRIBE", _) => self.unsubscribe(conn, command).await,
            (b"HELLO", _) if !self.only_listens() => self.hello(conn, command).await,
            (b"PING", 1) => conn.send(&Reply::Array(&[Reply::Bulk(b"pong"), Reply::Bulk(b"")])).await,
            (b"QUIT", _) => {
                conn.send(&Reply::Simple("OK")).await?;
                conn.close();
                Ok(())
            }
            _ if self.only_listens() => {
                let wrong = "ERR only (UN)SUBSCRIBE, PING and QUIT are allowed while channels are listened to";
                conn.send(&Reply::Error(wrong)).await
            }
            _ => conn.send(&Reply::Error(&commands::refusal(command))).await,
        }
    }

    fn only_listens(&self) -> bool {
        !self.channels.is_empty() && self.version == Version::Resp2
    }
}

// ANCHOR: handler
impl Handler for Client {
    type Codec = Commands;

    async fn on_message(&mut self, conn: &mut Conn<Commands>, command: Command<'_>) -> Result {
        // Commands that concern the keys have their answer at once.
        let answer = if self.only_listens() { None } else { commands::execute(&self.shared, command) };
        match &answer {
            Some(answer) => conn.send(answer).await,
            // Boxed: rare, and its future would be a part of every connection.
            None => Box::pin(self.manage(conn, command)).await,
        }
    }

    async fn on_close(&mut self, conn: &mut Conn<Commands>, _: &CloseReason) {
        for name in &self.channels {
            self.shared.channels.leave(name, conn);
        }
    }
}
// ANCHOR_END: handler
