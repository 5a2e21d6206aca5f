//! What can be set of WebSockets.

use super::decoder::WebSocketDecoder;
use super::encoder::WebSocketEncoder;
use super::shared::{Role, Shared};
use super::{Deflate, Negotiated, handshake};
use crate::codec::{Codec, Patience};
use crate::http::Http;
use crate::limits;
use std::rc::Rc;
use std::sync::Arc;

/// The protocol of a server's WebSockets: see the [module](super). A client's is made by a
/// [`WebSocketConnector`](super::WebSocketConnector).
#[derive(Clone, Debug)]
pub struct WebSocket {
    pub(super) role: Role,
    pub(super) config: Arc<Config>,
    /// What a client has agreed on with its server.
    pub(super) negotiated: Option<Negotiated>,
}

#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) max_message: usize,
    pub(super) max_frame: usize,
    pub(super) max_fragments: u32,
    pub(super) max_controls: u32,
    pub(super) http: Option<Http>,
    pub(super) protocols: Vec<String>,
    pub(super) origins: Option<Vec<String>>,
    pub(super) same_origin: bool,
    /// Of every `101`, as they are written.
    pub(super) fields: String,
    pub(super) shows_controls: bool,
    pub(super) shows_http: bool,
    pub(super) asks: bool,
    pub(super) deflate: Option<Deflate>,
}

impl Config {
    /// How requests are read. A body is of no use where no handler sees any request but handshakes.
    fn requests(&self) -> Http {
        match self.http {
            Some(http) => http,
            None if self.shows_http => Http::default(),
            None => Http::default().max_body(limits::HANDSHAKE_BODY),
        }
    }
}

impl Default for WebSocket {
    fn default() -> WebSocket {
        let config = Config {
            max_message: limits::WEBSOCKET_MESSAGE,
            max_frame: limits::WEBSOCKET_MESSAGE,
            max_fragments: limits::WEBSOCKET_FRAGMENTS,
            max_controls: limits::WEBSOCKET_CONTROLS,
            http: None,
            protocols: Vec::new(),
            origins: None,
            same_origin: false,
            fields: String::new(),
            shows_controls: false,
            shows_http: false,
            asks: false,
            deflate: None,
        };
        WebSocket { role: Role::Server, config: Arc::new(config), negotiated: None }
    }
}

impl WebSocket {
    fn set(mut self, set: impl FnOnce(&mut Config)) -> WebSocket {
        set(Arc::make_mut(&mut self.config));
        self
    }

    /// How many bytes a message may have. Default: 1 MiB. A peer that sends more is told `1009` and closed.
    pub fn max_message(self, bytes: usize) -> WebSocket {
        self.set(|config| config.max_message = bytes.min(limits::LONGEST))
    }

    /// How many bytes a frame may have. Default: 1 MiB.
    pub fn max_frame(self, bytes: usize) -> WebSocket {
        self.set(|config| config.max_frame = bytes.min(limits::LONGEST))
    }

    /// How many fragments a message may have. Default: 131,072.
    pub fn max_fragments(self, fragments: u32) -> WebSocket {
        self.set(|config| config.max_fragments = fragments)
    }

    /// How many pings, pongs and the like a peer may send in a second. Default: 1,000.
    pub fn max_controls(self, a_second: u32) -> WebSocket {
        self.set(|config| config.max_controls = a_second)
    }

    /// The limits of requests that ask for a WebSocket, or for something else. Default: those of [`Http::default`], with bodies of at
    /// most 8 KiB unless [`with_http`](WebSocket::with_http) shows requests to the handler.
    pub fn http(self, http: Http) -> WebSocket {
        self.set(|config| config.http = Some(http))
    }

    /// The subprotocols that are spoken here, the best first: a client gets the first one that it has asked for. Default:
    /// none.
    pub fn protocols(self, protocols: impl IntoIterator<Item = impl Into<String>>) -> WebSocket {
        self.set(|config| config.protocols = protocols.into_iter().map(Into::into).collect())
    }

    /// The origins whose pages may connect, such as `https://example.com`; others are refused with `403`, and so are clients
    /// that name none. Default: any. A browser names it truly, so this keeps other sites' pages from using the cookies of
    /// yours; who is no browser may say what he likes (RFC 6455, section 10.2).
    pub fn origins(self, origins: impl IntoIterator<Item = impl Into<String>>) -> WebSocket {
        self.set(|config| config.origins = Some(origins.into_iter().map(Into::into).collect()))
    }

    /// Lets pages connect that come from the host and the port that the request itself is for: its `Origin` names those of its
    /// `Host`. It adds to what [`origins`](WebSocket::origins) lets in; all others are refused with `403`, and so are clients that
    /// name no origin. Default: no.
    ///
    /// The schemes may differ, because behind a proxy that ends TLS both are called `http` here. A proxy must pass the `Host` on
    /// that the browser has sent.
    ///
    /// ```
    /// use tiderace::websocket::WebSocket;
    ///
    /// // The server's own pages, wherever it is reached, and those of one other site.
    /// let codec = WebSocket::default().same_origin().origins(["https://admin.example.com"]);
    /// ```
    pub fn same_origin(self) -> WebSocket {
        self.set(|config| config.same_origin = true)
    }

    /// Adds a field to the `101` that answers every handshake. What depends on the request, such as a cookie, is
    /// [`Accept::header`](super::Accept::header)'s.
    ///
    /// # Panics
    /// If the name is none, or is that of a field of the handshake itself, or if the value would break out of its line.
    pub fn header(self, name: &str, value: &str) -> WebSocket {
        let line = handshake::field_line(name, value);
        let line = line.unwrap_or_else(|| panic!("expected a field that a 101 may have, found {name:?}: {value:?}"));
        self.set(|config| config.fields += &line)
    }

    /// Compresses messages that are long enough, with peers that can (RFC 7692). Default: no. It costs processor time, and
    /// where a page mixes secrets with what others may say, it can give secrets away by their length.
    pub fn compress(self, deflate: Deflate) -> WebSocket {
        self.set(|config| config.deflate = Some(deflate))
    }

    /// Shows pings, pongs and closes to the handler. Default: no. They are answered in any case.
    pub fn show_controls(self) -> WebSocket {
        self.set(|config| config.shows_controls = true)
    }

    /// Gives requests that are no handshakes to the handler, as [`Message::Http`](super::Message::Http). Default: they are
    /// answered with `426`.
    pub fn with_http(self) -> WebSocket {
        self.set(|config| config.shows_http = true)
    }

    /// Gives handshakes to the handler, as [`Message::Handshake`](super::Message::Handshake), to accept or to refuse them, when
    /// they have been found right. Default: they are accepted.
    pub fn ask(self) -> WebSocket {
        self.set(|config| config.asks = true)
    }
}

impl Codec for WebSocket {
    type Decoder = WebSocketDecoder;
    type Encoder = WebSocketEncoder;

    fn halves(&self) -> (WebSocketDecoder, WebSocketEncoder) {
        let shared = Rc::new(Shared::new(self.role, self.config.clone(), self.negotiated));
        let http = (self.role == Role::Server).then(|| {
            let (decoder, encoder) = self.config.requests().halves();
            shared.respond_by(encoder);
            Box::new(decoder)
        });
        (WebSocketDecoder::new(shared.clone(), http), WebSocketEncoder::new(shared))
    }

    /// That of its handshakes, and of requests where the handler is given those. A WebSocket has none of its own.
    fn patience(&self) -> Patience {
        match self.role {
            Role::Server if self.config.shows_http => self.config.requests().patience_of_requests(),
            Role::Server => self.config.requests().patience_of_handshakes(),
            Role::Client => Patience::default(),
        }
    }

    fn group_encoder(&self) -> WebSocketEncoder {
        WebSocketEncoder::for_groups(Shared::new(self.role, self.config.clone(), None))
    }

    fn compact_group_encoder(&self) -> Option<WebSocketEncoder> {
        let negotiated = self.config.deflate.as_ref()?.for_groups();
        Some(WebSocketEncoder::for_groups(Shared::new(self.role, self.config.clone(), Some(negotiated))))
    }

    fn takes_group_messages(encoder: &WebSocketEncoder) -> bool {
        encoder.is_between_messages()
    }

    fn takes_compact(encoder: &mut WebSocketEncoder) -> bool {
        encoder.takes_compressed()
    }
}
