//! What a connection to a Redis sends and receives.

use super::wire::Wire;
use crate::buffer::decimal;
use crate::codec::{Codec, Decoder, Encoder, Input, Output};
use crate::resp::{Replies, ReplyDecoder, RespError, Value, read_value};
use std::rc::Rc;

/// The codec of such a connection: like [`Replies`], but each message is lent with its bytes, so that they can be kept.
pub(super) struct Frames(pub(super) Rc<Wire>);

/// A reply, and the bytes that it was read from.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) value: Value<'a>,
    pub(super) bytes: &'a [u8],
}

pub(super) struct FrameDecoder {
    replies: ReplyDecoder,
    wire: Rc<Wire>,
}

pub(super) struct CommandEncoder(Replies);

/// Commands that were encoded before.
pub(super) struct Encoded<'a>(pub(super) &'a [u8]);

impl Codec for Frames {
    type Decoder = FrameDecoder;
    type Encoder = CommandEncoder;

    fn halves(&self) -> (FrameDecoder, CommandEncoder) {
        let (replies, encoder) = self.0.config.replies.halves();
        (FrameDecoder { replies, wire: self.0.clone() }, CommandEncoder(encoder))
    }
}

impl Decoder for FrameDecoder {
    type Item<'a> = Frame<'a>;
    type Error = RespError;

    #[inline]
    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, RespError> {
        self.replies.frame_end(input)
    }

    #[inline]
    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<Frame<'a>, RespError> {
        let bytes: &'a [u8] = frame;
        Ok(Frame { value: read_value(bytes, false)?.0, bytes })
    }

    /// A server that stops gives the replies that are awaited their time.
    fn may_end(&self) -> bool {
        !self.wire.awaits_replies()
    }

    fn max_buffered(&self) -> usize {
        self.replies.max_buffered()
    }
}

impl<A: AsRef<[u8]>> Encoder<[A]> for CommandEncoder {
    type Error = RespError;

    #[inline]
    fn encode(&mut self, arguments: &[A], output: &mut Output<'_>) -> Result<(), RespError> {
        self.0.encode(arguments, output)
    }
}

impl Encoder<Encoded<'_>> for CommandEncoder {
    type Error = RespError;

    fn encode(&mut self, commands: &Encoded<'_>, output: &mut Output<'_>) -> Result<(), RespError> {
        output.put_slice(commands.0);
        Ok(())
    }
}

/// Writes a command behind others.
pub(super) fn append<A: AsRef<[u8]>>(arguments: &[A], bytes: &mut Vec<u8>) -> Result<(), RespError> {
    if arguments.is_empty() {
        return Err(RespError::Empty);
    }
    append_number(b'*', arguments.len(), bytes);
    for argument in arguments {
        let argument = argument.as_ref();
        append_number(b'$', argument.len(), bytes);
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    Ok(())
}

fn append_number(kind: u8, number: usize, bytes: &mut Vec<u8>) {
    let mut digits = [0; decimal::LONGEST];
    let from = decimal::write_at_end(number as u64, &mut digits);
    bytes.push(kind);
    bytes.extend_from_slice(&digits[from..]);
    bytes.extend_from_slice(b"\r\n");
}

/// Whether a command changes the connection, for all that share it, or has replies that are not one.
#[inline]
pub(super) fn changes_connection<A: AsRef<[u8]>>(arguments: &[A]) -> bool {
    let name = arguments.first().map_or(&b""[..], |name| name.as_ref());
    // Most are told apart by their first letter.
    match name.first().map(u8::to_ascii_uppercase) {
        Some(b'C') if name.eq_ignore_ascii_case(b"CLIENT") => {
            arguments.get(1).is_some_and(|word| word.as_ref().eq_ignore_ascii_case(b"REPLY"))
        }
        Some(b'A' | b'D' | b'E' | b'H' | b'M' | b'P' | b'Q' | b'R' | b'S' | b'U' | b'W') => changes_state(name),
        _ => false,
    }
}

fn changes_state(name: &[u8]) -> bool {
    const LONGEST: usize = 12;
    if !(4..=LONGEST).contains(&name.len()) {
        return false;
    }
    let mut upper = [0; LONGEST];
    let upper = &mut upper[..name.len()];
    upper.copy_from_slice(name);
    upper.make_ascii_uppercase();
    matches!(
        &*upper,
        b"AUTH"
            | b"DISCARD"
            | b"EXEC"
            | b"HELLO"
            | b"MONITOR"
            | b"MULTI"
            | b"PSUBSCRIBE"
            | b"PSYNC"
            | b"PUNSUBSCRIBE"
            | b"QUIT"
            | b"READONLY"
            | b"READWRITE"
            | b"RESET"
            | b"SELECT"
            | b"SSUBSCRIBE"
            | b"SUBSCRIBE"
            | b"SUNSUBSCRIBE"
            | b"SYNC"
            | b"UNSUBSCRIBE"
            | b"UNWATCH"
            | b"WATCH"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_that_changes_the_connection_is_known_in_any_case() {
        for name in ["SELECT", "select", "Multi", "EXEC", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "watch", "QUIT"] {
            assert!(changes_connection(&[name, "x"]), "{name}");
        }
        assert!(changes_connection(&["client", "reply", "OFF"]));
        assert!(!changes_connection(&["client", "getname"]) && !changes_connection(&["client"]));
        for name in
            ["", "SET", "GET", "PUBLISH", "SUBSTR", "MGET", "EXISTS", "PING", "SELECTED", "a longer name than any"]
        {
            assert!(!changes_connection(&[name, "x"]), "{name}");
        }
    }

    #[test]
    fn command_is_written_as_the_codec_writes_it() {
        let arguments = ["SET", "", "0123456789", &"x".repeat(1000)];
        let mut bytes = Vec::new();
        append(&arguments, &mut bytes).unwrap();
        assert_eq!(bytes, crate::codec::encode_to_vec(&mut Replies::default(), &arguments).unwrap());
        assert_eq!(append::<&str>(&[], &mut bytes), Err(RespError::Empty));
    }
}
