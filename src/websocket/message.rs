//! What handlers receive and send.

use crate::codec::Encoded;
use crate::http::Request;

/// What a connection receives. It is lent: from the connection's buffer where it came in one frame.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
    /// The peer asks whether somebody is there, which has been answered. Only where [`WebSocket::show_controls`] asks for
    /// it.
    ///
    /// [`WebSocket::show_controls`]: super::WebSocket::show_controls
    Ping(&'a [u8]),
    /// An answer to a ping. Only where `show_controls` asks for it.
    Pong(&'a [u8]),
    /// The peer closes, which is answered. Only where `show_controls` asks for it.
    Close(Option<Close<'a>>),
    /// A handshake that is to be answered by an [`Accept`](super::Accept), or, to refuse it, by a
    /// [`Response`](crate::http::Response). Only where [`WebSocket::ask`](super::WebSocket::ask) asks for it.
    Handshake(Request<'a>),
    /// A request that is no handshake, to be answered by a [`Response`](crate::http::Response). Only where
    /// [`WebSocket::with_http`](super::WebSocket::with_http) asks for it.
    Http(Request<'a>),
}

/// Why a connection is closed: sent, it is the last message, and closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// For programs.
    pub code: CloseCode,
    /// For people; 123 bytes at most.
    pub reason: &'a str,
}

/// A close code (RFC 6455, section 7.4). From 3000 on they are registered with IANA, from 4000 on they are yours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// All is done.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// The server stops, or the page was left.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// The protocol was broken.
    pub const PROTOCOL: CloseCode = CloseCode(1002);
    /// A kind of message came that is not taken.
    pub const UNSUPPORTED: CloseCode = CloseCode(1003);
    /// A message is not what it should be: a text that is not UTF-8, say.
    pub const INVALID_DATA: CloseCode = CloseCode(1007);
    /// A rule was broken that is nobody else's business.
    pub const POLICY: CloseCode = CloseCode(1008);
    /// A message is too long.
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// The handler has failed.
    pub const INTERNAL: CloseCode = CloseCode(1011);

    /// Whether it may stand in a close frame.
    pub(super) fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// A message in parts, of which the first says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    pub(super) kind: FragmentKind,
    pub(super) bytes: &'a [u8],
    pub(super) is_last: bool,
    pub(super) is_compressed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FragmentKind {
    Text,
    Binary,
    More,
}

impl<'a> Fragment<'a> {
    /// The first part of a text. Characters may lie across the borders of fragments.
    pub fn text(bytes: &'a [u8]) -> Fragment<'a> {
        Fragment { kind: FragmentKind::Text, bytes, is_last: false, is_compressed: false }
    }

    /// The first part of bytes.
    pub fn binary(bytes: &'a [u8]) -> Fragment<'a> {
        Fragment { kind: FragmentKind::Binary, bytes, is_last: false, is_compressed: false }
    }

    /// Compresses the message whose first part this is, and so the parts behind it, if the peer can inflate. Those say nothing
    /// of it. Every part can be inflated as soon as it comes, which costs four bytes each.
    pub fn compressed(mut self) -> Fragment<'a> {
        self.is_compressed = true;
        self
    }

    /// A part that is neither the first nor the last.
    pub fn more(bytes: &'a [u8]) -> Fragment<'a> {
        Fragment { kind: FragmentKind::More, bytes, is_last: false, is_compressed: false }
    }

    /// The last part.
    pub fn last(bytes: &'a [u8]) -> Fragment<'a> {
        Fragment { kind: FragmentKind::More, bytes, is_last: true, is_compressed: false }
    }
}

/// A message that says whether it is to be compressed, whatever its length. Without a word of that, it is sent as its text or its
/// bytes alone would be.
///
/// ```
/// use tiderace::websocket::{Outgoing, WebSocket};
/// use tiderace::{Conn, Result};
///
/// /// A token must not be compressed beside what an attacker may choose, and a picture cannot get shorter.
/// async fn send(conn: &mut Conn<WebSocket>, token: &str, picture: &[u8], log: &str) -> Result {
///     conn.send(&Outgoing::text(token).plain()).await?;
///     conn.send(&Outgoing::binary(picture).plain()).await?;
///     conn.send(&Outgoing::text(log).compressed()).await
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    pub(super) is_text: bool,
    pub(super) bytes: &'a [u8],
    pub(super) compresses: Option<bool>,
}

impl<'a> Outgoing<'a> {
    /// Text.
    pub fn text(text: &'a str) -> Outgoing<'a> {
        Outgoing { is_text: true, bytes: text.as_bytes(), compresses: None }
    }

    /// Bytes.
    pub fn binary(bytes: &'a [u8]) -> Outgoing<'a> {
        Outgoing { is_text: false, bytes, compresses: None }
    }

    /// Compresses it, if the peer can inflate.
    pub fn compressed(mut self) -> Outgoing<'a> {
        self.compresses = Some(true);
        self
    }

    /// Sends it as it is.
    pub fn plain(mut self) -> Outgoing<'a> {
        self.compresses = Some(false);
        self
    }
}

/// A message of a server that has been encoded, to be sent many times. A [`Group`](crate::Group) does this by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared(pub(super) Encoded);

/// A ping; a peer answers with the same bytes, of which there are at most 125.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping<'a>(pub &'a [u8]);

/// A pong that nobody has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong<'a>(pub &'a [u8]);
