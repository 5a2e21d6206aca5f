//! Protocol Buffers: what is sent is received, wherever the stream is cut, and is what prost itself writes.
#![cfg(feature = "protobuf")]

mod support;

use proptest::prelude::*;
use prost::{Message, Name};
use std::fmt::Debug;
use std::io::{Read, Write};
use support::stream::decode;
use support::*;
use tiderace::codec::{Codec, Decoder, Encoder, Error as FrameError, Input, LengthDelimited, encode_to_vec};
use tiderace::protobuf::{Envelope, Envelopes, OwnedEnvelope, Protobuf, ProtobufError};
use tiderace::{CloseReason, Conn, Group, Handle, Handler, Result, block_on};

#[derive(Clone, PartialEq, Message)]
struct Note {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(uint64, repeated, tag = "2")]
    numbers: Vec<u64>,
    #[prost(message, optional, boxed, tag = "3")]
    inner: Option<Box<Note>>,
}

impl Name for Note {
    const PACKAGE: &'static str = "test.notes";
    const NAME: &'static str = "Note";
}

#[derive(Clone, PartialEq, Message)]
struct Bare {}

impl Name for Bare {
    const PACKAGE: &'static str = "";
    const NAME: &'static str = "Note";
}

fn notes() -> impl Strategy<Value = Vec<Note>> {
    let note = (".{0,40}", prop::collection::vec(any::<u64>(), 0..8));
    let note = note.prop_map(|(text, numbers)| Note { text, numbers, inner: None });
    let nested = (note.clone(), note).prop_map(|(outer, inner)| Note { inner: Some(Box::new(inner)), ..outer });
    prop::collection::vec(nested, 0..4)
}

/// What a stream is that is cut in one place, or wraps there.
fn cut<C: Codec, T: PartialEq + Debug>(
    codec: &C,
    stream: &[u8],
    at: usize,
    take: impl Fn(<C::Decoder as Decoder>::Item<'_>) -> T,
) -> Result<Vec<T>, <C::Decoder as Decoder>::Error>
where
    <C::Decoder as Decoder>::Error: PartialEq + Debug,
{
    let taken = decode(codec, stream, &[at], usize::MAX, &take);
    assert_eq!(decode(codec, stream, &[], at, &take), taken, "seam at {at}");
    taken
}

fn written<C: Codec, M>(codec: &C, messages: &[M]) -> Vec<u8>
where
    C::Encoder: Encoder<M>,
{
    let (_, mut encoder) = codec.halves();
    messages.iter().flat_map(|message| encode_to_vec(&mut encoder, message).unwrap()).collect()
}

proptest! {
    #[test]
    fn messages_survive_every_cut(notes in notes()) {
        let varint = Protobuf::<Note>::default();
        let stream = written(&varint, &notes);
        let theirs: Vec<u8> = notes.iter().flat_map(Message::encode_length_delimited_to_vec).collect();
        prop_assert_eq!(&stream, &theirs);
        let fixed = Protobuf::<Note>::default().with_length(LengthDelimited::default().width(3).little_endian());
        let in_fixed = written(&fixed, &notes);
        let envelopes = Envelopes::default();
        let in_envelopes = written(&envelopes, &notes);
        for at in 0..=in_envelopes.len() {
            prop_assert_eq!(&cut(&varint, &stream, at.min(stream.len()), |note| note).unwrap(), &notes);
            prop_assert_eq!(&cut(&fixed, &in_fixed, at.min(in_fixed.len()), |note| note).unwrap(), &notes);
            let opened = cut(&envelopes, &in_envelopes, at, |envelope| envelope.open::<Note>().unwrap());
            prop_assert_eq!(&opened.unwrap(), &notes);
        }
    }

    #[test]
    fn noise_is_a_message_or_an_error(noise in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = Protobuf::<Note>::default().frame_end(Input::from(&noise[..]));
        let _ = Protobuf::<Note>::default().decode(&mut noise.clone());
        let _ = Envelopes::default().decode(&mut noise.clone()).map(|envelope| envelope.open::<Note>().is_ok());
    }
}

#[test]
fn long_messages_are_sent_as_they_are() {
    let notes = [Note { text: "x".repeat(60_000), ..Note::default() }];
    let codec = Protobuf::<Note>::default();
    let stream = written(&codec, &notes);
    assert_eq!(stream, notes[0].encode_length_delimited_to_vec());
    assert_eq!(cut(&codec, &stream, 3, |note| note).unwrap(), notes);
    let (_, mut encoder) = Codec::halves(&codec.clone().max(59_999));
    let refused = encode_to_vec(&mut encoder, &notes[0]).unwrap_err();
    assert_eq!(refused, FrameError::TooLong { max: 59_999, length: 60_004 }.into());
}

#[test]
fn envelopes_are_those_of_gev() {
    let stream = written(&Envelopes::default(), &[Bare {}]);
    assert_eq!(stream, b"\0\0\0\x06\0\x04Note");
    let named = written(&Envelopes::default(), &[Note { text: "hi".into(), ..Note::default() }]);
    assert_eq!(named, b"\0\0\0\x15\0\x0ftest.notes.Note\x0a\x02hi");
    let other = cut(&Envelopes::default(), &named, 0, |envelope: Envelope<'_>| {
        assert_eq!((envelope.name(), envelope.bytes()), ("test.notes.Note", &b"\x0a\x02hi"[..]));
        assert!(envelope.is::<Note>() && !envelope.is::<Bare>());
        envelope.open::<Bare>().unwrap_err()
    });
    let expected = ProtobufError::Other { expected: "Note".into(), found: "test.notes.Note".into() };
    assert_eq!(other.unwrap(), [expected]);
}

#[test]
fn what_is_no_message_says_so() {
    let mut codec = Protobuf::<Note>::default();
    let mut end = |bytes: &[u8]| codec.frame_end(Input::from(bytes));
    assert_eq!(end(&[0xff; 9]), Ok(None));
    assert_eq!(end(&[0xff; 10]), Err(ProtobufError::Varint));
    let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    assert_eq!(end(&longest), Err(FrameError::TooLong { max: 65_536, length: u64::MAX }.into()));
    assert_eq!(end(&[0]), Ok(Some(1)));
    assert!(matches!(codec.decode(&mut [2, 0x0a, 9]), Err(ProtobufError::Message(_))));
    let mut envelopes = Envelopes::default();
    assert_eq!(envelopes.decode(&mut [0, 0, 0, 1, 9]).unwrap_err(), ProtobufError::Name { length: 0 });
    assert_eq!(envelopes.decode(&mut [0, 0, 0, 3, 0, 2, 9]).unwrap_err(), ProtobufError::Name { length: 2 });
    assert!(matches!(envelopes.decode(&mut [0, 0, 0, 3, 0, 1, 255]).unwrap_err(), ProtobufError::NotUtf8(_)));
    // Nesting has an end: a hundred levels.
    let deep = (0..200).fold(Note::default(), |inner, _| Note { inner: Some(Box::new(inner)), ..Note::default() });
    let mut frame = deep.encode_length_delimited_to_vec();
    assert!(matches!(codec.decode(&mut frame), Err(ProtobufError::Message(_))));
}

struct Count(std::sync::mpsc::Sender<String>);

impl Handler for Count {
    type Codec = Protobuf<Note>;

    async fn on_message(&mut self, conn: &mut Conn<Self::Codec>, note: Note) -> Result {
        conn.send(&Note { text: note.text.to_uppercase(), numbers: vec![note.numbers.iter().sum()], inner: None }).await
    }

    async fn on_close(&mut self, _: &mut Conn<Self::Codec>, reason: &CloseReason) {
        let _ = self.0.send(reason.to_string());
    }
}

#[test]
fn a_server_answers_messages_and_closes_on_other_bytes() {
    for cores in CORES {
        let (sender, closed) = events();
        let server = serve(cores, Protobuf::<Note>::default(), move || Count(sender.clone()));
        let mut stream = server.connect();
        let note = Note { text: "tide".into(), numbers: vec![1, 2], inner: None };
        for byte in note.encode_length_delimited_to_vec() {
            stream.write_all(&[byte]).unwrap();
        }
        let expected = Note { text: "TIDE".into(), numbers: vec![3], inner: None }.encode_length_delimited_to_vec();
        let mut answer = vec![0; expected.len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, expected);
        stream.write_all(&[2, 0x0a, 9]).unwrap();
        assert_eq!(read_to_end(&mut stream), b"");
        assert!(closed.next().contains("expected a message"));
    }
}

/// What an encoder makes of an envelope, and of its owned form: the same.
fn sealed(codec: &Envelopes, envelope: Envelope<'_>) -> Result<Vec<u8>, ProtobufError> {
    let lent = encode_to_vec(&mut codec.clone(), &envelope);
    assert_eq!(encode_to_vec(&mut codec.clone(), &envelope.into_owned()), lent);
    lent
}

#[test]
fn envelopes_are_made_of_a_name_and_bytes() {
    let codec = Envelopes::default();
    let note = Note { text: "hi".into(), numbers: vec![7], inner: None };
    let bytes = note.encode_to_vec();
    let made = Envelope::new("test.notes.Note", &bytes);
    assert_eq!(sealed(&codec, made).unwrap(), written(&codec, &[note]), "as the message itself is written");
    assert_eq!(sealed(&codec, Envelope::new("", b"")).unwrap(), b"\0\0\0\x02\0\0");
    let owned = OwnedEnvelope::new("no.Message", b"\xff".to_vec());
    assert_eq!((owned.as_envelope().name(), owned.as_envelope().bytes()), ("no.Message", &b"\xff"[..]));
    assert_eq!(sealed(&codec, owned.as_envelope()).unwrap(), b"\0\0\0\x0d\0\x0ano.Message\xff");
}

#[test]
fn envelopes_that_do_not_fit_are_refused() {
    let long = "x".repeat(65_536);
    let codec = Envelopes::default().max(100_000);
    assert_eq!(sealed(&codec, Envelope::new(&long, b"")), Err(ProtobufError::Name { length: 65_536 }));
    let longest = Envelope::new(&long[1..], b"!");
    let stream = sealed(&codec, longest).unwrap();
    let received = cut(&codec, &stream, 70, |envelope: Envelope<'_>| envelope.into_owned()).unwrap();
    assert_eq!(received, [longest.into_owned()]);
    // The limit counts the name, and the two bytes of its length.
    let codec = Envelopes::default().max(10);
    assert_eq!(sealed(&codec, Envelope::new("name", b"1234")).unwrap().len(), 14);
    let refused = sealed(&codec, Envelope::new("name", b"12345"));
    assert_eq!(refused, Err(FrameError::TooLong { max: 10, length: 11 }.into()));
}

proptest! {
    #[test]
    fn envelopes_passed_on_are_the_same_bytes(name in ".{0,40}", message in prop::collection::vec(any::<u8>(), 0..60)) {
        let codec = Envelopes::default();
        let stream = sealed(&codec, Envelope::new(&name, &message)).unwrap();
        for at in 0..=stream.len() {
            let passed_on = cut(&codec, &stream, at, |envelope| sealed(&codec, envelope).unwrap()).unwrap();
            prop_assert_eq!(&passed_on[..], std::slice::from_ref(&stream));
        }
    }
}

/// Passes on what it does not know: to the sender, to a group, and to a handle.
struct Broker {
    all: Group<Envelopes>,
    opened: std::sync::mpsc::Sender<Handle<Envelopes>>,
}

impl Handler for Broker {
    type Codec = Envelopes;

    async fn on_open(&mut self, conn: &mut Conn<Envelopes>) -> Result {
        self.all.join(conn);
        self.opened.send(conn.handle())?;
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Envelopes>, envelope: Envelope<'_>) -> Result {
        match envelope.name() {
            "back" => conn.send(&envelope).await,
            _ => self.all.try_send_except(conn.id(), &envelope),
        }
    }
}

#[test]
fn envelopes_are_relayed_unopened() {
    for cores in CORES {
        let (opened, handles) = events();
        let all = Group::new(Envelopes::default());
        let server = serve(cores, Envelopes::default(), move || Broker { all: all.clone(), opened: opened.clone() });
        let (mut one, to_one) = (server.connect(), handles.next());
        let (mut other, _other) = (server.connect(), handles.next());
        // Longer than what is copied into the write queue, and no message of any type.
        let noise = noise(7, 40_000);
        for name in ["back", "unknown.Type"] {
            let sealed = sealed(&Envelopes::default(), Envelope::new(name, &noise)).unwrap();
            one.write_all(&sealed).unwrap();
            let mut received = vec![0; sealed.len()];
            let to = if name == "back" { &mut one } else { &mut other };
            to.read_exact(&mut received).unwrap();
            assert!(received == sealed, "{name} comes as it was sent");
        }
        block_on(to_one.send(OwnedEnvelope::new("by.Handle", &b"hi"[..]))).unwrap();
        let mut received = [0; 17];
        one.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"\0\0\0\x0d\0\x09by.Handlehi");
    }
}
