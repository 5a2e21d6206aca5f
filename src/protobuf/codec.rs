//! One type of message each way.

use super::ProtobufError;
use super::write::put_message;
use crate::codec::{Decoder, Encoder, Error, Input, LengthDelimited, Output};
use crate::limits;
use prost::Message;
use std::fmt;
use std::marker::PhantomData;

/// A varint of 64 bits has at most so many bytes.
const LONGEST_VARINT: usize = 10;

/// Messages of the type `In` are received and messages of the type `Out` are sent, each behind its length.
///
/// The length is a varint, as protobuf's own libraries write it (`writeDelimitedTo`, `encode_length_delimited`); for one of a
/// fixed width see [`with_length`](Protobuf::with_length). A received message is the handler's own: reading it allocates what
/// its fields need.
///
/// The peer's codec has the types the other way round.
pub struct Protobuf<In, Out = In> {
    length: Length,
    types: PhantomData<fn(In) -> Out>,
}

#[derive(Clone, Copy, Debug)]
enum Length {
    Varint { max: usize },
    Field(LengthDelimited),
}

impl<In, Out> Protobuf<In, Out> {
    /// How long a message may be that is received or sent, in bytes. Default: 64 KiB. A longer one ends the connection as
    /// soon as it is announced.
    ///
    /// A received message may take several times its length in memory.
    pub fn max(mut self, bytes: usize) -> Self {
        self.length = match self.length {
            Length::Varint { .. } => Length::Varint { max: bytes },
            Length::Field(field) => Length::Field(field.max(bytes)),
        };
        self
    }

    /// The length is a field of this kind, whose maximum counts from here on.
    ///
    /// ```
    /// use tiderace::{codec::LengthDelimited, protobuf::Protobuf};
    ///
    /// let codec = Protobuf::<String>::default().with_length(LengthDelimited::default().width(2));
    /// ```
    ///
    /// # Panics
    /// If bytes stand before the field ([`LengthDelimited::offset`]).
    pub fn with_length(mut self, field: LengthDelimited) -> Self {
        assert!(!field.has_offset(), "a message has nothing in front of its length");
        self.length = Length::Field(field);
        self
    }
}

impl<In, Out> Default for Protobuf<In, Out> {
    fn default() -> Self {
        Protobuf { length: Length::Varint { max: limits::FRAME }, types: PhantomData }
    }
}

impl<In, Out> Clone for Protobuf<In, Out> {
    fn clone(&self) -> Self {
        Protobuf { length: self.length, types: PhantomData }
    }
}

impl<In, Out> fmt::Debug for Protobuf<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protobuf").field("length", &self.length).finish()
    }
}

/// The length at the front, and how many bytes it has; `None` if it has not all come.
fn varint(byte_at: impl Fn(usize) -> Option<u8>) -> Result<Option<(u64, usize)>, ProtobufError> {
    let mut value = 0;
    for index in 0..LONGEST_VARINT {
        let Some(byte) = byte_at(index) else { return Ok(None) };
        // The last one has a single bit left.
        if index == LONGEST_VARINT - 1 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok(Some((value, index + 1)));
        }
    }
    Err(ProtobufError::Varint)
}

impl<In: Message + Default + 'static, Out: 'static> Decoder for Protobuf<In, Out> {
    type Item<'a> = In;
    type Error = ProtobufError;

    #[inline]
    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, ProtobufError> {
        match &mut self.length {
            Length::Field(field) => Ok(field.frame_end(input)?),
            Length::Varint { max } => {
                let Some((length, header)) = varint(|index| input.get(index))? else { return Ok(None) };
                if length > *max as u64 {
                    return Err(Error::TooLong { max: *max, length }.into());
                }
                let end = header.saturating_add(length as usize);
                Ok((end <= input.len()).then_some(end))
            }
        }
    }

    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<In, ProtobufError> {
        let message = match &mut self.length {
            Length::Field(field) => field.decode(frame)?,
            Length::Varint { .. } => {
                let header = varint(|index| frame.get(index).copied())?.map_or(frame.len(), |(_, header)| header);
                &frame[header..]
            }
        };
        In::decode(message).map_err(ProtobufError::Message)
    }

    fn max_buffered(&self) -> usize {
        match &self.length {
            Length::Varint { max } => max.saturating_add(LONGEST_VARINT),
            Length::Field(field) => field.max_buffered(),
        }
    }
}

impl<In, Out: Message> Encoder<Out> for Protobuf<In, Out> {
    type Error = ProtobufError;

    fn encode(&mut self, message: &Out, output: &mut Output<'_>) -> Result<(), ProtobufError> {
        let length = message.encoded_len();
        match &self.length {
            Length::Field(field) => field.put_field(length, output)?,
            Length::Varint { max } if length > *max => {
                return Err(Error::TooLong { max: *max, length: length as u64 }.into());
            }
            Length::Varint { .. } => {
                let mut header = [0; LONGEST_VARINT];
                let mut rest = &mut header[..];
                prost::encoding::encode_varint(length as u64, &mut rest);
                let unused = rest.len();
                output.put_slice(&header[..LONGEST_VARINT - unused]);
            }
        }
        put_message(message, length, output);
        Ok(())
    }

    fn size_hint(message: &Out) -> usize {
        size_of_val(message) + message.encoded_len()
    }
}
