//! A room: the people in it, here and on other servers, and what was said last.

use crate::message::{Line, Presence, ToPage, to_json};
use crate::names;
use crate::sources::Share;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tiderace::websocket::WebSocket;
use tiderace::{Conn, ConnectionId, Group, SlowMember};

/// What a page is shown that enters: so many lines, and so many bytes of them.
const LINES: usize = 50;
const BYTES: usize = 32 * 1024;
/// Names that are shown of those present, and told to other servers.
pub const NAMES: usize = 100;
/// How long a server is believed in that says nothing.
pub const GONE: Duration = Duration::from_secs(4);
/// Other servers.
pub const NODES: usize = 64;
/// Typing marks that a room passes on in a second.
const MARKS: u32 = 10;

pub struct Room {
    pub name: String,
    group: Group<WebSocket>,
    state: Mutex<State>,
    /// Of the address that opened it. `None` for a room that another server has opened.
    _share: Option<Share>,
}

#[derive(Default)]
struct State {
    here: HashMap<ConnectionId, String>,
    elsewhere: HashMap<u64, (Presence, Instant)>,
    /// How many have each name, in the order in which they are shown.
    names: BTreeMap<String, usize>,
    /// How many have a name that looks like this.
    looks: HashMap<String, usize>,
    lines: VecDeque<Line>,
    /// The bytes of the lines.
    bytes: usize,
    marks: Option<(Instant, u32)>,
    has_changed: bool,
    /// The last page has left, so it was dropped: one of the same name is another room.
    is_over: bool,
}

/// Why a page is not in a room.
pub enum NotJoined {
    /// The room has just been dropped.
    Over,
    NameTaken,
}

/// What a room has to say in a tick.
pub struct News {
    pub here: Presence,
    pub has_changed: bool,
    pub is_empty: bool,
}

impl State {
    fn add(&mut self, nick: &str) {
        *self.names.entry(nick.to_owned()).or_default() += 1;
        for look in names::looks(nick) {
            *self.looks.entry(look).or_default() += 1;
        }
        self.has_changed = true;
    }

    fn remove(&mut self, nick: &str) {
        if let Some(count) = self.names.get_mut(nick) {
            *count -= 1;
            if *count == 0 {
                self.names.remove(nick);
            }
        }
        for look in names::looks(nick) {
            if let Some(count) = self.looks.get_mut(&look) {
                *count -= 1;
                if *count == 0 {
                    self.looks.remove(&look);
                }
            }
        }
        self.has_changed = true;
    }

    fn is_empty(&self) -> bool {
        self.here.is_empty() && self.elsewhere.is_empty()
    }

    /// The names, each as often as there is one of that name; not all, but the first ones.
    fn shown(&self) -> Vec<&str> {
        let names = self.names.iter().flat_map(|(name, count)| std::iter::repeat_n(name.as_str(), *count));
        names.take(NAMES).collect()
    }
}

impl Room {
    pub fn new(name: String, codec: &WebSocket, share: Option<Share>) -> Room {
        // A page that cannot keep up is disconnected; it comes back, and is shown the last lines.
        let group = Group::with_policy(codec.clone(), SlowMember::Disconnect);
        Room { name, group, state: Mutex::default(), _share: share }
    }

    /// Lets a page enter; returns its name there, and what was said before, the oldest first.
    pub fn join(&self, conn: &Conn<WebSocket>, nick: &str) -> Result<(String, Vec<Line>), NotJoined> {
        let mut state = self.state.lock().unwrap();
        if state.is_over {
            return Err(NotJoined::Over);
        }
        let is_taken = |nick: &str| names::looks(nick).iter().any(|look| state.looks.contains_key(look));
        let nick = names::free(nick, is_taken).ok_or(NotJoined::NameTaken)?;
        state.add(&nick);
        state.here.insert(conn.id(), nick.clone());
        self.group.join(conn);
        Ok((nick, state.lines.iter().cloned().collect()))
    }

    /// Ends a stay; says whether the room is over with it.
    pub fn leave(&self, conn: &Conn<WebSocket>) -> bool {
        let mut state = self.state.lock().unwrap();
        self.group.leave(conn);
        if let Some(nick) = state.here.remove(&conn.id()) {
            state.remove(&nick);
        }
        state.is_over |= state.is_empty();
        state.is_over
    }

    // ANCHOR: hear
    /// What was said, here or elsewhere.
    pub fn hear(&self, line: Line) {
        let said = to_json(&ToPage::Said { room: &self.name, line: &line });
        let mut state = self.state.lock().unwrap();
        // In the order of the history. It fails where a message cannot be encoded, or a core is hopelessly behind.
        let _ = self.group.try_send(&said);
        state.bytes += line.text.len();
        state.lines.push_back(line);
        while state.lines.len() > LINES || state.bytes > BYTES {
            let oldest = state.lines.pop_front().expect("the lines have bytes");
            state.bytes -= oldest.text.len();
        }
    }
    // ANCHOR_END: hear

    /// A page types, here (then it is not told itself) or elsewhere. Says whether that was passed on: in a busy room, there
    /// are more marks than can be read.
    pub fn mark(&self, nick: &str, typist: Option<ConnectionId>) -> bool {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap();
        let (since, count) =
            state.marks.filter(|(since, _)| now.duration_since(*since).as_secs() == 0).unwrap_or((now, 0));
        state.marks = Some((since, count + 1));
        drop(state);
        if count >= MARKS {
            return false;
        }
        let mark = to_json(&ToPage::Typing { room: &self.name, nick });
        let _ = match typist {
            Some(typist) => self.group.try_send_except(typist, &mark),
            None => self.group.try_send(&mark),
        };
        true
    }

    /// The people that another server has in this room.
    pub fn set_elsewhere(&self, node: u64, presence: Presence, now: Instant) -> Result<(), NotJoined> {
        let mut state = self.state.lock().unwrap();
        if state.is_over {
            return Err(NotJoined::Over);
        }
        if let Some((before, heard)) = state.elsewhere.get_mut(&node)
            && *before == presence
        {
            *heard = now;
            return Ok(());
        }
        if let Some((before, _)) = state.elsewhere.remove(&node) {
            before.nicks.iter().for_each(|nick| state.remove(nick));
        }
        state.has_changed = true;
        if presence.count > 0 && state.elsewhere.len() < NODES {
            presence.nicks.iter().for_each(|nick| state.add(nick));
            state.elsewhere.insert(node, (presence, now));
        }
        Ok(())
    }

    /// Shows those present to each other if that has changed, and forgets servers that are gone.
    pub fn tick(&self, now: Instant) -> News {
        let mut state = self.state.lock().unwrap();
        let gone = |(_, heard): &(Presence, Instant)| now.duration_since(*heard) >= GONE;
        let gone: Vec<u64> = state.elsewhere.iter().filter(|(_, of)| gone(of)).map(|(node, _)| *node).collect();
        for (presence, _) in gone.iter().filter_map(|node| state.elsewhere.remove(node)).collect::<Vec<_>>() {
            presence.nicks.iter().for_each(|nick| state.remove(nick));
        }
        state.is_over |= state.is_empty();
        let has_changed = std::mem::take(&mut state.has_changed);
        if has_changed {
            let elsewhere: usize = state.elsewhere.values().map(|(presence, _)| presence.count).sum();
            let (count, nicks) = (state.here.len() + elsewhere, state.shown());
            let _ = self.group.try_send(&to_json(&ToPage::Present { room: &self.name, count, nicks }));
        }
        let nicks = state.here.values().take(NAMES).cloned().collect();
        News { here: Presence { count: state.here.len(), nicks }, has_changed, is_empty: state.is_over }
    }
}
