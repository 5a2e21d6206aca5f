//! What both halves of a connection know.

use super::handshake::Asked;
use super::mask::Masks;
use super::{Config, Negotiated, SendError, WebSocketError};
use crate::http::{KeptRequest, ResponseEncoder};
use flate2::Decompress;
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client,
}

/// One for each connection, for as long as it lives: what only the handshake needs is kept apart.
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    /// How messages are compressed.
    pub(super) deflate: Cell<Option<Negotiated>>,
    opening: Cell<Option<Box<Opening>>>,
    /// A client's.
    masks: Option<Box<Masks>>,
    pub(super) role: Role,
    pub(super) phase: Cell<Phase>,
    /// The handshake was made, and the handler was not told.
    pub(super) has_opened: Cell<bool>,
}

/// What a server keeps until the handshake is made, and its handler was told.
#[derive(Debug, Default)]
pub(super) struct Opening {
    /// A handshake that the handler is to answer.
    pub(super) asked: Option<Box<Asked>>,
    pub(super) responses: Option<ResponseEncoder>,
    /// The request that was accepted.
    pub(super) request: Option<Rc<KeptRequest>>,
}

/// Where in its life the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Handshake,
    Open,
    /// A close was sent, behind which nothing may be.
    Closed,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("role", &self.role).field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(role: Role, config: Arc<Config>, negotiated: Option<Negotiated>) -> Shared {
        // A client makes its handshake before it has a codec.
        let phase = if role == Role::Server { Phase::Handshake } else { Phase::Open };
        let masks = (role == Role::Client).then(Box::default);
        let (phase, deflate, has_opened) = (Cell::new(phase), Cell::new(negotiated), Cell::new(false));
        Shared { config, deflate, opening: Cell::default(), masks, role, phase, has_opened }
    }

    /// Begins with requests, which are answered by this.
    pub(super) fn respond_by(&self, responses: ResponseEncoder) {
        let opening = Opening { responses: Some(responses), ..Opening::default() };
        self.opening.set(Some(Box::new(opening)));
    }

    /// Lends what the handshake needs; nothing, once that is made.
    pub(super) fn opening<R>(&self, with: impl FnOnce(&mut Opening) -> R) -> R {
        let Some(mut opening) = self.opening.take() else { return with(&mut Opening::default()) };
        let done = with(&mut opening);
        self.opening.set(Some(opening));
        done
    }

    /// Drops what the handshake needed.
    pub(super) fn has_told(&self) {
        if self.phase.get() != Phase::Handshake {
            drop(self.opening.take());
        }
    }

    /// What the next frame is masked with: those of clients are.
    ///
    /// # Errors
    /// [`SendError::NoRandomness`].
    #[inline]
    pub(super) fn mask(&self) -> Result<Option<[u8; 4]>, SendError> {
        let Some(masks) = &self.masks else { return Ok(None) };
        masks.next().map(Some).ok_or(SendError::NoRandomness)
    }

    /// The message that was compressed.
    pub(super) fn inflate(
        &self,
        compressed: &[u8],
        own: &mut Option<Box<Decompress>>,
    ) -> Result<Vec<u8>, WebSocketError> {
        match self.deflate.get() {
            Some(negotiated) => negotiated.inflate(compressed, own, self.config.max_message),
            None => Err(WebSocketError::Frame("expected no compression, because none was agreed on")),
        }
    }

    pub(super) fn open(&self, asked: Asked) {
        self.deflate.set(asked.deflate.map(|(negotiated, _)| negotiated));
        let request = Some(Rc::new(asked.request));
        self.opening(|opening| *opening = Opening { request, ..Opening::default() });
        self.phase.set(Phase::Open);
        self.has_opened.set(true);
    }
}
