//! One server that listens in four places, each with a protocol and a handler of its own.
//!
//!     cargo run --release --example several_listeners -- [--addr IP:PORT] [--lines IP:PORT] [--udp IP:PORT]
//!                                                        [--unix PATH] [--cores N]
//!
//! It echoes bytes at the first, shouts lines back at the second and at the Unix socket, and answers datagrams at the third:
//!
//!     listening on 127.0.0.1:1841
//!     listening on 127.0.0.1:1842
//!     listening on 127.0.0.1:1843
//!     listening on unix:/tmp/tiderace-lines.sock

mod support;

use support::Echo;
use tiderace::codec::{Lines, Raw};
use tiderace::{Conn, DatagramHandler, Endpoint, Handler, Peer, Result, UdpSocket};

#[derive(Clone)]
struct Shout;

impl Handler for Shout {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        // By which of the server's listeners this one came.
        let listener = conn.listener().unwrap_or_default();
        conn.send(&format!("{listener}: {}", line.to_uppercase())).await
    }
}

impl DatagramHandler for Shout {
    async fn on_datagram(&mut self, socket: &UdpSocket, datagram: &[u8], from: Peer) -> Result {
        socket.send_to(&datagram.to_ascii_uppercase(), from).await
    }
}

fn main() -> Result {
    let others = [("lines", "127.0.0.1:1842"), ("udp", "127.0.0.1:1843"), ("unix", "/tmp/tiderace-lines.sock")];
    let args = support::args("127.0.0.1:1841", &others)?;
    let (lines, udp) = (args.get::<String>("lines")?, args.get::<String>("udp")?);
    let unix = Endpoint::try_from(format!("unix://{}", args.get::<String>("unix")?))?;
    // ANCHOR: listen
    let server = args
        .server
        .listen(args.addr, Raw, || Echo)?
        .listen(lines, Lines::default(), || Shout)?
        .listen_udp(udp, || Shout)?
        .listen(unix, Lines::default(), || Shout)?;
    // ANCHOR_END: listen
    support::run(server)
}
