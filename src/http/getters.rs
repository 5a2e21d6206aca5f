//! What a response is, for access logs and for what comes between a handler and its connection.

use super::response::Content;
use super::{Response, Status};

impl Response<'_> {
    /// Its status.
    pub fn code(&self) -> Status {
        self.status
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
