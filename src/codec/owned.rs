//! A protocol that sends borrowed messages also sends owned ones, which handles hold.

use super::{Encoder, Output};
use crate::buffer::Outbound;
use bytes::Bytes;

impl<E: Encoder<str>> Encoder<String> for E {
    type Error = E::Error;

    #[inline]
    fn encode(&mut self, message: &String, output: &mut Output<'_>) -> Result<(), E::Error> {
        Encoder::<str>::encode(self, message, output)
    }

    #[inline]
    fn size_hint(message: &String) -> usize {
        message.capacity()
    }
}

impl<E: Encoder<[u8]>> Encoder<Vec<u8>> for E {
    type Error = E::Error;

    #[inline]
    fn encode(&mut self, message: &Vec<u8>, output: &mut Output<'_>) -> Result<(), E::Error> {
        Encoder::<[u8]>::encode(self, message, output)
    }

    #[inline]
    fn size_hint(message: &Vec<u8>) -> usize {
        message.capacity()
    }
}

impl<E: Encoder<[Bytes]>> Encoder<Vec<Bytes>> for E {
    type Error = E::Error;

    #[inline]
    fn encode(&mut self, message: &Vec<Bytes>, output: &mut Output<'_>) -> Result<(), E::Error> {
        Encoder::<[Bytes]>::encode(self, message, output)
    }

    #[inline]
    fn size_hint(message: &Vec<Bytes>) -> usize {
        message.iter().map(|part| size_of::<Bytes>() + part.len()).sum()
    }
}

impl<E: Encoder<str>> Encoder<&'static str> for E {
    type Error = E::Error;

    #[inline]
    fn encode(&mut self, message: &&'static str, output: &mut Output<'_>) -> Result<(), E::Error> {
        Encoder::<str>::encode(self, message, output)
    }

    #[inline]
    fn size_hint(message: &&'static str) -> usize {
        <E as Encoder<str>>::size_hint(message)
    }
}

/// What `encoder` makes of `message`; for tests and tools.
///
/// ```
/// use tiderace::codec::{LengthDelimited, encode_to_vec};
///
/// assert_eq!(encode_to_vec(&mut LengthDelimited::default(), "hi").unwrap(), b"\0\0\0\x02hi");
/// ```
pub fn encode_to_vec<M: ?Sized, E: Encoder<M>>(encoder: &mut E, message: &M) -> Result<Vec<u8>, E::Error> {
    let mut queue = Outbound::for_one_message();
    encoder.encode(message, &mut Output::new(&mut queue, None))?;
    let mut bytes = Vec::with_capacity(queue.len());
    while !queue.is_empty() {
        let n = queue.with_slices(&[], |slices| {
            slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
            slices.iter().map(|slice| slice.len()).sum()
        });
        queue.advance(n);
    }
    Ok(bytes)
}
