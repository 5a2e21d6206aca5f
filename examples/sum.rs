// Adds up the numbers that it is sent, one a line: `cargo run --example sum`, then `nc 127.0.0.1 1833`.

// ANCHOR: all
use tiderace::{Conn, Handler, Result, Server, codec::Lines};

struct Sum {
    total: i64,
}

impl Handler for Sum {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        self.total += line.trim().parse::<i64>()?;
        conn.send(&self.total.to_string()).await
    }
}

fn main() -> Result {
    Server::new().listen("tcp://127.0.0.1:1833", Lines::default(), || Sum { total: 0 })?.run()
}
// ANCHOR_END: all
