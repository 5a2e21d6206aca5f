//! The echo server against a bare epoll loop and against tokio, in turns within one run, so that a change of the machine's
//! mood hits all alike. Prints medians and ratios.
//!
//!     cargo bench --bench versus                 # about a minute
//!     cargo bench --bench versus -- --rounds 9 --secs 1
//!
//! Each server is a process of its own: this program again, as the server that an environment variable names. Processor
//! time is that of the server's process. Linux only.

mod support;

use std::process::ExitCode;
use support::{Load, Row, Server};

/// What is measured: the name, the load, and the servers, of which the first is what the others are compared with.
const CASES: [(&str, Load, &[Server]); 5] = [
    ("echo, 50 connections, 64 B", Load::echo(50, 64), &[Server::RawEpoll, Server::Tiderace, Server::Tokio]),
    ("echo, 1 connection, 64 B", Load::echo(1, 64), &[Server::RawEpoll, Server::Tiderace, Server::Tokio]),
    ("echo, 50 connections, 16 KiB", Load::echo(50, 16 * 1024), &[Server::RawEpoll, Server::Tiderace, Server::Tokio]),
    ("frames, 50 connections, 64 B, 16 deep", Load::frames(50, 64, 16), &[Server::TokioFrames, Server::TideraceFrames]),
    (
        "frames, 50 connections, 64 B, 128 deep",
        Load::frames(50, 64, 128),
        &[Server::TokioFrames, Server::TideraceFrames],
    ),
];

fn main() -> ExitCode {
    if let Some(server) = Server::asked_for() {
        server.serve();
    }
    let (mut rounds, mut secs) = (5, 0.5);
    let mut args = lexopt::Parser::from_env();
    loop {
        use lexopt::{Arg::Long, ValueExt};
        let parsed = match args.next() {
            Ok(Some(Long("rounds"))) => args.value().and_then(|value| value.parse().map(|value| rounds = value)),
            Ok(Some(Long("secs"))) => args.value().and_then(|value| value.parse().map(|value| secs = value)),
            // Cargo's own.
            Ok(Some(Long("bench"))) => Ok(()),
            Ok(Some(other)) => Err(other.unexpected()),
            Ok(None) => break,
            Err(error) => Err(error),
        };
        if let Err(error) = parsed {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    for (name, load, servers) in CASES {
        println!("\n{name}: medians of {rounds} rounds (ratio to {})", servers[0].name());
        println!("{:24}{:>24}{:>24}{:>20}", "", "messages/s", "processor us/message", "p50 us");
        let mut rows: Vec<Vec<Row>> = vec![Vec::new(); servers.len()];
        for _ in 0..rounds {
            for (server, rows) in servers.iter().zip(&mut rows) {
                rows.push(load.run(*server, secs));
            }
        }
        for (server, measured) in servers.iter().zip(&rows) {
            let column = |value: fn(&Row) -> f64| {
                let ratios = measured.iter().zip(&rows[0]).map(|(row, base)| value(row) / value(base));
                format!("{:.4} ({:.2}x)", median(measured.iter().map(value)), median(ratios))
            };
            let (rate, cost, p50) = (column(|r| r.rate), column(|r| r.cost), column(|r| r.p50));
            println!("{:24}{rate:>24}{cost:>24}{p50:>20}", server.name());
        }
    }
    ExitCode::SUCCESS
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
