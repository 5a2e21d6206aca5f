//! The request of a handshake that was accepted.

use super::WebSocket;
use crate::connection::Conn;
use crate::http::{KeptRequest, Request};
use std::fmt;
use std::rc::Rc;

/// A handshake that a server has accepted: see [`Conn::handshake`].
#[derive(Clone)]
pub struct Handshake(Rc<KeptRequest>);

impl Handshake {
    /// The request: its target, its fields, its cookies. It has no body.
    pub fn request(&self) -> Request<'_> {
        self.0.request()
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handshake").field(&self.request()).finish()
    }
}

impl Conn<WebSocket> {
    /// The handshake that has opened this connection, within [`on_open`](crate::Handler::on_open). Later it is `None`, as it always is
    /// on a client's connection: the request is dropped when `on_open` returns, unless the handler keeps what this returns.
    ///
    /// ```
    /// use tiderace::websocket::{Message, WebSocket};
    /// use tiderace::{Conn, Handler, Result};
    ///
    /// #[derive(Default)]
    /// struct Guest {
    ///     room: String,
    /// }
    ///
    /// impl Handler for Guest {
    ///     type Codec = WebSocket;
    ///
    ///     async fn on_open(&mut self, conn: &mut Conn<WebSocket>) -> Result {
    ///         if let Some(handshake) = conn.handshake() {
    ///             self.room = handshake.request().path().to_owned();
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     async fn on_message(&mut self, _: &mut Conn<WebSocket>, _: Message<'_>) -> Result {
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn handshake(&self) -> Option<Handshake> {
        self.link.encoder()?.shared.opening(|opening| opening.request.clone()).map(Handshake)
    }
}
