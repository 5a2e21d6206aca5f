//! Looks at what has come before it takes any of it: it answers when ten bytes are there.
//!
//!     cargo run --release --example buffered_length -- [--addr IP:PORT] [--cores N]
//!
//! From another terminal, `nc 127.0.0.1 1840`, and type short lines:
//!
//!     listening on 127.0.0.1:1840
//!     6 bytes wait to be read, 0 to be written
//!     12 bytes wait to be read, 0 to be written

mod support;

// ANCHOR: handler
use tiderace::codec::{Peek, Unread};
use tiderace::{Conn, Handler, Result};

struct Tens;

impl Handler for Tens {
    type Codec = Peek;

    async fn on_message(&mut self, conn: &mut Conn<Peek>, mut unread: Unread<'_>) -> Result {
        println!("{} bytes wait to be read, {} to be written", unread.len(), conn.queued());
        while let Some(ten) = unread.take(10) {
            conn.send(&[ten, b"\n"][..]).await?;
        }
        // What was not taken is there again, with more behind it, next time.
        Ok(())
    }
}
// ANCHOR_END: handler

fn main() -> Result {
    let args = support::args("127.0.0.1:1840", &[])?;
    support::run(args.server.listen(args.addr, Peek::default(), || Tens)?)
}
