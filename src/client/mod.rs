//! Clients: connecting to one of several addresses, and staying connected.

mod backoff;
mod connector;
mod persistent;
mod race;

pub use backoff::Backoff;
pub use connector::{Connector, connect};
pub use persistent::Client;
#[cfg(feature = "websocket")]
pub(crate) use persistent::Dial;
