//! Has a thread of its own answer, which knows nothing of cores.
//!
//!     cargo run --release --example send_from_threads -- [--addr IP:PORT] [--cores N]
//!
//! From another terminal, `nc 127.0.0.1 1839`: each line comes back from the thread, backwards:
//!
//!     listening on 127.0.0.1:1839

mod support;

// ANCHOR: handler
use std::sync::mpsc::{Sender, channel};
use std::thread;
use tiderace::codec::Lines;
use tiderace::{Conn, Handle, Handler, Result};

struct Front {
    jobs: Sender<(String, Handle<Lines>)>,
}

impl Handler for Front {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        Ok(self.jobs.send((line.to_owned(), conn.handle()))?)
    }
}
// ANCHOR_END: handler

fn main() -> Result {
    let args = support::args("127.0.0.1:1839", &[])?;
    // ANCHOR: thread
    let (jobs, to_do) = channel::<(String, Handle<Lines>)>();
    thread::spawn(move || {
        for (line, peer) in to_do {
            let answer: String = line.chars().rev().collect();
            // The thread sleeps while the peer has much to read already. `try_send` does not wait.
            if let Err(error) = peer.feed_blocking(answer) {
                println!("{} has not got its answer: {error}", peer.id());
            }
        }
    });
    // ANCHOR_END: thread
    support::run(args.server.listen(args.addr, Lines::default(), move || Front { jobs: jobs.clone() })?)
}
