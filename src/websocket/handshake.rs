//! The opening handshake: RFC 6455, section 4.

use super::{Config, Negotiated};
use crate::http::{Request, Status, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1_smol::Sha1;

/// RFC 6455, section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client expects for its key.
pub(super) fn accept_value(key: &str) -> String {
    let mut sha = Sha1::new();
    sha.update(key.as_bytes());
    sha.update(GUID.as_bytes());
    BASE64.encode(sha.digest().bytes())
}

/// A request that asks for a WebSocket, as it should.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) accept: String,
    /// Subprotocols, as the client prefers them.
    pub(super) protocols: Vec<String>,
    /// How messages are to be compressed, and how that is said.
    pub(super) deflate: Option<(Negotiated, String)>,
}

/// What comes of a request.
pub(super) enum Outcome {
    Asked(Asked),
    /// It asks for something else.
    Http,
    /// It asks for a WebSocket in a way that is refused.
    Refused(Status, &'static str),
}

/// Looks at what a client asks for.
pub(super) fn examine(request: &Request<'_>, config: &Config) -> Outcome {
    if !request.has("upgrade", "websocket") {
        return Outcome::Http;
    }
    if request.method() != "GET" || request.version() != Version::Http11 || !request.has("connection", "upgrade") {
        return Outcome::Refused(Status::BAD_REQUEST, "a handshake is a GET of HTTP/1.1 with Connection: Upgrade\n");
    }
    if request.header("sec-websocket-version").map(str::trim) != Some("13") {
        return Outcome::Refused(Status::UPGRADE_REQUIRED, "the version is 13\n");
    }
    let mut keys = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let key = match (keys.next(), keys.next()) {
        (Some((_, key)), None) => std::str::from_utf8(key).unwrap_or_default().trim(),
        _ => "",
    };
    if BASE64.decode(key).map_or(0, |nonce| nonce.len()) != 16 {
        return Outcome::Refused(Status::BAD_REQUEST, "Sec-WebSocket-Key is to be 16 bytes in Base64\n");
    }
    if let Some(origins) = &config.origins
        && !request.header("origin").is_some_and(|origin| origins.iter().any(|known| known == origin))
    {
        return Outcome::Refused(Status::FORBIDDEN, "pages of that origin may not connect\n");
    }
    let lists = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol"));
    let protocols = lists.filter_map(|(_, list)| std::str::from_utf8(list).ok()).flat_map(|list| list.split(','));
    let protocols = protocols.map(|protocol| protocol.trim().to_owned()).collect();
    let deflate = config.deflate.as_ref().and_then(|deflate| {
        let named = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-extensions"));
        let mut lists = named.filter_map(|(_, list)| std::str::from_utf8(list).ok());
        lists.find_map(|list| deflate.accept(list))
    });
    Outcome::Asked(Asked { accept: accept_value(key), protocols, deflate })
}

/// The answer that makes the connection a WebSocket.
pub(super) fn response(asked: &Asked, protocol: Option<&str>) -> String {
    let mut response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
        asked.accept
    );
    if let Some(protocol) = protocol {
        response += &format!("Sec-WebSocket-Protocol: {protocol}\r\n");
    }
    if let Some((_, extension)) = &asked.deflate {
        response += &format!("Sec-WebSocket-Extensions: {extension}\r\n");
    }
    response + "\r\n"
}

/// A key for a client's request.
pub(super) fn key(nonce: [u8; 16]) -> String {
    BASE64.encode(nonce)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_accept_value_is_that_of_the_rfc() {
        assert_eq!(super::accept_value("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
