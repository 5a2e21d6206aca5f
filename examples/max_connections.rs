//! Has no more than so many connections at once.
//!
//!     cargo run --release --example max_connections -- [--addr IP:PORT] [--cores N] [--max CONNECTIONS]
//!
//! From several terminals, `nc 127.0.0.1 1837`; one more than the limit is closed at once:
//!
//!     listening on 127.0.0.1:1837
//!     2 open, 1 refused

mod support;

use std::time::Duration;
use support::Echo;
use tiderace::{Result, codec::Raw};

fn main() -> Result {
    let args = support::args("127.0.0.1:1837", &[("max", "2")])?;
    let max = args.get("max")?;
    let server = args.server.max_connections(max).listen(args.addr, Raw, || Echo)?;
    let handle = server.handle();
    support::run(server.on_tick(move || {
        println!("{} open, {} refused", handle.connections(), handle.refused());
        Some(Duration::from_secs(1))
    }))
}
