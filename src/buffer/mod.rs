//! Where bytes wait: what a socket brought ([`Ring`]), what it still has to take ([`Outbound`]), and the blocks that
//! both borrow from their core ([`Pool`]).
//!
//! Nothing here knows a socket or a clock.

#[cfg(any(feature = "http", feature = "resp"))]
pub(crate) mod decimal;
mod input;
mod outbound;
mod output;
mod pool;
mod ring;

pub use input::Input;
pub use output::Output;

pub(crate) use outbound::Outbound;
pub(crate) use output::{Direct, Ending};
pub(crate) use pool::{Class, Pool};
pub(crate) use ring::Ring;
