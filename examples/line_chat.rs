//! A chat: a line that one client sends goes to all the others, and back to who has sent it.
//!
//!     cargo run --release --example line_chat -- [--addr IP:PORT] [--cores N]
//!
//! It listens on 127.0.0.1:1834. From two terminals, `nc 127.0.0.1 1834`:
//!
//!     listening on 127.0.0.1:1834
//!     2 guests, 14 lines

mod support;

// ANCHOR: handler
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tiderace::codec::Lines;
use tiderace::{Conn, Group, Handler, Result};

struct Guest {
    room: Group<Lines>,
    lines: Arc<AtomicU64>,
}

impl Handler for Guest {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        self.room.join(conn);
        Ok(())
    }

    async fn on_message(&mut self, _: &mut Conn<Lines>, line: &str) -> Result {
        self.lines.fetch_add(1, Relaxed);
        // Encoded once, for however many guests; whoever reads too slowly misses it.
        self.room.try_send(line)
    }
}
// ANCHOR_END: handler

fn main() -> Result {
    let args = support::args("127.0.0.1:1834", &[])?;
    let (room, lines) = (Group::new(Lines::default()), Arc::<AtomicU64>::default());
    let guest = {
        let (room, lines) = (room.clone(), lines.clone());
        move || Guest { room: room.clone(), lines: lines.clone() }
    };
    let server = args.server.listen(args.addr, Lines::default(), guest)?.on_tick(move || {
        println!("{} guests, {} lines", room.len(), lines.load(Relaxed));
        Some(Duration::from_secs(2))
    });
    support::run(server)
}
