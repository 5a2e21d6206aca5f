//! Pushes the number of seconds since it began to everybody, without being asked.
//!
//!     cargo run --release --example push -- [--addr IP:PORT] [--cores N] [--every SECONDS]
//!
//! From another terminal, `nc 127.0.0.1 1838` prints `1`, `2`, `3`:
//!
//!     listening on 127.0.0.1:1838

mod support;

// ANCHOR: handler
use std::time::Duration;
use tiderace::codec::Lines;
use tiderace::{Conn, Group, Handler, Result};

struct Subscriber {
    all: Group<Lines>,
}

impl Handler for Subscriber {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        self.all.join(conn);
        Ok(())
    }

    async fn on_message(&mut self, _: &mut Conn<Lines>, _: &str) -> Result {
        Ok(())
    }
}
// ANCHOR_END: handler

fn main() -> Result {
    let args = support::args("127.0.0.1:1838", &[("every", "1")])?;
    let every = Duration::try_from_secs_f64(args.get("every")?)?;
    // ANCHOR: push
    let all = Group::new(Lines::default());
    let subscriber = {
        let all = all.clone();
        move || Subscriber { all: all.clone() }
    };
    let mut ticks = 0;
    let server = args.server.listen(args.addr, Lines::default(), subscriber)?.on_tick(move || {
        if ticks > 0
            && let Err(error) = all.try_send(&ticks.to_string())
        {
            eprintln!("{error}");
        }
        ticks += 1;
        Some(every)
    });
    // ANCHOR_END: push
    support::run(server)
}
