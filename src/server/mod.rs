//! Servers: cores, listeners spread over them, and a graceful end.

mod accept;
mod balance;
mod bind;
mod builder;
mod config;
mod control;
mod datagram;
mod deadline;
mod duplicate;
mod hooks;
mod intake;
mod listen;
mod start;
mod worker;

pub use balance::{Balance, Choose};
pub use bind::Bind;
pub use builder::Server;
pub use control::ServerHandle;
pub use listen::{Listen, ListenUdp};
