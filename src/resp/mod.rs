//! RESP, the protocol of Redis, in both of its versions (2 and 3). Feature `resp`.
//!
//! [`Commands`] is the codec of a server: it receives a [`Command`] and sends a [`Reply`]. [`Replies`] is that of a client:
//! it sends commands and receives a [`Value`]. Nothing is copied on the way in: what they lend lies in the connection's
//! buffer.
//!
//! The rules are those of <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
//!
//! ```no_run
//! use tiderace::resp::{Command, Commands, Reply};
//! use tiderace::{Conn, Handler, Result, Server};
//!
//! struct Polite;
//!
//! impl Handler for Polite {
//!     type Codec = Commands;
//!
//!     async fn on_message(&mut self, conn: &mut Conn<Commands>, command: Command<'_>) -> Result {
//!         if command.is("PING") {
//!             conn.send(&Reply::Simple("PONG")).await
//!         } else {
//!             conn.send(&Reply::Error("ERR unknown command")).await
//!         }
//!     }
//! }
//!
//! fn main() -> Result {
//!     Server::new().listen("tcp://127.0.0.1:6379", Commands::default(), || Polite)?.run()
//! }
//! ```
//!
//! And from the other side:
//!
//! ```no_run
//! use tiderace::resp::{Replies, Value};
//!
//! # async fn ask() -> tiderace::Result {
//! let mut redis = tiderace::connect("tcp://127.0.0.1:6379").await?.framed(Replies::default());
//! redis.send(&["GET", "greeting"]).await?;
//! match redis.next().await? {
//!     Some(Value::Bulk(greeting)) => println!("{}", String::from_utf8_lossy(greeting)),
//!     Some(Value::Null) => println!("no greeting"),
//!     other => println!("unexpected: {other:?}"),
//! }
//! # Ok(())
//! # }
//! ```

mod command;
mod commands;
mod error;
mod header;
mod inline;
mod replies;
mod reply;
mod value;

pub use command::Command;
pub use commands::{CommandDecoder, Commands};
pub use error::RespError;
pub use replies::{Replies, ReplyDecoder};
pub use reply::{Attributed, Reply, ReplyEncoder};
pub use value::{AttributedValue, Value, Values};

pub(crate) use value::read as read_value;

/// A version of the protocol. A connection begins with 2, and its client asks for 3 by the command `HELLO`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// What every client speaks.
    #[default]
    Resp2,
    /// With types for maps, sets, numbers, and what is pushed.
    Resp3,
}
