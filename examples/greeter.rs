// A handler that uses each of its hooks: `cargo run --example greeter`, then `nc 127.0.0.1 1833`.

// ANCHOR: handler
use std::time::Duration;
use tiderace::{CloseReason, Conn, Handler, Result, Server, codec::Lines};

struct Greeter {
    name: Option<String>,
}

impl Handler for Greeter {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        conn.send("Who are you?").await
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        match &self.name {
            None => {
                self.name = Some(line.to_owned());
                conn.send(&format!("Hello, {line}.")).await
            }
            Some(name) if line == "bye" => {
                conn.send(&format!("Goodbye, {name}.")).await?;
                conn.close();
                Ok(())
            }
            Some(_) => {
                // Only this connection waits.
                tiderace::sleep(Duration::from_millis(100)).await;
                conn.send("I have thought about it.").await
            }
        }
    }

    async fn on_close(&mut self, conn: &mut Conn<Lines>, reason: &CloseReason) {
        println!("{:?} has gone: {reason}", conn.peer_addr().ok());
    }
}

fn main() -> Result {
    Server::new().listen("tcp://127.0.0.1:1833", Lines::default(), || Greeter { name: None })?.run()
}
// ANCHOR_END: handler
