//! A connection of a handler: what users implement ([`Handler`]) and hold ([`Conn`], [`Handle`]), and the task that
//! drives it.

mod awaited;
mod close;
mod conn;
mod drive;
mod find;
mod fresh;
mod handle;
mod handler;
mod id;
mod send_file;
mod serve;
mod settings;
mod supervise;
mod tasks;
mod upgrade;

pub use conn::{Conn, TrySendError};
pub use handle::{Handle, HandleSendError};
pub use handler::Handler;
pub use id::ConnectionId;

pub(crate) use drive::{Incoming, Session, drive};
pub(crate) use find::find;
pub(crate) use handle::visit;
pub(crate) use settings::{ConnectionLimit, ConnectionLimits, Settings};
