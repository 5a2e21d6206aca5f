//! What a receiving half keeps besides the frame at hand.

use super::answers::Answer;
use super::assembly::Assembly;
use flate2::Decompress;

/// What a connection between two short messages has no use for.
#[derive(Debug, Default)]
pub(super) struct Rare {
    pub(super) assembly: Option<Assembly>,
    /// The message that is lent, where it does not lie in the connection's buffer.
    pub(super) whole: Option<Assembly>,
    pub(super) answer: Option<Answer>,
    /// Of a connection that keeps its own.
    pub(super) inflater: Option<Box<Decompress>>,
}

impl Rare {
    pub(super) fn is_empty(&self) -> bool {
        let Rare { assembly, whole, answer, inflater } = self;
        assembly.is_none() && whole.is_none() && answer.is_none() && inflater.is_none()
    }
}

/// What is to be seen to besides frames, in one byte, because every message asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(pub(super) u8);

impl State {
    /// There is an answer.
    pub(super) const ANSWERS: u8 = 1;
    /// Requests are read.
    pub(super) const HTTP: u8 = 2;
    /// A message is lent that does not lie in the connection's buffer.
    pub(super) const LENDS: u8 = 4;
    /// The peer has sent its close, which was its last frame.
    pub(super) const CLOSED: u8 = 8;
    /// Peers mask their frames: clients do, servers do not.
    pub(super) const MASKED: u8 = 32;
    /// The first frame of a message may say that it is compressed.
    pub(super) const INFLATES: u8 = 64;
    /// The request that is decoded next is a handshake for the handler.
    pub(super) const ASKS: u8 = 16;

    #[inline]
    pub(super) fn has(self, any: u8) -> bool {
        self.0 & any != 0
    }

    #[inline]
    pub(super) fn set(&mut self, bit: u8, on: bool) {
        self.0 = if on { self.0 | bit } else { self.0 & !bit };
    }

    /// Whether the next frame may be a short message of a client, with nothing to be seen to before.
    #[inline]
    pub(super) fn is_plain(self) -> bool {
        self.0 & (State::HTTP | State::LENDS | State::CLOSED | State::MASKED) == State::MASKED
    }
}
