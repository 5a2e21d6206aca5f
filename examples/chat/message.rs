//! What pages, servers and other servers say to each other, in JSON.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// From a page. A page that names no room means the one that it entered last.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum FromPage {
    /// Enters a room, one more.
    Join { room: String, nick: String },
    /// Says a line in one.
    Say { text: String, room: Option<String> },
    /// Is about to.
    Typing { room: Option<String> },
    /// Leaves one.
    Leave { room: Option<String> },
}

/// To a page.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ToPage<'a> {
    /// The page has entered: under which name, and what was said before.
    Joined { room: &'a str, nick: &'a str, lines: Vec<Line> },
    /// A line in a room.
    Said {
        room: &'a str,
        #[serde(flatten)]
        line: &'a Line,
    },
    /// Another page is about to say something in a room.
    Typing { room: &'a str, nick: &'a str },
    /// The people in a room: how many, and some of their names.
    Present { room: &'a str, count: usize, nicks: Vec<&'a str> },
    /// How this server does.
    Figures { connections: usize, messages: f64, nodes: usize },
    /// What was asked for cannot be; if it was to enter a room, that room.
    Refused {
        why: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<&'a str>,
    },
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Line {
    pub nick: String,
    pub text: String,
    /// Milliseconds since 1970, as JavaScript has it.
    pub at: u64,
}

impl Line {
    pub fn now(nick: &str, text: String) -> Line {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        Line { nick: nick.to_owned(), text, at }
    }
}

/// Between servers.
#[derive(Serialize, Deserialize)]
pub struct FromNode {
    /// The server that says it, which hears itself, too.
    pub node: u64,
    pub news: News,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum News {
    Said {
        room: String,
        line: Line,
    },
    Typing {
        room: String,
        nick: String,
    },
    /// The people in rooms of that server: some rooms in each message, and all of them once in a second. A server that no
    /// longer says it is gone.
    Present(BTreeMap<String, Presence>),
}

/// How many of a server are in a room, and some of their names.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    pub count: usize,
    pub nicks: Vec<String>,
}

pub fn to_json(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("these types can be JSON")
}
