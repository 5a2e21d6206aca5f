//! WebSocket, for servers and clients (RFC 6455). Feature `websocket`.
//!
//! ```no_run
//! use tiderace::websocket::{Message, WebSocket};
//! use tiderace::{Conn, Handler, Result, Server};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     type Codec = WebSocket;
//!
//!     async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
//!         match message {
//!             Message::Text(text) => conn.send(text).await,
//!             Message::Binary(bytes) => conn.send(bytes).await,
//!             _ => Ok(()),
//!         }
//!     }
//! }
//!
//! fn main() -> Result {
//!     Server::new().listen("tcp://127.0.0.1:9001", WebSocket::default(), || Echo)?.run()
//! }
//! ```
//!
//! The library makes the handshake, answers pings and closes, puts fragments together, and checks what the RFC has
//! checked. `on_open` is called when the handshake has been made. A message that comes in one frame is lent from the
//! connection's buffer, in which its mask was taken off.

mod answers;
mod assembly;
mod client;
mod codec;
mod compression;
mod decoder;
mod deflate;
mod encoder;
mod error;
mod extensions;
mod frame;
mod handshake;
mod mask;
mod message;
mod opened;
mod requests;
mod shared;
mod state;

pub use client::{Answer, HandshakeError, Opened, ServerRefusal, UrlError, WebSocketConnector};
pub use codec::WebSocket;
pub use decoder::WebSocketDecoder;
pub use deflate::Deflate;
pub use encoder::{Accept, WebSocketEncoder};
pub use error::{SendError, WebSocketError};
pub use message::{Close, CloseCode, Fragment, Message, Outgoing, Ping, Pong, Prepared};
pub use opened::Handshake;

use codec::Config;
use compression::Negotiated;
