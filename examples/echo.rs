//! Sends back what it receives, and prints how many connections are open every two seconds.
//!
//!     cargo run --release --example echo -- [--addr IP:PORT] [--cores N] [--codec raw|lines|frame]
//!                                           [--busy-poll MICROSECONDS] [--portable]
//!
//! and, from another terminal, `nc 127.0.0.1 1833`.

use std::time::Duration;
use tiderace::codec::Raw;
use tiderace::{Conn, Handler, Result, Server};

struct Echo;

impl Handler for Echo {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        conn.send(bytes).await
    }
}

fn main() -> Result {
    let mut addr = String::from("127.0.0.1:1833");
    let mut server = Server::new();
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        use lexopt::ValueExt;
        match arg {
            lexopt::Arg::Long("addr") => addr = args.value()?.parse()?,
            lexopt::Arg::Long("cores") => server = server.cores(args.value()?.parse()?),
            lexopt::Arg::Long("busy-poll") => {
                server = server.busy_poll(Duration::from_micros(args.value()?.parse()?));
            }
            lexopt::Arg::Long("portable") => server = server.portable(true),
            _ => return Err(arg.unexpected().into()),
        }
    }
    server.listen(addr, Raw, || Echo)?.run()
}
