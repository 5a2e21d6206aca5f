//! What pages, servers and other servers say to each other, in JSON.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// From a page.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum FromPage {
    /// Enters a room, and leaves the one before.
    Join { room: String, nick: String },
    /// Says a line in it.
    Say { text: String },
    /// Leaves it.
    Leave,
}

/// To a page.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ToPage<'a> {
    /// To who has entered: under which name, and what was said before.
    Joined { room: &'a str, nick: &'a str, lines: Vec<&'a Line> },
    /// A line in the room.
    Said(&'a Line),
    /// Who is in the room: how many, and some of their names.
    Present { count: usize, nicks: Vec<&'a str> },
    /// How this server does.
    Figures { connections: usize, messages: f64, nodes: usize },
    /// What was asked for cannot be.
    Refused { why: &'a str },
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
    /// Who says it; nobody listens to themselves.
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
    /// Who is in which room there. Said again and again: a server that no longer says it is gone.
    Present(BTreeMap<String, Vec<String>>),
}

pub fn to_json(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("these types can be JSON")
}
