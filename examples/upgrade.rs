//! A protocol that changes into another one: lines until a client asks for frames, then frames, on the same connection.
//!
//!     cargo run --release --example upgrade -- [--addr IP:PORT] [--cores N]
//!
//! From another terminal:
//!
//!     $ printf 'BINARY bob\n\0\0\0\5hello' | nc -N 127.0.0.1 1853
//!     say BINARY and a name
//!     OK
//!     hello
//!
//! Each frame has four bytes of length before it.

mod support;

// ANCHOR: handlers
use tiderace::codec::{LengthDelimited, Lines};
use tiderace::{CloseReason, Conn, Handler, Result};

struct Greeting;

impl Handler for Greeting {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        conn.send("say BINARY and a name").await
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        let Some(user) = line.strip_prefix("BINARY ") else { return conn.send("what?").await };
        // It leaves in the old protocol, and what comes behind the line is read in the new one.
        conn.send("OK").await?;
        conn.upgrade(LengthDelimited::default(), Frames { user: user.to_owned() });
        Ok(())
    }
}

struct Frames {
    user: String,
}

impl Handler for Frames {
    type Codec = LengthDelimited;

    async fn on_message(&mut self, conn: &mut Conn<LengthDelimited>, frame: &[u8]) -> Result {
        println!("{} bytes from {}", frame.len(), self.user);
        conn.send(frame).await
    }

    async fn on_close(&mut self, _: &mut Conn<LengthDelimited>, reason: &CloseReason) {
        println!("{} has gone: {reason}", self.user);
    }
}
// ANCHOR_END: handlers

fn main() -> Result {
    let args = support::args("127.0.0.1:1853", &[])?;
    support::run(args.server.listen(args.addr, Lines::default(), || Greeting)?)
}
