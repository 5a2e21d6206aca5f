//! The commands about values.

use crate::answer::{Answer, NO_INTEGER, NOTHING, OK, OUT_OF_MEMORY, SYNTAX, refused};
use crate::commands::{Call, capitals, wrong_number};
use crate::number::integer;
use crate::store::OutOfMemory;
use crate::time::{Unit, now};
use bytes::Bytes;
use tiderace::resp::Command;

/// The longest value, as Redis has it.
const LONGEST: usize = 512 * 1024 * 1024;

pub fn done(result: Result<(), OutOfMemory>) -> Answer<'static> {
    if result.is_ok() { OK } else { OUT_OF_MEMORY }
}

fn arg<'a>(command: Command<'a>, index: usize) -> &'a [u8] {
    command.get(index).unwrap_or_default()
}

fn invalid_time(command: &str) -> Answer<'static> {
    Answer::Refusal(format!("ERR invalid expire time in '{command}' command"))
}

/// A time that must be ahead, or at least not before the beginning.
fn end(command: &str, time: &[u8], unit: Unit) -> Result<i64, Answer<'static>> {
    let number = integer(time).ok_or(NO_INTEGER)?;
    unit.at(number).filter(|_| number > 0).ok_or_else(|| invalid_time(command))
}

pub fn get<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    Answer::value(call.keys.get(arg(command, 1)))
}

/// What is to become of a key's end.
enum End {
    None,
    Keep,
    At(i64),
}

/// `SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT time | PXAT time | KEEPTTL]`
pub fn set<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    let (mut ends, mut only_if, mut wants_old) = (End::None, None, false);
    let mut time = None;
    let mut options = command.arguments().skip(2);
    while let Some(option) = options.next() {
        let mut space = [0; 16];
        let option = capitals(option, &mut space);
        match (option, &ends, only_if) {
            (b"GET", ..) => wants_old = true,
            (b"NX", _, None | Some(false)) => only_if = Some(false),
            (b"XX", _, None | Some(true)) => only_if = Some(true),
            (b"KEEPTTL", End::None | End::Keep, _) if time.is_none() => ends = End::Keep,
            (_, End::None, _) if time.is_none() => match (Unit::of_option(option), options.next()) {
                (Some(unit), Some(number)) => time = Some((unit, number)),
                _ => return SYNTAX,
            },
            _ => return SYNTAX,
        }
    }
    if let Some((unit, number)) = time {
        match end("set", number, unit) {
            Ok(at) => ends = End::At(at),
            Err(wrong) => return wrong,
        }
    }
    let key = arg(command, 1);
    let old = call.keys.find(key);
    let (exists, old_end) = (old.is_some(), old.and_then(|entry| entry.ends));
    let old = if wants_old { Some(old.map(|entry| entry.value.clone())) } else { None };
    if only_if.is_some_and(|wanted| wanted != exists) {
        return old.map_or(NOTHING, Answer::value);
    }
    let ends = match ends {
        End::None => None,
        End::Keep => old_end,
        End::At(at) => Some(at),
    };
    if call.keys.set(key, Bytes::copy_from_slice(arg(command, 2)), ends).is_err() {
        return OUT_OF_MEMORY;
    }
    if ends.is_some_and(|at| at <= now()) {
        call.keys.remove(key);
    }
    old.map_or(OK, Answer::value)
}

fn set_for(call: &mut Call<'_, '_>, command: Command<'_>, name: &str, unit: Unit) -> Answer<'static> {
    match end(name, arg(command, 2), unit) {
        Ok(at) => done(call.keys.set(arg(command, 1), Bytes::copy_from_slice(arg(command, 3)), Some(at))),
        Err(wrong) => wrong,
    }
}

pub fn setex<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    set_for(call, command, "setex", Unit::SECONDS)
}

pub fn psetex<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    set_for(call, command, "psetex", Unit::MILLISECONDS)
}

pub fn setnx<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    if call.keys.find(arg(command, 1)).is_some() {
        return Answer::number(0);
    }
    match call.keys.set(arg(command, 1), Bytes::copy_from_slice(arg(command, 2)), None) {
        Ok(()) => Answer::number(1),
        Err(OutOfMemory) => OUT_OF_MEMORY,
    }
}

pub fn getset<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    let old = call.keys.get(arg(command, 1));
    match call.keys.set(arg(command, 1), Bytes::copy_from_slice(arg(command, 2)), None) {
        Ok(()) => Answer::value(old),
        Err(OutOfMemory) => OUT_OF_MEMORY,
    }
}

pub fn getdel<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    Answer::value(call.keys.remove(arg(command, 1)).map(|entry| entry.value))
}

/// `GETEX key [EX seconds | PX milliseconds | EXAT time | PXAT time | PERSIST]`
pub fn getex<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    let mut space = [0; 16];
    let option = command.get(2).map(|option| capitals(option, &mut space));
    let ends = match (option, option.and_then(Unit::of_option), command.len()) {
        (None, ..) => End::Keep,
        (Some(b"PERSIST"), _, 3) => End::None,
        (_, Some(unit), 4) => match end("getex", arg(command, 3), unit) {
            Ok(at) => End::At(at),
            Err(wrong) => return wrong,
        },
        _ => return SYNTAX,
    };
    let key = arg(command, 1);
    let Some(value) = call.keys.get(key) else { return NOTHING };
    let ends = match ends {
        End::Keep => return Answer::Value(value),
        End::None => None,
        End::At(at) if at <= now() => {
            call.keys.remove(key);
            return Answer::Value(value);
        }
        End::At(at) => Some(at),
    };
    call.keys.set_reserved(key, value.clone(), ends);
    Answer::Value(value)
}

pub fn strlen<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    Answer::number(call.keys.find(arg(command, 1)).map_or(0, |entry| entry.value.len()))
}

pub fn append<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    let (key, more) = (arg(command, 1), arg(command, 2));
    let old = call.keys.find(key);
    let ends = old.and_then(|entry| entry.ends);
    let value = [old.map_or(&[][..], |entry| &entry.value), more].concat();
    let length = value.len();
    if length > LONGEST {
        return refused("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    }
    match call.keys.set(key, value.into(), ends) {
        Ok(()) => Answer::number(length),
        Err(OutOfMemory) => OUT_OF_MEMORY,
    }
}

/// From one byte to another, both included; from the end where they are negative.
pub fn getrange<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    let (Some(from), Some(to)) = (integer(arg(command, 2)), integer(arg(command, 3))) else { return NO_INTEGER };
    let value = call.keys.get(arg(command, 1)).unwrap_or_default();
    let length = value.len() as i64;
    let place = |index: i64| if index < 0 { length.saturating_add(index).max(0) } else { index };
    let (begin, end) = (place(from), place(to).min(length - 1));
    if length == 0 || begin > end || (from < 0 && to < 0 && from > to) {
        return Answer::Value(Bytes::new());
    }
    Answer::Value(value.slice(begin as usize..=end as usize))
}

pub fn mget<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    Answer::Values(command.arguments().map(|key| call.keys.get(key)).collect())
}

fn pairs<'a>(command: Command<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    (1..command.len()).step_by(2).map(move |index| (arg(command, index), arg(command, index + 1)))
}

/// Sets all, or none if there is no room for all.
pub fn mset<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    if command.len().is_multiple_of(2) {
        return wrong_number("mset");
    }
    if !call.keys.has_room(pairs(command)) {
        return OUT_OF_MEMORY;
    }
    for (key, value) in pairs(command) {
        call.keys.set_reserved(key, Bytes::copy_from_slice(value), None);
    }
    OK
}

pub fn msetnx<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    if command.len().is_multiple_of(2) {
        return wrong_number("msetnx");
    }
    if pairs(command).any(|(key, _)| call.keys.find(key).is_some()) {
        return Answer::number(0);
    }
    match mset(call, command) {
        done if done.is_ok() => Answer::number(1),
        refused => refused,
    }
}

fn add(call: &mut Call<'_, '_>, key: &[u8], by: i64) -> Answer<'static> {
    let old = call.keys.find(key);
    let ends = old.and_then(|entry| entry.ends);
    let Some(value) = old.map_or(Some(0), |entry| integer(&entry.value)) else { return NO_INTEGER };
    let Some(sum) = value.checked_add(by) else { return refused("ERR increment or decrement would overflow") };
    match call.keys.set(key, Bytes::from(sum.to_string()), ends) {
        Ok(()) => Answer::number(sum),
        Err(OutOfMemory) => OUT_OF_MEMORY,
    }
}

pub fn incr<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    add(call, arg(command, 1), 1)
}

pub fn decr<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    add(call, arg(command, 1), -1)
}

pub fn incrby<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    integer(arg(command, 2)).map_or(NO_INTEGER, |by| add(call, arg(command, 1), by))
}

pub fn decrby<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    match integer(arg(command, 2)) {
        None => NO_INTEGER,
        Some(i64::MIN) => refused("ERR decrement would overflow"),
        Some(by) => add(call, arg(command, 1), -by),
    }
}
