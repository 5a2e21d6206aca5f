//! A client that stays connected.

use super::{Answer, HandshakeError, WebSocketConnector};
use crate::client::{Backoff, Client, Dial};
use crate::connection::{Handle, Handler, Session};
use crate::error::{Error, Result};
use crate::websocket::WebSocket;

impl WebSocketConnector {
    /// Stays connected: has a handler called for one connection after the other, as [`Connector::serve`](crate::Connector::serve)
    /// does for protocols without a handshake. When a connection breaks, and when none can be made, it is tried again after a
    /// pause. Each try goes to the connector's own address, whatever redirects it was sent on before.
    ///
    /// `handler` makes the handler of each connection when its handshake is made, and is given the server's response.
    /// [`on_open`](Handler::on_open) is called for each, and is the place to subscribe, again and again, to what the client wants to
    /// hear. A server that is mute is noticed: see [`idle_timeout`](WebSocketConnector::idle_timeout).
    ///
    /// Nothing is kept for a later connection. While there is none, [`Client::handle`] is `None`, and the handles of connections
    /// that have ended refuse to send with [`Error::Closed`]. What was sent to a connection that then broke may have arrived or not.
    /// A client that must not lose a message keeps it until the server has confirmed it, and sends it again in `on_open`.
    ///
    /// It ends when a connection was closed on this side (by its handler, a [`Handle`], the server whose core this is, or
    /// [`Client::close`]), when `backoff` gives up, and at once when the connector is set wrongly, such as by a field that cannot
    /// be sent. A refusal does not end it, because most servers refuse while they start: [`Backoff::tries`] does.
    ///
    /// # Panics
    /// Outside a core.
    ///
    /// ```
    /// use tiderace::websocket::{Message, WebSocket, WebSocketConnector};
    /// use tiderace::{Backoff, Conn, Handler, Result};
    ///
    /// struct Prices;
    ///
    /// impl Handler for Prices {
    ///     type Codec = WebSocket;
    ///
    ///     async fn on_open(&mut self, conn: &mut Conn<WebSocket>) -> Result {
    ///         conn.send(r#"{"subscribe":"prices"}"#).await
    ///     }
    ///
    ///     async fn on_message(&mut self, _: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
    ///         println!("{message:?}");
    ///         Ok(())
    ///     }
    /// }
    ///
    /// async fn follow() -> Result {
    ///     let connector = WebSocketConnector::new("ws://127.0.0.1:9001/feed")?;
    ///     connector.serve(Backoff::default(), |_| Prices).closed().await
    /// }
    /// ```
    #[track_caller]
    pub fn serve<H: Handler<Codec = WebSocket>>(
        self,
        backoff: Backoff,
        handler: impl FnMut(&Answer) -> H + 'static,
    ) -> Client<WebSocket> {
        crate::runtime::expect_current("WebSocketConnector::serve");
        Client::start(Shaken { connector: self, handler }, backoff)
    }
}

/// Makes connections with handshakes.
struct Shaken<F> {
    connector: WebSocketConnector,
    handler: F,
}

impl<H: Handler<Codec = WebSocket>, F: FnMut(&Answer) -> H + 'static> Dial<H> for Shaken<F> {
    async fn dial(&mut self) -> Result<(Session<H>, Handle<WebSocket>)> {
        let opened = self.connector.connect().await?;
        let handler = (self.handler)(&opened.answer);
        Session::over_stream(opened.stream, &opened.codec, handler, self.connector.idle)
    }

    fn address(&self) -> String {
        self.connector.target.to_string()
    }

    fn is_final(&self, error: &Error) -> bool {
        error.downcast_ref::<HandshakeError>().is_some_and(HandshakeError::is_final)
    }
}
