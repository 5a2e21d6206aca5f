//! A client that stays connected: it says hello, prints what it hears, and comes back when the server has gone.
//!
//!     cargo run --release --example reconnect -- [--addr ADDRESS]
//!
//! Start it, start the echo example, stop that, and start it again:
//!
//!     connecting to 127.0.0.1:1833
//!     connected
//!     heard hello
//!     the connection has ended: end of stream
//!     connected
//!     heard hello

mod support;

// ANCHOR: client
use std::time::Duration;
use tiderace::codec::Lines;
use tiderace::{Backoff, CloseReason, Conn, Connector, Handler, Result, block_on};

struct Greeter;

impl Handler for Greeter {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        println!("connected");
        conn.send("hello").await
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        println!("heard {line}");
        if line == "bye" {
            // What is closed on this side is not opened again.
            conn.close();
        }
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        println!("the connection has ended: {reason}");
    }
}

async fn stay_connected(addr: String) -> Result {
    let connector = Connector::new(addr)?.timeout(Duration::from_secs(5));
    // From 50 ms on, twice as long each time, with jitter, and never longer than 5 s.
    let backoff = Backoff::default().first(Duration::from_millis(50)).max(Duration::from_secs(5));
    connector.serve(Lines::default(), backoff, || Greeter).closed().await
}
// ANCHOR_END: client

fn main() -> Result {
    let args = support::args("127.0.0.1:1833", &[])?;
    println!("connecting to {}", args.addr);
    block_on(stay_connected(args.addr))
}
