//! A message that comes in fragments: RFC 6455, section 5.4.

use super::{Config, WebSocketError};

#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) is_text: bool,
    pub(super) is_compressed: bool,
    pub(super) bytes: Vec<u8>,
    /// So many of them are whole characters, if it is text.
    valid: usize,
    fragments: u32,
}

impl Assembly {
    pub(super) fn new(is_text: bool, is_compressed: bool) -> Assembly {
        Assembly { is_text, is_compressed, bytes: Vec::new(), valid: 0, fragments: 0 }
    }

    /// A message that has come as a whole.
    pub(super) fn whole(is_text: bool, bytes: Vec<u8>) -> Assembly {
        Assembly { is_text, is_compressed: false, bytes, valid: 0, fragments: 1 }
    }

    /// Appends a fragment. Of a text, what has come so far must be one, but for a character that is not yet whole.
    pub(super) fn push(&mut self, payload: &[u8], is_final: bool, config: &Config) -> Result<(), WebSocketError> {
        self.fragments += 1;
        if self.fragments > config.max_fragments {
            return Err(WebSocketError::TooManyFragments { max: config.max_fragments });
        }
        if self.bytes.len() + payload.len() > config.max_message {
            return Err(WebSocketError::MessageTooLong { max: config.max_message });
        }
        self.bytes.extend_from_slice(payload);
        if self.is_text && !self.is_compressed {
            match std::str::from_utf8(&self.bytes[self.valid..]) {
                Ok(_) => self.valid = self.bytes.len(),
                Err(error) if error.error_len().is_none() && !is_final => self.valid += error.valid_up_to(),
                Err(_) => return Err(WebSocketError::NotUtf8),
            }
        }
        Ok(())
    }
}
