//! Sends back every datagram that it receives.
//!
//!     cargo run --release --example udp_echo -- [--addr udp://HOST:PORT] [--cores N]
//!
//! From another terminal, `nc -u 127.0.0.1 1835` echoes:
//!
//!     listening on 127.0.0.1:1835

mod support;

// ANCHOR: handler
use tiderace::{DatagramHandler, Peer, Result, UdpSocket};

struct Echo;

impl DatagramHandler for Echo {
    async fn on_datagram(&mut self, socket: &UdpSocket, datagram: &[u8], from: Peer) -> Result {
        socket.send_to(datagram, from).await
    }
}
// ANCHOR_END: handler

fn main() -> Result {
    let args = support::args("udp://127.0.0.1:1835", &[])?;
    support::run(args.server.listen_udp(args.addr, || Echo)?)
}
