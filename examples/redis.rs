//! A small Redis: strings in memory, with times to live, and channels.
//!
//!     cargo run --release --example redis --features resp -- [--addr IP:PORT] [--cores N] [--max-memory MIB]
//!
//! It listens on 127.0.0.1:6380. With the tools of Redis, `redis-cli -p 6380 set greeting hello`, `redis-benchmark -p 6380
//! -t ping,set,get -P 128`:
//!
//!     listening on 127.0.0.1:6380

#[path = "redis/channels.rs"]
mod channels;
#[path = "redis/client.rs"]
mod client;
#[path = "redis/commands.rs"]
mod commands;
#[path = "redis/glob.rs"]
mod glob;
#[path = "redis/store.rs"]
mod store;
mod support;

use channels::Channels;
use client::{Client, Shared};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tiderace::Result;
use tiderace::resp::Commands;

/// How often keys are looked for whose time is over. Nobody sees them in between: each access checks.
const SWEEP: Duration = Duration::from_millis(100);
/// The longest command, and so about the longest value.
const LONGEST: usize = 64 * 1024 * 1024;

fn main() -> Result {
    let args = support::args("127.0.0.1:6380", &[("max-memory", "1024")])?;
    let store = Store::new(args.get::<usize>("max-memory")?.saturating_mul(1024 * 1024));
    let shared = Arc::new(Shared { store, channels: Channels::default() });
    let sweeping = shared.clone();
    let codec = Commands::default().max_command(LONGEST);
    let server = args.server.listen(args.addr, codec, move || Client::new(shared.clone()))?.on_tick(move || {
        sweeping.store.sweep();
        Some(SWEEP)
    });
    support::run(server)
}
