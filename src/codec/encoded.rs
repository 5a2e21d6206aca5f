//! Messages that are encoded once, for many connections.

use super::{Codec, Encoder, encode_to_vec};
use bytes::Bytes;

/// A message as all understand it, and, where there is one that is shorter, in a form that some do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub(crate) plain: Bytes,
    pub(crate) compact: Option<Bytes>,
}

impl Encoded {
    /// Encodes a message for connections that others have opened.
    pub(crate) fn new<C: Codec, M: ?Sized>(codec: &C, message: &M) -> Result<Encoded, <C::Encoder as Encoder<M>>::Error>
    where
        C::Encoder: Encoder<M>,
    {
        let with = |mut encoder| encode_to_vec(&mut encoder, message).map(Bytes::from);
        let plain = with(codec.group_encoder())?;
        let compact = codec.compact_group_encoder().map(with).transpose()?;
        Ok(Encoded { compact: compact.filter(|compact| compact.len() < plain.len()), plain })
    }

    /// Several messages as one.
    pub(crate) fn join(messages: &[Encoded]) -> Encoded {
        let plain: Vec<&[u8]> = messages.iter().map(|message| &*message.plain).collect();
        let compact = messages.iter().any(|message| message.compact.is_some()).then(|| {
            let shortest = messages.iter().map(|message| &**message.compact.as_ref().unwrap_or(&message.plain));
            Bytes::from(shortest.collect::<Vec<&[u8]>>().concat())
        });
        Encoded { plain: plain.concat().into(), compact }
    }
}
