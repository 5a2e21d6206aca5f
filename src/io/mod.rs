//! The system: the one clock, the one place that waits, and sockets.
//!
//! Everything above sees the kernel through what stands here: register, wait, read, write, now.

mod address;
mod address_error;
mod affinity;
mod batch;
#[cfg(feature = "files")]
mod beneath;
mod clock;
mod datagram;
mod descriptor;
mod endpoint;
mod file;
mod listener;
mod no_signal;
mod options;
mod peer;
mod poller;
mod send_batch;
mod socket;
mod socket_file;
mod unacknowledged;

pub use address::Address;
pub use address_error::AddressError;
pub use endpoint::Endpoint;
pub use options::{KeepAlive, SocketOptions};
pub use peer::Peer;

pub(crate) use affinity::{Affinity, Pinned, pin_thread, processors};
pub(crate) use batch::Batch;
#[cfg(feature = "files")]
pub(crate) use beneath::{Folder, Opened};
#[cfg(feature = "http")]
pub(crate) use clock::wall_time;
pub(crate) use clock::{Clock, Nanos, nanos, processor_time};
pub(crate) use datagram::{BATCH, DatagramSocket, check_length};
pub(crate) use descriptor::{Kind, unwatchable};
pub(crate) use endpoint::{Purpose, first_usable};
pub(crate) use file::{FileError, FilePart};
pub(crate) use listener::{Accepted, Listener};
pub(crate) use options::ListenOptions;
pub(crate) use poller::{Event, Notifier, OpenPoller, Poller, Readiness, Wait};
pub(crate) use send_batch::SendBatch;
pub(crate) use socket::Socket;
pub(crate) use socket_file::SocketFile;
pub(crate) use unacknowledged::unacknowledged;
