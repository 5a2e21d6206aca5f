//! Closes connections that have nothing to say.
//!
//!     cargo run --release --example idle_connections -- [--addr IP:PORT] [--cores N] [--idle SECONDS] [--first SECONDS]
//!
//! From another terminal, `nc 127.0.0.1 1836`, and wait:
//!
//!     listening on 127.0.0.1:1836
//!     127.0.0.1:40000: timeout: no first message

mod support;

use std::time::Duration;
use tiderace::{CloseReason, Conn, Handler, Result, codec::Lines};

struct Patient;

impl Handler for Patient {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        conn.send(line).await
    }

    async fn on_close(&mut self, conn: &mut Conn<Lines>, reason: &CloseReason) {
        if let Ok(peer) = conn.peer_addr() {
            println!("{peer}: {reason}");
        }
    }
}

fn main() -> Result {
    let args = support::args("127.0.0.1:1836", &[("idle", "30"), ("first", "5")])?;
    let (idle, first) = (args.get("idle")?, args.get("first")?);
    // ANCHOR: limits
    let server = args
        .server
        .idle_timeout(Duration::try_from_secs_f64(idle)?)
        // A peer that connects and says nothing is not given as long.
        .first_message_timeout(Duration::try_from_secs_f64(first)?);
    // ANCHOR_END: limits
    support::run(server.listen(args.addr, Lines::default(), || Patient)?)
}
