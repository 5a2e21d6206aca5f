//! Sockets on the reactor: the link below every connection, the stream that users hold, and connecting.

mod connect;
mod datagram;
mod gauge;
mod link;
mod port;
mod resolver;
mod state;
mod stream;

pub use datagram::{DatagramHandler, UdpSender, UdpSocket};
pub use port::WriteEvent;
pub use stream::Stream;

pub(crate) use connect::{connect_to, look_up};
pub(crate) use datagram::{datagrams_over, drive as drive_datagrams};
pub(crate) use gauge::Gauge;
pub(crate) use link::Link;
pub(crate) use port::{HandedOver, Kept, Limits, Port, TimeLimits, Unsent, Until};
pub(crate) use state::Flag;
