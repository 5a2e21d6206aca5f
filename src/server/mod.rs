//! Servers: cores, listeners spread over them, and a graceful end.

mod accept;
mod builder;
mod config;
mod control;
mod listen;
mod worker;

pub use builder::Server;
pub use control::ServerHandle;
pub use listen::Listen;
