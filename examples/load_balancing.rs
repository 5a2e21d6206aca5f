//! Spreads connections over its cores, and shows how.
//!
//!     cargo run --release --example load_balancing -- [--addr IP:PORT] [--cores N]
//!                                        [--balance kernel|round-robin|least|source|random|port]
//!
//! With `--cores 4 --balance round-robin`, and six times `nc 127.0.0.1 1844`:
//!
//!     listening on 127.0.0.1:1844
//!     [1, 2, 2, 1]

mod support;

// ANCHOR: balance
use std::time::Duration;
use tiderace::{Balance, Conn, Error, Handler, Result, codec::Raw};

/// Sends the number of its core first, and then everything back.
struct Echo;

impl Handler for Echo {
    type Codec = Raw;

    async fn on_open(&mut self, conn: &mut Conn<Raw>) -> Result {
        let core = conn.id().core();
        conn.send(&format!("core {core}\n")).await
    }

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        conn.send(bytes).await
    }
}

fn balance(name: &str) -> Result<Balance> {
    Ok(match name {
        "kernel" => Balance::Kernel,
        "round-robin" => Balance::RoundRobin,
        "least" => Balance::LeastConnections,
        "source" => Balance::SourceHash,
        "random" => Balance::Random,
        // One's own: by the peer's port.
        "port" => Balance::custom(|peer, open| usize::from(peer.port().unwrap_or(0)) % open.len()),
        _ => return Err(Error::msg(format!("--balance: {name} is not known"))),
    })
}
// ANCHOR_END: balance

fn main() -> Result {
    let args = support::args("127.0.0.1:1844", &[("balance", "kernel")])?;
    let balance = balance(&args.get::<String>("balance")?)?;
    let server = args.server.balance(balance).listen(args.addr, Raw, || Echo)?;
    let handle = server.handle();
    support::run(server.on_tick(move || {
        println!("{:?}", handle.connections_per_core());
        Some(Duration::from_secs(1))
    }))
}
