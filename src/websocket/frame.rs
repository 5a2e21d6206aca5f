//! Frames: RFC 6455, section 5.2.

use super::WebSocketError;
use crate::codec::{Input, Output};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    #[inline]
    pub(super) fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) is_final: bool,
    pub(super) is_compressed: bool,
    pub(super) opcode: Opcode,
    /// All zero in a frame without a mask, which is the same.
    pub(super) key: [u8; 4],
    /// Of the header itself.
    size: u8,
    /// Of the payload.
    length: usize,
}

/// What a receiver expects of headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Clients mask, servers do not.
    pub(super) is_masked: bool,
    /// The first frame of a message may say that it is compressed.
    pub(super) may_be_compressed: bool,
    pub(super) max: usize,
}

impl Header {
    /// Where the payload starts.
    #[inline]
    pub(super) fn size(&self) -> usize {
        usize::from(self.size)
    }

    /// Where the frame ends.
    #[inline]
    pub(super) fn end(&self) -> usize {
        self.size().saturating_add(self.length)
    }

    /// The header at the front of `input`, if it is that of a short message of a client, in one frame: most are.
    #[inline]
    pub(super) fn parse_short(input: Input<'_>, max: usize) -> Option<Header> {
        let [first @ (0x81 | 0x82), second @ 0x80..=0xfd, key @ ..] = input.array::<6>(0)? else { return None };
        let length = usize::from(second & 0x7f);
        if length > max {
            return None;
        }
        let opcode = if first == 0x81 { Opcode::Text } else { Opcode::Binary };
        Some(Header { is_final: true, is_compressed: false, opcode, key, size: 6, length })
    }

    /// The header at the front of `input`, if it is there.
    pub(super) fn parse(input: Input<'_>, rules: &Rules) -> Result<Option<Header>, WebSocketError> {
        let Some([first, second]) = input.array::<2>(0) else { return Ok(None) };
        let opcode = match first & 0x0f {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return Err(WebSocketError::Frame("expected a known opcode, found another")),
        };
        let (is_final, is_compressed) = (first & 0x80 != 0, first & 0x40 != 0);
        let begins = matches!(opcode, Opcode::Text | Opcode::Binary);
        if first & 0x30 != 0 || is_compressed && !(rules.may_be_compressed && begins) {
            return Err(WebSocketError::Frame("expected reserved bits to be zero, found one that is set"));
        }
        let is_masked = second & 0x80 != 0;
        if is_masked != rules.is_masked {
            return Err(WebSocketError::Frame("expected masked frames from clients and plain ones from servers"));
        }
        let short = second & 0x7f;
        let (length, mut size): (u64, u8) = match short {
            0..=125 => (u64::from(short), 2),
            126 => match input.array(2).map(u16::from_be_bytes) {
                Some(length) => (u64::from(length), 4),
                None => return Ok(None),
            },
            _ => match input.array(2).map(u64::from_be_bytes) {
                Some(length) => (length, 10),
                None => return Ok(None),
            },
        };
        if opcode.is_control() {
            if !is_final {
                return Err(WebSocketError::Frame("expected control frames in one piece, found a fragment"));
            }
            if length > LONGEST_CONTROL as u64 {
                return Err(WebSocketError::Frame("expected control frames of at most 125 bytes, found a longer one"));
            }
        } else if length > rules.max as u64 {
            return Err(WebSocketError::FrameTooLong { max: rules.max, length });
        }
        if size == 4 && length < 126 || size == 10 && length <= u64::from(u16::MAX) {
            return Err(WebSocketError::Frame("expected a length in as few bytes as it needs, found more"));
        }
        let mut key = [0; 4];
        if is_masked {
            let Some(found) = input.array(usize::from(size)) else { return Ok(None) };
            (key, size) = (found, size + 4);
        }
        Ok(Some(Header { is_final, is_compressed, opcode, key, size, length: length as usize }))
    }
}

/// Writes a frame, masked with `key` if there is one.
#[inline]
pub(super) fn put(output: &mut Output<'_>, first: u8, key: Option<[u8; 4]>, payload: &[u8]) {
    if let Some(key) = key {
        return put_masked(output, first, key, payload);
    }
    match payload.len() {
        length @ 0..=125 => output.put_prefixed([first, length as u8], payload),
        length @ 126..=0xffff => {
            let [a, b] = (length as u16).to_be_bytes();
            output.put_prefixed([first, 126, a, b], payload);
        }
        length => {
            output.put_slice(&[first, 127]);
            output.put_prefixed((length as u64).to_be_bytes(), payload);
        }
    }
}

/// Out of the way of servers, and so is its space on the stack.
#[inline(never)]
fn put_masked(output: &mut Output<'_>, first: u8, key: [u8; 4], payload: &[u8]) {
    match payload.len() {
        length @ 0..=125 => output.put_prefixed([first, 0x80 | length as u8], &key),
        length @ 126..=0xffff => {
            let [a, b] = (length as u16).to_be_bytes();
            output.put_prefixed([first, 0xfe, a, b], &key);
        }
        length => {
            output.put_prefixed([first, 0xff], &(length as u64).to_be_bytes());
            output.put_slice(&key);
        }
    }
    let mut masked = [0; MASKED_AT_ONCE];
    for part in payload.chunks(MASKED_AT_ONCE) {
        let masked = &mut masked[..part.len()];
        masked.copy_from_slice(part);
        super::mask::apply(key, masked);
        output.put_slice(masked);
    }
}

/// The most that a control frame can carry (section 5.5).
pub(super) const LONGEST_CONTROL: usize = 125;
/// The longest that a header can be.
pub(super) const LONGEST_HEADER: usize = 14;
/// A client's messages are masked in pieces of so many bytes, which is a multiple of a mask's length.
const MASKED_AT_ONCE: usize = 1024;
