//! Sends back what it receives.
//!
//!     cargo run --release --example echo
//!
//! From another terminal, `nc 127.0.0.1 1833` echoes. It listens elsewhere when an address follows: `-- 0.0.0.0:7000`.

// ANCHOR: all
use tiderace::{Conn, Handler, Result, Server, codec::Raw};

struct Echo;

impl Handler for Echo {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        conn.send(bytes).await
    }
}

fn main() -> Result {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:1833".into());
    let server = Server::new().listen(address, Raw, || Echo)?;
    println!("listening on {}", server.local_addrs()[0]);
    server.run()
}
// ANCHOR_END: all
