//! Sends back what it receives on a Unix socket, and removes the socket's file when it ends.
//!
//!     cargo run --release --example unix_echo -- [--addr unix://PATH] [--cores N]
//!
//! From another terminal, `nc -U /tmp/tiderace.sock` echoes. On Linux `--addr unix://@NAME` makes no file:
//!
//!     listening on unix:/tmp/tiderace.sock

mod support;

use tiderace::{Conn, Handler, Result, codec::Raw};

struct Echo;

impl Handler for Echo {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        conn.send(bytes).await
    }
}

fn main() -> Result {
    let args = support::args("unix:///tmp/tiderace.sock", &[])?;
    support::run(args.server.listen(args.addr, Raw, || Echo)?)
}
