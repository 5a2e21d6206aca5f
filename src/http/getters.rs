//! What a response is, for access logs and for what comes between a handler and its connection.

use super::response::Content;
use super::{Response, Status};

impl Response<'_> {
    /// Its status.
    pub fn code(&self) -> Status {
        self.status
    }

    /// Whether it is sent before the response to a request, and is none itself (RFC 9110, section 15.2).
    pub(crate) fn is_interim(&self) -> bool {
        self.status.0 < 200 && self.status != Status::SWITCHING_PROTOCOLS
    }

    /// Its body, unless that comes in parts.
    pub fn body(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Lent(bytes) => Some(bytes),
            Content::Shared(bytes) => Some(bytes),
            _ => None,
        }
    }
}
