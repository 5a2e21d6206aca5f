//! The commands about the client's connection that need no more than its session.

use crate::answer::{Answer, NO_INTEGER, NOTHING, OK, SYNTAX, refused};
use crate::clients::Row;
use crate::commands::{Call, Shared, capitals, shown, wrong_number, wrong_subcommand};
use crate::number::integer;
use crate::session::Session;
use crate::store::DATABASES;
use tiderace::Conn;
use tiderace::resp::{Command, Commands, Reply};

pub const WRONG_PASSWORD: Answer<'static> = refused("WRONGPASS invalid username-password pair or user is disabled.");
const NO_PASSWORD: Answer<'static> = refused(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is \
     correct?",
);

pub fn ping<'a>(_: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    match (command.get(1), command.len()) {
        (None, _) => Answer::Reply(Reply::Simple("PONG")),
        (Some(text), 2) => Answer::Reply(Reply::Bulk(text)),
        _ => wrong_number("ping"),
    }
}

pub fn echo<'a>(_: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    Answer::Reply(Reply::Bulk(command.get(1).unwrap_or_default()))
}

pub fn select<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    match command.get(1).and_then(integer) {
        None => NO_INTEGER,
        Some(db @ 0..) if (db as usize) < DATABASES => {
            call.session.db = db as usize;
            call.shared.clients.with(call.conn, |row| row.db = db as usize);
            OK
        }
        Some(_) => refused("ERR DB index is out of range"),
    }
}

/// `AUTH [user] password`
pub fn auth<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    match (command.get(1), command.get(2), command.len()) {
        (Some(_), None, _) if call.shared.password.is_empty() => NO_PASSWORD,
        (Some(password), None, _) => authenticate(call.shared, call.session, b"default", password),
        (Some(user), Some(password), 3) => authenticate(call.shared, call.session, user, password),
        _ => SYNTAX,
    }
}

pub fn authenticate(shared: &Shared, session: &mut Session, user: &[u8], password: &[u8]) -> Answer<'static> {
    let expected = shared.password.as_bytes();
    // Every byte is compared, so that the time tells nothing about how many are right.
    let differences = expected.iter().zip(password).fold(0, |found, (one, other)| found | (one ^ other));
    if user != b"default" || !expected.is_empty() && (expected.len() != password.len() || differences != 0) {
        return WRONG_PASSWORD;
    }
    session.is_authenticated = true;
    OK
}

/// Whether this may be a client's name, or that of its library: what is shown in a list, between spaces, and not longer than a line.
fn is_name(text: &[u8]) -> bool {
    text.len() <= 1024 && text.iter().all(|byte| matches!(byte, b'!'..=b'~'))
}

/// Names a client; the empty name is none.
pub fn set_name(shared: &Shared, conn: &Conn<Commands>, name: &[u8]) -> Answer<'static> {
    if !is_name(name) {
        return refused("ERR Client names cannot contain spaces, newlines or special characters.");
    }
    shared.clients.with(conn, |row| row.name = shown(name, name.len()));
    OK
}

pub fn client<'a>(call: &mut Call<'_, '_>, command: Command<'a>) -> Answer<'a> {
    let (clients, own) = (&call.shared.clients, call.conn.id().as_u64());
    let mut space = [0; 16];
    let name = capitals(command.get(1).unwrap_or_default(), &mut space);
    let wrong = || wrong_number(&format!("client|{}", String::from_utf8_lossy(name).to_lowercase()));
    match (name, command.len()) {
        (b"ID", 2) => Answer::number(own),
        (b"GETNAME", 2) => match clients.with(call.conn, |row| row.name.clone()) {
            name if name.is_empty() => NOTHING,
            name => Answer::Value(name.into()),
        },
        (b"SETNAME", 3) => set_name(call.shared, call.conn, command.get(2).unwrap_or_default()),
        (b"SETINFO", 4) => set_info(call, command),
        (b"INFO", 2) => Answer::Text(clients.list(|id, _| id == own)),
        (b"LIST", _) => list(call, command),
        (b"KILL", 3..) => kill(call, command),
        // Nothing of what these prevent happens here.
        (b"NO-EVICT" | b"NO-TOUCH", 3) => match capitals(command.get(2).unwrap_or_default(), &mut [0; 16]) {
            b"ON" | b"OFF" => OK,
            _ => SYNTAX,
        },
        (b"ID" | b"GETNAME" | b"SETNAME" | b"SETINFO" | b"INFO" | b"KILL" | b"NO-EVICT" | b"NO-TOUCH", _) => wrong(),
        _ => wrong_subcommand("CLIENT", command),
    }
}

/// `CLIENT SETINFO LIB-NAME name` and `LIB-VER version`
fn set_info(call: &Call<'_, '_>, command: Command<'_>) -> Answer<'static> {
    let (option, value) = (command.get(2).unwrap_or_default(), command.get(3).unwrap_or_default());
    let (index, shown_name) = match capitals(option, &mut [0; 16]) {
        b"LIB-NAME" => (0, "lib-name"),
        b"LIB-VER" => (1, "lib-ver"),
        _ => return Answer::Refusal(format!("ERR Unrecognized option '{}'", shown(option, 128))),
    };
    if !is_name(value) {
        let why = "cannot contain spaces, newlines or special characters.";
        return Answer::Refusal(format!("ERR {shown_name} {why}"));
    }
    call.shared.clients.with(call.conn, |row| row.library[index] = shown(value, value.len()));
    OK
}

/// `CLIENT LIST [TYPE type | ID id ...]`
fn list(call: &Call<'_, '_>, command: Command<'_>) -> Answer<'static> {
    let clients = &call.shared.clients;
    match (capitals(command.get(2).unwrap_or_default(), &mut [0; 16]), command.len()) {
        (_, 2) => Answer::Text(clients.list(|_, _| true)),
        (b"TYPE", 4) => match kind(command.get(3).unwrap_or_default()) {
            Ok(is_of_it) => Answer::Text(clients.list(|_, row| is_of_it(row))),
            Err(unknown) => unknown,
        },
        (b"ID", 4..) => {
            let ids: Option<Vec<i64>> = command.arguments().skip(2).map(integer).collect();
            let Some(ids) = ids else { return refused("ERR Invalid client ID") };
            Answer::Text(clients.list(|id, _| ids.contains(&(id as i64))))
        }
        _ => SYNTAX,
    }
}

/// Whether a client is of a type.
fn kind(name: &[u8]) -> Result<fn(&Row) -> bool, Answer<'static>> {
    match capitals(name, &mut [0; 16]) {
        b"NORMAL" => Ok(|row| !row.listens()),
        b"PUBSUB" => Ok(Row::listens),
        b"MASTER" | b"REPLICA" | b"SLAVE" => Ok(|_| false),
        _ => Err(Answer::Refusal(format!("ERR Unknown client type '{}'", shown(name, 128)))),
    }
}

/// `CLIENT KILL address`, or `CLIENT KILL` with `ID`, `ADDR`, `LADDR`, `TYPE`, `USER` and `SKIPME`, of which all must hold.
fn kill(call: &Call<'_, '_>, command: Command<'_>) -> Answer<'static> {
    let (clients, own) = (&call.shared.clients, call.conn.id().as_u64());
    if let (Some(address), 3) = (command.get(2), command.len()) {
        let killed = clients.kill(|_, row| row.peer.as_bytes() == address);
        return if killed > 0 { OK } else { refused("ERR No such client") };
    }
    type Condition<'a> = Box<dyn Fn(u64, &Row) -> bool + 'a>;
    let mut conditions: Vec<Condition<'_>> = Vec::new();
    let mut skips_own = true;
    let mut options = command.arguments().skip(1);
    while let Some(option) = options.next() {
        let Some(value) = options.next() else { return SYNTAX };
        match capitals(option, &mut [0; 16]) {
            b"ID" => match integer(value) {
                Some(wanted @ 1..) => conditions.push(Box::new(move |id, _| id as i64 == wanted)),
                _ => return refused("ERR client-id should be greater than 0"),
            },
            b"ADDR" => conditions.push(Box::new(move |_, row| row.peer.as_bytes() == value)),
            b"LADDR" => conditions.push(Box::new(move |_, row| row.local.as_bytes() == value)),
            b"TYPE" => match kind(value) {
                Ok(is_of_it) => conditions.push(Box::new(move |_, row| is_of_it(row))),
                Err(unknown) => return unknown,
            },
            b"USER" if value == b"default" => {}
            b"USER" => return Answer::Refusal(format!("ERR No such user '{}'", shown(value, 128))),
            b"SKIPME" => match capitals(value, &mut [0; 16]) {
                b"YES" => skips_own = true,
                b"NO" => skips_own = false,
                _ => return SYNTAX,
            },
            _ => return SYNTAX,
        }
    }
    let is_wanted = |id, row: &Row| !(skips_own && id == own) && conditions.iter().all(|holds| holds(id, row));
    Answer::number(clients.kill(is_wanted))
}
