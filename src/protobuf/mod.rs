//! Protocol Buffers, by [`prost`]. Feature `protobuf`.
//!
//! [`Protobuf`] is the codec of a connection that carries one type of message each way, behind its length. [`Envelopes`] is
//! that of one that carries several: each has its name with it, so it can also be passed on unopened.
//!
//! Messages are structs that derive `prost::Message`, written by hand or by `prost-build`. What is derived names the crate
//! `prost`, so it must be among your own dependencies, too: version 0.14.
//!
//! ```
//! use tiderace::protobuf::Protobuf;
//! use tiderace::{Conn, Handler, Result};
//!
//! #[derive(Clone, PartialEq, prost::Message)]
//! struct Add {
//!     #[prost(sint64, repeated, tag = "1")]
//!     numbers: Vec<i64>,
//! }
//!
//! #[derive(Clone, PartialEq, prost::Message)]
//! struct Sum {
//!     #[prost(sint64, tag = "1")]
//!     total: i64,
//! }
//!
//! struct Adder;
//!
//! impl Handler for Adder {
//!     /// Receives `Add`, sends `Sum`.
//!     type Codec = Protobuf<Add, Sum>;
//!
//!     async fn on_message(&mut self, conn: &mut Conn<Self::Codec>, add: Add) -> Result {
//!         conn.send(&Sum { total: add.numbers.iter().sum() }).await
//!     }
//! }
//! ```

mod codec;
mod envelope;
mod error;
mod write;

pub use codec::Protobuf;
pub use envelope::{Envelope, Envelopes, OwnedEnvelope};
pub use error::ProtobufError;
