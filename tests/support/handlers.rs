//! Handlers that several tests use.

use std::sync::mpsc::Sender;
use tiderace::codec::{LengthDelimited, Lines, Raw};
use tiderace::{CloseReason, Conn, Handler, Result};

/// Sends everything back.
pub struct Echo;

impl Handler for Echo {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        conn.send(bytes).await
    }
}

/// Sends every line back and tells how it ended.
#[derive(Clone)]
pub struct EchoLines(pub Sender<String>);

impl Handler for EchoLines {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        conn.send(line).await
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        let _ = self.0.send(reason.to_string());
    }
}

/// Sends every frame back and tells how it ended.
#[derive(Clone)]
pub struct EchoFrames(pub Sender<String>);

impl Handler for EchoFrames {
    type Codec = LengthDelimited;

    async fn on_message(&mut self, conn: &mut Conn<LengthDelimited>, frame: &[u8]) -> Result {
        conn.send(frame).await
    }

    async fn on_close(&mut self, _: &mut Conn<LengthDelimited>, reason: &CloseReason) {
        let _ = self.0.send(reason.to_string());
    }
}
