//! What both halves of a connection know.

use super::handshake::Asked;
use super::mask::Masks;
use super::{Config, Negotiated, SendError, WebSocketError};
use crate::http::{KeptRequest, ResponseEncoder};
use flate2::Decompress;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) role: Role,
    pub(super) config: Arc<Config>,
    pub(super) phase: Cell<Phase>,
    /// A handshake that the handler is to answer.
    pub(super) asked: RefCell<Option<Box<Asked>>>,
    /// How messages are compressed.
    pub(super) deflate: Cell<Option<Negotiated>>,
    /// Of a server, until the handshake is made.
    pub(super) responses: RefCell<Option<ResponseEncoder>>,
    masks: Masks,
    /// The handshake was made, and the handler was not told.
    pub(super) has_opened: Cell<bool>,
    /// The request that was accepted, until the handler has been told.
    pub(super) request: RefCell<Option<Rc<KeptRequest>>>,
}

/// Where in its life the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Handshake,
    Open,
    /// A close was sent, behind which nothing may be.
    Closed,
}

impl Shared {
    pub(super) fn new(role: Role, config: Arc<Config>, negotiated: Option<Negotiated>) -> Shared {
        // A client makes its handshake before it has a codec.
        let phase = if role == Role::Server { Phase::Handshake } else { Phase::Open };
        let (phase, asked, has_opened) = (Cell::new(phase), RefCell::default(), Cell::new(false));
        let (deflate, responses, masks) = (Cell::new(negotiated), RefCell::default(), Masks::default());
        Shared { role, config, phase, asked, deflate, responses, masks, has_opened, request: RefCell::default() }
    }

    /// What the next frame is masked with: those of clients are.
    ///
    /// # Errors
    /// [`SendError::NoRandomness`].
    #[inline]
    pub(super) fn mask(&self) -> Result<Option<[u8; 4]>, SendError> {
        match self.role {
            Role::Server => Ok(None),
            Role::Client => self.masks.next().map(Some).ok_or(SendError::NoRandomness),
        }
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
        *self.request.borrow_mut() = Some(Rc::new(asked.request));
        self.responses.take();
        self.phase.set(Phase::Open);
        self.has_opened.set(true);
    }
}
