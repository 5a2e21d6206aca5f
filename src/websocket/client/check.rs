//! Whether a server has accepted what it was asked (RFC 6455, section 4.1, behind "Once the client's opening handshake has been
//! sent").

use super::{Answer, HandshakeError, WebSocketConnector};
use crate::http::Version;
use crate::websocket::{Negotiated, handshake};

/// The subprotocol, and the compression, that both ends have agreed on.
type Agreed = (Option<String>, Option<Negotiated>);

impl WebSocketConnector {
    /// Whether a response with status 101 is the answer to `key`.
    pub(super) fn check(&self, answer: &Answer, key: &str) -> Result<Agreed, HandshakeError> {
        if answer.version() != Version::Http11 {
            return Err(HandshakeError::Answer("expected HTTP/1.1, found HTTP/1.0"));
        }
        let upgrade = answer.only("upgrade");
        if !matches!(upgrade, Ok(Some(upgrade)) if upgrade.eq_ignore_ascii_case(b"websocket")) {
            return Err(HandshakeError::Answer("expected an upgrade to WebSocket, found another"));
        }
        if !answer.lists("connection", "upgrade") {
            return Err(HandshakeError::Answer("expected Connection: Upgrade, found another"));
        }
        if answer.only("sec-websocket-accept") != Ok(Some(handshake::accept_value(key).as_bytes())) {
            return Err(HandshakeError::Answer("expected the answer to this key, found another"));
        }
        Ok((self.protocol(answer)?, self.compression(answer)?))
    }

    fn protocol(&self, answer: &Answer) -> Result<Option<String>, HandshakeError> {
        let is_asked = |found: &[u8]| self.fields.protocols.iter().find(|asked| asked.as_bytes() == found);
        match answer.only("sec-websocket-protocol") {
            Ok(None) => Ok(None),
            Ok(Some(found)) if is_asked(found).is_some() => Ok(is_asked(found).cloned()),
            _ => Err(HandshakeError::Answer("expected a subprotocol that was asked for, found another")),
        }
    }

    /// The list may be spread over several lines (RFC 6455, section 9.1).
    fn compression(&self, answer: &Answer) -> Result<Option<Negotiated>, HandshakeError> {
        let lines = answer.values("sec-websocket-extensions").map(String::from_utf8_lossy);
        // Members of a list may be empty (RFC 9110, section 5.6.1).
        let extensions =
            lines.map(|line| line.trim_matches([',', ' ', '\t']).to_owned()).filter(|line| !line.is_empty());
        let list = extensions.collect::<Vec<_>>().join(",");
        if list.is_empty() {
            return Ok(None);
        }
        let deflate = self.codec.config.deflate.as_ref();
        let deflate = deflate.ok_or(HandshakeError::Answer("expected no extension that was not asked for"))?;
        let confirmed = deflate.confirm(&list);
        confirmed.map(Some).ok_or(HandshakeError::Answer("expected the compression that was asked for, found another"))
    }
}
