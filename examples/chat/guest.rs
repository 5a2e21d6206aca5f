//! A page's connection.

use crate::message::{FromPage, Line, ToPage, to_json};
use crate::names;
use crate::page::{self, Origins};
use crate::room::Room;
use crate::rooms::Rooms;
use crate::sources::{Share, Source};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiderace::http::{Request, Response, Status};
use tiderace::websocket::{Accept, Close, CloseCode, Message, Ping, WebSocket};
use tiderace::{CloseReason, Conn, Handler, Result};

/// The rooms that a page is in at the same time.
const SEATS: usize = 8;

/// What may be done at once, and in a second from then on.
struct Bucket {
    burst: f64,
    rate: f64,
    credit: f64,
    then: Instant,
}

impl Bucket {
    fn new(burst: f64, rate: f64) -> Bucket {
        Bucket { burst, rate, credit: burst, then: Instant::now() }
    }

    /// Whether it may be done once more now.
    fn take(&mut self) -> bool {
        let now = Instant::now();
        let earned = now.duration_since(self.then).as_secs_f64() * self.rate;
        (self.credit, self.then) = ((self.credit + earned).min(self.burst), now);
        let has_credit = self.credit >= 1.0;
        self.credit -= f64::from(u8::from(has_credit));
        has_credit
    }
}

/// A place in a room.
struct Seat {
    room: Arc<Room>,
    nick: String,
}

pub struct Guest {
    rooms: Arc<Rooms>,
    /// How often the page is asked for a sign of life; three that fail to come end the connection.
    ping: Duration,
    origins: Arc<Origins>,
    source: Source,
    /// Of what its address may have, from the first request on.
    share: Option<Share>,
    /// The last one was entered last.
    seats: Vec<Seat>,
    /// For messages of any kind; a page that sends more is closed.
    messages: Bucket,
    joins: Bucket,
    lines: Bucket,
    marks: Bucket,
}

impl Guest {
    pub fn new(rooms: Arc<Rooms>, origins: Arc<Origins>, ping: Duration) -> Guest {
        Guest {
            rooms,
            ping,
            origins,
            source: Source::Local,
            share: None,
            seats: Vec::new(),
            messages: Bucket::new(100.0, 20.0),
            joins: Bucket::new(2.0 * SEATS as f64, 1.0),
            lines: Bucket::new(10.0, 5.0),
            marks: Bucket::new(2.0, 1.0),
        }
    }

    // ANCHOR: handshake
    /// A page of another site could speak in the name of its visitor, so its origin is looked at (RFC 6455, section 10.2).
    async fn handshake(&mut self, conn: &mut Conn<WebSocket>, request: Request<'_>) -> Result {
        if request.path() != "/socket" {
            return conn.send(&refused(Status::NOT_FOUND, "the socket is /socket\n")).await;
        }
        if !self.origins.admit(&request) {
            return conn.send(&refused(Status::FORBIDDEN, "pages of that origin may not connect\n")).await;
        }
        conn.send(&Accept::default()).await
    }
    // ANCHOR_END: handshake

    /// Counts the connection with its first request; says whether its address may have one more.
    fn is_admitted(&mut self, conn: &Conn<WebSocket>) -> Result<bool> {
        if self.share.is_none() {
            self.source = Source::of(conn.peer_addr()?.ip());
            self.share = self.rooms.admit(self.source);
        }
        Ok(self.share.is_some())
    }

    async fn obey(&mut self, conn: &mut Conn<WebSocket>, message: FromPage) -> Result {
        match message {
            FromPage::Join { room, nick } => self.join(conn, &room, &nick).await,
            FromPage::Say { text, room } => self.say(conn, &text, room).await,
            FromPage::Typing { room } => {
                if let Some(seat) = self.seat(room.as_deref())
                    && self.marks.take()
                {
                    self.rooms.mark(&self.seats[seat].room, &self.seats[seat].nick, conn);
                }
                Ok(())
            }
            FromPage::Leave { room } => {
                if let Some(seat) = self.seat(room.as_deref()) {
                    let seat = self.seats.remove(seat);
                    self.rooms.leave(conn, &seat.room);
                }
                Ok(())
            }
        }
    }

    /// The place of the seat in a room, or of the last one.
    fn seat(&self, room: Option<&str>) -> Option<usize> {
        match room {
            Some(room) => self.seats.iter().position(|seat| seat.room.name == room),
            None => self.seats.len().checked_sub(1),
        }
    }

    async fn join(&mut self, conn: &mut Conn<WebSocket>, wanted: &str, nick: &str) -> Result {
        let (Some(room), Some(nick)) = (names::name(wanted), names::name(nick)) else {
            return refuse(conn, "Names have 1 to 24 characters, all of which can be seen.", Some(wanted)).await;
        };
        if !self.joins.take() {
            return refuse(conn, "Slowly, please.", Some(wanted)).await;
        }
        if let Some(seat) = self.seat(Some(&room)) {
            let seat = self.seats.remove(seat);
            self.rooms.leave(conn, &seat.room);
        }
        if self.seats.len() == SEATS {
            return refuse(conn, "You are in 8 rooms: leave one of them first.", Some(wanted)).await;
        }
        match self.rooms.join(conn, &room, &nick, self.source) {
            Ok((place, nick, lines)) => {
                let joined = to_json(&ToPage::Joined { room: &room, nick: &nick, lines });
                // First of all the seat, so that it is left however this ends.
                self.seats.push(Seat { room: place, nick });
                conn.send(&joined).await
            }
            Err(why) => refuse(conn, why, Some(wanted)).await,
        }
    }

    async fn say(&mut self, conn: &mut Conn<WebSocket>, text: &str, room: Option<String>) -> Result {
        let Some(seat) = self.seat(room.as_deref()) else { return refuse(conn, "Enter a room first.", None).await };
        let Some(text) = names::text(text) else {
            return refuse(conn, "A line has 1 to 2000 characters.", None).await;
        };
        if !self.lines.take() {
            return refuse(conn, "Slowly, please.", None).await;
        }
        let Seat { room, nick } = &self.seats[seat];
        self.rooms.say(room, Line::now(nick, text));
        Ok(())
    }
}

// ANCHOR: handler
impl Handler for Guest {
    type Codec = WebSocket;

    async fn on_open(&mut self, conn: &mut Conn<WebSocket>) -> Result {
        self.rooms.everyone.join(conn);
        // The server's own pings come when nothing was sent for a while, and figures are sent all the time.
        let handle = conn.handle();
        conn.every(self.ping, move || {
            let _ = handle.try_send(Ping(b""));
            async {}
        });
        conn.set_read_deadline(Some(Instant::now() + 3 * self.ping));
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
        let text = match message {
            Message::Http(_) | Message::Handshake(_) if !self.is_admitted(conn)? => {
                let response = refused(Status::TOO_MANY_REQUESTS, "too many connections from your address\n");
                return conn.send(&response).await;
            }
            Message::Http(request) => return conn.send(&page::respond(&request)).await,
            Message::Handshake(request) => return self.handshake(conn, request).await,
            Message::Text(text) => Some(text),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => None,
            _ => return conn.send(&Close { code: CloseCode::UNSUPPORTED, reason: "pages say text" }).await,
        };
        conn.set_read_deadline(Some(Instant::now() + 3 * self.ping));
        let Some(text) = text else { return Ok(()) };
        if !self.messages.take() {
            return conn.send(&Close { code: CloseCode::POLICY, reason: "too many messages" }).await;
        }
        match serde_json::from_str(text) {
            Ok(message) => self.obey(conn, message).await,
            Err(_) => conn.send(&Close { code: CloseCode::INVALID_DATA, reason: "not what pages say" }).await,
        }
    }

    async fn on_close(&mut self, conn: &mut Conn<WebSocket>, _: &CloseReason) {
        for seat in self.seats.drain(..) {
            self.rooms.leave(conn, &seat.room);
        }
    }
}
// ANCHOR_END: handler

fn refused(status: Status, why: &'static str) -> Response<'static> {
    page::secured(Response::text(why).status(status)).close()
}

async fn refuse(conn: &mut Conn<WebSocket>, why: &str, room: Option<&str>) -> Result {
    conn.send(&to_json(&ToPage::Refused { why, room })).await
}
