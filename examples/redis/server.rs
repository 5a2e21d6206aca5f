//! The commands about the server, and those about channels that do not listen.

use crate::answer::{Answer, OK, SYNTAX};
use crate::commands::{COMMANDS, Call, Spec, capitals, wrong_number, wrong_subcommand};
use crate::describe;
use crate::glob;
use crate::store::DATABASES;
use bytes::Bytes;
use std::time::{SystemTime, UNIX_EPOCH};
use tiderace::resp::Command;

/// The version of Redis whose replies these are.
pub const VERSION: &str = "7.2.0";

pub fn dbsize<'a>(call: &mut Call<'_, '_>, _: Command<'a>) -> Answer<'a> {
    Answer::number(call.keys.count().0)
}

/// Whether the options are those of `FLUSHDB` and `FLUSHALL`: both ways are the same here.
fn may_flush(command: Command<'_>) -> bool {
    let option = command.get(1).unwrap_or(b"SYNC");
    command.len() <= 2 && matches!(capitals(option, &mut [0; 16]), b"SYNC" | b"ASYNC")
}

pub fn flushdb<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    if !may_flush(command) {
        return SYNTAX;
    }
    call.keys.clear();
    OK
}

pub fn flushall<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    if !may_flush(command) {
        return SYNTAX;
    }
    let db = call.keys.db;
    for db in 0..DATABASES {
        call.keys.db = db;
        call.keys.clear();
    }
    call.keys.db = db;
    OK
}

pub fn time<'a>(_: &mut Call<'_, '_>, _: Command<'a>) -> Answer<'a> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let both = [since.as_secs().to_string(), since.subsec_micros().to_string()];
    Answer::Values(both.into_iter().map(|number| Some(number.into())).collect())
}

pub fn info<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    let store = &call.shared.store;
    let sections = [
        (
            "server",
            format!(
                "# Server\r\nredis_version:{VERSION}\r\nredis_mode:standalone\r\nprocess_id:{}\r\n",
                std::process::id()
            ),
        ),
        ("clients", format!("# Clients\r\nconnected_clients:{}\r\n", call.shared.clients.len())),
        ("memory", format!("# Memory\r\nused_memory:{}\r\nmaxmemory:{}\r\n", store.used(), store.max())),
        ("persistence", "# Persistence\r\nloading:0\r\n".to_owned()),
        ("replication", "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n".to_owned()),
        ("cluster", "# Cluster\r\ncluster_enabled:0\r\n".to_owned()),
        ("keyspace", keyspace(call)),
    ];
    let wanted: Vec<String> = command.arguments().map(|name| String::from_utf8_lossy(name).to_lowercase()).collect();
    let is_wanted = |name: &str| {
        wanted.is_empty()
            || wanted.iter().any(|wanted| *wanted == name || matches!(&**wanted, "all" | "default" | "everything"))
    };
    let shown: Vec<String> =
        sections.into_iter().filter(|(name, _)| is_wanted(name)).map(|(_, section)| section).collect();
    Answer::Text(shown.join("\r\n"))
}

fn keyspace(call: &mut Call<'_, '_>) -> String {
    let (mut section, own) = ("# Keyspace\r\n".to_owned(), call.keys.db);
    for db in 0..DATABASES {
        call.keys.db = db;
        let (keys, ending) = call.keys.count();
        if keys > 0 {
            section += &format!("db{db}:keys={keys},expires={ending},avg_ttl=0\r\n");
        }
    }
    call.keys.db = own;
    section
}

/// `CONFIG GET pattern ...`: the settings that clients ask for. None can be changed.
pub fn config<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    match (capitals(command.get(1).unwrap_or_default(), &mut [0; 16]), command.len()) {
        (b"GET", 3..) => {
            let settings = [
                ("appendonly", "no".to_owned()),
                ("databases", DATABASES.to_string()),
                ("maxmemory", call.shared.store.max().to_string()),
                ("maxmemory-policy", "noeviction".to_owned()),
                ("notify-keyspace-events", String::new()),
                ("proto-max-bulk-len", crate::LONGEST.to_string()),
                ("save", String::new()),
                ("timeout", "0".to_owned()),
            ];
            let patterns: Vec<Vec<u8>> = command.arguments().skip(1).map(<[u8]>::to_ascii_lowercase).collect();
            let is_wanted = |name: &str| patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes()));
            let wanted = settings.into_iter().filter(|(name, _)| is_wanted(name));
            Answer::Pairs(wanted.map(|(name, value)| (Bytes::from(name), value.into())).collect())
        }
        (b"SET", 4..) => {
            let name = String::from_utf8_lossy(command.get(2).unwrap_or_default());
            Answer::Refusal(format!("ERR Unknown option or number of arguments for CONFIG SET - '{name:.128}'"))
        }
        (b"RESETSTAT", 2) => OK,
        (b"GET", _) => wrong_number("config|get"),
        (b"SET", _) => wrong_number("config|set"),
        (b"RESETSTAT", _) => wrong_number("config|resetstat"),
        _ => wrong_subcommand("CONFIG", command),
    }
}

pub fn command<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    let version = call.session.version;
    let named = || command.arguments().skip(1).map(Spec::named);
    let mut space = [0; 16];
    let Some(subcommand) = command.get(1).map(|name| capitals(name, &mut space)) else {
        return describe::all(version, COMMANDS.iter().map(Some));
    };
    match (subcommand, command.len()) {
        (b"COUNT", 2) => Answer::number(COMMANDS.len()),
        (b"LIST", 2) => Answer::Values(COMMANDS.iter().map(|spec| Some(Bytes::from(spec.name))).collect()),
        (b"INFO", 2) => describe::all(version, COMMANDS.iter().map(Some)),
        (b"INFO", _) => describe::all(version, named()),
        (b"DOCS", 2) => describe::docs(version, COMMANDS.iter()),
        (b"DOCS", _) => describe::docs(version, named().flatten()),
        (b"GETKEYS", 4..) => describe::keys_of(command),
        (b"COUNT", _) => wrong_number("command|count"),
        (b"LIST", _) => SYNTAX,
        (b"GETKEYS", _) => wrong_number("command|getkeys"),
        _ => wrong_subcommand("COMMAND", command),
    }
}

pub fn publish<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    let (channel, message) = (command.get(1).unwrap_or_default(), command.get(2).unwrap_or_default());
    match call.shared.channels.publish(channel, message) {
        Ok(heard) => Answer::number(heard),
        Err(error) => Answer::Refusal(format!("ERR {error}")),
    }
}

pub fn pubsub<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    let channels = &call.shared.channels;
    match (capitals(command.get(1).unwrap_or_default(), &mut [0; 16]), command.len()) {
        (b"CHANNELS", 2 | 3) => {
            let pattern = command.get(2).unwrap_or(b"*");
            Answer::Values(channels.names(|name| glob::matches(pattern, name)).into_iter().map(Some).collect())
        }
        (b"NUMSUB", _) => {
            let count = |name| (Bytes::copy_from_slice(name), channels.count(name));
            Answer::Counts(command.arguments().skip(1).map(count).collect())
        }
        (b"NUMPAT", 2) => Answer::number(channels.patterns()),
        (b"CHANNELS", _) => wrong_number("pubsub|channels"),
        (b"NUMPAT", _) => wrong_number("pubsub|numpat"),
        _ => wrong_subcommand("PUBSUB", command),
    }
}
