//! A chat for browsers: rooms, nicknames, who is there, and live figures. The same port serves the page and its sockets.
//!
//!     cargo run --release --example chat --features websocket,resp -- [--addr IP:PORT] [--cores N] [--redis redis://HOST:PORT]
//!
//! Open the address that it prints in two windows. With `--redis`, several of these servers (of other addresses) share their
//! rooms through a Redis; the example `redis` will do.
//!
//!     listening on 127.0.0.1:8080

mod guest;
mod message;
mod page;
mod relay;
mod rooms;
#[path = "../support/mod.rs"]
mod support;

use guest::Guest;
use relay::Relay;
use rooms::Rooms;
use std::sync::Arc;
use std::time::Duration;
use tiderace::Result;
use tiderace::websocket::{Deflate, WebSocket};

/// How often those who listen are told what has changed.
const TICK: Duration = Duration::from_millis(250);
/// What a page may send at once; texts are held shorter than that.
const LONGEST: usize = 16 * 1024;

fn main() -> Result {
    let args = support::args("127.0.0.1:8080", &[("redis", "")])?;
    let codec = WebSocket::default().with_http().max_message(LONGEST).compress(Deflate::default());
    let url: String = args.get("redis")?;
    let relay = if url.is_empty() { Relay::default() } else { Relay::to(&url)? };

    let rooms = Arc::new(Rooms::new(codec.clone(), relay));
    let (guests, ticking, starting) = (rooms.clone(), rooms.clone(), rooms);
    let server = args
        .server
        .first_message_timeout(Duration::from_secs(10))
        // Pages that have nothing to say are pinged and stay; those that were left without a word are closed.
        .idle_timeout(Duration::from_secs(60))
        .listen(args.addr, codec, move || Guest::new(guests.clone()))?
        .on_start(async move |_| relay::stay_connected(starting))
        .on_tick(move || {
            ticking.tick();
            Some(TICK)
        });
    support::run(server)
}
