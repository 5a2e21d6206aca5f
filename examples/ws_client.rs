//! Talks to a WebSocket: sends the lines of its input, and prints what it hears.
//!
//!     cargo run --release --example ws_client --features websocket -- [--addr URL] [--echo yes|no] [--compress yes|no]
//!
//! With the ws_echo example as the server, `echo hello | cargo run ..`:
//!
//!     hello
//!
//! With `--echo yes` it sends back what it hears instead, until the server closes.

mod support;

use std::io::BufRead;
use tiderace::websocket::{Deflate, Message, WebSocket, WebSocketConnector};
use tiderace::{Framed, Result, block_on};

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
    Ok(())
}

fn main() -> Result {
    let args = support::args("ws://127.0.0.1:9001", &[("echo", "no"), ("compress", "no")])?;
    let echoes = args.get::<String>("echo")? == "yes";
    let compresses = args.get::<String>("compress")? == "yes";
    block_on(async {
        let mut limits = WebSocket::default().max_message(LONGEST).max_frame(LONGEST);
        if compresses {
            limits = limits.compress(Deflate::default().keep_contexts().threshold(0));
        }
        let socket = WebSocketConnector::new(&args.addr)?.limits(&limits).connect().await?.framed();
        if echoes { echo(socket).await } else { talk(socket).await }
    })
}
