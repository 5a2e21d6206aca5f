//! Listening to channels and patterns.

use crate::channels::Kind;
use crate::client::Client;
use bytes::Bytes;
use tiderace::resp::{Command, Commands, Reply};
use tiderace::{Conn, Result};

/// Channels that a client may listen to, and patterns likewise.
const MOST: usize = 1024;

impl Client {
    pub fn listened(&mut self, kind: Kind) -> &mut Vec<Bytes> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }

    pub async fn subscribe(&mut self, conn: &mut Conn<Commands>, command: Command<'_>, kind: Kind) -> Result {
        let what = if kind == Kind::Channel { "subscribe" } else { "psubscribe" };
        for name in command.arguments() {
            if !self.listened(kind).iter().any(|known| known == name) {
                if self.listened(kind).len() == MOST {
                    conn.send(&Reply::Error("ERR too many channels are listened to")).await?;
                    continue;
                }
                let name = Bytes::copy_from_slice(name);
                self.shared.channels.join(kind, &name, conn, self.session.version);
                self.listened(kind).push(name);
            }
            self.confirm(conn, what, Reply::Bulk(name)).await?;
        }
        Ok(())
    }

    /// From what is named, or from everything of that kind.
    pub async fn unsubscribe(&mut self, conn: &mut Conn<Commands>, command: Command<'_>, kind: Kind) -> Result {
        let what = if kind == Kind::Channel { "unsubscribe" } else { "punsubscribe" };
        let mut names: Vec<Bytes> = command.arguments().map(Bytes::copy_from_slice).collect();
        if names.is_empty() {
            names.clone_from(self.listened(kind));
        }
        if names.is_empty() {
            return self.confirm(conn, what, Reply::Null).await;
        }
        for name in names {
            self.listened(kind).retain(|known| *known != name);
            self.shared.channels.leave(kind, &name, conn);
            self.confirm(conn, what, Reply::Bulk(&name)).await?;
        }
        Ok(())
    }

    async fn confirm(&mut self, conn: &mut Conn<Commands>, what: &str, name: Reply<'_>) -> Result {
        let (channels, patterns) = (self.channels.len(), self.patterns.len());
        self.shared.clients.with(conn, |row| (row.channels, row.patterns) = (channels, patterns));
        let count = Reply::Integer((channels + patterns) as i64);
        conn.send(&Reply::Push(&[Reply::Bulk(what.as_bytes()), name, count])).await
    }

    /// What comes from channels is written in the version that is spoken now.
    pub fn join_again(&mut self, conn: &Conn<Commands>) {
        let channels = &self.shared.channels;
        for (kind, names) in [(Kind::Channel, &self.channels), (Kind::Pattern, &self.patterns)] {
            for name in names {
                channels.leave(kind, name, conn);
                channels.join(kind, name, conn, self.session.version);
            }
        }
    }

    pub fn leave_all(&mut self, conn: &Conn<Commands>) {
        for kind in [Kind::Channel, Kind::Pattern] {
            for name in std::mem::take(self.listened(kind)) {
                self.shared.channels.leave(kind, &name, conn);
            }
        }
        self.shared.clients.with(conn, |row| (row.channels, row.patterns) = (0, 0));
    }
}
