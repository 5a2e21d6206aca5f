//! Every stock codec: what is sent is received, wherever the stream is cut and wherever the ring wraps; no header makes it
//! panic, lie or reserve; no byte is searched twice. More cases with PROPTEST_CASES.

mod support;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use std::fmt::Debug;
use support::stream::{always, decode};
use tiderace::codec::{Decoder, Delimiter, Encoder, Error, Fixed, Input, LengthDelimited, Lines, encode_to_vec};
use tokio_util::codec::{Decoder as _, Encoder as _, LengthDelimitedCodec};

/// Sends messages, then receives them with every single cut, every seam, and byte by byte.
fn round_trip<C, M>(codec: &C, messages: &[M], bytes: impl Fn(&M) -> Vec<u8>)
where
    C: Decoder + Encoder<M> + Clone + 'static,
    for<'a> C::Item<'a>: AsRef<[u8]>,
    <C as Decoder>::Error: Debug,
    <C as Encoder<M>>::Error: Debug,
{
    let mut encoder = codec.clone();
    let stream: Vec<u8> = messages.iter().flat_map(|message| encode_to_vec(&mut encoder, message).unwrap()).collect();
    let expected: Vec<_> = messages.iter().map(bytes).collect();
    always(codec, &stream, &expected, |item| item.as_ref().to_vec());
}

fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6)
}

fn length_delimited() -> impl Strategy<Value = LengthDelimited> {
    (1..=8u8, any::<bool>(), 0..5u32, -20..20i64, 0..300usize).prop_map(|(width, little, offset, adjustment, max)| {
        let codec = LengthDelimited::default().width(width).offset(offset).adjustment(adjustment).max(max);
        if little { codec.little_endian() } else { codec }
    })
}

proptest! {
    #[test]
    fn lines(lines in prop::collection::vec("[^\n]{0,12}", 0..6)) {
        // A `\r` at the end is taken for a part of the line end, which is what makes Windows' lines work.
        let lines: Vec<String> = lines.into_iter().map(|line| line.trim_end_matches('\r').to_owned()).collect();
        round_trip(&Lines::default(), &lines, |line| line.clone().into_bytes());
    }

    #[test]
    fn delimited(delimiter in prop::collection::vec(0..3u8, 1..4), messages in prop::collection::vec(prop::collection::vec(0..4u8, 0..9), 0..6)) {
        let codec = Delimiter::new(&delimiter);
        let mut encoder = codec.clone();
        let (fit, unfit): (Vec<_>, Vec<_>) = messages.into_iter().partition(|m| encode_to_vec(&mut encoder, m).is_ok());
        round_trip(&codec, &fit, Clone::clone);
        for message in unfit {
            // Refused for a reason: with its delimiter it would be received as something else.
            let stream = [&message[..], &delimiter].concat();
            let first = stream.windows(delimiter.len()).position(|window| window == delimiter);
            prop_assert!(first < Some(message.len()));
        }
    }

    #[test]
    fn fixed(length in 1..9usize, seed in any::<u8>(), count in 0..6u8) {
        let messages: Vec<Vec<u8>> = (0..count).map(|i| vec![seed ^ i; length]).collect();
        round_trip(&Fixed::new(length), &messages, Clone::clone);
        let wrong = encode_to_vec(&mut Fixed::new(length), &vec![0; length + 1]);
        prop_assert_eq!(wrong, Err(Error::WrongLength { expected: length, length: length + 1 }));
    }

    #[test]
    fn length_delimited_round_trip(codec in length_delimited(), messages in payloads()) {
        let mut encoder = codec;
        let fit: Vec<_> = messages.into_iter().filter(|message| encode_to_vec(&mut encoder, message).is_ok()).collect();
        round_trip(&codec, &fit, Clone::clone);
        let shared: Vec<Bytes> = fit.into_iter().map(Bytes::from).collect();
        round_trip(&codec, &shared, |message| message.to_vec());
    }

    /// Whatever the header says: a frame of exactly that length, more input wanted, or an error.
    #[test]
    fn length_delimited_never_overflows(
        width in 1..=8u8,
        little in any::<bool>(),
        offset in prop_oneof![0..9u32, Just(u32::MAX)],
        adjustment in prop_oneof![any::<i64>(), -9..9i64, Just(i64::MIN), Just(i64::MAX)],
        max in prop_oneof![0..99usize, Just(usize::MAX), Just(usize::MAX - 8)],
        field in prop_oneof![any::<u64>(), 0..99u64, Just(u64::MAX)],
        extra in 0..99usize,
    ) {
        let codec = LengthDelimited::default().width(width).offset(offset).adjustment(adjustment).max(max);
        let mut codec = if little { codec.little_endian() } else { codec };
        let w = usize::from(width);
        let field = field & (u64::MAX >> (64 - 8 * w));
        let bytes = if little { field.to_le_bytes()[..w].to_vec() } else { field.to_be_bytes()[8 - w..].to_vec() };
        let before = vec![0; if offset == u32::MAX { 3 } else { offset as usize }];
        let mut stream = [&before[..], &bytes, &vec![0; extra]].concat();
        let announced = i128::from(field) + i128::from(adjustment);
        let _ = codec.max_buffered();
        match codec.frame_end(Input::from(&stream[..])) {
            Ok(Some(end)) => {
                prop_assert_eq!(end as i128, announced + before.len() as i128 + w as i128);
                prop_assert!(announced >= 0 && announced <= max as i128);
                let item = codec.decode(&mut stream[..end]).unwrap().len();
                prop_assert_eq!(item, end - w);
            }
            Ok(None) if offset == u32::MAX => {}
            Ok(None) => prop_assert!(announced > extra as i128 && announced <= max as i128),
            Err(Error::TooLong { .. }) => prop_assert!(announced > max as i128),
            Err(Error::TooShort { .. }) => prop_assert!(announced < 0),
            Err(error) => prop_assert!(false, "{}", error),
        }
        // To send is no worse: a refusal, or a header that says what it should.
        let _ = encode_to_vec(&mut codec, &[7; 20][..]);
    }

    #[test]
    fn length_delimited_speaks_with_tokio_util(messages in payloads()) {
        let (mut ours, mut theirs) = (LengthDelimited::default(), LengthDelimitedCodec::new());
        let mut stream = BytesMut::new();
        for message in &messages {
            let mut theirs_alone = BytesMut::new();
            theirs.encode(Bytes::from(message.clone()), &mut theirs_alone).unwrap();
            prop_assert_eq!(&encode_to_vec(&mut ours, message).unwrap()[..], &theirs_alone[..]);
            stream.extend_from_slice(&theirs_alone);
        }
        prop_assert_eq!(decode(&ours, &stream, &[], usize::MAX, <[u8]>::to_vec).unwrap(), messages.clone());
        for message in messages {
            prop_assert_eq!(theirs.decode(&mut stream).unwrap().unwrap().to_vec(), message);
        }
    }
}

#[test]
fn what_was_searched_is_not_searched_again() {
    // A delimiter that appears where the decoder has looked already goes unseen, so it was not looked at again.
    let mut lines = Lines::default();
    assert_eq!(lines.frame_end(Input::from(&b"abcdef"[..])), Ok(None));
    assert_eq!(lines.frame_end(Input::from(&b"a\ncdefg"[..])), Ok(None));
    assert_eq!(lines.frame_end(Input::from(&b"a\ncdefg\n"[..])), Ok(Some(8)));
    // After a frame the search starts afresh.
    assert_eq!(lines.frame_end(Input::from(&b"\n"[..])), Ok(Some(1)));

    let mut records = Delimiter::new(b"||");
    assert_eq!(records.frame_end(Input::from(&b"abcdef|"[..])), Ok(None));
    assert_eq!(records.frame_end(Input::from(&b"||cdef|"[..])), Ok(None));
    assert_eq!(records.frame_end(Input::from(&b"||cdef||"[..])), Ok(Some(8)));
}

#[test]
fn a_frame_of_the_maximum_passes_and_one_byte_more_does_not() {
    fn longest<D: Decoder<Error = Error>>(mut decoder: D, fits: &[u8], too_long: &[u8]) {
        assert_eq!(decoder.frame_end(Input::from(fits)), Ok(Some(fits.len())));
        assert!(decoder.max_buffered() >= fits.len());
        assert!(decoder.decode(&mut fits.to_vec()).is_ok());
        let refused = match decoder.frame_end(Input::from(too_long)) {
            Ok(Some(_)) => decoder.decode(&mut too_long.to_vec()).map(|_| ()),
            other => other.map(|_| ()),
        };
        assert!(matches!(refused, Err(Error::TooLong { max: 3, .. })), "{refused:?}");
    }
    longest(Lines::with_max(3), b"abc\n", b"abcd\n");
    longest(Lines::with_max(3), b"abc\r\n", b"abcde");
    longest(Delimiter::with_max(b"||", 3), b"abc||", b"abcd||");
    longest(Delimiter::with_max(b"||", 3), b"abc||", b"abcde");
    longest(LengthDelimited::default().max(3), &[0, 0, 0, 3, 1, 2, 3], &[0, 0, 0, 4]);
}

#[test]
fn the_last_line_needs_no_end() {
    let mut lines = Lines::default();
    assert_eq!(lines.frame_end_at_eof(Input::from(&b"one\ntwo"[..])), Ok(Some(4)));
    assert_eq!(lines.frame_end_at_eof(Input::from(&b"two"[..])), Ok(Some(3)));
    assert_eq!(lines.decode(&mut b"two".to_vec()), Ok("two"));
    assert_eq!(lines.decode(&mut b"two\r".to_vec()), Ok("two\r"));
    assert_eq!(lines.decode(&mut b"two\r\n".to_vec()), Ok("two"));
}

#[test]
fn a_forged_line_end_is_refused() {
    assert_eq!(encode_to_vec(&mut Lines::default(), "a\nb"), Err(Error::Delimiter { at: 1 }));
    assert_eq!(encode_to_vec(&mut Delimiter::new("aa"), "ba"), Err(Error::Delimiter { at: 1 }));
}
