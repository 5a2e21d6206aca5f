//! The opening handshake: RFC 6455, section 4.

use super::extensions::{Malformed, extensions};
use super::{Config, Negotiated};
use crate::http::{KeptRequest, Request, Status, Version, is_field_value, is_token};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1_smol::Sha1;
use std::collections::HashSet;

/// RFC 6455, section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client expects for its key.
pub(super) fn accept_value(key: impl AsRef<[u8]>) -> String {
    let mut sha = Sha1::new();
    sha.update(key.as_ref());
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
    pub(super) request: KeptRequest,
}

/// What comes of a request.
pub(super) enum Outcome {
    Asked(Box<Asked>),
    /// It asks for something else.
    Http,
    /// It asks for a WebSocket in a way that is refused.
    Refused(Status, &'static str),
}

/// Looks at what a client asks for (RFC 6455, section 4.2.1).
pub(super) fn examine(request: &Request<'_>, config: &Config) -> Outcome {
    // An upgrade of HTTP/1.0 must be ignored (RFC 9110, section 7.8).
    if request.version() == Version::Http10 || !request.has("upgrade", "websocket") {
        return Outcome::Http;
    }
    if request.method() != "GET" || !request.has("connection", "upgrade") {
        return Outcome::Refused(Status::BAD_REQUEST, "a handshake is a GET of HTTP/1.1 with Connection: Upgrade\n");
    }
    match only(request, "sec-websocket-version") {
        Only::One(b"13") => {}
        Only::Several => return Outcome::Refused(Status::BAD_REQUEST, "Sec-WebSocket-Version may stand once\n"),
        _ => return Outcome::Refused(Status::UPGRADE_REQUIRED, "the version is 13\n"),
    }
    let accept = match only(request, "sec-websocket-key") {
        Only::One(key) if is_key(key) => accept_value(key),
        _ => return Outcome::Refused(Status::BAD_REQUEST, "Sec-WebSocket-Key is to be 16 bytes in Base64\n"),
    };
    if !config.admits(request) {
        return Outcome::Refused(Status::FORBIDDEN, "pages of that origin may not connect\n");
    }
    let Some(protocols) = protocols(request) else {
        return Outcome::Refused(Status::BAD_REQUEST, "Sec-WebSocket-Protocol is a list of different tokens\n");
    };
    match negotiate(request, config) {
        Ok(deflate) => {
            let request = request.keep();
            Outcome::Asked(Box::new(Asked { accept, protocols, deflate, request }))
        }
        Err(Malformed) => Outcome::Refused(Status::BAD_REQUEST, "Sec-WebSocket-Extensions is malformed\n"),
    }
}

/// How often a field stands in a head that should be there once.
enum Only<'a> {
    None,
    One(&'a [u8]),
    Several,
}

fn only<'a>(request: &Request<'a>, name: &str) -> Only<'a> {
    let mut values = values(request, name);
    match (values.next(), values.next()) {
        (None, _) => Only::None,
        (Some(value), None) => Only::One(value.trim_ascii()),
        (Some(_), Some(_)) => Only::Several,
    }
}

fn values<'a>(request: &Request<'a>, name: &str) -> impl Iterator<Item = &'a [u8]> {
    request.headers().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Whether it has the form of 16 bytes in Base64. It is not decoded, which a server need not do (section 4.2.2): the bits that are
/// left over in the last character may be any, as they are in the RFC's own example.
fn is_key(key: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.strip_suffix(b"==").is_some_and(|digits| digits.len() == 22 && digits.iter().all(is_base64))
}

/// The subprotocols that a client prefers: tokens, each of them once (section 4.1). `None` if they are anything else.
fn protocols(request: &Request<'_>) -> Option<Vec<String>> {
    let mut protocols = Vec::new();
    let mut seen = HashSet::new();
    for list in values(request, "sec-websocket-protocol") {
        for protocol in std::str::from_utf8(list).ok()?.split(',') {
            match protocol.trim_matches([' ', '\t']) {
                "" => {}
                protocol if is_token(protocol) && seen.insert(protocol) => protocols.push(protocol.to_owned()),
                _ => return None,
            }
        }
    }
    Some(protocols)
}

/// The first offer of a compression that can be met. A list that is malformed anywhere fails the handshake (section 9.1).
fn negotiate(request: &Request<'_>, config: &Config) -> Result<Option<(Negotiated, String)>, Malformed> {
    let mut negotiated = None;
    for list in values(request, "sec-websocket-extensions") {
        for offer in extensions(std::str::from_utf8(list).map_err(|_| Malformed)?) {
            let offer = offer?;
            if negotiated.is_none() {
                negotiated = config.deflate.as_ref().and_then(|deflate| deflate.accept(&offer));
            }
        }
    }
    Ok(negotiated)
}

impl Config {
    /// Whether a page of the request's origin may connect.
    fn admits(&self, request: &Request<'_>) -> bool {
        if self.origins.is_none() && !self.same_origin {
            return true;
        }
        let Only::One(origin) = only(request, "origin") else { return false };
        let is_known = self.origins.iter().flatten().any(|known| known.as_bytes().eq_ignore_ascii_case(origin));
        is_known || self.same_origin && is_same_origin(origin, request)
    }
}

/// Whether an origin names the host and the port that the request was sent to. Its scheme is not compared, because a proxy that ends
/// TLS leaves no trace of it; but it says which port is meant where none is named.
fn is_same_origin(origin: &[u8], request: &Request<'_>) -> bool {
    let (Ok(origin), Only::One(host)) = (std::str::from_utf8(origin), only(request, "host")) else { return false };
    let (Some((scheme, origin)), Ok(host)) = (origin.split_once("://"), std::str::from_utf8(host)) else {
        return false;
    };
    let default = match scheme {
        scheme if scheme.eq_ignore_ascii_case("http") => "80",
        scheme if scheme.eq_ignore_ascii_case("https") => "443",
        _ => return false,
    };
    let (origin, host) = (authority(origin, default), authority(host, default));
    !origin.0.is_empty() && origin.0.eq_ignore_ascii_case(host.0) && origin.1 == host.1
}

/// The host and the port of an authority. The brackets of an IPv6 address belong to the host.
fn authority<'a>(authority: &'a str, default: &'a str) -> (&'a str, &'a str) {
    match authority.rsplit_once(':') {
        Some((host, "")) => (host, default),
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, default),
    }
}

/// The answer that makes the connection a WebSocket. `fields` and `more` are lines of their own.
pub(super) fn response(asked: &Asked, protocol: Option<&str>, fields: &str, more: &str) -> String {
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
    response + fields + more + "\r\n"
}

/// The line of a field that the answer may have besides its own: not one that is the handshake's, nor one that a `101` cannot have
/// (RFC 9110, section 8.6; RFC 9112, section 6.1).
pub(super) fn field_line(name: &str, value: &str) -> Option<String> {
    const OWN: [&str; 4] = ["Upgrade", "Connection", "Content-Length", "Transfer-Encoding"];
    let is_own = OWN.iter().any(|own| own.eq_ignore_ascii_case(name))
        || name.get(.."Sec-WebSocket-".len()).is_some_and(|start| start.eq_ignore_ascii_case("Sec-WebSocket-"));
    (is_token(name) && is_field_value(value) && !is_own).then(|| format!("{name}: {value}\r\n"))
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
