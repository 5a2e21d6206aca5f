//! Sends WebSocket messages back.
//!
//!     cargo run --release --example ws_echo --features websocket -- [--addr IP:PORT] [--cores N] [--compress yes|no]
//!
//! In a browser's console, `s = new WebSocket("ws://127.0.0.1:9001"); s.onmessage = m => console.log(m.data)`, and then
//! `s.send("hello")`:
//!
//!     listening on 127.0.0.1:9001

mod support;

// ANCHOR: handler
use tiderace::websocket::{Deflate, Message, WebSocket};
use tiderace::{Conn, Handler, Result};

struct Echo;

impl Handler for Echo {
    type Codec = WebSocket;

    async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
        match message {
            Message::Text(text) => conn.send(text).await,
            Message::Binary(bytes) => conn.send(bytes).await,
            _ => Ok(()),
        }
    }
}
// ANCHOR_END: handler

/// The longest messages of the conformance suite have 16 MiB.
const LONGEST: usize = 16 * 1024 * 1024;

fn main() -> Result {
    let args = support::args("127.0.0.1:9001", &[("compress", "yes")])?;
    let mut codec = WebSocket::default().max_message(LONGEST).max_frame(LONGEST);
    if args.get::<String>("compress")? == "yes" {
        codec = codec.compress(Deflate::default().keep_contexts().threshold(0));
    }
    support::run(args.server.listen(args.addr, codec, || Echo)?)
}
