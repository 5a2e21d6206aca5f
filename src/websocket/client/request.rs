//! What a client asks.

use super::HandshakeError;
use super::address::Target;
use crate::http::{is_field_value, is_token};
use crate::websocket::{Deflate, handshake};
use std::fmt;
use std::fmt::Write;

/// The fields that the caller has given.
#[derive(Clone, Default)]
pub(super) struct Fields {
    fields: Vec<(String, String)>,
    pub(super) protocols: Vec<String>,
    /// The first field that cannot be sent.
    invalid: Option<HandshakeError>,
}

/// A key that no server can foresee (RFC 6455, section 4.1).
pub(super) fn key() -> Result<String, HandshakeError> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|_| HandshakeError::NoRandomness)?;
    Ok(handshake::key(nonce))
}

/// Whether the handshake writes that field, or it would frame a body, which a handshake has none of. Others that begin with
/// `Sec-WebSocket-` belong to the protocol (RFC 6455, section 11.3).
fn is_own(name: &str) -> bool {
    const OWN: [&str; 6] = ["Host", "Connection", "Upgrade", "Content-Length", "Transfer-Encoding", "Trailer"];
    const PREFIX: &str = "Sec-WebSocket-";
    OWN.iter().any(|own| name.eq_ignore_ascii_case(own))
        || name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Whether a field is for one host and no other.
fn is_secret(name: &str) -> bool {
    ["Authorization", "Cookie", "Proxy-Authorization"].iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

impl Fields {
    pub(super) fn add(&mut self, name: &str, value: &str) {
        if !is_token(name) || !is_field_value(value) {
            self.invalid.get_or_insert(HandshakeError::Field(format!("{name}: {value}")));
        } else if is_own(name) {
            self.invalid.get_or_insert(HandshakeError::OwnField(name.to_owned()));
        } else {
            self.fields.push((name.to_owned(), value.to_owned()));
        }
    }

    pub(super) fn validate(&self) -> Result<(), HandshakeError> {
        if let Some(error) = &self.invalid {
            return Err(error.clone());
        }
        for (i, protocol) in self.protocols.iter().enumerate() {
            if !is_token(protocol) {
                return Err(HandshakeError::Field(protocol.clone()));
            }
            if self.protocols[..i].contains(protocol) {
                return Err(HandshakeError::Protocol(protocol.clone()));
            }
        }
        Ok(())
    }

    /// The request. One that is not for a host that the caller has named has no secrets.
    pub(super) fn request(&self, target: &Target, key: &str, deflate: Option<&Deflate>, is_trusted: bool) -> String {
        let mut request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
             Sec-WebSocket-Version: 13\r\n",
            target.path,
            target.host()
        );
        let mut line = |name: &str, value: &str| {
            let _ = write!(request, "{name}: {value}\r\n");
        };
        for (name, value) in self.fields.iter().filter(|(name, _)| is_trusted || !is_secret(name)) {
            line(name, value);
        }
        let is_said = self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("Authorization"));
        if let Some(basic) = target.basic.as_ref().filter(|_| is_trusted && !is_said) {
            line("Authorization", basic);
        }
        if !self.protocols.is_empty() {
            line("Sec-WebSocket-Protocol", &self.protocols.join(", "));
        }
        if let Some(deflate) = deflate {
            line("Sec-WebSocket-Extensions", &deflate.offer());
        }
        request + "\r\n"
    }
}

/// Names alone: a value may be a secret.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.fields.iter().map(|(name, _)| name)).finish()
    }
}
