//! A page's connection.

use crate::message::{FromPage, Line, ToPage, to_json};
use crate::page;
use crate::rooms::Rooms;
use std::sync::Arc;
use std::time::Instant;
use tiderace::websocket::{Close, CloseCode, Message, WebSocket};
use tiderace::{CloseReason, Conn, Handler, Result};

/// The longest names and texts, in characters.
const NAME: usize = 24;
const TEXT: usize = 2000;
/// Lines that somebody may say at once, and in a second from then on.
const BURST: f64 = 10.0;
const RATE: f64 = 5.0;

pub struct Guest {
    rooms: Arc<Rooms>,
    /// The room that they are in, and who they are there.
    seat: Option<(String, String)>,
    /// How many lines may be said now, as of then.
    credit: (f64, Instant),
}

impl Guest {
    pub fn new(rooms: Arc<Rooms>) -> Guest {
        Guest { rooms, seat: None, credit: (BURST, Instant::now()) }
    }

    async fn join(&mut self, conn: &mut Conn<WebSocket>, room: &str, nick: &str) -> Result {
        let (room, nick) = (room.trim(), nick.trim());
        if !is_name(room) || !is_name(nick) {
            return refuse(conn, "Names have 1 to 24 characters.").await;
        }
        self.leave(conn);
        match self.rooms.join(conn, room, nick) {
            Ok((nick, lines)) => {
                let lines = lines.iter().collect();
                conn.send(&to_json(&ToPage::Joined { room, nick: &nick, lines })).await?;
                self.seat = Some((room.to_owned(), nick));
                Ok(())
            }
            Err(why) => refuse(conn, why).await,
        }
    }

    async fn say(&mut self, conn: &mut Conn<WebSocket>, text: String) -> Result {
        let Some((room, nick)) = &self.seat else { return refuse(conn, "Enter a room first.").await };
        let text = text.trim();
        if text.is_empty() || text.chars().count() > TEXT {
            return refuse(conn, "A line has 1 to 2000 characters.").await;
        }
        let (credit, then) = self.credit;
        let credit = (credit + then.elapsed().as_secs_f64() * RATE).min(BURST);
        if credit < 1.0 {
            return refuse(conn, "Slowly, please.").await;
        }
        self.credit = (credit - 1.0, Instant::now());
        self.rooms.say(room, Line::now(nick, text.to_owned()));
        Ok(())
    }

    fn leave(&mut self, conn: &Conn<WebSocket>) {
        if let Some((room, _)) = self.seat.take() {
            self.rooms.leave(conn, &room);
        }
    }
}

// ANCHOR: handler
impl Handler for Guest {
    type Codec = WebSocket;

    async fn on_open(&mut self, conn: &mut Conn<WebSocket>) -> Result {
        self.rooms.everyone.join(conn);
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
        match message {
            Message::Http(request) => conn.send(&page::respond(&request)).await,
            Message::Text(text) => match serde_json::from_str(text) {
                Ok(FromPage::Join { room, nick }) => self.join(conn, &room, &nick).await,
                Ok(FromPage::Say { text }) => self.say(conn, text).await,
                Ok(FromPage::Leave) => {
                    self.leave(conn);
                    Ok(())
                }
                Err(_) => conn.send(&Close { code: CloseCode::INVALID_DATA, reason: "not what pages say" }).await,
            },
            _ => conn.send(&Close { code: CloseCode::UNSUPPORTED, reason: "pages say text" }).await,
        }
    }

    async fn on_close(&mut self, conn: &mut Conn<WebSocket>, _: &CloseReason) {
        self.leave(conn);
    }
}
// ANCHOR_END: handler

async fn refuse(conn: &mut Conn<WebSocket>, why: &str) -> Result {
    conn.send(&to_json(&ToPage::Refused { why })).await
}

fn is_name(name: &str) -> bool {
    (1..=NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}
