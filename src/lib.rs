//! tiderace
#![cfg_attr(docsrs, feature(doc_cfg))]

mod buffer;
pub mod codec;
mod connection;
mod error;
mod framed;
mod io;
mod limits;
mod net;
mod runtime;
mod server;
mod slots;
mod timer;

pub use connection::{Conn, ConnectionId, Handle, HandleSendError, Handler, TrySendError};
pub use error::{CloseReason, Error, Result};
pub use framed::Framed;
pub use io::{Address, AddressError, Endpoint};
pub use net::{Stream, connect};
pub use runtime::{
    Elapsed, Interval, JoinError, JoinHandle, Sleep, Timeout, block_on, interval, sleep, sleep_until, spawn_local,
    timeout, yield_now,
};
pub use server::{Listen, Server, ServerHandle};
