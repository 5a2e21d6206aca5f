use super::{Decoder, Encoder, Input, Output};
use bytes::Bytes;
use std::convert::Infallible;

/// No framing: a message is whatever has arrived, as `&[u8]`, and bytes are sent as they are.
///
/// The pieces have nothing to do with how the peer wrote them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raw;

impl Decoder for Raw {
    type Item<'a> = &'a [u8];
    type Error = Infallible;

    #[inline]
    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, Infallible> {
        // Only the first slice: any border is as good as another, and one that does not wrap needs no copy.
        let first = input.as_slices().0.len();
        Ok((first > 0).then_some(first))
    }

    #[inline]
    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<&'a [u8], Infallible> {
        Ok(frame)
    }
}

impl Encoder<[u8]> for Raw {
    type Error = Infallible;

    #[inline]
    fn encode(&mut self, message: &[u8], output: &mut Output<'_>) -> Result<(), Infallible> {
        output.put_slice(message);
        Ok(())
    }
}

/// Several slices, one behind the other.
impl Encoder<[&[u8]]> for Raw {
    type Error = Infallible;

    #[inline]
    fn encode(&mut self, message: &[&[u8]], output: &mut Output<'_>) -> Result<(), Infallible> {
        message.iter().for_each(|part| output.put_slice(part));
        Ok(())
    }
}

/// Several shared slices, one behind the other; large ones are not copied.
impl Encoder<[Bytes]> for Raw {
    type Error = Infallible;

    #[inline]
    fn encode(&mut self, message: &[Bytes], output: &mut Output<'_>) -> Result<(), Infallible> {
        message.iter().for_each(|part| output.put_bytes(part.clone()));
        Ok(())
    }
}

impl Encoder<str> for Raw {
    type Error = Infallible;

    #[inline]
    fn encode(&mut self, message: &str, output: &mut Output<'_>) -> Result<(), Infallible> {
        output.put_slice(message.as_bytes());
        Ok(())
    }
}

impl Encoder<Bytes> for Raw {
    type Error = Infallible;

    #[inline]
    fn encode(&mut self, message: &Bytes, output: &mut Output<'_>) -> Result<(), Infallible> {
        output.put_bytes(message.clone());
        Ok(())
    }

    fn size_hint(message: &Bytes) -> usize {
        message.len()
    }
}
