//! Servers: cores, listeners spread over them, and a graceful end.

mod accept;
mod attach;
mod balance;
mod bind;
mod builder;
mod config;
mod control;
mod datagram;
mod deadline;
mod duplicate;
mod ended;
mod hooks;
mod intake;
mod life;
mod listen;
mod refusal;
mod start;
mod status;
mod tick;
mod visit;
mod worker;

pub use balance::{Balance, Choose};
pub use bind::Bind;
pub use builder::Server;
pub use control::ServerHandle;
pub use listen::{Listen, ListenUdp};
pub use refusal::Refusal;
pub use tick::Tick;
pub use visit::ForEach;
