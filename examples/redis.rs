//! A small Redis: strings with times to live, transactions, and channels, for the clients of Redis.
//!
//!     cargo run --release --example redis --features resp -- [--addr ADDRESS]... [--cores N] [--max-memory MIB] [--password WORD]
//!
//! It listens on 127.0.0.1:6380, or wherever it is told, at several addresses if `--addr` is given several times: `IP:PORT` or
//! `unix:///PATH`. With the tools of Redis: `redis-cli -p 6380 set greeting hello`, `redis-benchmark -p 6380 -t ping,set,get -P 128`:
//!
//!     listening on 127.0.0.1:6380
//!
//! What it is not: a database. All is lost when it ends, because nothing is written to a disk. There are no lists, hashes, sets,
//! sorted sets or streams, no Lua (by which redis-py releases its `Lock`), no cluster, no replicas, no eviction (when memory is
//! full, what needs more is refused), no notifications of keys, no users besides the default one, no settings that can be
//! changed while it runs, and no subscribing inside a transaction.

#[path = "redis/answer.rs"]
mod answer;
#[path = "redis/channels.rs"]
mod channels;
#[path = "redis/client.rs"]
mod client;
#[path = "redis/clients.rs"]
mod clients;
#[path = "redis/commands.rs"]
mod commands;
#[path = "redis/connection.rs"]
mod connection;
#[path = "redis/describe.rs"]
mod describe;
#[path = "redis/glob.rs"]
mod glob;
#[path = "redis/keys.rs"]
mod keys;
#[path = "redis/listening.rs"]
mod listening;
#[path = "redis/number.rs"]
mod number;
#[path = "redis/server.rs"]
mod server;
#[path = "redis/session.rs"]
mod session;
#[path = "redis/store.rs"]
mod store;
#[path = "redis/strings.rs"]
mod strings;
mod support;
#[path = "redis/time.rs"]
mod time;
#[path = "redis/transaction.rs"]
mod transaction;
#[path = "redis/watch.rs"]
mod watch;

use client::Client;
use commands::Shared;
use lexopt::ValueExt;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tiderace::resp::Commands;
use tiderace::{Result, Server};

/// How often keys are looked for whose time is over. No client sees them in between: each access checks.
const SWEEP: Duration = Duration::from_millis(100);
/// The longest command, and so about the longest value.
pub const LONGEST: usize = 64 * 1024 * 1024;

/// As many as Redis takes.
const MOST_ARGUMENTS: usize = 1024 * 1024;

const USAGE: &str = "options, with their defaults: --addr 127.0.0.1:6380 (may be given several times) --cores (all)
  --max-memory 1024 --password (none)";

fn main() -> Result {
    let (mut server, mut addresses) = (Server::new(), Vec::<String>::new());
    let (mut max_memory, mut password) = (1024_usize, String::new());
    let mut given = lexopt::Parser::from_env();
    while let Some(arg) = given.next()? {
        use lexopt::Arg::{Long, Short};
        match arg {
            Long("addr") => addresses.push(given.value()?.parse()?),
            Long("cores") => server = server.cores(given.value()?.parse()?),
            Long("max-memory") => max_memory = given.value()?.parse()?,
            Long("password") => password = given.value()?.parse()?,
            Short('h') | Long("help") => {
                println!("{USAGE}");
                return Ok(());
            }
            _ => return Err(arg.unexpected().into()),
        }
    }
    if addresses.is_empty() {
        addresses.push("127.0.0.1:6380".to_owned());
    }
    let store = Store::new(max_memory.saturating_mul(1024 * 1024));
    let shared = Arc::new(Shared { store, channels: Default::default(), clients: Default::default(), password });
    let codec = Commands::default().max_command(LONGEST).max_arguments(MOST_ARGUMENTS);
    for address in addresses {
        let shared = shared.clone();
        server = server.listen(address, codec, move || Client::new(shared.clone()))?;
    }
    support::run(server.on_tick(move || {
        shared.store.sweep();
        Some(SWEEP)
    }))
}
