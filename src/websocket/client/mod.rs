//! The client's side of the handshake: RFC 6455, section 4.1.

mod address;
mod answer;
mod check;
mod error;
mod request;
mod stay;

pub use address::UrlError;
pub use answer::Answer;
pub use error::{HandshakeError, ServerRefusal};

use super::codec::WebSocket;
use super::shared::Role;
use crate::client::Connector;
use crate::connection::{Handle, Handler};
use crate::error::Result;
use crate::framed::Framed;
use crate::limits;
use crate::net::Stream;
use crate::runtime::{expect_current, timeout};
use address::Target;
use answer::{read_answer, read_refusal};
use futures_lite::AsyncWriteExt;
use request::Fields;
use std::fmt;
use std::time::Duration;

/// Connects to a WebSocket.
///
/// ```no_run
/// use tiderace::websocket::{Message, WebSocketConnector};
/// use tiderace::{Result, block_on};
///
/// fn main() -> Result {
///     block_on(async {
///         let connector = WebSocketConnector::new("ws://127.0.0.1:9001/chat")?.header("Cookie", "a=b");
///         let mut socket = connector.connect().await?.framed();
///         socket.send("hello").await?;
///         while let Some(message) = socket.next().await? {
///             if let Message::Text(text) = message {
///                 println!("{text}");
///             }
///         }
///         Ok(())
///     })
/// }
/// ```
#[derive(Clone)]
pub struct WebSocketConnector {
    target: Target,
    timeout: Duration,
    idle: Option<Duration>,
    redirects: u32,
    fields: Fields,
    codec: WebSocket,
}

/// A connection whose handshake has been made.
#[derive(Debug)]
pub struct Opened {
    /// The connection.
    pub stream: Stream,
    /// Its protocol.
    pub codec: WebSocket,
    /// The subprotocol that the server has chosen.
    pub protocol: Option<String>,
    /// The server's response, with its fields.
    pub answer: Answer,
    idle: Option<Duration>,
}

impl Opened {
    /// To be driven by hand. It has no time limits: put a [`timeout`](crate::timeout()) around what waits for the server.
    pub fn framed(self) -> Framed<WebSocket> {
        self.stream.framed(self.codec)
    }

    /// To be served by a handler; see [`Stream::serve`]. Unlike there, the server may be silent for no longer than
    /// [`WebSocketConnector::idle_timeout`] says.
    pub fn serve<H: Handler<Codec = WebSocket>>(self, handler: H) -> Result<Handle<WebSocket>> {
        self.stream.serve_within(&self.codec, handler, self.idle)
    }
}

impl WebSocketConnector {
    /// Connects to `ws://[USER[:PASSWORD]@]HOST[:PORT][/PATH][?QUERY]`, written as RFC 3986 has it.
    ///
    /// - The path and the query are sent as they are: what is percent-encoded stays so, and what should be is refused. An empty
    ///   path is `/`.
    /// - A host may be an address of IPv6 in brackets, with the name of an interface behind `%25` (RFC 6874), which is not sent.
    ///   An internationalized name is taken in its ASCII form (`xn--..`) only.
    /// - A user and a password are percent-decoded and sent as `Authorization: Basic` (RFC 7617), unless
    ///   [`header`](WebSocketConnector::header) gives an `Authorization` of its own.
    ///
    /// # Errors
    /// [`HandshakeError::Url`] when it is none. A fragment is an error (RFC 6455, section 3), and so is `wss://`, because this
    /// client has no TLS.
    ///
    /// ```
    /// use tiderace::websocket::{HandshakeError, WebSocketConnector};
    ///
    /// assert!(WebSocketConnector::new("ws://ann:s3cret@[::1]:9001/chat?room=1").is_ok());
    /// let error = WebSocketConnector::new("ws://ann:s3cret@example.com/#top").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "expected no fragment, and # as %23 (RFC 6455, section 3), found \"ws://***@example.com/#top\"",
    /// );
    /// assert!(matches!(error.downcast_ref(), Some(HandshakeError::Url(_))));
    /// ```
    pub fn new(url: &str) -> Result<WebSocketConnector> {
        let target = Target::parse(url).map_err(HandshakeError::Url)?;
        // Refused here, and not when it is connected.
        Connector::new(&*target.endpoint())?;
        Ok(WebSocketConnector {
            target,
            timeout: limits::CONNECT,
            idle: Some(limits::WEBSOCKET_CLIENT_IDLE),
            redirects: 0,
            fields: Fields::default(),
            codec: WebSocket { role: Role::Client, ..WebSocket::default() },
        })
    }

    /// Adds a field to the request. [`connect`](WebSocketConnector::connect) fails for a name that is none (RFC 9110, section
    /// 5.1), for a value that would break out of its line, and for fields that the handshake writes itself: `Host`,
    /// `Connection`, `Upgrade`, `Sec-WebSocket-..`, and those that frame a body.
    pub fn header(mut self, name: &str, value: &str) -> WebSocketConnector {
        self.fields.add(name, value);
        self
    }

    /// Asks for subprotocols, the best first. One that is no token (RFC 9110, section 5.6.2), or that is there twice, makes
    /// [`connect`](WebSocketConnector::connect) fail.
    pub fn protocols(mut self, protocols: impl IntoIterator<Item = impl Into<String>>) -> WebSocketConnector {
        self.fields.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The limits of what is received, and the compression: those of `codec`.
    pub fn limits(mut self, codec: &WebSocket) -> WebSocketConnector {
        self.codec.config = codec.config.clone();
        self
    }

    /// How long the connection, and the handshake, may take: each so much, and again for each redirect. Default: 30 seconds.
    pub fn timeout(mut self, limit: Duration) -> WebSocketConnector {
        self.timeout = limit;
        self
    }

    /// How long the server may be silent while a handler serves the connection, or `None` for ever. After half of it the server is
    /// asked by a ping, which every server answers, so a connection ends only when its server is mute, with
    /// [`TimeLimit::Idle`](crate::TimeLimit::Idle). Default: 60 seconds.
    ///
    /// It holds for [`Opened::serve`] and [`WebSocketConnector::serve`], and not for [`Opened::framed`].
    pub fn idle_timeout(mut self, limit: Option<Duration>) -> WebSocketConnector {
        self.idle = limit;
        self
    }

    /// How many redirects are followed (301, 302, 303, 307 and 308, RFC 9110, section 15.4). Default: 0, which makes each a
    /// [`HandshakeError::Refused`].
    ///
    /// A redirect may lead to `ws://` or `http://`, or to another path. One to `wss://` or `https://` cannot be followed without
    /// TLS, and is an error. From the first redirect on that leads to another host or port, `Authorization`, `Cookie` and
    /// `Proxy-Authorization` are not sent any more, nor are the user and the password of the address; other fields are. What a
    /// redirect names as user and password is never sent.
    pub fn redirects(mut self, max: u32) -> WebSocketConnector {
        self.redirects = max;
        self
    }

    /// Connects, and makes the handshake.
    ///
    /// # Errors
    /// Those of [`Connector::connect`], and a [`HandshakeError`] within [`Error::Other`](crate::Error::Other).
    ///
    /// # Cancel safety
    /// Safe: a half-made connection is closed.
    ///
    /// # Panics
    /// Outside a core.
    pub async fn connect(&self) -> Result<Opened> {
        expect_current("WebSocketConnector::connect");
        self.fields.validate()?;
        let (mut target, mut is_trusted) = (self.target.clone(), true);
        for _ in 0..=self.redirects {
            let key = request::key()?;
            let request = self.fields.request(&target, &key, self.codec.config.deflate.as_ref(), is_trusted);
            let mut stream = Connector::new(&*target.endpoint())?.timeout(self.timeout).connect().await?;
            let shaken = timeout(self.timeout, async {
                stream.write_all(request.as_bytes()).await?;
                read_answer(&stream).await
            });
            let late = |_| Err(HandshakeError::Timeout { after: self.timeout }.into());
            let answer = shaken.await.unwrap_or_else(late)?;
            if answer.status().0 == 101 {
                let (protocol, negotiated) = self.check(&answer, &key)?;
                let codec = WebSocket { negotiated, ..self.codec.clone() };
                return Ok(Opened { stream, codec, protocol, answer, idle: self.idle });
            }
            let Some(location) = answer.redirects_to().filter(|_| self.redirects > 0) else {
                return Err(HandshakeError::Refused(Box::new(read_refusal(&mut stream, answer).await)).into());
            };
            let next = target.resolve(&String::from_utf8_lossy(location)).map_err(HandshakeError::Redirect)?;
            is_trusted &= next.is_at(&target);
            tracing::debug!(from = %target, to = %next, status = answer.status().0, "redirected");
            target = next;
        }
        Err(HandshakeError::TooManyRedirects { max: self.redirects }.into())
    }
}

/// Without the values of fields, which may be secrets.
impl fmt::Debug for WebSocketConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketConnector")
            .field("target", &self.target)
            .field("fields", &self.fields)
            .field("redirects", &self.redirects)
            .finish_non_exhaustive()
    }
}
