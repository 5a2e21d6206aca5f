//! Ends as a server should: it finishes what it has begun.
//!
//!     cargo run --release --example graceful_shutdown --features signal -- [--addr IP:PORT] [--cores N]
//!
//! From another terminal, `nc 127.0.0.1 1847`; type a line, and press Ctrl-C at the server within a second. The answer
//! still comes. The line `stop` stops the server, too:
//!
//!     listening on 127.0.0.1:1847
//!     stopping
//!     stopped

mod support;

use std::time::Duration;
use tiderace::codec::Lines;
use tiderace::{Conn, Error, Handler, Result, sleep};

const DEADLINE: Duration = Duration::from_secs(10);

struct Slow;

impl Handler for Slow {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        if line == "stop" {
            return Err(Error::stop_server(DEADLINE));
        }
        sleep(Duration::from_secs(1)).await;
        conn.send(line).await
    }
}

fn main() -> Result {
    let args = support::args("127.0.0.1:1847", &[])?;
    // ANCHOR: stop
    let server = args
        .server
        .listen(args.addr, Lines::default(), || Slow)?
        .on_shutdown(|| async { println!("stopping") })
        .stop_on_signal(DEADLINE);
    // ANCHOR_END: stop
    support::run(server)?;
    println!("stopped");
    Ok(())
}
