//! The commands about keys, whatever their values are.

use crate::answer::{Answer, NO_INTEGER, NOTHING, OK, SYNTAX, refused};
use crate::commands::{Call, capitals, shown};
use crate::glob;
use crate::number::integer;
use crate::time::{Unit, now};
use std::time::{SystemTime, UNIX_EPOCH};
use tiderace::resp::{Command, Reply};

fn arg<'a>(command: Command<'a>, index: usize) -> &'a [u8] {
    command.get(index).unwrap_or_default()
}

pub fn del<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    Answer::number(command.arguments().filter(|key| call.keys.remove(key).is_some()).count())
}

pub fn exists<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    Answer::number(command.arguments().filter(|key| call.keys.find(key).is_some()).count())
}

pub fn kind<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    let exists = call.keys.find(arg(command, 1)).is_some();
    Answer::Reply(Reply::Simple(if exists { "string" } else { "none" }))
}

/// When an end is set, as the options of `EXPIRE` say.
#[derive(Default)]
struct Conditions {
    without_end: bool,
    with_end: bool,
    later: bool,
    earlier: bool,
}

impl Conditions {
    fn of(command: Command<'_>) -> Result<Conditions, Answer<'static>> {
        let mut conditions = Conditions::default();
        for option in command.arguments().skip(2) {
            match capitals(option, &mut [0; 16]) {
                b"NX" => conditions.without_end = true,
                b"XX" => conditions.with_end = true,
                b"GT" => conditions.later = true,
                b"LT" => conditions.earlier = true,
                _ => return Err(Answer::Refusal(format!("ERR Unsupported option {}", shown(option, 128)))),
            }
        }
        let Conditions { without_end, with_end, later, earlier } = conditions;
        if without_end && (with_end || later || earlier) {
            return Err(refused("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if later && earlier {
            return Err(refused("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// No end is later than any.
    fn allow(&self, old: Option<i64>, new: i64) -> bool {
        !(self.without_end && old.is_some()
            || self.with_end && old.is_none()
            || self.later && old.is_none_or(|old| new <= old)
            || self.earlier && old.is_some_and(|old| new >= old))
    }
}

fn expire_at(call: &mut Call<'_, '_>, command: Command<'_>, name: &str, unit: Unit) -> Answer<'static> {
    let conditions = match Conditions::of(command) {
        Ok(conditions) => conditions,
        Err(wrong) => return wrong,
    };
    let Some(number) = integer(arg(command, 2)) else { return NO_INTEGER };
    let Some(at) = unit.at(number) else {
        return Answer::Refusal(format!("ERR invalid expire time in '{name}' command"));
    };
    let key = arg(command, 1);
    let Some(entry) = call.keys.find(key) else { return Answer::number(0) };
    if !conditions.allow(entry.ends, at) {
        return Answer::number(0);
    }
    if at <= now() {
        // What should have ended already ends now.
        call.keys.remove(key);
    } else {
        let value = entry.value.clone();
        call.keys.set_reserved(key, value, Some(at));
    }
    Answer::number(1)
}

pub fn expire<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    expire_at(call, command, "expire", Unit::SECONDS)
}

pub fn pexpire<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    expire_at(call, command, "pexpire", Unit::MILLISECONDS)
}

pub fn expireat<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    expire_at(call, command, "expireat", Unit::UNIX_SECONDS)
}

pub fn pexpireat<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    expire_at(call, command, "pexpireat", Unit::UNIX_MILLISECONDS)
}

pub fn persist<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    let key = arg(command, 1);
    let Some(value) = call.keys.find(key).filter(|entry| entry.ends.is_some()).map(|entry| entry.value.clone()) else {
        return Answer::number(0);
    };
    call.keys.set_reserved(key, value, None);
    Answer::number(1)
}

/// What `show` makes of a key's end; -1 if the key does not end, and -2 if there is none.
fn end(call: &mut Call<'_, '_>, command: Command<'_>, show: impl Fn(i64) -> i64) -> Answer<'static> {
    Answer::number(call.keys.find(arg(command, 1)).map_or(-2, |entry| entry.ends.map_or(-1, show)))
}

pub fn ttl<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    end(call, command, |at| ((at - now()).max(0) + 500) / 1000)
}

pub fn pttl<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    end(call, command, |at| (at - now()).max(0))
}

pub fn expiretime<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    end(call, command, |at| at.saturating_add(500) / 1000)
}

pub fn pexpiretime<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    end(call, command, |at| at)
}

pub fn keys<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    let pattern = arg(command, 1);
    Answer::Values(call.keys.keys(|key| glob::matches(pattern, key)).into_iter().map(Some).collect())
}

/// Any key, by the clock: that is chance enough for an example.
pub fn randomkey<'a>(call: &mut Call<'_, '_>, _: Command<'a>) -> Answer<'a> {
    let mut keys = call.keys.keys(|_| true);
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos() as usize);
    if keys.is_empty() { NOTHING } else { Answer::Value(keys.swap_remove(nanoseconds % keys.len())) }
}

/// `SCAN cursor [MATCH pattern] [COUNT number] [TYPE type]`
pub fn scan<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    let cursor = std::str::from_utf8(arg(command, 1)).ok().and_then(|cursor| cursor.parse().ok());
    let Some(cursor) = cursor else { return refused("ERR invalid cursor") };
    let (mut pattern, mut count, mut is_wanted) = (&b"*"[..], 10, true);
    let mut options = command.arguments().skip(1);
    while let Some(option) = options.next() {
        let Some(value) = options.next() else { return SYNTAX };
        match capitals(option, &mut [0; 16]) {
            b"MATCH" => pattern = value,
            b"COUNT" => match integer(value) {
                Some(number) if number > 0 => count = number as usize,
                Some(_) => return SYNTAX,
                None => return NO_INTEGER,
            },
            // All values are strings.
            b"TYPE" => is_wanted = value.eq_ignore_ascii_case(b"string"),
            _ => return SYNTAX,
        }
    }
    let (next, mut found) = call.keys.scan(cursor, count);
    found.retain(|key| is_wanted && glob::matches(pattern, key));
    Answer::Page(next, found)
}

fn rename_to(call: &mut Call<'_, '_>, command: Command<'_>, only_new: bool) -> Result<bool, Answer<'static>> {
    let (from, to) = (arg(command, 1), arg(command, 2));
    let Some((value, ends)) = call.keys.find(from).map(|entry| (entry.value.clone(), entry.ends)) else {
        return Err(refused("ERR no such key"));
    };
    if only_new && call.keys.find(to).is_some() {
        return Ok(false);
    }
    if from != to {
        call.keys.remove(from);
        call.keys.set_reserved(to, value, ends);
    }
    Ok(true)
}

pub fn rename<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    rename_to(call, command, false).map_or_else(|wrong| wrong, |_| OK)
}

pub fn renamenx<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    rename_to(call, command, true).map_or_else(|wrong| wrong, Answer::number)
}
