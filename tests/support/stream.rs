//! Decoders, given a stream as a network gives it: in pieces, in a buffer that wraps.

use std::fmt::Debug;
use tiderace::codec::{Codec, Decoder, Input};

/// What the messages of a stream are that arrives in pieces, which end at the cuts; before each look the input is split at the
/// seam, as a ring would split it. The whole stream must be messages.
pub fn decode<C: Codec, T>(
    codec: &C,
    stream: &[u8],
    cuts: &[usize],
    seam: usize,
    take: impl Fn(<C::Decoder as Decoder>::Item<'_>) -> T,
) -> Result<Vec<T>, <C::Decoder as Decoder>::Error> {
    let (mut decoder, _) = codec.halves();
    let (mut from, mut taken) = (0, Vec::new());
    for end in cuts.iter().copied().chain([stream.len()]) {
        loop {
            let pending = &stream[from..end];
            let (first, second) = pending.split_at(seam.min(pending.len()));
            let Some(length) = decoder.frame_end(Input::new(first, second))? else { break };
            assert!(length > 0 && length <= pending.len());
            let mut frame = pending[..length].to_vec();
            if decoder.is_message(&mut frame)? {
                taken.push(take(decoder.decode(&mut frame)?));
            }
            from += length;
        }
    }
    assert_eq!(from, stream.len(), "the whole stream is messages");
    Ok(taken)
}

/// However a stream is cut and wherever it wraps, it means the same.
pub fn always<C: Codec, T: PartialEq + Debug>(
    codec: &C,
    stream: &[u8],
    expected: &[T],
    take: impl Fn(<C::Decoder as Decoder>::Item<'_>) -> T,
) {
    for at in 0..=stream.len() {
        assert_eq!(decode(codec, stream, &[at], usize::MAX, &take).unwrap(), expected, "cut at {at}");
        assert_eq!(decode(codec, stream, &[], at, &take).unwrap(), expected, "seam at {at}");
    }
    let each: Vec<usize> = (0..stream.len()).collect();
    for seam in [1, 2, 3, 5, usize::MAX] {
        assert_eq!(decode(codec, stream, &each, seam, &take).unwrap(), expected, "byte by byte, seam {seam}");
    }
}
