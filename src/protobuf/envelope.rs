//! Several types of messages on one connection.

use super::ProtobufError;
use super::write::put_message;
use crate::codec::{Decoder, Encoder, Input, LengthDelimited, Output};
use bytes::Bytes;
use prost::{Message, Name};
use std::fmt;
use std::sync::Arc;

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

/// An encoded message and the name of its type. A received one lies in the connection's buffer.
///
/// It can be sent on as it is, so a proxy or a broker relays messages of types that it does not know. To keep it for longer
/// than the handler's method, or to send it by a [`Handle`](crate::Handle), make it an [`OwnedEnvelope`].
///
/// ```
/// use tiderace::protobuf::{Envelope, Envelopes};
/// use tiderace::{Conn, Group, Handler, Result};
///
/// /// Passes every message on to all others, and opens none.
/// struct Broker(Group<Envelopes>);
///
/// impl Handler for Broker {
///     type Codec = Envelopes;
///
///     async fn on_open(&mut self, conn: &mut Conn<Envelopes>) -> Result {
///         self.0.join(conn);
///         conn.send(&Envelope::new("broker.Hello", b"")).await
///     }
///
///     async fn on_message(&mut self, conn: &mut Conn<Envelopes>, envelope: Envelope<'_>) -> Result {
///         self.0.try_send_except(conn.id(), &envelope)
///     }
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    name: &'a str,
    message: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// An envelope around a message that is encoded already. `name` is the full name of its type, as [`prost::Name`] has it.
    ///
    /// Neither is checked here: an encoder refuses a name of more than 65,535 bytes ([`ProtobufError::Name`]), and the
    /// receiver finds out whether the bytes are such a message.
    pub const fn new(name: &'a str, message: &'a [u8]) -> Envelope<'a> {
        Envelope { name, message }
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> OwnedEnvelope {
        OwnedEnvelope { name: self.name.into(), message: Bytes::copy_from_slice(self.message) }
    }

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

/// An [`Envelope`] that borrows nothing: to be kept, and to be sent by handles from other threads.
///
/// A clone shares the name and the bytes.
///
/// ```
/// use tiderace::Handle;
/// use tiderace::protobuf::{Envelopes, OwnedEnvelope};
///
/// fn deliver(to: &Handle<Envelopes>, letter: &OwnedEnvelope) -> bool {
///     to.try_send(letter.clone()).is_ok()
/// }
///
/// let letter = OwnedEnvelope::new("post.Letter", vec![0x0a, 2, b'h', b'i']);
/// assert_eq!(letter.as_envelope().name(), "post.Letter");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct OwnedEnvelope {
    name: Arc<str>,
    message: Bytes,
}

impl OwnedEnvelope {
    /// As [`Envelope::new`], from values of its own.
    pub fn new(name: impl Into<Arc<str>>, message: impl Into<Bytes>) -> OwnedEnvelope {
        OwnedEnvelope { name: name.into(), message: message.into() }
    }

    /// The envelope, lent.
    pub fn as_envelope(&self) -> Envelope<'_> {
        Envelope { name: &self.name, message: &self.message }
    }
}

impl fmt::Debug for OwnedEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_envelope().fmt(f)
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

impl Envelopes {
    /// Writes what stands before a message of so many bytes.
    fn put_head(&self, name: &[&str], bytes: usize, output: &mut Output<'_>) -> Result<(), ProtobufError> {
        let length = name.iter().map(|part| part.len()).sum();
        let Ok(field) = u16::try_from(length) else { return Err(ProtobufError::Name { length }) };
        self.frames.put_field((NAME + length).saturating_add(bytes), output)?;
        output.put_slice(&field.to_be_bytes());
        name.iter().for_each(|part| output.put_slice(part.as_bytes()));
        Ok(())
    }
}

impl<M: Message + Name> Encoder<M> for Envelopes {
    type Error = ProtobufError;

    fn encode(&mut self, message: &M, output: &mut Output<'_>) -> Result<(), ProtobufError> {
        let bytes = message.encoded_len();
        self.put_head(&full_name::<M>(), bytes, output)?;
        put_message(message, bytes, output);
        Ok(())
    }

    fn size_hint(message: &M) -> usize {
        size_of_val(message) + message.encoded_len()
    }
}

impl Encoder<Envelope<'_>> for Envelopes {
    type Error = ProtobufError;

    fn encode(&mut self, envelope: &Envelope<'_>, output: &mut Output<'_>) -> Result<(), ProtobufError> {
        self.put_head(&[envelope.name], envelope.message.len(), output)?;
        output.put_slice(envelope.message);
        Ok(())
    }

    fn size_hint(envelope: &Envelope<'_>) -> usize {
        size_of_val(envelope) + envelope.name.len() + envelope.message.len()
    }
}

impl Encoder<OwnedEnvelope> for Envelopes {
    type Error = ProtobufError;

    fn encode(&mut self, envelope: &OwnedEnvelope, output: &mut Output<'_>) -> Result<(), ProtobufError> {
        self.put_head(&[&envelope.name], envelope.message.len(), output)?;
        output.put_bytes(envelope.message.clone());
        Ok(())
    }

    fn size_hint(envelope: &OwnedEnvelope) -> usize {
        size_of_val(envelope) + envelope.name.len() + envelope.message.len()
    }
}
