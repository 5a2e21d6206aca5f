//! An echo server that shows what its cores do, as a page for Prometheus.
//!
//!     cargo run --release --example metrics --features metrics -- [--addr IP:PORT] [--cores N] [--metrics IP:PORT]
//!
//! `curl http://127.0.0.1:9100/metrics` prints the page:
//!
//!     listening on 127.0.0.1:1846
//!     listening on 127.0.0.1:9100
//!     0 messages in 0 turns

mod support;

use std::time::Duration;
use support::Echo;
use tiderace::{CoreMetrics, Result, codec::Raw};

fn main() -> Result {
    let args = support::args("127.0.0.1:1846", &[("metrics", "127.0.0.1:9100")])?;
    let page = args.get::<String>("metrics")?;
    // ANCHOR: metrics
    let server = args.server.listen(args.addr, Raw, || Echo)?.metrics_at(page)?;
    let handle = server.handle();
    let server = server.on_tick(move || {
        // The same numbers, for the program itself.
        let metrics = handle.metrics();
        let (messages, turns) = (metrics.total(|core| core.messages_received), metrics.total(CoreMetrics::turns));
        println!("{messages} messages in {turns} turns");
        Some(Duration::from_secs(2))
    });
    // ANCHOR_END: metrics
    support::run(server)
}
