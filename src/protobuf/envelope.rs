//! Several types of messages on one connection.

use super::ProtobufError;
use super::write::put_message;
use crate::codec::{Decoder, Encoder, Input, LengthDelimited, Output};
use prost::{Message, Name};
use std::fmt;

/// The bytes that say how long a name is.
const NAME: usize = 2;

/// Messages of several types: each comes in an envelope that bears its name.
///
/// ```text
///   | length of all that follows, 4 bytes | length of the name, 2 bytes | name | message |
/// ```
///
/// Both lengths are in network order; this is what gev's plugin for protobuf sends, too. The name is that of
/// [`prost::Name`]: the package, a dot and the type, or the type alone where the package is empty.
///
/// ```
/// use tiderace::protobuf::{Envelope, Envelopes};
/// use tiderace::{Conn, Handler, Result};
///
/// #[derive(Clone, PartialEq, prost::Message)]
/// struct Ping {
///     #[prost(uint32, tag = "1")]
///     number: u32,
/// }
///
/// impl prost::Name for Ping {
///     const NAME: &'static str = "Ping";
///     const PACKAGE: &'static str = "";
/// }
///
/// struct Server;
///
/// impl Handler for Server {
///     type Codec = Envelopes;
///
///     async fn on_message(&mut self, conn: &mut Conn<Envelopes>, envelope: Envelope<'_>) -> Result {
///         if envelope.is::<Ping>() {
///             conn.send(&envelope.open::<Ping>()?).await?;
///         }
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Envelopes {
    frames: LengthDelimited,
}

impl Envelopes {
    /// How long an envelope may be, its name included, in bytes. Default: 64 KiB.
    pub fn max(mut self, bytes: usize) -> Envelopes {
        self.frames = self.frames.max(bytes);
        self
    }
}

/// A message that was received, and its name. It lies in the connection's buffer.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    name: &'a str,
    message: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// The name of the message's type.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The message, as it was encoded.
    pub fn bytes(&self) -> &'a [u8] {
        self.message
    }

    /// Whether this is a message of the type `M`.
    pub fn is<M: Name>(&self) -> bool {
        match self.name.strip_suffix(M::NAME) {
            Some("") => M::PACKAGE.is_empty(),
            Some(package) => !M::PACKAGE.is_empty() && package.strip_suffix('.') == Some(M::PACKAGE),
            None => false,
        }
    }

    /// The message.
    ///
    /// # Errors
    /// When it has another name, or is no such message in spite of its name.
    pub fn open<M: Message + Name + Default>(&self) -> Result<M, ProtobufError> {
        if !self.is::<M>() {
            let expected = full_name::<M>().concat();
            return Err(ProtobufError::Other { expected, found: self.name.to_owned() });
        }
        M::decode(self.message).map_err(ProtobufError::Message)
    }
}

impl fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope").field("name", &self.name).field("bytes", &self.message.len()).finish()
    }
}

/// In parts, which are never joined to be sent.
fn full_name<M: Name>() -> [&'static str; 3] {
    [M::PACKAGE, if M::PACKAGE.is_empty() { "" } else { "." }, M::NAME]
}

impl Decoder for Envelopes {
    type Item<'a> = Envelope<'a>;
    type Error = ProtobufError;

    #[inline]
    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, ProtobufError> {
        Ok(self.frames.frame_end(input)?)
    }

    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<Envelope<'a>, ProtobufError> {
        let inside = self.frames.decode(frame)?;
        let Some((length, inside)) = inside.split_first_chunk::<NAME>() else {
            return Err(ProtobufError::Name { length: 0 });
        };
        let length = usize::from(u16::from_be_bytes(*length));
        let (name, message) = inside.split_at_checked(length).ok_or(ProtobufError::Name { length })?;
        let name = std::str::from_utf8(name).map_err(ProtobufError::NotUtf8)?;
        Ok(Envelope { name, message })
    }

    fn max_buffered(&self) -> usize {
        self.frames.max_buffered()
    }
}

impl<M: Message + Name> Encoder<M> for Envelopes {
    type Error = ProtobufError;

    fn encode(&mut self, message: &M, output: &mut Output<'_>) -> Result<(), ProtobufError> {
        let name = full_name::<M>();
        let (length, bytes) = (name.iter().map(|part| part.len()).sum(), message.encoded_len());
        let Ok(field) = u16::try_from(length) else { return Err(ProtobufError::Name { length }) };
        self.frames.put_field(NAME + length + bytes, output)?;
        output.put_slice(&field.to_be_bytes());
        name.iter().for_each(|part| output.put_slice(part.as_bytes()));
        put_message(message, bytes, output);
        Ok(())
    }

    fn size_hint(message: &M) -> usize {
        size_of_val(message) + message.encoded_len()
    }
}
