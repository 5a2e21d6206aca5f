//! A client's connection.

use crate::answer::{Answer, OK, refused};
use crate::channels::Kind;
use crate::commands::{self, Quick, Shared, Spec, capitals, shown};
use crate::connection;
use crate::number::integer;
use crate::server;
use crate::session::Session;
use bytes::Bytes;
use std::sync::Arc;
use tiderace::resp::{Command, Commands, Reply, Version};
use tiderace::{CloseReason, Conn, Error, Handler, Result};

pub struct Client {
    pub shared: Arc<Shared>,
    pub session: Session,
    pub channels: Vec<Bytes>,
    pub patterns: Vec<Bytes>,
}

impl Client {
    pub fn new(shared: Arc<Shared>) -> Client {
        let session = Session::new(shared.password.is_empty());
        Client { shared, session, channels: Vec::new(), patterns: Vec::new() }
    }

    /// Whether messages are all that a client expects: one of version 2 that listens could not tell them from replies.
    fn only_listens(&self) -> bool {
        self.session.version == Version::Resp2 && !(self.channels.is_empty() && self.patterns.is_empty())
    }

    /// The answer to a command that takes no waiting; `None` if the connection itself is concerned.
    #[inline(never)]
    fn answer<'a>(&mut self, conn: &Conn<Commands>, command: Command<'a>) -> Option<Answer<'a>> {
        let spec = match Spec::of(command) {
            Ok(spec) => spec,
            // As an array, too: Redis takes this for a web page that attacks.
            Err(_) if command.is("POST") || command.is("Host:") => return None,
            Err(refusal) => return Some(self.refuse(refusal)),
        };
        if !self.session.is_authenticated && !spec.is_open() {
            return Some(self.refuse(refused("NOAUTH Authentication required.")));
        }
        if self.only_listens() {
            let is_about_that = matches!(
                spec.name,
                "subscribe" | "psubscribe" | "unsubscribe" | "punsubscribe" | "ping" | "quit" | "reset"
            );
            if !is_about_that {
                let only = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
                return Some(self.refuse(Answer::Refusal(format!("ERR Can't execute '{}': {only}", spec.name))));
            }
            if spec.name == "ping" {
                return None;
            }
        }
        if let Some(transaction) = &mut self.session.transaction {
            let ends_it = matches!(spec.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset");
            if !ends_it {
                return Some(transaction.queue(spec, command));
            }
        }
        if let Some(answer) = spec.run(&self.shared, &mut self.session, conn, command) {
            return Some(answer);
        }
        Some(match spec.name {
            "multi" => self.multi(),
            "exec" => self.exec(conn),
            "discard" => self.discard(),
            "watch" => self.watch(command),
            "unwatch" => {
                self.unwatch();
                OK
            }
            _ => return None,
        })
    }

    /// A refusal, which ends a transaction as well.
    #[cold]
    fn refuse<'a>(&mut self, refusal: Answer<'a>) -> Answer<'a> {
        if let Some(transaction) = &mut self.session.transaction {
            transaction.break_off();
        }
        refusal
    }

    /// `HELLO [version [AUTH user password] [SETNAME name]]`. Nothing changes if any of it is wrong.
    async fn hello(&mut self, conn: &mut Conn<Commands>, command: Command<'_>) -> Result {
        match self.greet(conn, command) {
            Ok(version) => self.session.version = version,
            Err(wrong) => return conn.send(&wrong).await,
        }
        let version = self.session.version;
        conn.send(&version).await?;
        self.shared.clients.with(conn, |row| row.version = version);
        self.join_again(conn);
        let proto = if version == Version::Resp3 { 3 } else { 2 };
        conn.send(&Reply::Map(&[
            (Reply::Bulk(b"server"), Reply::Bulk(b"redis")),
            (Reply::Bulk(b"version"), Reply::Bulk(server::VERSION.as_bytes())),
            (Reply::Bulk(b"proto"), Reply::Integer(proto)),
            (Reply::Bulk(b"id"), Reply::Integer(conn.id().as_u64() as i64)),
            (Reply::Bulk(b"mode"), Reply::Bulk(b"standalone")),
            (Reply::Bulk(b"role"), Reply::Bulk(b"master")),
            (Reply::Bulk(b"modules"), Reply::Array(&[])),
        ]))
        .await
    }

    fn greet(&mut self, conn: &Conn<Commands>, command: Command<'_>) -> Result<Version, Answer<'static>> {
        let version = match command.get(1).map(integer) {
            None => self.session.version,
            Some(Some(2)) => Version::Resp2,
            Some(Some(3)) => Version::Resp3,
            Some(Some(_)) => return Err(refused("NOPROTO unsupported protocol version")),
            Some(None) => return Err(refused("ERR Protocol version is not an integer or out of range")),
        };
        let (mut credentials, mut name) = (None, None);
        let mut options = command.arguments().skip(1);
        while let Some(option) = options.next() {
            match (capitals(option, &mut [0; 16]), options.len()) {
                (b"AUTH", 2..) => credentials = options.next().zip(options.next()),
                (b"SETNAME", 1..) => name = options.next(),
                _ => {
                    let why = format!("ERR Syntax error in HELLO option '{}'", shown(option, 128));
                    return Err(Answer::Refusal(why));
                }
            }
        }
        if let Some((user, password)) = credentials
            && !connection::authenticate(&self.shared, &mut self.session, user, password).is_ok()
        {
            return Err(connection::WRONG_PASSWORD);
        }
        if !self.session.is_authenticated {
            let how = "HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> \
                       <pass> option can be used to authenticate the client and select the RESP protocol version at the same time";
            return Err(Answer::Refusal(format!("NOAUTH {how}")));
        }
        match name.map(|name| connection::set_name(&self.shared, conn, name)) {
            Some(wrong) if !wrong.is_ok() => Err(wrong),
            _ => Ok(version),
        }
    }

    /// As if the client had connected just now.
    async fn reset(&mut self, conn: &mut Conn<Commands>) -> Result {
        self.unwatch();
        self.leave_all(conn);
        self.session = Session::new(self.shared.password.is_empty());
        self.shared.clients.with(conn, |row| {
            row.name.clear();
            (row.db, row.version) = (0, Version::Resp2);
        });
        conn.send(&Version::Resp2).await?;
        conn.send(&Reply::Simple("RESET")).await
    }

    /// Commands that concern the connection.
    async fn manage(&mut self, conn: &mut Conn<Commands>, command: Command<'_>) -> Result {
        let name = Spec::named(command.name()).map(|spec| spec.name);
        match name.unwrap_or_default() {
            "subscribe" => self.subscribe(conn, command, Kind::Channel).await,
            "psubscribe" => self.subscribe(conn, command, Kind::Pattern).await,
            "unsubscribe" => self.unsubscribe(conn, command, Kind::Channel).await,
            "punsubscribe" => self.unsubscribe(conn, command, Kind::Pattern).await,
            "hello" => self.hello(conn, command).await,
            "reset" => self.reset(conn).await,
            "ping" if command.len() > 2 => conn.send(&commands::wrong_number("ping")).await,
            "ping" => {
                let text = command.get(1).unwrap_or_default();
                conn.send(&Reply::Array(&[Reply::Bulk(b"pong"), Reply::Bulk(text)])).await
            }
            "quit" => {
                conn.send(&Reply::Simple("OK")).await?;
                conn.close();
                Ok(())
            }
            // Closed without a word, and with these in the log.
            _ => Err(Error::msg("expected a command, found POST or Host: (a web page may be attacking this server)")),
        }
    }
}

// ANCHOR: handler
impl Handler for Client {
    type Codec = Commands;

    async fn on_open(&mut self, conn: &mut Conn<Commands>) -> Result {
        self.shared.clients.add(conn);
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Commands>, command: Command<'_>) -> Result {
        if self.session.is_plain() && !self.only_listens() {
            match commands::quick(&self.shared.store, self.session.db, conn, command) {
                Quick::Sent => return Ok(()),
                Quick::Reply(reply) => return conn.send(&reply).await,
                Quick::No => {}
            }
        }
        match &self.answer(conn, command) {
            Some(answer) => conn.send(answer).await,
            // Boxed: rare, and its future would be a part of every connection.
            None => Box::pin(self.manage(conn, command)).await,
        }
    }

    async fn on_close(&mut self, conn: &mut Conn<Commands>, _: &CloseReason) {
        self.unwatch();
        self.leave_all(conn);
        self.shared.clients.remove(conn);
    }
}
// ANCHOR_END: handler
