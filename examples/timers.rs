//! Reminds its clients of what they ask for.
//!
//!     cargo run --release --example timers -- [--addr IP:PORT] [--cores N]
//!
//! From another terminal, `nc 127.0.0.1 1848`, and type `3 the tea is ready`. It says so after three seconds; `forget` takes
//! back what has not been said:
//!
//!     listening on 127.0.0.1:1848

mod support;

// ANCHOR: handler
use std::time::Duration;
use tiderace::codec::Lines;
use tiderace::{CloseReason, Conn, Handler, JoinHandle, Result, after};

#[derive(Default)]
struct Reminder {
    pending: Vec<JoinHandle<()>>,
}

impl Handler for Reminder {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        if line == "forget" {
            return conn.send(&format!("{} forgotten", self.forget())).await;
        }
        let asked = line.split_once(' ').and_then(|(seconds, text)| Some((seconds.parse().ok()?, text.to_owned())));
        let Some((seconds, text)) = asked.filter(|(seconds, _): &(f64, _)| (0.0..1e6).contains(seconds)) else {
            return conn.send("say a number of seconds, and what to say then").await;
        };
        // The handle outlives this method, and may outlive the connection: then it says that that is closed.
        let peer = conn.handle();
        self.pending.push(after(Duration::from_secs_f64(seconds), async move {
            let _ = peer.try_send(text);
        }));
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, _: &CloseReason) {
        self.forget();
    }
}

impl Reminder {
    fn forget(&mut self) -> usize {
        self.pending.retain(|reminder| !reminder.is_finished());
        let pending = self.pending.len();
        self.pending.drain(..).for_each(JoinHandle::abort);
        pending
    }
}
// ANCHOR_END: handler

fn main() -> Result {
    let args = support::args("127.0.0.1:1848", &[])?;
    support::run(args.server.listen(args.addr, Lines::default(), Reminder::default)?)
}
