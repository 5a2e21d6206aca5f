//! What a client receives, and what it sends.

use super::value::{self, Value};
use super::{RespError, header};
use crate::codec::{Codec, Decoder, Encoder, Input, Output};
use crate::limits;

/// RESP for clients: each message is a [`Value`], and what is sent is a command: a slice or an array of arguments, the name
/// first.
///
/// An empty command is refused ([`RespError::Empty`]): a server passes it over, so its reply would never come.
///
/// Commands may be sent without waiting for the reply to the one before; replies come in their order.
#[derive(Clone, Copy, Debug)]
pub struct Replies {
    max_reply: usize,
    max_depth: usize,
    attributes: bool,
}

impl Default for Replies {
    fn default() -> Replies {
        Replies { max_reply: limits::RESP_REPLY, max_depth: limits::RESP_DEPTH, attributes: false }
    }
}

impl Replies {
    /// How many bytes a reply may have, everything included; 2 GiB at most. Default: 16 MiB.
    pub fn max_reply(mut self, bytes: usize) -> Replies {
        self.max_reply = bytes.min(i32::MAX as usize);
        self
    }

    /// How deep values may lie within values. Default: 16.
    pub fn max_depth(mut self, depth: usize) -> Replies {
        self.max_depth = depth;
        self
    }

    /// Shows the attributes of values as [`Value::Attributed`], at every depth. Default: they are passed over.
    pub fn show_attributes(mut self) -> Replies {
        self.attributes = true;
        self
    }
}

impl Codec for Replies {
    type Decoder = ReplyDecoder;
    type Encoder = Replies;

    fn halves(&self) -> (ReplyDecoder, Replies) {
        (ReplyDecoder { limits: *self, at: 0, searched: 0, missing: Vec::new() }, *self)
    }
}

/// The receiving half of [`Replies`].
#[derive(Debug)]
pub struct ReplyDecoder {
    limits: Replies,
    /// Everything before this has been looked at.
    at: usize,
    /// The line that starts there has been searched as far as this.
    searched: usize,
    /// Values that are still to come, at each depth; nothing between two replies.
    missing: Vec<u64>,
}

impl ReplyDecoder {
    fn find_end(&mut self, input: Input<'_>) -> Result<Option<usize>, RespError> {
        if self.missing.is_empty() {
            self.missing.push(1);
        }
        while let Some(missing) = self.missing.last_mut() {
            if *missing == 0 {
                self.missing.pop();
                continue;
            }
            let Some(token) = value::token(input, self.at, &mut self.searched)? else { return self.incomplete(input) };
            // An attribute is followed by the value that it belongs to.
            *missing -= u64::from(token.kind != b'|');
            self.at = token.end;
            if token.children > 0 {
                if self.missing.len() > self.limits.max_depth {
                    return Err(RespError::TooDeep { max: self.limits.max_depth });
                }
                self.missing.push(token.children);
            }
        }
        self.searched = 0;
        let end = std::mem::take(&mut self.at);
        if end > self.limits.max_reply {
            return Err(RespError::TooLong { max: self.limits.max_reply, length: end as u64 });
        }
        Ok(Some(end))
    }

    fn incomplete(&self, input: Input<'_>) -> Result<Option<usize>, RespError> {
        let (max, length) = (self.limits.max_reply, input.len());
        if length > max { Err(RespError::TooLong { max, length: length as u64 }) } else { Ok(None) }
    }
}

impl Decoder for ReplyDecoder {
    type Item<'a> = Value<'a>;
    type Error = RespError;

    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, RespError> {
        self.find_end(input)
    }

    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<Value<'a>, RespError> {
        Ok(value::read(frame, self.limits.attributes)?.0)
    }

    fn max_buffered(&self) -> usize {
        self.limits.max_reply
    }
}

impl<A: AsRef<[u8]>> Encoder<[A]> for Replies {
    type Error = RespError;

    fn encode(&mut self, arguments: &[A], output: &mut Output<'_>) -> Result<(), RespError> {
        if arguments.is_empty() {
            return Err(RespError::Empty);
        }
        header::put(b'*', arguments.len() as i64, output);
        for argument in arguments {
            header::put_bulk(argument.as_ref(), output);
        }
        Ok(())
    }

    fn size_hint(arguments: &[A]) -> usize {
        size_of_val(arguments) + arguments.iter().map(|argument| argument.as_ref().len()).sum::<usize>()
    }
}

impl<A: AsRef<[u8]>, const N: usize> Encoder<[A; N]> for Replies {
    type Error = RespError;

    fn encode(&mut self, arguments: &[A; N], output: &mut Output<'_>) -> Result<(), RespError> {
        Encoder::<[A]>::encode(self, arguments, output)
    }

    fn size_hint(arguments: &[A; N]) -> usize {
        <Replies as Encoder<[A]>>::size_hint(arguments)
    }
}
