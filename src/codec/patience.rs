//! How long a protocol waits for its peer by itself.

use std::time::Duration;

/// How long a protocol waits for its peer where neither its server nor a handler says anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Patience {
    /// Between messages: as [`Server::idle_timeout`](crate::Server::idle_timeout).
    pub idle: Option<Duration>,
    /// From the beginning of a connection that a listener has accepted to its first message, or to the end of its handshake. Unlike
    /// the limits that a server sets, it costs a connection nothing afterwards.
    pub first: Option<Duration>,
    /// After so long without output, an answer [without an end](super::Busy::Streaming) has
    /// [`ping`](super::Decoder::ping) called.
    pub heartbeat: Option<Duration>,
    /// Whether the decoder has limits for the [steps](super::Decoder::step) of a message.
    pub steps: bool,
}

impl Patience {
    /// Whether it asks for a timer that a connection has for all of its life.
    pub(crate) fn is_timed(&self) -> bool {
        self.idle.is_some() || self.heartbeat.is_some() || self.steps
    }
}

/// A part of a message that is to come within a time: what [`Decoder::step`](super::Decoder::step) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which it is. No other step of the connection has the same number.
    pub number: u64,
    /// How long it may take, while the connection waits for its peer.
    pub within: Duration,
}
