//! What `COMMAND` tells about the commands.

use crate::answer::{Answer, refused};
use crate::commands::Spec;
use bytes::Bytes;
use tiderace::codec::{Codec, encode_to_vec};
use tiderace::resp::{Command, Commands, Reply, ReplyEncoder, Version};

/// What writes replies in a version.
pub fn encoder(version: Version) -> ReplyEncoder {
    Commands::default().version(version).halves().1
}

/// The head of an array, which is the same in both versions.
pub fn array(count: usize) -> Vec<u8> {
    format!("*{count}\r\n").into_bytes()
}

/// An entry of ten elements for each command, and nothing for what is none.
pub fn all(version: Version, specs: impl Iterator<Item = Option<&'static Spec>>) -> Answer<'static> {
    let mut to = encoder(version);
    let entries: Vec<Vec<u8>> = specs
        .map(|spec| match spec {
            Some(spec) => entry(&mut to, spec),
            None => encoded(&mut to, Reply::Null),
        })
        .collect();
    Answer::Encoded([array(entries.len()), entries.concat()].concat())
}

fn encoded(to: &mut ReplyEncoder, reply: Reply<'_>) -> Vec<u8> {
    encode_to_vec(to, &reply).unwrap_or_default()
}

/// Name, arguments, flags, where keys stand (three numbers), categories, tips, keys once more in detail, subcommands.
fn entry(to: &mut ReplyEncoder, spec: &Spec) -> Vec<u8> {
    let flags: Vec<Reply<'_>> = spec.flags.iter().map(|flag| Reply::Simple(flag)).collect();
    let categories: Vec<Reply<'_>> = categories(spec).into_iter().map(Reply::Simple).collect();
    let [first, last, step] = spec.keys;
    let bulk = |text: &'static str| Reply::Bulk(text.as_bytes());
    let access = if spec.flags.contains(&"write") { ["RW", "update"] } else { ["RO", "access"] }.map(Reply::Simple);
    let begin = [(bulk("index"), Reply::Integer(first))];
    let begin = [(bulk("type"), bulk("index")), (bulk("spec"), Reply::Map(&begin))];
    // Counted from the first key, unless from the end.
    let last_key = if last < 0 { last } else { last - first };
    let range = [("lastkey", last_key), ("keystep", step), ("limit", 0)];
    let range = range.map(|(name, number)| (bulk(name), Reply::Integer(number)));
    let find = [(bulk("type"), bulk("range")), (bulk("spec"), Reply::Map(&range))];
    let keys = [
        (bulk("flags"), Reply::Set(&access)),
        (bulk("begin_search"), Reply::Map(&begin)),
        (bulk("find_keys"), Reply::Map(&find)),
    ];
    let keys = [Reply::Map(&keys)];
    let elements = [
        Reply::Bulk(spec.name.as_bytes()),
        Reply::Integer(spec.arity),
        Reply::Set(&flags),
        Reply::Integer(first),
        Reply::Integer(last),
        Reply::Integer(step),
        Reply::Set(&categories),
        Reply::Set(&[]),
        Reply::Set(if first == 0 { &[] } else { &keys }),
        Reply::Set(&[]),
    ];
    encoded(to, Reply::Array(&elements))
}

fn categories(spec: &Spec) -> Vec<&'static str> {
    let of_flags = [("readonly", "@read"), ("write", "@write")];
    let of_group = match spec.group {
        "string" => "@string",
        "generic" => "@keyspace",
        "connection" => "@connection",
        "pubsub" => "@pubsub",
        "transactions" => "@transaction",
        _ => "@dangerous",
    };
    let speed = if spec.flags.contains(&"fast") { "@fast" } else { "@slow" };
    let flags = of_flags.into_iter().filter(|(flag, _)| spec.flags.contains(flag)).map(|(_, category)| category);
    flags.chain([of_group, speed]).collect()
}

/// The group of each command; what each does stands in Redis's own documentation.
pub fn docs(version: Version, specs: impl Iterator<Item = &'static Spec>) -> Answer<'static> {
    let groups: Vec<_> =
        specs.map(|spec| (spec.name, [(Reply::Bulk(b"group"), Reply::Bulk(spec.group.as_bytes()))])).collect();
    let docs: Vec<_> = groups.iter().map(|(name, group)| (Reply::Bulk(name.as_bytes()), Reply::Map(group))).collect();
    Answer::Encoded(encoded(&mut encoder(version), Reply::Map(&docs)))
}

/// `COMMAND GETKEYS command argument ...`
pub fn keys_of(command: Command<'_>) -> Answer<'static> {
    let arguments: Vec<&[u8]> = command.arguments().skip(1).collect();
    let spec = arguments.first().and_then(|name| Spec::named(name));
    let Some(spec) = spec else { return refused("ERR Invalid command specified") };
    if spec.keys[0] == 0 {
        return refused("ERR The command has no key arguments");
    }
    if !spec.takes(arguments.len()) {
        return refused("ERR Invalid number of arguments specified for command");
    }
    let places = spec.key_places(arguments.len());
    let keys = places.filter_map(|place| arguments.get(place)).map(|key| Some(Bytes::copy_from_slice(key)));
    Answer::Values(keys.collect())
}
