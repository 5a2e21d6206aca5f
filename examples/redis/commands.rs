//! Every command: how it is called, which keys it is about, and what does it.

use crate::answer::{Answer, refused};
use crate::clients::Clients;
use crate::session::Session;
use crate::store::{Locked, Store};
use crate::{channels::Channels, connection, keys, server, strings};
use ahash::RandomState;
use std::collections::HashMap;
use std::sync::LazyLock;
use tiderace::Conn;
use tiderace::resp::{Command, Commands, Reply};

/// What all clients share.
pub struct Shared {
    pub store: Store,
    pub channels: Channels,
    pub clients: Clients,
    /// Empty if none is wanted.
    pub password: String,
}

/// What a command is given.
pub struct Call<'c, 's> {
    pub shared: &'c Shared,
    pub session: &'c mut Session,
    pub conn: &'c Conn<Commands>,
    /// The shards that it may use.
    pub keys: &'c mut Locked<'s>,
}

pub type Action = for<'a> fn(&mut Call<'_, '_>, Command<'a>) -> Answer<'a>;

/// What does a command, and what is locked meanwhile.
#[derive(Clone, Copy)]
pub enum Run {
    /// The keys that it names, which may be none.
    Keys(Action),
    /// All keys of the client's database.
    Database(Action),
    /// All keys of all databases.
    Databases(Action),
    /// It is the connection's own business: see [`Client`](crate::client::Client).
    Connection,
}

pub struct Spec {
    pub name: &'static str,
    /// How many arguments it takes, its name included; at least as many if negative.
    pub arity: i64,
    pub flags: &'static [&'static str],
    pub group: &'static str,
    /// Where its keys stand: the first, the last (from the end if negative), and the step.
    pub keys: [i64; 3],
    pub run: Run,
}

const NO_KEYS: [i64; 3] = [0, 0, 0];
const ONE: [i64; 3] = [1, 1, 1];
const ALL: [i64; 3] = [1, -1, 1];
const READ: &[&str] = &["readonly"];
const READ_FAST: &[&str] = &["readonly", "fast"];
const WRITE: &[&str] = &["write"];
const WRITE_FAST: &[&str] = &["write", "fast"];
const GROW: &[&str] = &["write", "denyoom"];
const GROW_FAST: &[&str] = &["write", "denyoom", "fast"];
const FAST: &[&str] = &["fast"];
/// May be called without a password.
const OPEN: &[&str] = &["noscript", "loading", "stale", "fast", "no_auth"];
const LISTEN: &[&str] = &["pubsub", "noscript", "loading", "stale"];
const OTHER: &[&str] = &["loading", "stale"];

const fn spec(
    name: &'static str,
    arity: i64,
    group: &'static str,
    flags: &'static [&'static str],
    keys: [i64; 3],
    run: Run,
) -> Spec {
    Spec { name, arity, flags, group, keys, run }
}

use Run::{Connection, Database, Databases, Keys};
#[rustfmt::skip]
pub static COMMANDS: &[Spec] = &[
    spec("append", 3, "string", GROW_FAST, ONE, Keys(strings::append)),
    spec("auth", -2, "connection", OPEN, NO_KEYS, Keys(connection::auth)),
    spec("client", -2, "connection", OTHER, NO_KEYS, Keys(connection::client)),
    spec("command", -1, "server", OTHER, NO_KEYS, Keys(server::command)),
    spec("config", -2, "server", OTHER, NO_KEYS, Keys(server::config)),
    spec("dbsize", 1, "server", READ_FAST, NO_KEYS, Database(server::dbsize)),
    spec("decr", 2, "string", GROW_FAST, ONE, Keys(strings::decr)),
    spec("decrby", 3, "string", GROW_FAST, ONE, Keys(strings::decrby)),
    spec("del", -2, "generic", WRITE, ALL, Keys(keys::del)),
    spec("discard", 1, "transactions", FAST, NO_KEYS, Connection),
    spec("echo", 2, "connection", FAST, NO_KEYS, Keys(connection::echo)),
    spec("exec", 1, "transactions", OTHER, NO_KEYS, Connection),
    spec("exists", -2, "generic", READ_FAST, ALL, Keys(keys::exists)),
    spec("expire", -3, "generic", WRITE_FAST, ONE, Keys(keys::expire)),
    spec("expireat", -3, "generic", WRITE_FAST, ONE, Keys(keys::expireat)),
    spec("expiretime", 2, "generic", READ_FAST, ONE, Keys(keys::expiretime)),
    spec("flushall", -1, "server", WRITE, NO_KEYS, Databases(server::flushall)),
    spec("flushdb", -1, "server", WRITE, NO_KEYS, Database(server::flushdb)),
    spec("get", 2, "string", READ_FAST, ONE, Keys(strings::get)),
    spec("getdel", 2, "string", WRITE_FAST, ONE, Keys(strings::getdel)),
    spec("getex", -2, "string", WRITE_FAST, ONE, Keys(strings::getex)),
    spec("getrange", 4, "string", READ, ONE, Keys(strings::getrange)),
    spec("getset", 3, "string", GROW_FAST, ONE, Keys(strings::getset)),
    spec("hello", -1, "connection", OPEN, NO_KEYS, Connection),
    spec("incr", 2, "string", GROW_FAST, ONE, Keys(strings::incr)),
    spec("incrby", 3, "string", GROW_FAST, ONE, Keys(strings::incrby)),
    spec("info", -1, "server", OTHER, NO_KEYS, Databases(server::info)),
    spec("keys", 2, "generic", READ, NO_KEYS, Database(keys::keys)),
    spec("mget", -2, "string", READ_FAST, ALL, Keys(strings::mget)),
    spec("mset", -3, "string", GROW, [1, -1, 2], Keys(strings::mset)),
    spec("msetnx", -3, "string", GROW, [1, -1, 2], Keys(strings::msetnx)),
    spec("multi", 1, "transactions", FAST, NO_KEYS, Connection),
    spec("persist", 2, "generic", WRITE_FAST, ONE, Keys(keys::persist)),
    spec("pexpire", -3, "generic", WRITE_FAST, ONE, Keys(keys::pexpire)),
    spec("pexpireat", -3, "generic", WRITE_FAST, ONE, Keys(keys::pexpireat)),
    spec("pexpiretime", 2, "generic", READ_FAST, ONE, Keys(keys::pexpiretime)),
    spec("ping", -1, "connection", FAST, NO_KEYS, Keys(connection::ping)),
    spec("psetex", 4, "string", GROW, ONE, Keys(strings::psetex)),
    spec("psubscribe", -2, "pubsub", LISTEN, NO_KEYS, Connection),
    spec("pttl", 2, "generic", READ_FAST, ONE, Keys(keys::pttl)),
    spec("publish", 3, "pubsub", &["pubsub", "loading", "stale", "fast"], NO_KEYS, Keys(server::publish)),
    spec("pubsub", -2, "pubsub", LISTEN, NO_KEYS, Keys(server::pubsub)),
    spec("punsubscribe", -1, "pubsub", LISTEN, NO_KEYS, Connection),
    spec("quit", -1, "connection", OPEN, NO_KEYS, Connection),
    spec("randomkey", 1, "generic", READ, NO_KEYS, Database(keys::randomkey)),
    spec("rename", 3, "generic", WRITE, [1, 2, 1], Keys(keys::rename)),
    spec("renamenx", 3, "generic", WRITE_FAST, [1, 2, 1], Keys(keys::renamenx)),
    spec("reset", 1, "connection", OPEN, NO_KEYS, Connection),
    spec("scan", -2, "generic", READ, NO_KEYS, Database(keys::scan)),
    spec("select", 2, "connection", FAST, NO_KEYS, Keys(connection::select)),
    spec("set", -3, "string", GROW, ONE, Keys(strings::set)),
    spec("setex", 4, "string", GROW, ONE, Keys(strings::setex)),
    spec("setnx", 3, "string", GROW_FAST, ONE, Keys(strings::setnx)),
    spec("strlen", 2, "string", READ_FAST, ONE, Keys(strings::strlen)),
    spec("subscribe", -2, "pubsub", LISTEN, NO_KEYS, Connection),
    spec("time", 1, "server", FAST, NO_KEYS, Keys(server::time)),
    spec("touch", -2, "generic", READ_FAST, ALL, Keys(keys::exists)),
    spec("ttl", 2, "generic", READ_FAST, ONE, Keys(keys::ttl)),
    spec("type", 2, "generic", READ_FAST, ONE, Keys(keys::kind)),
    spec("unlink", -2, "generic", WRITE_FAST, ALL, Keys(keys::del)),
    spec("unsubscribe", -1, "pubsub", LISTEN, NO_KEYS, Connection),
    spec("unwatch", 1, "transactions", FAST, NO_KEYS, Connection),
    spec("watch", -2, "transactions", FAST, ALL, Connection),
];

static BY_NAME: LazyLock<HashMap<&'static [u8], &'static Spec, RandomState>> =
    LazyLock::new(|| COMMANDS.iter().map(|spec| (spec.name.as_bytes(), spec)).collect());

impl Spec {
    pub fn named(name: &[u8]) -> Option<&'static Spec> {
        let mut space = [0; 16];
        let name = lowercase(name, &mut space)?;
        BY_NAME.get(name).copied()
    }

    /// The command's description, if there is such a command and it may have so many arguments.
    pub fn of(command: Command<'_>) -> Result<&'static Spec, Answer<'static>> {
        let Some(spec) = Spec::named(command.name()) else { return Err(unknown(command)) };
        if spec.takes(command.len()) { Ok(spec) } else { Err(wrong_number(spec.name)) }
    }

    pub fn takes(&self, arguments: usize) -> bool {
        let arguments = arguments as i64;
        if self.arity < 0 { arguments >= -self.arity } else { arguments == self.arity }
    }

    pub fn is_open(&self) -> bool {
        self.flags.contains(&"no_auth")
    }

    /// Where keys stand in a command of so many arguments.
    pub fn key_places(&self, arguments: usize) -> impl Iterator<Item = usize> + use<> {
        let [first, last, step] = self.keys;
        let last = if last < 0 { arguments as i64 + last } else { last };
        let count = if first == 0 { 0 } else { (last - first) / step + 1 };
        (0..count).map(move |n| (first + n * step) as usize)
    }

    pub fn keys_of<'a>(&self, command: Command<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.key_places(command.len()).filter_map(move |place| command.get(place))
    }

    /// Does what the command says, with what it needs locked. `None` if it is the connection's own business.
    pub fn run<'a>(
        &self,
        shared: &Shared,
        session: &mut Session,
        conn: &Conn<Commands>,
        command: Command<'a>,
    ) -> Option<Answer<'a>> {
        let store = &shared.store;
        let (action, mut keys) = match self.run {
            Keys(action) if self.keys == ONE => (action, store.lock_one(session.db, command.get(1)?)),
            Keys(action) => (action, store.lock(session.db, self.keys_of(command))),
            Database(action) => (action, store.lock_all(session.db, false)),
            Databases(action) => (action, store.lock_all(session.db, true)),
            Connection => return None,
        };
        Some(action(&mut Call { shared, session, conn, keys: &mut keys }, command))
    }
}

/// Longer values are not written while their shard is locked.
const SHORT: usize = 1024;
/// Nor are any, when so much waits to be sent: it would have to be sent first.
const MUCH: usize = 64 * 1024;

/// What the shortest way has brought.
pub enum Quick {
    /// The answer is written.
    Sent,
    Reply(Reply<'static>),
    /// It is a case for the way of all commands.
    No,
}

/// Does the commands that come most.
#[inline(always)]
pub fn quick(store: &Store, db: usize, conn: &mut Conn<Commands>, command: Command<'_>) -> Quick {
    let arg = |index| command.get(index).unwrap_or_default();
    match (command.len(), command.name()) {
        (2, b"GET" | b"get") => store.read(db, arg(1), |value| match value {
            None => Quick::Reply(Reply::Null),
            // Written from where it lies: nothing is copied or counted in between.
            Some(value) if value.len() <= SHORT && conn.queued() <= MUCH => match conn.try_send(&Reply::Bulk(value)) {
                Ok(()) => Quick::Sent,
                Err(_) => Quick::No,
            },
            Some(_) => Quick::No,
        }),
        (3, b"SET" | b"set") => match store.set(db, arg(1), arg(2)) {
            Ok(()) => Quick::Reply(Reply::Simple("OK")),
            // Refused once more.
            Err(_) => Quick::No,
        },
        (1, b"PING" | b"ping") => Quick::Reply(Reply::Simple("PONG")),
        _ => Quick::No,
    }
}

fn lowercase<'a>(name: &[u8], space: &'a mut [u8; 16]) -> Option<&'a [u8]> {
    let space = space.get_mut(..name.len())?;
    space.copy_from_slice(name);
    space.make_ascii_lowercase();
    Some(space)
}

/// An option or a subcommand in capitals; empty if it is longer than any.
pub fn capitals<'a>(word: &[u8], space: &'a mut [u8; 16]) -> &'a [u8] {
    let Some(space) = space.get_mut(..word.len()) else { return &[] };
    space.copy_from_slice(word);
    space.make_ascii_uppercase();
    space
}

pub fn wrong_number(name: &str) -> Answer<'static> {
    Answer::Refusal(format!("ERR wrong number of arguments for '{name}' command"))
}

pub fn wrong_subcommand(of: &str, command: Command<'_>) -> Answer<'static> {
    let name = shown(command.get(1).unwrap_or_default(), 128);
    Answer::Refusal(format!("ERR unknown subcommand '{name}'. Try {of} HELP."))
}

pub const NOT_NOW: Answer<'static> = refused("ERR Command not allowed inside a transaction");

/// What a peer has sent, but not at any length.
pub fn shown(bytes: &[u8], most: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(most)]).into_owned()
}

fn unknown(command: Command<'_>) -> Answer<'static> {
    let mut arguments = String::new();
    for argument in command.arguments() {
        if arguments.len() >= 128 {
            break;
        }
        arguments += &format!("'{}' ", shown(argument, 128 - arguments.len()));
    }
    let name = shown(command.name(), 128);
    Answer::Refusal(format!("ERR unknown command '{name}', with args beginning with: {arguments}"))
}
