//! The system: the one clock, the one place that waits, and sockets.
//!
//! Everything above sees the kernel through what stands here: register, wait, read, write, now.

mod address;
mod clock;
mod poller;
mod socket;

pub use address::{Address, AddressError, Endpoint};

pub(crate) use clock::{Clock, Nanos, nanos, processor_time};
pub(crate) use poller::{Event, Notifier, OpenPoller, Poller, Readiness, Wait};
pub(crate) use socket::{Accepted, Listener, Socket};
