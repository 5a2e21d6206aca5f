//! Talks to a WebSocket: sends the lines of its input, and prints what it hears.
//!
//!     cargo run --release --example ws_client --features websocket -- [--addr URL] [--echo yes|no] [--compress yes|no] [--stay yes|no]
//!
//! With the ws_echo example as the server, `echo hello | cargo run ..`:
//!
//!     hello
//!
//! With `--echo yes` it sends back what it hears instead, until the server closes. With `--stay yes` it says hello, prints what it
//! hears, and comes back when the server has gone.

mod support;

use std::io::BufRead;
use std::time::Duration;
use tiderace::websocket::{Close, CloseCode, Deflate, Message, WebSocket, WebSocketConnector};
use tiderace::{Backoff, Conn, Framed, Handler, Result, block_on};

const LONGEST: usize = 16 * 1024 * 1024;

async fn echo(mut socket: Framed<WebSocket>) -> Result {
    loop {
        // What is lent is sent back before the next is received, so it is copied.
        let (text, binary) = match socket.next().await? {
            Some(Message::Text(text)) => (Some(text.to_owned()), None),
            Some(Message::Binary(bytes)) => (None, Some(bytes.to_vec())),
            Some(_) => continue,
            None => return Ok(()),
        };
        if let Some(text) = text {
            socket.send(&text).await?;
        } else if let Some(bytes) = binary {
            socket.send(&bytes).await?;
        }
    }
}

async fn talk(mut socket: Framed<WebSocket>) -> Result {
    // To read a line blocks this thread, and with it the core. That is fine here, because it has nothing else to do.
    for line in std::io::stdin().lock().lines() {
        socket.send(&line?).await?;
        if let Some(Message::Text(text)) = socket.next().await? {
            println!("{text}");
        }
    }
    // The server answers with its own close, and then closes the connection.
    socket.send(&Close { code: CloseCode::NORMAL, reason: "" }).await?;
    while socket.next().await?.is_some() {}
    Ok(())
}

// ANCHOR: stay
struct Listener;

impl Handler for Listener {
    type Codec = WebSocket;

    async fn on_open(&mut self, conn: &mut Conn<WebSocket>) -> Result {
        conn.send("hello").await
    }

    async fn on_message(&mut self, _: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
        if let Message::Text(text) = message {
            println!("{text}");
        }
        Ok(())
    }
}

async fn stay_connected(connector: WebSocketConnector) -> Result {
    let backoff = Backoff::default().first(Duration::from_millis(50)).max(Duration::from_secs(5));
    let mut client = connector.idle_timeout(Some(Duration::from_secs(20))).serve(backoff, |answer| {
        println!("connected to {}", answer.header("Server").unwrap_or("a server"));
        Listener
    });
    client.closed().await
}
// ANCHOR_END: stay

fn main() -> Result {
    let defaults = [("echo", "no"), ("compress", "no"), ("stay", "no")];
    let args = support::args("ws://127.0.0.1:9001", &defaults)?;
    let stays = args.get::<String>("stay")? == "yes";
    let echoes = args.get::<String>("echo")? == "yes";
    let compresses = args.get::<String>("compress")? == "yes";
    block_on(async {
        let mut limits = WebSocket::default().max_message(LONGEST).max_frame(LONGEST);
        if compresses {
            limits = limits.compress(Deflate::default().keep_contexts().threshold(0));
        }
        let connector = WebSocketConnector::new(&args.addr)?.limits(&limits);
        if stays {
            return stay_connected(connector).await;
        }
        let socket = connector.connect().await?.framed();
        if echoes { echo(socket).await } else { talk(socket).await }
    })
}
