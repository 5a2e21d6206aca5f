//! Rooms: who is in them, here and on other servers, and what was said last.

use crate::message::{FromNode, Line, News, ToPage, to_json};
use crate::relay::Relay;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tiderace::websocket::WebSocket;
use tiderace::{Conn, ConnectionId, Group, SlowMember};

/// Rooms that there may be, here and elsewhere.
const ROOMS: usize = 1000;
/// Lines that who enters is shown.
const LINES: usize = 30;
/// Names that are shown of who is there.
const NAMES: usize = 100;
/// How often this server says who is in its rooms, and when one is gone that no longer does.
const PRESENCE: Duration = Duration::from_secs(1);
const GONE: Duration = Duration::from_secs(4);
/// How often figures are shown.
const FIGURES: Duration = Duration::from_secs(1);

pub struct Rooms {
    /// A number that no other server has.
    node: u64,
    codec: WebSocket,
    pub relay: Relay,
    pub everyone: Group<WebSocket>,
    state: Mutex<State>,
    said: AtomicU64,
}

struct State {
    rooms: HashMap<String, Room>,
    /// The other servers, and when they were heard last.
    nodes: HashMap<u64, Instant>,
    presence_told: Instant,
    figures_shown: (Instant, u64),
}

struct Room {
    group: Group<WebSocket>,
    here: BTreeMap<ConnectionId, String>,
    elsewhere: HashMap<u64, BTreeSet<String>>,
    lines: VecDeque<Line>,
    /// Who is there has changed, and those who are do not know yet.
    has_changed: bool,
}

impl Room {
    fn new(codec: &WebSocket) -> Room {
        // Whoever cannot keep up is disconnected; the page comes back, and is shown the last lines.
        let group = Group::with_policy(codec.clone(), SlowMember::Disconnect);
        Room { group, here: BTreeMap::new(), elsewhere: HashMap::new(), lines: VecDeque::new(), has_changed: false }
    }

    fn is_empty(&self) -> bool {
        self.here.is_empty() && self.elsewhere.is_empty()
    }

    fn nicks(&self) -> impl Iterator<Item = &str> {
        self.here.values().chain(self.elsewhere.values().flatten()).map(String::as_str)
    }

    /// The name, or one like it that nobody has.
    fn free(&self, nick: &str) -> String {
        let is_taken = |nick: &str| self.nicks().any(|taken| taken == nick);
        let others = (2..).map(|number| format!("{nick} {number}"));
        [nick.to_owned()].into_iter().chain(others).find(|nick| !is_taken(nick)).expect("numbers do not end")
    }

    // ANCHOR: hear
    fn hear(&mut self, line: Line) {
        // The only ways to fail are a message that cannot be encoded and a core that is hopelessly behind.
        let _ = self.group.try_send(&to_json(&ToPage::Said(&line)));
        self.lines.truncate(LINES - 1);
        self.lines.push_front(line);
    }
    // ANCHOR_END: hear
}

impl Rooms {
    pub fn new(codec: WebSocket, relay: Relay) -> Rooms {
        let now = Instant::now();
        let (rooms, nodes) = (HashMap::new(), HashMap::new());
        let state = State { rooms, nodes, presence_told: now, figures_shown: (now, 0) };
        let everyone = Group::new(codec.clone());
        Rooms { node: fastrand::u64(..), codec, relay, everyone, state: Mutex::new(state), said: AtomicU64::new(0) }
    }

    /// Lets a page enter; says under which name, and what was said before, the oldest first.
    pub fn join(&self, conn: &Conn<WebSocket>, name: &str, nick: &str) -> Result<(String, Vec<Line>), &'static str> {
        let mut state = self.state.lock().unwrap();
        if state.rooms.len() >= ROOMS && !state.rooms.contains_key(name) {
            return Err("There are too many rooms already.");
        }
        let room = state.rooms.entry(name.to_owned()).or_insert_with(|| Room::new(&self.codec));
        let nick = room.free(nick);
        room.here.insert(conn.id(), nick.clone());
        room.group.join(conn);
        room.has_changed = true;
        Ok((nick, room.lines.iter().rev().cloned().collect()))
    }

    pub fn leave(&self, conn: &Conn<WebSocket>, name: &str) {
        let mut state = self.state.lock().unwrap();
        let Some(room) = state.rooms.get_mut(name) else { return };
        room.group.leave(conn);
        room.here.remove(&conn.id());
        room.has_changed = true;
    }

    pub fn say(&self, name: &str, line: Line) {
        self.said.fetch_add(1, Relaxed);
        self.tell(News::Said { room: name.to_owned(), line: line.clone() });
        if let Some(room) = self.state.lock().unwrap().rooms.get_mut(name) {
            room.hear(line);
        }
    }

    /// What another server has said.
    pub fn heard(&self, FromNode { node, news }: FromNode) {
        if node == self.node {
            return;
        }
        let mut state = self.state.lock().unwrap();
        state.nodes.insert(node, Instant::now());
        match news {
            News::Said { room, line } => {
                if let Some(room) = state.rooms.get_mut(&room) {
                    room.hear(line);
                }
            }
            News::Present(mut present) => {
                for (name, room) in &mut state.rooms {
                    let before = room.elsewhere.remove(&node).unwrap_or_default();
                    let now = BTreeSet::from_iter(present.remove(name).unwrap_or_default());
                    room.has_changed |= before != now;
                    if !now.is_empty() {
                        room.elsewhere.insert(node, now);
                    }
                }
                let vacant = ROOMS.saturating_sub(state.rooms.len());
                for (name, nicks) in present.into_iter().take(vacant) {
                    let mut room = Room::new(&self.codec);
                    room.elsewhere.insert(node, nicks.into_iter().collect());
                    state.rooms.insert(name, room);
                }
            }
        }
    }

    /// Tells everybody what has changed.
    pub fn tick(&self) {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap();
        let State { rooms, nodes, .. } = &mut *state;
        nodes.retain(|_, heard| now.duration_since(*heard) < GONE);
        for room in rooms.values_mut() {
            let before = room.elsewhere.len();
            room.elsewhere.retain(|node, _| nodes.contains_key(node));
            room.has_changed |= room.elsewhere.len() != before;
        }
        let mut must_tell = now.duration_since(state.presence_told) >= PRESENCE;
        for room in state.rooms.values_mut().filter(|room| room.has_changed) {
            must_tell = true;
            room.has_changed = false;
            let mut nicks: Vec<&str> = room.nicks().collect();
            nicks.sort_unstable();
            let count = nicks.len();
            nicks.truncate(NAMES);
            let _ = room.group.try_send(&to_json(&ToPage::Present { count, nicks }));
        }
        state.rooms.retain(|_, room| !room.is_empty());
        if must_tell {
            state.presence_told = now;
            let rooms = state.rooms.iter().filter(|(_, room)| !room.here.is_empty());
            let present = rooms.map(|(name, room)| (name.clone(), room.here.values().cloned().collect()));
            self.tell(News::Present(present.collect()));
        }
        self.show_figures(&mut state, now);
    }

    fn show_figures(&self, state: &mut State, now: Instant) {
        let (then, before) = state.figures_shown;
        let passed = now.duration_since(then);
        if passed < FIGURES {
            return;
        }
        let said = self.said.load(Relaxed);
        state.figures_shown = (now, said);
        let messages = (said - before) as f64 / passed.as_secs_f64();
        let figures = ToPage::Figures { connections: self.everyone.len(), messages, nodes: 1 + state.nodes.len() };
        let _ = self.everyone.try_send(&to_json(&figures));
    }

    fn tell(&self, news: News) {
        if self.relay.is_used() {
            self.relay.publish(to_json(&FromNode { node: self.node, news }));
        }
    }
}
