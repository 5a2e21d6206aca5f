//! The client's side of the handshake: RFC 6455, section 4.1.

use super::codec::WebSocket;
use super::shared::Role;
use super::{Negotiated, handshake};
use crate::client::Connector;
use crate::connection::{Handle, Handler};
use crate::error::{Error, Result};
use crate::framed::Framed;
use crate::http::{HeadEnd, is_field_value, is_token};
use crate::limits;
use crate::net::{Flag, Stream};
use futures_lite::AsyncWriteExt;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};
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
#[derive(Clone, Debug)]
pub struct WebSocketConnector {
    connector: Connector,
    host: String,
    target: String,
    fields: String,
    /// The first field that can not be sent.
    invalid_field: Option<String>,
    protocols: Vec<String>,
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
}

impl Opened {
    /// To be driven by hand.
    pub fn framed(self) -> Framed<WebSocket> {
        self.stream.framed(self.codec)
    }

    /// To be served by a handler; see [`Stream::serve`].
    pub fn serve<H: Handler<Codec = WebSocket>>(self, handler: H) -> Result<Handle<WebSocket>> {
        self.stream.serve(self.codec, handler)
    }
}

/// Why a handshake has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The address is no `ws://HOST[:PORT][/PATH]`.
    Url(String),
    /// A field or a subprotocol has characters that it may not have.
    Field(String),
    /// The server does not want to: the status line that it has sent.
    Refused(String),
    /// The answer is not what was asked for, in the way that is said.
    Answer(&'static str),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::Url(url) => write!(f, "expected ws://HOST:PORT/PATH, found {url}"),
            HandshakeError::Field(field) => write!(f, "expected a field of a head, found {field:?}"),
            HandshakeError::Refused(status) => write!(f, "expected 101 Switching Protocols, found {status}"),
            HandshakeError::Answer(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for HandshakeError {}

impl WebSocketConnector {
    /// Connects to `ws://HOST[:PORT][/PATH][?QUERY]`.
    ///
    /// # Errors
    /// [`HandshakeError::Url`] when it is none.
    pub fn new(url: &str) -> Result<WebSocketConnector> {
        let wrong = || HandshakeError::Url(url.to_owned());
        let rest = url.strip_prefix("ws://").ok_or_else(wrong)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let is_clean = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_clean(host) || !is_clean(&target) || host.contains('@') {
            return Err(wrong().into());
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && !port.contains(']'));
        let address = if has_port { format!("tcp://{host}") } else { format!("tcp://{host}:80") };
        Ok(WebSocketConnector {
            connector: Connector::new(&*address)?,
            host: host.to_owned(),
            target,
            fields: String::new(),
            invalid_field: None,
            protocols: Vec::new(),
            codec: WebSocket { role: Role::Client, ..WebSocket::default() },
        })
    }

    /// Adds a field to the request. A name that is none (RFC 9110, section 5.1), and a value that would break out of its line,
    /// make [`connect`](WebSocketConnector::connect) fail.
    pub fn header(mut self, name: &str, value: &str) -> WebSocketConnector {
        let field = format!("{name}: {value}");
        if is_token(name) && is_field_value(value) {
            self.fields += &field;
            self.fields += "\r\n";
        } else {
            self.invalid_field.get_or_insert(field);
        }
        self
    }

    /// Asks for subprotocols, the best first. One that is no token (RFC 9110, section 5.6.2) makes
    /// [`connect`](WebSocketConnector::connect) fail.
    pub fn protocols(mut self, protocols: impl IntoIterator<Item = impl Into<String>>) -> WebSocketConnector {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The limits of what is received, and the compression: those of `codec`.
    pub fn limits(mut self, codec: &WebSocket) -> WebSocketConnector {
        self.codec.config = codec.config.clone();
        self
    }

    /// How long the connection, and the handshake, may take: each so much. Default: 30 seconds.
    pub fn timeout(mut self, limit: Duration) -> WebSocketConnector {
        self.connector = self.connector.timeout(limit);
        self
    }

    /// Connects, and makes the handshake.
    ///
    /// # Errors
    /// Those of [`Connector::connect`], and a [`HandshakeError`] within [`Error::Other`].
    ///
    /// # Cancel safety
    /// Safe: a half-made connection is closed.
    ///
    /// # Panics
    /// Outside a core.
    pub async fn connect(&self) -> Result<Opened> {
        crate::runtime::expect_current("WebSocketConnector::connect");
        let invalid_protocol = || self.protocols.iter().find(|protocol| !is_token(protocol));
        if let Some(invalid) = self.invalid_field.as_ref().or_else(invalid_protocol) {
            return Err(HandshakeError::Field(invalid.clone()).into());
        }
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| Error::msg(format!("no random number can be had: {error}")))?;
        let key = handshake::key(nonce);
        let mut request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
             Sec-WebSocket-Version: 13\r\n{}",
            self.target, self.host, self.fields
        );
        if !self.protocols.is_empty() {
            request += &format!("Sec-WebSocket-Protocol: {}\r\n", self.protocols.join(", "));
        }
        if let Some(deflate) = &self.codec.config.deflate {
            request += &format!("Sec-WebSocket-Extensions: {}\r\n", deflate.offer());
        }
        request += "\r\n";
        let mut stream = self.connector.connect().await?;
        let limit = self.connector.limit();
        let shaken = crate::runtime::timeout(limit, async {
            stream.write_all(request.as_bytes()).await?;
            let head = read_head(&stream).await?;
            self.check(&head, &key).map_err(Error::from)
        });
        let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
        let (protocol, negotiated) = shaken.await.unwrap_or_else(late)?;
        Ok(Opened { stream, codec: WebSocket { negotiated, ..self.codec.clone() }, protocol })
    }

    /// Whether the answer is that to `key`; the subprotocol that it has chosen, and the compression.
    fn check(&self, head: &[u8], key: &str) -> Result<(Option<String>, Option<Negotiated>), HandshakeError> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut fields);
        if !response.parse(head).is_ok_and(|parsed| parsed.is_complete()) {
            return Err(HandshakeError::Answer("expected a response of HTTP, found something else"));
        }
        if response.code != Some(101) {
            let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
            return Err(HandshakeError::Refused(String::from_utf8_lossy(line).into_owned()));
        }
        let field = |name: &str| {
            let named = response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            let mut values = named.map(|field| std::str::from_utf8(field.value).unwrap_or_default().trim());
            (values.next(), values.next().is_some())
        };
        if !matches!(field("upgrade"), (Some(upgrade), false) if upgrade.eq_ignore_ascii_case("websocket")) {
            return Err(HandshakeError::Answer("expected an upgrade to WebSocket, found another"));
        }
        let has_upgrade = |list: &str| list.split(',').any(|option| option.trim().eq_ignore_ascii_case("upgrade"));
        if !field("connection").0.is_some_and(has_upgrade) {
            return Err(HandshakeError::Answer("expected Connection: Upgrade, found another"));
        }
        if field("sec-websocket-accept") != (Some(&handshake::accept_value(key)), false) {
            return Err(HandshakeError::Answer("expected the answer to this key, found another"));
        }
        let negotiated = match (field("sec-websocket-extensions"), &self.codec.config.deflate) {
            ((None, _), _) => None,
            ((Some(answer), false), Some(deflate)) => {
                let confirmed = deflate.confirm(answer);
                Some(
                    confirmed
                        .ok_or(HandshakeError::Answer("expected the compression that was asked for, found another"))?,
                )
            }
            _ => return Err(HandshakeError::Answer("expected no extension that was not asked for")),
        };
        let protocol = match field("sec-websocket-protocol") {
            (None, _) => None,
            (Some(protocol), false) if self.protocols.iter().any(|asked| asked == protocol) => {
                Some(protocol.to_owned())
            }
            _ => return Err(HandshakeError::Answer("expected a subprotocol that was asked for, found another")),
        };
        Ok((protocol, negotiated))
    }
}

/// Takes the head of a response off the stream, and nothing behind it.
async fn read_head(stream: &Stream) -> Result<Vec<u8>> {
    let mut end = HeadEnd::default();
    poll_fn(|cx| {
        let port = stream.port();
        loop {
            if let Some(mut ring) = port.take_ring() {
                let found = end.find(ring.input(), limits::HTTP_HEAD);
                let head = found.map(|found| found.map(|end| ring.contiguous(end)[..end].to_vec()));
                match &head {
                    Ok(Some(head)) => ring.consume(head.len()),
                    _ if ring.is_full() => ring.ask_for_room(),
                    _ => {}
                }
                port.put_ring(ring);
                match head {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
            if port.has(Flag::ENDED) {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
            }
            if let Some(error) = port.read_failure() {
                return Poll::Ready(Err(error.into()));
            }
            ready!(port.poll_news(cx));
        }
    })
    .await
}
