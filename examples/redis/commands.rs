//! The commands about keys and values, and about the server.

use crate::client::Shared;
use crate::glob;
use crate::store::{Life, OutOfMemory};
use bytes::Bytes;
use std::time::{Duration, Instant};
use tiderace::codec::{Encoder, Output};
use tiderace::resp::{Command, Reply, ReplyEncoder, RespError};

/// The version of Redis whose replies these are.
pub const VERSION: &str = "7.2.0";

/// Every command: its name, how many arguments it takes (at least as many if negative), and where its keys stand: the
/// first, the last (from the end if negative), and the step.
const COMMANDS: [(&str, i64, [i64; 3]); 27] = [
    ("client", -2, [0, 0, 0]),
    ("command", -1, [0, 0, 0]),
    ("config", -2, [0, 0, 0]),
    ("dbsize", 1, [0, 0, 0]),
    ("decr", 2, [1, 1, 1]),
    ("del", -2, [1, -1, 1]),
    ("echo", 2, [0, 0, 0]),
    ("exists", -2, [1, -1, 1]),
    ("expire", 3, [1, 1, 1]),
    ("flushall", -1, [0, 0, 0]),
    ("get", 2, [1, 1, 1]),
    ("hello", -1, [0, 0, 0]),
    ("incr", 2, [1, 1, 1]),
    ("incrby", 3, [1, 1, 1]),
    ("info", -1, [0, 0, 0]),
    ("keys", 2, [0, 0, 0]),
    ("mget", -2, [1, -1, 1]),
    ("mset", -3, [1, -1, 2]),
    ("ping", -1, [0, 0, 0]),
    ("publish", 3, [0, 0, 0]),
    ("pttl", 2, [1, 1, 1]),
    ("quit", -1, [0, 0, 0]),
    ("select", 2, [0, 0, 0]),
    ("set", -3, [1, 1, 1]),
    ("subscribe", -2, [0, 0, 0]),
    ("ttl", 2, [1, 1, 1]),
    ("unsubscribe", -1, [0, 0, 0]),
];

const OK: Reply<'static> = Reply::Simple("OK");
const SYNTAX: Reply<'static> = Reply::Error("ERR syntax error");
const NO_INTEGER: Reply<'static> = Reply::Error("ERR value is not an integer or out of range");
const OUT_OF_MEMORY: Reply<'static> = Reply::Error("OOM command not allowed when used memory > 'maxmemory'.");

/// Longer than any name.
pub const LONGEST_NAME: usize = 16;

/// A name in capitals, as which most are sent; empty if it is longer than any.
pub fn capitals<'a>(name: &'a [u8], space: &'a mut [u8; LONGEST_NAME]) -> &'a [u8] {
    if !name.iter().any(u8::is_ascii_lowercase) {
        return name;
    }
    let Some(space) = space.get_mut(..name.len()) else { return &[] };
    space.copy_from_slice(name);
    space.make_ascii_uppercase();
    space
}

/// What a command has brought.
pub enum Answer<'a> {
    Reply(Reply<'a>),
    Value(Bytes),
    Values(Vec<Option<Bytes>>),
    Refusal(String),
    Commands,
}

impl From<Reply<'static>> for Answer<'_> {
    fn from(reply: Reply<'static>) -> Self {
        Answer::Reply(reply)
    }
}

impl Encoder<Answer<'_>> for ReplyEncoder {
    type Error = RespError;

    fn encode(&mut self, answer: &Answer<'_>, output: &mut Output<'_>) -> Result<(), RespError> {
        match answer {
            Answer::Reply(reply) => self.encode(reply, output),
            Answer::Value(value) => self.encode(&Reply::Bulk(value), output),
            Answer::Refusal(why) => self.encode(&Reply::Error(why), output),
            Answer::Values(values) => {
                let replies = values.iter().map(|value| value.as_deref().map_or(Reply::Null, Reply::Bulk));
                self.encode(&Reply::Array(&replies.collect::<Vec<_>>()), output)
            }
            Answer::Commands => {
                let rows: Vec<[Reply<'_>; 6]> = COMMANDS.iter().map(describe).collect();
                let rows: Vec<Reply<'_>> = rows.iter().map(|row| Reply::Array(row)).collect();
                self.encode(&Reply::Array(&rows), output)
            }
        }
    }
}

/// Does what a command says, if it concerns the keys or the server.
pub fn execute<'a>(shared: &Shared, command: Command<'a>) -> Option<Answer<'a>> {
    // Most names are sent in capitals, and need not be looked through for other letters.
    execute_named(shared, command.name(), command)
        .or_else(|| execute_named(shared, capitals(command.name(), &mut [0; LONGEST_NAME]), command))
}

fn execute_named<'a>(shared: &Shared, name: &[u8], command: Command<'a>) -> Option<Answer<'a>> {
    let store = &shared.store;
    let arg = |index| command.get(index).unwrap_or_default();
    let number = |number: usize| Answer::Reply(Reply::Integer(number as i64));
    Some(match (name, command.len()) {
        (b"GET", 2) => store.get(arg(1)).map_or(Answer::Reply(Reply::Null), Answer::Value),
        (b"SET", 3..) => set(shared, command).into(),
        (b"PING", 1) => Reply::Simple("PONG").into(),
        (b"PING" | b"ECHO", 2) => Answer::Reply(Reply::Bulk(arg(1))),
        (b"INCR", 2) => add(shared, arg(1), 1).into(),
        (b"DECR", 2) => add(shared, arg(1), -1).into(),
        (b"INCRBY", 3) => integer(arg(2)).map_or(NO_INTEGER, |by| add(shared, arg(1), by)).into(),
        (b"MGET", 2..) => {
            let mut locked = store.lock(command.arguments());
            Answer::Values(command.arguments().map(|key| locked.get(key)).collect())
        }
        (b"MSET", count @ 3..) if count % 2 == 1 => set_all(shared, command).into(),
        (b"DEL", 2..) => number(command.arguments().filter(|key| store.delete(key)).count()),
        (b"EXISTS", 2..) => number(command.arguments().filter(|key| store.exists(key)).count()),
        (b"EXPIRE", 3) => expire(shared, command).into(),
        (b"TTL", 2) => Reply::Integer(life(shared, arg(1), 1000)).into(),
        (b"PTTL", 2) => Reply::Integer(life(shared, arg(1), 1)).into(),
        (b"KEYS", 2) => {
            let keys = store.keys(|key| glob::matches(arg(1), key));
            Answer::Values(keys.into_iter().map(Some).collect())
        }
        (b"DBSIZE", 1) => number(store.len()),
        (b"FLUSHALL", _) => {
            store.clear();
            OK.into()
        }
        (b"PUBLISH", 3) => match shared.channels.publish(arg(1), arg(2)) {
            Ok(heard) => number(heard),
            Err(error) => Answer::Refusal(format!("ERR {error}")),
        },
        (b"INFO", _) => Answer::Value(info(shared).into()),
        (b"COMMAND", 1) => Answer::Commands,
        (b"COMMAND", 2..) if arg(1).eq_ignore_ascii_case(b"COUNT") => number(COMMANDS.len()),
        (b"COMMAND", 2..) if arg(1).eq_ignore_ascii_case(b"DOCS") => Reply::Map(&[]).into(),
        (b"CONFIG", 3) if arg(1).eq_ignore_ascii_case(b"GET") => config(arg(2)).into(),
        (b"CLIENT", 4..) if arg(1).to_ascii_uppercase().starts_with(b"SET") => OK.into(),
        (b"SELECT", 2) if arg(1) == b"0" => OK.into(),
        (b"SELECT", 2) => Reply::Error("ERR DB index is out of range").into(),
        _ => return None,
    })
}

/// `SET key value [EX seconds | PX milliseconds] [NX | XX]`
fn set(shared: &Shared, command: Command<'_>) -> Reply<'static> {
    let (key, value) = (command.get(1).unwrap_or_default(), command.get(2).unwrap_or_default());
    let (mut ends, mut only_if) = (None, None);
    let mut options = command.arguments().skip(2);
    while let Some(option) = options.next() {
        let unit = match capitals(option, &mut [0; LONGEST_NAME]) {
            b"EX" if ends.is_none() => 1000,
            b"PX" if ends.is_none() => 1,
            b"NX" if only_if.is_none() => {
                only_if = Some(false);
                continue;
            }
            b"XX" if only_if.is_none() => {
                only_if = Some(true);
                continue;
            }
            _ => return SYNTAX,
        };
        let Some(time) = options.next() else { return SYNTAX };
        let Some(number) = integer(time) else { return NO_INTEGER };
        match in_future(number, unit).filter(|_| number > 0) {
            Some(at) => ends = Some(at),
            None => return Reply::Error("ERR invalid expire time in 'set' command"),
        }
    }
    match shared.store.set(key, Bytes::copy_from_slice(value), ends, only_if) {
        Ok(true) => OK,
        Ok(false) => Reply::Null,
        Err(OutOfMemory) => OUT_OF_MEMORY,
    }
}

fn set_all(shared: &Shared, command: Command<'_>) -> Reply<'static> {
    let mut locked = shared.store.lock(command.arguments().step_by(2));
    let mut pairs = command.arguments();
    while let (Some(key), Some(value)) = (pairs.next(), pairs.next()) {
        if locked.set(key, Bytes::copy_from_slice(value)).is_err() {
            return OUT_OF_MEMORY;
        }
    }
    OK
}

fn add(shared: &Shared, key: &[u8], by: i64) -> Reply<'static> {
    let mut sum = 0;
    let result = shared.store.update(key, |old| {
        let old = old.map_or(Some(0), integer).ok_or(NO_INTEGER)?;
        sum = old.checked_add(by).ok_or(Reply::Error("ERR increment or decrement would overflow"))?;
        Ok(Bytes::from(sum.to_string()))
    });
    match result {
        Ok(()) => Reply::Integer(sum),
        Err(reply) => reply,
    }
}

impl From<OutOfMemory> for Reply<'static> {
    fn from(_: OutOfMemory) -> Reply<'static> {
        OUT_OF_MEMORY
    }
}

fn expire(shared: &Shared, command: Command<'_>) -> Reply<'static> {
    let key = command.get(1).unwrap_or_default();
    let Some(seconds) = command.get(2).and_then(integer) else { return NO_INTEGER };
    let done = match in_future(seconds, 1000) {
        // What should have ended already ends now.
        _ if seconds <= 0 => shared.store.delete(key),
        Some(at) => shared.store.expire(key, at),
        None => return Reply::Error("ERR invalid expire time in 'expire' command"),
    };
    Reply::Integer(i64::from(done))
}

/// How long a key still lives, in units of some milliseconds, rounded; -1 if it does not end, and -2 if there is none.
fn life(shared: &Shared, key: &[u8], unit: i64) -> i64 {
    match shared.store.life(key) {
        Life::Missing => -2,
        Life::Forever => -1,
        Life::Until(at) => {
            let left = at.saturating_duration_since(Instant::now()).as_millis() as i64;
            (left + unit / 2) / unit
        }
    }
}

fn in_future(number: i64, unit: u64) -> Option<Instant> {
    let milliseconds = u64::try_from(number).ok()?.checked_mul(unit)?;
    Instant::now().checked_add(Duration::from_millis(milliseconds))
}

fn integer(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn info(shared: &Shared) -> String {
    let (keys, used) = (shared.store.len(), shared.store.used());
    let server = format!("# Server\r\nredis_version:{VERSION}\r\nprocess_id:{}\r\n", std::process::id());
    format!("{server}\r\n# Memory\r\nused_memory:{used}\r\n\r\n# Keyspace\r\ndb0:keys={keys},expires=0,avg_ttl=0\r\n")
}

/// One command, as `COMMAND` tells of it: name, arguments, flags, where keys stand.
fn describe(command: &'static (&'static str, i64, [i64; 3])) -> [Reply<'static>; 6] {
    let (name, arguments, [first, last, step]) = command;
    let [first, last, step] = [*first, *last, *step].map(Reply::Integer);
    [Reply::Bulk(name.as_bytes()), Reply::Integer(*arguments), Reply::Array(&[]), first, last, step]
}

/// What is asked for by those who measure: that nothing is written to a disk.
fn config(name: &[u8]) -> Reply<'static> {
    match name {
        b"save" => Reply::Map(&[(Reply::Bulk(b"save"), Reply::Bulk(b""))]),
        b"appendonly" => Reply::Map(&[(Reply::Bulk(b"appendonly"), Reply::Bulk(b"no"))]),
        _ => Reply::Map(&[]),
    }
}

/// Why a command was not understood.
pub fn refusal(command: Command<'_>) -> String {
    // Quoted, and not at any length: the peer has chosen it.
    let name = command.name()[..command.name().len().min(64)].escape_ascii().to_string().to_lowercase();
    match COMMANDS.iter().find(|(known, ..)| *known == name) {
        Some((_, arity, _)) if command.len() as i64 == *arity || (*arity < 0 && command.len() as i64 >= -arity) => {
            format!("ERR unknown subcommand or wrong arguments for '{name}' command")
        }
        Some(_) => format!("ERR wrong number of arguments for '{name}' command"),
        None => format!("ERR unknown command '{name}'"),
    }
}
