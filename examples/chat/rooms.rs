//! All rooms, and the other servers that share them.

use crate::message::{FromNode, Line, News, Presence, ToPage, to_json};
use crate::names;
use crate::relay::Relay;
use crate::room::{GONE, NAMES, NODES, NotJoined, Room};
use crate::sources::{Share, Source, Sources, What};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tiderace::websocket::WebSocket;
use tiderace::{Conn, Group};

/// Rooms that there may be, here and elsewhere.
const ROOMS: usize = 1000;
/// How often this server tells the others of the people in its rooms.
const PRESENCE: Duration = Duration::from_secs(1);
/// How often figures are shown.
const FIGURES: Duration = Duration::from_secs(1);
/// About how long a message about the people in rooms becomes.
const LETTER: usize = 16 * 1024;

pub struct Rooms {
    /// A number that no other server has.
    node: u64,
    codec: WebSocket,
    pub relay: Relay,
    pub everyone: Group<WebSocket>,
    sources: Arc<Sources>,
    /// Locked for one look at a time: what goes on in a room is done under a lock of that room's.
    rooms: Mutex<HashMap<String, Arc<Room>>>,
    said: AtomicU64,
    told: Mutex<Told>,
}

/// What the ticks remember.
struct Told {
    /// The other servers, and when they were heard last.
    nodes: HashMap<u64, Instant>,
    presence: Instant,
    figures: (Instant, u64),
}

impl Rooms {
    pub fn new(codec: WebSocket, relay: Relay, sources: Arc<Sources>) -> Rooms {
        let now = Instant::now();
        let told = Mutex::new(Told { nodes: HashMap::new(), presence: now, figures: (now, 0) });
        let everyone = Group::new(codec.clone());
        let (rooms, said) = (Mutex::default(), AtomicU64::new(0));
        Rooms { node: fastrand::u64(..), codec, relay, everyone, sources, rooms, said, told }
    }

    /// Room for one more connection of an address.
    pub fn admit(&self, source: Source) -> Option<Share> {
        self.sources.take(source, What::Connection)
    }

    /// The room of that name, which is opened if it is not there: for a page, from its address, or for another server.
    fn room(&self, name: &str, opened_by: Option<Source>) -> Result<Arc<Room>, &'static str> {
        let mut rooms = self.rooms.lock().unwrap();
        if let Some(room) = rooms.get(name) {
            return Ok(room.clone());
        }
        if rooms.len() >= ROOMS {
            return Err("There are too many rooms already.");
        }
        let share = match opened_by.map(|source| self.sources.take(source, What::Room)) {
            Some(None) => return Err("Too many rooms were opened from your address."),
            share => share.flatten(),
        };
        let room = Arc::new(Room::new(name.to_owned(), &self.codec, share));
        rooms.insert(name.to_owned(), room.clone());
        Ok(room)
    }

    /// A room that is over makes place for another.
    fn forget(&self, room: &Arc<Room>) {
        let mut rooms = self.rooms.lock().unwrap();
        if rooms.get(&room.name).is_some_and(|known| Arc::ptr_eq(known, room)) {
            rooms.remove(&room.name);
        }
    }

    /// Lets a page enter; returns the room, its name there, and what was said before, the oldest first.
    pub fn join(
        &self,
        conn: &Conn<WebSocket>,
        name: &str,
        nick: &str,
        source: Source,
    ) -> Result<(Arc<Room>, String, Vec<Line>), &'static str> {
        loop {
            let room = self.room(name, Some(source))?;
            match room.join(conn, nick) {
                Ok((nick, lines)) => return Ok((room, nick, lines)),
                Err(NotJoined::NameTaken) => return Err("Too many here have that name."),
                Err(NotJoined::Over) => self.forget(&room),
            }
        }
    }

    pub fn leave(&self, conn: &Conn<WebSocket>, room: &Arc<Room>) {
        if room.leave(conn) {
            self.forget(room);
        }
    }

    pub fn say(&self, room: &Room, line: Line) {
        self.said.fetch_add(1, Relaxed);
        self.tell(|| News::Said { room: room.name.clone(), line: line.clone() });
        room.hear(line);
    }

    pub fn mark(&self, room: &Room, nick: &str, conn: &Conn<WebSocket>) {
        if room.mark(nick, Some(conn.id())) {
            self.tell(|| News::Typing { room: room.name.clone(), nick: nick.to_owned() });
        }
    }

    /// What another server has said. It is held to the rules that pages are held to.
    pub fn heard(&self, FromNode { node, news }: FromNode) {
        if node == self.node {
            return;
        }
        let now = Instant::now();
        let mut told = self.told.lock().unwrap();
        if told.nodes.len() >= NODES && !told.nodes.contains_key(&node) {
            return;
        }
        told.nodes.insert(node, now);
        drop(told);
        let known = |name: &str| self.rooms.lock().unwrap().get(name).cloned();
        match news {
            News::Said { room, line } => {
                if let (Some(room), Some(nick), Some(text)) =
                    (known(&room), names::name(&line.nick), names::text(&line.text))
                {
                    room.hear(Line { nick, text, at: line.at });
                }
            }
            News::Typing { room, nick } => {
                if let (Some(room), Some(nick)) = (known(&room), names::name(&nick)) {
                    room.mark(&nick, None);
                }
            }
            News::Present(present) => present.into_iter().take(ROOMS).for_each(|(name, mut presence)| {
                presence.nicks.truncate(NAMES);
                presence.nicks.retain(|nick| names::name(nick).as_ref() == Some(nick));
                self.present_elsewhere(node, &name, presence, now);
            }),
        }
    }

    fn present_elsewhere(&self, node: u64, name: &str, presence: Presence, now: Instant) {
        let is_name = names::name(name).is_some_and(|clean| clean == name);
        while is_name && (presence.count > 0 || self.rooms.lock().unwrap().contains_key(name)) {
            let Ok(room) = self.room(name, None) else { return };
            match room.set_elsewhere(node, presence.clone(), now) {
                Err(NotJoined::Over) => self.forget(&room),
                _ => return,
            }
        }
    }

    /// Tells pages and other servers what has changed.
    pub fn tick(&self) {
        let now = Instant::now();
        let rooms: Vec<_> = self.rooms.lock().unwrap().values().cloned().collect();
        let mut told = self.told.lock().unwrap();
        told.nodes.retain(|_, heard| now.duration_since(*heard) < GONE);
        let is_due = now.duration_since(told.presence) >= PRESENCE;
        if is_due {
            told.presence = now;
        }
        self.show_figures(&mut told, now);
        drop(told);
        let (mut present, mut length, mut letters) = (BTreeMap::new(), 0, 0);
        for room in rooms {
            let news = room.tick(now);
            if news.has_changed || is_due && news.here.count > 0 {
                length += room.name.len() + news.here.nicks.iter().map(|nick| nick.len() + 3).sum::<usize>() + 40;
                present.insert(room.name.clone(), news.here);
            }
            if length > LETTER {
                (length, letters) = (0, letters + 1);
                let present = std::mem::take(&mut present);
                self.tell(|| News::Present(present));
            }
            if news.is_empty {
                self.forget(&room);
            }
        }
        // One that has nothing to say is said, too, so that the others know of this server.
        if !present.is_empty() || is_due && letters == 0 {
            self.tell(|| News::Present(present));
        }
    }

    fn show_figures(&self, told: &mut Told, now: Instant) {
        let (then, before) = told.figures;
        let passed = now.duration_since(then);
        if passed < FIGURES {
            return;
        }
        let said = self.said.load(Relaxed);
        told.figures = (now, said);
        let messages = (said - before) as f64 / passed.as_secs_f64();
        let figures = ToPage::Figures { connections: self.everyone.len(), messages, nodes: 1 + told.nodes.len() };
        let _ = self.everyone.try_send(&to_json(&figures));
    }

    fn tell(&self, news: impl FnOnce() -> News) {
        if self.relay.is_used() {
            self.relay.publish(to_json(&FromNode { node: self.node, news: news() }));
        }
    }
}
