//! What is fuzzed: each parser is given a stream in one piece and in many, and must make the same of both, without a panic.
//!
//! The first byte of an input says how long the pieces are, the second where the ring wraps; the rest is the stream.

use prost::Message as _;
use std::convert::Infallible;
use std::fmt::{Debug, Write};
use std::net::SocketAddr;
use tiderace::Address;
use tiderace::codec::{
    Codec, Decoder, Delimiter, Encoder, Fixed, Input, LengthDelimited, Lines, Output, encode_to_vec,
};
use tiderace::http::{Http, HttpParts, Part, Proxies, Request};
use tiderace::protobuf::{Envelopes, Protobuf};
use tiderace::resp::{Commands, Replies, Value};
use tiderace::websocket::{Deflate, WebSocket};

/// Takes an input, and panics where something is wrong.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its corpus.
pub const TARGETS: [(&str, Target); 14] = [
    ("codecs", codecs),
    ("http", http),
    ("http_forwarded", http_forwarded),
    ("http_host", http_host),
    ("http_parts", http_parts),
    ("http_target", http_target),
    ("http_trailers", http_trailers),
    ("protobuf", protobuf),
    ("resp_commands", resp_commands),
    ("resp_inline", resp_inline),
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
    let members: Vec<_> = request.members("x").collect();
    let (path, query, list) = (request.path(), request.query(), request.has("connection", "close"));
    let (authority, joined, trailers) = (request.authority(), request.joined("x"), request.trailers());
    let more = format!("{} {authority:?} {joined:?} {members:?} {trailers:?}", show_target(request));
    format!("{request:?} {path} {query:?} {list} {fields:?} {cookies:?} {:?} {more}", request.body())
}

/// What a target says, and what must be true of it.
fn show_target(request: Request<'_>) -> String {
    let (path, authority) = (request.path(), request.authority());
    assert!(path.starts_with('/') || path == "*" || path.is_empty() && request.method() == "CONNECT");
    assert!(!path.contains(['?', '#', ' ', '\\']) && path.is_ascii());
    if let Some(authority) = authority {
        let host = request.host().expect("an authority has a host");
        assert!(!host.is_empty() && !authority.contains(['/', '@', ' ', ',', '?', '#', '\\', '"']));
        let port = authority.strip_prefix(host).expect("the host is the first part of the authority");
        assert_eq!(
            port.strip_prefix(':').filter(|port| !port.is_empty()),
            port.get(1..).filter(|port| !port.is_empty())
        );
        assert_eq!(port.get(1..).and_then(|port| port.parse().ok()), request.port());
        assert!(!host.contains(':') || host.starts_with('[') && host.ends_with(']'));
    }
    let decoded = request.decoded_path();
    let segments: Vec<_> = request.segments().collect();
    if let (Some(decoded), Some(segments)) = (&decoded, segments.iter().cloned().collect::<Option<Vec<_>>>())
        && path.starts_with('/')
    {
        assert_eq!(format!("/{}", segments.join("/")), *decoded);
    }
    let pairs: Vec<_> = request.query_pairs().chain(request.form()).collect();
    format!("{decoded:?} {segments:?} {pairs:?}")
}

pub fn http(data: &[u8]) {
    refuses_the_same(&Http::default().max_head(400).max_body(200), &[], data, show_request);
}

/// A name and a value of a trailer, none of which may be about the message as such.
fn show_trailer((name, value): (&str, &[u8])) -> String {
    for wrong in ["content-length", "transfer-encoding", "host", "authorization", "content-type", "cookie"] {
        assert!(!name.eq_ignore_ascii_case(wrong));
    }
    assert!(!name.is_empty() && !value.iter().any(|byte| b"\r\n\0".contains(byte)));
    format!("{name}={}", value.escape_ascii())
}

pub fn http_parts(data: &[u8]) {
    // Bodies come in other parts when they come in other pieces, but they are the same bodies.
    let show = |part: Part<'_>| match part {
        Part::Request { request, has_body } => format!(" {} {has_body} ", show_request(request)),
        Part::Body { bytes, is_last, trailers } => {
            let trailers: Vec<_> = trailers.iter().map(show_trailer).collect();
            format!("{}{}{}", bytes.escape_ascii(), if is_last { " " } else { "" }, trailers.join(" "))
        }
    };
    refuses_the_same(&HttpParts::new(Http::default().max_head(400)), &[], data, show);
}

/// A piece, a seam, and a request whose target or host is the rest of the input, whatever bytes that has.
fn with_request(data: &[u8], before: &[u8], behind: &[u8]) -> Vec<u8> {
    match data {
        [piece, seam, rest @ ..] => [&[*piece, *seam], before, rest, behind].concat(),
        _ => Vec::new(),
    }
}

pub fn http_target(data: &[u8]) {
    // The first byte of the rest chooses the method.
    let Some((choice, rest)) = data.get(2).zip(data.get(3..)) else { return };
    let method = [&b"GET "[..], b"OPTIONS ", b"CONNECT ", b"POST "][usize::from(choice % 4)];
    let data = with_request(&[&data[..2], rest].concat(), method, b" HTTP/1.1\r\nHost: h\r\n\r\n");
    refuses_the_same(&Http::default().max_head(400), &[], &data, show_request);
}

pub fn http_host(data: &[u8]) {
    let data = with_request(data, b"GET / HTTP/1.1\r\nHost: ", b"\r\n\r\n");
    refuses_the_same(&Http::default().max_head(400), &[], &data, show_request);
}

pub fn http_trailers(data: &[u8]) {
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n";
    let limits = Http::default().max_head(400).max_fields(9).max_body(200);
    refuses_the_same(&limits, HEAD, data, |request| {
        let trailers: Vec<_> = request.trailers().iter().map(show_trailer).collect();
        format!("{} {trailers:?}", show_request(request))
    });
}

/// What proxies say must be of a kind, and no client may be one of the proxies but the first.
pub fn http_forwarded(data: &[u8]) {
    let proxies = [Proxies::forwarded(), Proxies::x_forwarded_for()];
    let proxies = proxies.map(|proxies| proxies.trust("10.0.0.0/8").expect("a network"));
    for (proxies, name) in proxies.iter().zip(["Forwarded: ", "X-Forwarded-For: "]) {
        let before = [b"GET / HTTP/1.1\r\nHost: h\r\n", name.as_bytes()].concat();
        let data = with_request(data, &before, b"\r\n\r\n");
        refuses_the_same(&Http::default().max_head(400), &[], &data, |request| {
            let peer = Address::from(SocketAddr::from(([10, 0, 0, 1], 1)));
            let client = proxies.client(&peer, &request);
            assert!(!client.host().is_some_and(|host| host.contains(['/', ' ', '@'])));
            assert!(!client.scheme().is_some_and(|scheme| scheme.contains([':', '/', ' '])));
            let stranger = Address::from(SocketAddr::from(([192, 0, 2, 1], 1)));
            assert_eq!(proxies.client(&stranger, &request).ip(), stranger.ip());
            format!("{client:?}")
        });
    }
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

/// The words of a line as the C original finds them, byte by byte and without a place to save. `None` where quotes are unbalanced.
fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let is_space = |byte: u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    // Behind the end, C reads a NUL; the line has no other.
    let at = |index: usize| line.get(index).copied().unwrap_or(0);
    let (mut words, mut p) = (Vec::new(), 0);
    loop {
        while is_space(at(p)) {
            p += 1;
        }
        if p >= line.len() {
            return Some(words);
        }
        let (mut word, mut quote) = (Vec::new(), 0);
        loop {
            match (quote, at(p)) {
                (0, 0 | b' ' | b'\n' | b'\r' | b'\t') => break,
                (0, mark @ (b'"' | b'\'')) => quote = mark,
                (0, byte) => word.push(byte),
                (_, 0) => return None,
                (b'"', b'\\') if at(p + 1) == b'x' && digit(at(p + 2)).is_some() && digit(at(p + 3)).is_some() => {
                    word.push(digit(at(p + 2))? * 16 + digit(at(p + 3))?);
                    p += 3;
                }
                (b'"', b'\\') if at(p + 1) != 0 => {
                    p += 1;
                    let found = b"nrtba".iter().position(|byte| *byte == at(p));
                    word.push(found.map_or(at(p), |index| b"\n\r\t\x08\x07"[index]));
                }
                (b'\'', b'\\') if at(p + 1) == b'\'' => {
                    p += 1;
                    word.push(b'\'');
                }
                (quote, byte) if byte == quote && at(p + 1) != 0 && !is_space(at(p + 1)) => return None,
                (quote, byte) if byte == quote => {
                    p += 1;
                    break;
                }
                (_, byte) => word.push(byte),
            }
            p += 1;
        }
        words.push(word);
    }
}

/// A line is split into the same words as by the obvious way to do it.
pub fn resp_inline(data: &[u8]) {
    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.starts_with(b"*") {
        return;
    }
    let mut frame = [line, b"\n"].concat();
    let (mut decoder, _) = Commands::default().halves();
    assert_eq!(decoder.frame_end(Input::from(&frame[..])), Ok(Some(frame.len())));
    if line.contains(&0) {
        assert!(decoder.is_message(&mut frame).is_err());
        return;
    }
    let expected = words(line);
    let name = expected.as_ref().and_then(|words| words.first()).map(|name| name.to_ascii_uppercase());
    let is_web = name.is_some_and(|name| name == b"POST" || name.starts_with(b"HOST:"));
    match decoder.is_message(&mut frame) {
        Ok(true) => {
            let command = decoder.decode(&mut frame).expect("a command");
            let found: Vec<Vec<u8>> = (0..command.len()).filter_map(|n| command.get(n)).map(<[u8]>::to_vec).collect();
            assert_eq!(Some(found), expected);
        }
        Ok(false) => assert_eq!(expected, Some(Vec::new())),
        Err(_) => assert!(expected.is_none() || is_web, "{line:?}"),
    }
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
) -> (String, Option<String>)
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
                Err(error) => return (said, Some(error.to_string())),
            };
            assert!(end > 0 && end <= pending.len(), "a frame of {end} bytes in {}", pending.len());
            let mut frame = pending[..end].to_vec();
            from += end;
            match decoder.is_message(&mut frame) {
                Ok(true) => match decoder.decode(&mut frame) {
                    Ok(item) => write!(said, "{}", show(item)).unwrap(),
                    Err(error) => return (said, Some(error.to_string())),
                },
                Ok(false) => {}
                Err(error) => return (said, Some(error.to_string())),
            }
            if decoder.has_answer() {
                let _ = encode_to_vec(&mut Answers(&mut decoder), &());
            }
            if decoder.is_finished() {
                return (said, None);
            }
        }
        if come == all.len() {
            return (said, None);
        }
        come = (come + piece).min(all.len());
    }
}

/// The same messages and the same end, of a stream in one piece and in many.
fn both<C: Codec>(
    codec: &C,
    before: &[u8],
    data: &[u8],
    show: impl Fn(<C::Decoder as Decoder>::Item<'_>) -> String,
) -> Option<[(String, Option<String>); 2]>
where
    <C::Decoder as Decoder>::Error: Debug,
{
    let [piece, seam, stream @ ..] = data else { return None };
    let whole = said(codec, before, stream, (stream.len().max(1), usize::MAX), &show);
    let pieces = said(codec, before, stream, (usize::from(*piece).max(1), usize::from(*seam)), &show);
    Some([whole, pieces])
}

fn same<C: Codec>(codec: &C, before: &[u8], data: &[u8], show: impl Fn(<C::Decoder as Decoder>::Item<'_>) -> String)
where
    <C::Decoder as Decoder>::Error: Debug,
{
    if let Some(both) = both(codec, before, data, show) {
        let [whole, pieces] = both.map(|(said, refused)| (said, refused.is_some()));
        assert_eq!(pieces, whole);
    }
}

/// As [`same`], and what is refused is refused for the same reason.
fn refuses_the_same<C: Codec>(
    codec: &C,
    before: &[u8],
    data: &[u8],
    show: impl Fn(<C::Decoder as Decoder>::Item<'_>) -> String,
) where
    <C::Decoder as Decoder>::Error: Debug,
{
    if let Some([whole, pieces]) = both(codec, before, data, show) {
        assert_eq!(pieces, whole);
    }
}
