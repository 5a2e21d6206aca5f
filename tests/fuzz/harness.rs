//! What is fuzzed: each parser is given a stream in one piece and in many, and must make the same of both, without a panic.
//!
//! The first byte of an input says how long the pieces are, the second where the ring wraps; the rest is the stream.

use prost::Message as _;
use std::convert::Infallible;
use std::fmt::{Debug, Write};
use tiderace::codec::{
    Codec, Decoder, Delimiter, Encoder, Fixed, Input, LengthDelimited, Lines, Output, encode_to_vec,
};
use tiderace::http::{Http, HttpParts, Part, Request};
use tiderace::protobuf::{Envelopes, Protobuf};
use tiderace::resp::{Commands, Replies, Value};
use tiderace::websocket::{Deflate, WebSocket};

/// Takes an input, and panics where something is wrong.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its corpus.
pub const TARGETS: [(&str, Target); 9] = [
    ("codecs", codecs),
    ("http", http),
    ("http_parts", http_parts),
    ("protobuf", protobuf),
    ("resp_commands", resp_commands),
    ("resp_replies", resp_replies),
    ("websocket", websocket),
    ("websocket_deflate", websocket_deflate),
    ("websocket_handshake", websocket_handshake),
];

const HANDSHAKE: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

pub fn codecs(data: &[u8]) {
    let show = |bytes: &[u8]| bytes.escape_ascii().to_string();
    same(&Lines::with_max(64), &[], data, str::to_owned);
    same(&Delimiter::new(b"ab"), &[], data, show);
    same(&Fixed::new(7), &[], data, show);
    for codec in [LengthDelimited::default(), LengthDelimited::default().width(2).offset(1).adjustment(-3)] {
        same(&codec.max(100), &[], data, show);
        same(&codec.width(3).little_endian().max(100), &[], data, show);
    }
}

fn show_request(request: Request<'_>) -> String {
    // Every accessor is a parser of its own.
    let fields: Vec<_> = request.headers().collect();
    let cookies: Vec<_> = request.cookies().collect();
    let (path, query, list) = (request.path(), request.query(), request.has("connection", "close"));
    format!("{request:?} {path} {query:?} {list} {fields:?} {cookies:?} {:?}", request.body())
}

pub fn http(data: &[u8]) {
    same(&Http::default().max_head(400).max_body(200), &[], data, show_request);
}

pub fn http_parts(data: &[u8]) {
    // Bodies come in other parts when they come in other pieces, but they are the same bodies.
    let show = |part: Part<'_>| match part {
        Part::Request { request, has_body } => format!(" {} {has_body} ", show_request(request)),
        Part::Body { bytes, is_last, .. } => format!("{}{}", bytes.escape_ascii(), if is_last { " " } else { "" }),
    };
    same(&HttpParts::new(Http::default().max_head(400)), &[], data, show);
}

#[derive(Clone, PartialEq, prost::Message)]
struct Note {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(uint64, repeated, tag = "2")]
    numbers: Vec<u64>,
    #[prost(message, optional, boxed, tag = "3")]
    inner: Option<Box<Note>>,
}

impl prost::Name for Note {
    const PACKAGE: &'static str = "fuzz";
    const NAME: &'static str = "Note";
}

pub fn protobuf(data: &[u8]) {
    same(&Protobuf::<Note>::default().max(300), &[], data, |note| format!("{} {note:?}", note.encoded_len()));
    same(&Envelopes::default().max(300), &[], data, |envelope| {
        format!("{envelope:?} {:?}", envelope.open::<Note>().is_ok())
    });
}

pub fn resp_commands(data: &[u8]) {
    same(&Commands::default().max_command(300).max_arguments(20), &[], data, |command| {
        let arguments: Vec<_> = command.arguments().map(<[u8]>::len).collect();
        format!("{command:?} {arguments:?}")
    });
}

/// Descends into every value.
fn show_value(value: Value<'_>) -> String {
    match value.values() {
        Some(values) => {
            let shown: Vec<String> = values.into_iter().map(show_value).collect();
            assert_eq!(shown.len(), values.len());
            format!("[{}]", shown.join(","))
        }
        None => format!("{value:?} {:?}", value.as_str()),
    }
}

pub fn resp_replies(data: &[u8]) {
    same(&Replies::default().max_reply(300).max_depth(4), &[], data, show_value);
}

fn sockets() -> WebSocket {
    WebSocket::default().show_controls().max_controls(u32::MAX).max_message(300).max_frame(200).max_fragments(9)
}

pub fn websocket(data: &[u8]) {
    same(&sockets(), HANDSHAKE, data, |message| format!("{message:?}"));
}

pub fn websocket_deflate(data: &[u8]) {
    same(&sockets().compress(Deflate::default()), HANDSHAKE, data, |message| format!("{message:?}"));
    same(&sockets().compress(Deflate::default().keep_contexts()), HANDSHAKE, data, |message| format!("{message:?}"));
}

pub fn websocket_handshake(data: &[u8]) {
    let codec = sockets().with_http().ask().compress(Deflate::default()).protocols(["a", "b"]).origins(["http://h"]);
    same(&codec, &[], data, |message| format!("{message:?}"));
}

/// Takes a decoder's answers.
struct Answers<'a, D>(&'a mut D);

impl<D: Decoder> Encoder<()> for Answers<'_, D> {
    type Error = Infallible;

    fn encode(&mut self, _: &(), output: &mut Output<'_>) -> Result<(), Infallible> {
        self.0.answer(output);
        Ok(())
    }
}

/// What a decoder makes of `before` and, in pieces, of the stream; and whether it refuses what is left.
fn said<C: Codec>(
    codec: &C,
    before: &[u8],
    stream: &[u8],
    (piece, seam): (usize, usize),
    show: &impl Fn(<C::Decoder as Decoder>::Item<'_>) -> String,
) -> (String, bool)
where
    <C::Decoder as Decoder>::Error: Debug,
{
    let (mut decoder, _) = codec.halves();
    let mut said = String::new();
    let all = [before, stream].concat();
    let (mut from, mut come) = (0, before.len());
    loop {
        while from < come {
            let pending = &all[from..come];
            let (first, second) = pending.split_at(seam.min(pending.len()));
            let end = match decoder.frame_end(Input::new(first, second)) {
                Ok(Some(end)) => end,
                Ok(None) => break,
                Err(_) => return (said, true),
            };
            assert!(end > 0 && end <= pending.len(), "a frame of {end} bytes in {}", pending.len());
            let mut frame = pending[..end].to_vec();
            from += end;
            match decoder.is_message(&mut frame) {
                Ok(true) => match decoder.decode(&mut frame) {
                    Ok(item) => write!(said, "{}", show(item)).unwrap(),
                    Err(_) => return (said, true),
                },
                Ok(false) => {}
                Err(_) => return (said, true),
            }
            if decoder.has_answer() {
                let _ = encode_to_vec(&mut Answers(&mut decoder), &());
            }
            if decoder.is_finished() {
                return (said, false);
            }
        }
        if come == all.len() {
            return (said, false);
        }
        come = (come + piece).min(all.len());
    }
}

fn same<C: Codec>(codec: &C, before: &[u8], data: &[u8], show: impl Fn(<C::Decoder as Decoder>::Item<'_>) -> String)
where
    <C::Decoder as Decoder>::Error: Debug,
{
    let [piece, seam, stream @ ..] = data else { return };
    let whole = said(codec, before, stream, (stream.len().max(1), usize::MAX), &show);
    let pieces = said(codec, before, stream, (usize::from(*piece).max(1), usize::from(*seam)), &show);
    assert_eq!(pieces, whole);
}
