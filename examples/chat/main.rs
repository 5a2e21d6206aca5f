//! A chat for browsers: rooms, names, history, presence, typing marks and live figures. The same port serves the page
//! and its sockets.
//!
//!     cargo run --release --example chat --features websocket,resp -- [--addr IP:PORT] [--cores N] [--redis redis://HOST:PORT]
//!         [--origins URL,URL] [--per-address CONNECTIONS] [--patience SECONDS]
//!
//! Open the address that it prints in two windows. With `--redis`, several of these servers (of other addresses) share their
//! rooms through a Redis; the example `redis` will do. `--origins` names the sites whose pages may connect; without it, it is
//! the host that they connect to. Behind a proxy all pages have one address, so `--per-address` is to be large.
//!
//!     listening on 127.0.0.1:8080

mod guest;
mod message;
mod names;
mod page;
mod relay;
mod room;
mod rooms;
mod sources;
#[path = "../support/mod.rs"]
mod support;

use guest::Guest;
use page::Origins;
use relay::Relay;
use rooms::Rooms;
use sources::Sources;
use std::sync::Arc;
use std::time::Duration;
use tiderace::Result;
use tiderace::http::Http;
use tiderace::websocket::{Deflate, WebSocket};

/// How often pages are told what has changed.
const TICK: Duration = Duration::from_millis(250);
/// What a page may send at once; lines are held shorter than that.
const LONGEST: usize = 16 * 1024;
/// Pages, all together.
const CONNECTIONS: usize = 10_000;

fn main() -> Result {
    let others = [("redis", ""), ("origins", ""), ("per-address", "500"), ("patience", "10")];
    let args = support::args("127.0.0.1:8080", &others)?;
    let codec = WebSocket::default()
        .with_http()
        .http(Http::default().max_body(0))
        .ask()
        .show_controls()
        .max_message(LONGEST)
        .compress(Deflate::default());
    let url: String = args.get("redis")?;
    let relay = if url.is_empty() { Relay::default() } else { Relay::to(&url)? };
    let patience = Duration::from_secs(args.get::<u32>("patience")?.max(1).into());

    let rooms = Arc::new(Rooms::new(codec.clone(), relay, Sources::new(args.get("per-address")?)));
    let origins = Arc::new(Origins::new(&args.get::<String>("origins")?));
    let (guests, ticking, starting) = (rooms.clone(), rooms.clone(), rooms);
    let server = args
        .server
        .max_connections(CONNECTIONS)
        // ANCHOR: limits
        .first_message_timeout(patience)
        .message_timeout(patience)
        .write_timeout(3 * patience)
        .idle_timeout(6 * patience)
        // ANCHOR_END: limits
        .listen(args.addr, codec, move || Guest::new(guests.clone(), origins.clone(), 2 * patience))?
        .on_start(async move |_| relay::stay_connected(starting))
        .on_tick(move || {
            ticking.tick();
            Some(TICK)
        });
    support::run(server)
}
