//! WebSocket: what is right is understood, what is wrong is told so, and others' implementations agree.
#![cfg(feature = "websocket")]

mod support;

use proptest::prelude::*;
use std::io::{Cursor, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::Sender;
use std::time::Duration;
use support::websocket::frame;
use support::*;
use tiderace::codec::{Codec, Decoder, Input};
use tiderace::http::{Response, ResponseError, Status};
use tiderace::websocket::{
    Accept, Close, CloseCode, Deflate, Fragment, HandshakeError, Message, Outgoing, Ping, Prepared, SendError,
    WebSocket, WebSocketConnector, WebSocketError,
};
use tiderace::{CloseReason, Conn, Error, Group, Handle, Handler, Result, Server, block_on};
use tungstenite::protocol::frame::coding::CloseCode as TheirCode;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message as Theirs, WebSocket as TheirSocket};

/// Echoes, and does what it is told.
#[derive(Clone)]
struct Echo(Sender<String>);

impl Handler for Echo {
    type Codec = WebSocket;

    async fn on_open(&mut self, conn: &mut Conn<WebSocket>) -> Result {
        conn.send("welcome").await
    }

    async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
        match message {
            Message::Text("fail") => Err(Error::msg("as asked")),
            Message::Text("close") => {
                conn.close();
                Ok(())
            }
            Message::Text("close 4000") => {
                conn.send(&Close { code: CloseCode(4000), reason: "as asked" }).await?;
                let error = conn.send("too late").await.unwrap_err();
                assert_eq!(error.downcast_ref(), Some(&SendError::Closed));
                Ok(())
            }
            Message::Text("fragments") => {
                for fragment in [Fragment::text("grü".as_bytes()), Fragment::more(b""), Fragment::last(b"n")] {
                    conn.send(&fragment).await?;
                }
                let error = conn.send(&Fragment::last(b"")).await.unwrap_err();
                assert_eq!(error.downcast_ref(), Some(&SendError::Fragment));
                Ok(())
            }
            Message::Text("prepared") => conn.send(&Prepared::text(&WebSocket::default(), "prepared")).await,
            Message::Text(text) => conn.send(text).await,
            Message::Binary(bytes) => conn.send(bytes).await,
            other => {
                self.0.send(format!("{other:?}"))?;
                Ok(())
            }
        }
    }

    async fn on_close(&mut self, _: &mut Conn<WebSocket>, reason: &CloseReason) {
        let _ = self.0.send(reason.to_string());
    }
}

fn echo(codec: WebSocket) -> (Running, Events<String>) {
    let (sender, told) = events();
    (serve(2, codec, move || Echo(sender.clone())), told)
}

/// A client of theirs that has been welcomed.
fn client(server: &Running) -> TheirSocket<TcpStream> {
    let url = format!("ws://{}/", server.address);
    let (mut socket, _) = tungstenite::client(url, server.connect()).expect("a handshake");
    assert_eq!(socket.read().unwrap(), Theirs::text("welcome"));
    socket
}

#[track_caller]
fn echoes(socket: &mut TheirSocket<TcpStream>, message: Theirs) {
    socket.send(message.clone()).unwrap();
    assert!(socket.read().unwrap() == message, "another message came back");
}

#[test]
fn messages_of_every_length_come_back() {
    let (server, told) = echo(WebSocket::default());
    let mut socket = client(&server);
    for length in [0, 1, 125, 126, 127, 4_095, 65_535, 65_536, 1_000_000] {
        echoes(&mut socket, Theirs::binary(noise(1, length)));
        echoes(&mut socket, Theirs::text("ü".repeat(length / 2)));
    }
    socket.send(Theirs::text("fragments")).unwrap();
    assert_eq!(socket.read().unwrap(), Theirs::text("grün"));
    echoes(&mut socket, Theirs::text("prepared"));
    socket.send(Theirs::Ping(b"is anybody there?".as_slice().into())).unwrap();
    assert_eq!(socket.read().unwrap(), Theirs::Pong(b"is anybody there?".as_slice().into()));
    socket.close(None).unwrap();
    assert!(matches!(socket.read(), Ok(Theirs::Close(None))));
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
    assert_eq!(told.next(), "closed here");
}

/// The code that a server closes with.
fn close_code(socket: &mut TheirSocket<TcpStream>) -> u16 {
    loop {
        match socket.read().expect("a close") {
            Theirs::Close(Some(close)) => return close.code.into(),
            Theirs::Close(None) => return 0,
            _ => {}
        }
    }
}

#[test]
fn the_peer_is_told_why_it_ends() {
    let (server, told) = echo(WebSocket::default().max_message(1_000));
    for (message, code, reason) in [
        (Theirs::text("close"), 1000, "closed here"),
        (Theirs::text("close 4000"), 4000, "closed here"),
        (Theirs::text("fail"), 1011, "handler error: as asked"),
        (Theirs::binary(vec![0; 1_001]), 1009, "protocol error: expected a frame of at most 1000 bytes, found 1001"),
    ] {
        let mut socket = client(&server);
        socket.send(message).unwrap();
        assert_eq!(close_code(&mut socket), code);
        assert_eq!(told.next(), reason);
    }
    let mut socket = client(&server);
    let stopping = std::thread::spawn(move || server.stop(PATIENCE));
    assert_eq!(close_code(&mut socket), 1001);
    drop(socket);
    stopping.join().unwrap();
}

/// A handshake, with fields that may be other ones.
fn handshake(fields: &str) -> String {
    format!("GET /chat?a=b HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

const RIGHT: &str = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn ask(server: &Running, request: &str) -> (TcpStream, String) {
    websocket::ask(server.connect(), request)
}

#[test]
fn handshakes_are_what_the_rfc_says_or_are_refused() {
    let codec = WebSocket::default().protocols(["v2", "v1"]).origins(["https://good.example"]);
    let (server, _told) = echo(codec);
    let right = format!("{RIGHT}Origin: https://good.example\r\n");
    let (_, head) =
        ask(&server, &handshake(&format!("{right}Sec-WebSocket-Protocol: v0, v1\r\nSec-WebSocket-Protocol: v2\r\n")));
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    assert!(head.contains("\r\nSec-WebSocket-Protocol: v2\r\n") && !head.contains("Extensions"), "{head}");
    for (from, to, status) in [
        ("Upgrade: websocket\r\n", "", 426),
        ("Upgrade: websocket", "Upgrade: h2c", 426),
        ("Connection: keep-alive, Upgrade", "Connection: keep-alive", 400),
        ("Version: 13", "Version: 8", 426),
        ("Sec-WebSocket-Version: 13\r\n", "", 426),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13", 400),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8", 400),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13, 13", 426),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZXQ=", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZXR0", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j_Q==", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ===", 400),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
        ("Origin: ", "Sec-WebSocket-Protocol: v 1\r\nOrigin: ", 400),
        ("Origin: ", "Sec-WebSocket-Protocol: v1, v1\r\nOrigin: ", 400),
        ("Origin: ", "Sec-WebSocket-Protocol: v1\r\nSec-WebSocket-Protocol: v1\r\nOrigin: ", 400),
        ("Origin: ", "Sec-WebSocket-Protocol: v1, \"v2\"\r\nOrigin: ", 400),
        ("Origin: ", "Sec-WebSocket-Extensions: a;\r\nOrigin: ", 400),
        ("Origin: ", "Sec-WebSocket-Extensions: a\r\nSec-WebSocket-Extensions: b=c\r\nOrigin: ", 400),
        ("Origin: ", "Origin: https://bad.example\r\nOrigin: ", 403),
        ("dGhlIHNhbXBsZSBub25jZQ==", "!", 400),
        ("Sec-WebSocket-Key: ", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: ", 400),
        ("https://good.example", "https://bad.example", 403),
        ("Origin: https://good.example\r\n", "", 403),
        ("Connection:", "Content-Length: 5\r\nContent-Length: 6\r\nConnection:", 400),
    ] {
        let (mut stream, head) = ask(&server, &handshake(&right.replace(from, to)));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{from} -> {to}: {head}");
        assert_eq!(head.contains("\r\nSec-WebSocket-Version: 13\r\n"), status == 426, "{head}");
        let _ = read_to_end(&mut stream);
    }
    let (_, head) = ask(&server, &handshake(&right).replace("GET", "POST"));
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    let (_, head) = ask(&server, &handshake(&right).replace(" HTTP/1.1", " HTTP/1.0"));
    assert!(head.contains(" 426 "), "{head}");
}

#[test]
fn keys_of_the_right_form_are_taken_without_a_look_at_what_they_decode_to() {
    let (server, _told) = echo(WebSocket::default());
    for (key, accept) in [
        // The example of RFC 6455, section 4.1, whose last bits are left over and not zero.
        ("AQIDBAUGBwgJCgsMDQ4PEC==", "OfS0wDaT5NoxF2gqm7Zj2YtetzM="),
        ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ] {
        let (_, head) = ask(&server, &handshake(&RIGHT.replace("dGhlIHNhbXBsZSBub25jZQ==", key)));
        assert!(head.contains(&format!("\r\nSec-WebSocket-Accept: {accept}\r\n")), "{head}");
    }
}

#[test]
fn subprotocols_are_chosen_among_all_lists_by_the_server_s_preference() {
    let (server, _told) = echo(WebSocket::default().protocols(["v2", "v1"]));
    for (lists, chosen) in [
        (&["v0, v1", " ,v2,"][..], Some("v2")),
        (&["v1"], Some("v1")),
        (&["V1"], None),
        (&["v0"], None),
        (&[""], None),
        (&[], None),
    ] {
        let lists: String = lists.iter().map(|list| format!("Sec-WebSocket-Protocol: {list}\r\n")).collect();
        let (_, head) = ask(&server, &handshake(&format!("{RIGHT}{lists}")));
        assert!(head.starts_with("HTTP/1.1 101 "), "{lists}: {head}");
        let field = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        assert_eq!(field, chosen, "{lists}");
    }
}

#[test]
fn the_same_origin_is_that_of_the_host_and_the_port() {
    let (server, _told) = echo(WebSocket::default().same_origin().origins(["https://other.example"]));
    for (host, origin, is_let_in) in [
        ("h.example", Some("https://h.example"), true),
        ("h.example", Some("http://h.example"), true),
        ("H.example", Some("https://h.EXAMPLE"), true),
        ("h.example:443", Some("https://h.example"), true),
        ("h.example:80", Some("http://h.example"), true),
        ("h.example", Some("http://h.example:80"), true),
        ("h.example:8080", Some("http://h.example:8080"), true),
        ("[::1]:8080", Some("http://[::1]:8080"), true),
        ("[::1]", Some("http://[::1]"), true),
        ("h.example", Some("https://other.example"), true),
        ("h.example", Some("https://other.example:444"), false),
        ("h.example:8080", Some("http://h.example"), false),
        ("h.example", Some("http://h.example:8080"), false),
        ("h.example:80", Some("https://h.example"), false),
        ("h.example", Some("https://h.example.evil"), false),
        ("h.example", Some("https://evil-h.example"), false),
        ("h.example", Some("https://h.example@evil.example"), false),
        ("[::1]", Some("http://[::2]"), false),
        ("h.example", Some("null"), false),
        ("h.example", Some("h.example"), false),
        ("h.example", Some("file://h.example"), false),
        ("h.example", Some(""), false),
        ("h.example", None, false),
    ] {
        let origin_field = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
        let request = handshake(&format!("{RIGHT}{origin_field}")).replace("Host: h\r\n", &format!("Host: {host}\r\n"));
        let (_, head) = ask(&server, &request);
        let expected = if is_let_in { "HTTP/1.1 101 " } else { "HTTP/1.1 403 " };
        assert!(head.starts_with(expected), "{host}, {origin:?}: {head}");
    }
}

/// Decides on handshakes by itself, and answers other requests.
struct Gate;

impl Handler for Gate {
    type Codec = WebSocket;

    async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
        match message {
            Message::Handshake(request) => {
                assert_eq!((request.path(), request.query()), ("/chat", Some("a=b")));
                let error = conn.send("too early").await.unwrap_err();
                assert_eq!(error.downcast_ref(), Some(&SendError::NotOpen));
                tiderace::sleep(Duration::from_millis(1)).await;
                if request.cookies().any(|cookie| cookie == ("token", "good")) {
                    let error = conn.send(&Accept::with_protocol("unasked")).await.unwrap_err();
                    assert_eq!(error.downcast_ref(), Some(&SendError::Protocol));
                    conn.send(&Accept::with_protocol("chat")).await
                } else {
                    conn.send(&Response::text("who are you?\n").status(Status::UNAUTHORIZED)).await
                }
            }
            Message::Http(request) => {
                let text = format!("{} {}", request.path(), String::from_utf8_lossy(request.body()));
                conn.send(&Response::text(&text)).await
            }
            Message::Text(text) => conn.send(text).await,
            _ => Ok(()),
        }
    }
}

#[test]
fn a_handler_lets_in_whom_it_wants_and_answers_others_on_the_same_port() {
    let server = serve(1, WebSocket::default().ask().with_http(), || Gate);
    let mut stream = server.connect();
    // Requests first, on the connection that becomes a WebSocket, and a first frame that does not wait.
    let chat = format!("{RIGHT}Sec-WebSocket-Protocol: chat\r\n");
    let requests = format!(
        "POST /page HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody{}{}",
        handshake(&chat),
        handshake(&format!("{chat}Cookie: token=good\r\n"))
    );
    stream.write_all(requests.as_bytes()).unwrap();
    stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).unwrap();
    let mut all = Vec::new();
    while !all.ends_with(b"\x81\x02hi") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        all.push(byte[0]);
    }
    let all = String::from_utf8_lossy(&all);
    assert!(all.contains("\r\n\r\n/page bodyHTTP/1.1 401 Unauthorized\r\n"), "{all}");
    assert!(
        all.contains("who are you?\nHTTP/1.1 101 ") && all.contains("\r\nSec-WebSocket-Protocol: chat\r\n"),
        "{all}"
    );
}

/// A raw connection behind its handshake and its welcome.
fn open(server: &Running) -> TcpStream {
    let (mut stream, head) = ask(server, &handshake(RIGHT));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut welcome = [0; 9];
    stream.read_exact(&mut welcome).unwrap();
    assert_eq!(&welcome, b"\x81\x07welcome");
    stream
}

/// The close code that wrong frames are answered with.
fn refused(server: &Running, frames: &[u8]) -> u16 {
    let mut stream = open(server);
    stream.write_all(frames).unwrap();
    let all = read_to_end(&mut stream);
    assert_eq!(all[0], 0x88, "a close, not {all:?}");
    u16::from_be_bytes([all[2], all[3]])
}

#[test]
fn wrong_frames_are_refused_with_their_codes() {
    let (server, _told) = echo(WebSocket::default().max_fragments(10).max_controls(50));
    let text = frame(0x81, b"text");
    let unmasked = [0x81, 4, b't', b'e', b'x', b't'];
    for (frames, code) in [
        (unmasked.to_vec(), 1002),
        (frame(0xc1, b"compressed"), 1002),
        (frame(0xa1, b"reserved"), 1002),
        (frame(0x83, b"opcode"), 1002),
        (frame(0x8b, b"opcode"), 1002),
        (frame(0x80, b"continues nothing"), 1002),
        ([frame(0x01, b"begun"), text.clone()].concat(), 1002),
        (frame(0x09, b"ping in fragments"), 1002),
        (frame(0x89, &[0; 126]), 1002),
        (frame(0x88, b"x"), 1002),
        (frame(0x88, &1005_u16.to_be_bytes()), 1002),
        (frame(0x88, &999_u16.to_be_bytes()), 1002),
        (frame(0x88, b"\x03\xe8\xff"), 1007),
        (frame(0x81, b"\xff"), 1007),
        (frame(0x81, b"\xed\xa0\x80"), 1007),
        ([frame(0x01, b"\xc3"), frame(0x80, b"(")].concat(), 1007),
        ([frame(0x01, b"\xc3"), frame(0x00, b""), frame(0x80, b"")].concat(), 1007),
        // Refused with the first fragment that can not be right, not with the last.
        (frame(0x01, b"\xff"), 1007),
        // A length in more bytes than it needs, and one beyond all measure.
        ([&[0x81, 0xfe, 0, 4, 0, 0, 0, 0][..], b"text"].concat(), 1002),
        ([&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0][..], b"text"].concat(), 1002),
        ([0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff].to_vec(), 1009),
        ([vec![frame(0x01, b"a")], vec![frame(0x00, b"a"); 10]].concat().concat(), 1009),
        (vec![frame(0x8a, b"pong"); 200].concat(), 1008),
    ] {
        assert_eq!(refused(&server, &frames), code, "{:x?}", &frames[..frames.len().min(40)]);
    }
    // Beside each of them, others go on.
    echoes(&mut client(&server), Theirs::text("still here"));
}

#[test]
fn no_cut_makes_a_difference() {
    let messages = [
        frame(0x81, "grün".as_bytes()),
        frame(0x01, "gr\u{fc}".as_bytes()[..3].as_ref()),
        frame(0x89, b"in between"),
        frame(0x00, "\u{fc}".as_bytes()[1..].as_ref()),
        frame(0x80, b"n"),
        frame(0x82, &noise(1, 300)),
        frame(0x88, b"\x03\xe8bye"),
    ];
    let stream = [handshake(RIGHT).into_bytes(), messages.concat()].concat();
    let decode = |cuts: &[usize], seam: usize| {
        let (mut decoder, _) = WebSocket::default().show_controls().halves();
        let (mut received, mut from, mut found) = (Vec::new(), 0, Vec::new());
        for end in cuts.iter().copied().chain([stream.len()]) {
            received.extend_from_slice(&stream[from..end]);
            from = end;
            while !received.is_empty() {
                let (first, second) = received.split_at(seam.min(received.len()));
                let Some(end) = decoder.frame_end(Input::new(first, second)).unwrap() else { break };
                let mut frame: Vec<u8> = received.drain(..end).collect();
                if decoder.is_message(&mut frame).unwrap() {
                    found.push(format!("{:?}", decoder.decode(&mut frame).unwrap()));
                }
                if decoder.has_answer() {
                    tiderace::codec::encode_to_vec(&mut Answers(&mut decoder), &()).unwrap();
                }
            }
        }
        assert!(received.is_empty());
        found
    };
    let expected = decode(&[], 0);
    assert_eq!(expected.len(), 5, "{expected:?}");
    assert_eq!(expected[0], "Text(\"grün\")");
    let bytes: Vec<usize> = (0..stream.len()).collect();
    for i in 0..=stream.len() {
        assert_eq!(decode(&[i], 0), expected, "cut {i}");
        assert_eq!(decode(&[], i), expected, "seam {i}");
    }
    assert_eq!(decode(&bytes, 0), expected);
    assert_eq!(decode(&bytes, 5), expected);
}

/// Takes a decoder's answers.
struct Answers<'a, D>(&'a mut D);

impl<D: Decoder> tiderace::codec::Encoder<()> for Answers<'_, D> {
    type Error = std::convert::Infallible;

    fn encode(&mut self, _: &(), output: &mut tiderace::codec::Output<'_>) -> Result<(), Self::Error> {
        self.0.answer(output);
        Ok(())
    }
}

/// What our decoder makes of frames: messages, and why it refuses the rest.
fn ours(frames: &[u8]) -> (Vec<Theirs>, Option<WebSocketError>) {
    let (mut decoder, _) = WebSocket::default().show_controls().max_controls(u32::MAX).halves();
    let mut request = handshake(RIGHT).into_bytes();
    decoder.frame_end(Input::from(&*request)).unwrap();
    decoder.is_message(&mut request).unwrap();
    tiderace::codec::encode_to_vec(&mut Answers(&mut decoder), &()).unwrap();
    let (mut found, mut rest) = (Vec::new(), frames.to_vec());
    while !rest.is_empty() {
        let end = match decoder.frame_end(Input::from(&*rest)) {
            Ok(Some(end)) => end,
            Ok(None) => return (found, None),
            Err(error) => return (found, Some(error)),
        };
        let mut frame: Vec<u8> = rest.drain(..end).collect();
        match decoder.is_message(&mut frame) {
            Ok(false) => continue,
            Ok(true) => {}
            Err(error) => return (found, Some(error)),
        }
        found.push(match decoder.decode(&mut frame) {
            Ok(Message::Text(text)) => Theirs::text(text),
            Ok(Message::Binary(bytes)) => Theirs::binary(bytes.to_vec()),
            Ok(Message::Ping(bytes)) => Theirs::Ping(bytes.to_vec().into()),
            Ok(Message::Pong(bytes)) => Theirs::Pong(bytes.to_vec().into()),
            Ok(Message::Close(close)) => Theirs::Close(close.map(|close| tungstenite::protocol::CloseFrame {
                code: TheirCode::from(close.code.0),
                reason: close.reason.into(),
            })),
            Ok(_) => unreachable!(),
            Err(error) => return (found, Some(error)),
        });
    }
    (found, None)
}

/// A stream whose writes go nowhere.
struct OneWay(Cursor<Vec<u8>>);

impl Read for OneWay {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(to)
    }
}

impl Write for OneWay {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What theirs makes of them.
fn theirs(frames: &[u8]) -> (Vec<Theirs>, bool) {
    let config = WebSocketConfig::default().max_message_size(Some(1 << 20)).max_frame_size(Some(1 << 20));
    let mut socket = TheirSocket::from_raw_socket(OneWay(Cursor::new(frames.to_vec())), Role::Server, Some(config));
    let mut found = Vec::new();
    loop {
        match socket.read() {
            // So they tell of a close code that may not be sent.
            Ok(Theirs::Close(Some(close))) if close.reason == "Protocol violation" => return (found, true),
            Ok(message) => {
                let is_last = message.is_close();
                found.push(message);
                if is_last {
                    return (found, false);
                }
            }
            Err(tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                return (found, false);
            }
            Err(tungstenite::Error::Io(_)) => return (found, false),
            Err(_) => return (found, true),
        }
    }
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => prop::sample::select(vec![0x81_u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        4 => "\\PC{0,40}".prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 0..200),
    ];
    (first, payload).prop_map(|(first, payload)| frame(first, &payload))
}

proptest! {
    #[test]
    fn both_implementations_agree(frames in prop::collection::vec(any_frame(), 0..12), cut in any::<prop::sample::Index>(), flip in any::<Option<(prop::sample::Index, u8)>>()) {
        let mut stream = frames.concat();
        if let Some((at, bit)) = flip.filter(|_| !stream.is_empty()) {
            let at = at.index(stream.len());
            stream[at] ^= 1 << (bit % 8);
        }
        let end = stream.len() - cut.index(stream.len() + 1) * usize::from(cut.index(3) == 0);
        stream.truncate(end);
        let ((our, refused), (their, they_refuse)) = (ours(&stream), theirs(&stream));
        match refused {
            None => {
                prop_assert_eq!(our, their, "{:x?}", &stream);
                prop_assert!(!they_refuse, "only they refuse {stream:x?}");
            }
            // They look at a text when it is whole, and at a length not so closely.
            Some(WebSocketError::NotUtf8) => prop_assert!(their.starts_with(&our), "{stream:x?}"),
            Some(WebSocketError::Frame(rule)) if rule.contains("few bytes") => {
                prop_assert!(their.starts_with(&our), "{stream:x?}");
            }
            // Whether they refuse it too can not be told: they wait for the rest of a frame that we refuse by its head.
            Some(error) => prop_assert_eq!(our, their, "{}: {:x?}", error, &stream),
        }
    }
}

#[test]
fn a_client_understands_their_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        #[expect(clippy::result_large_err, reason = "it is theirs")]
        let check = |request: &tungstenite::handshake::server::Request, response| {
            assert_eq!(request.uri().to_string(), "/chat?room=1");
            assert_eq!(request.headers()["x-token"], "secret");
            Ok(response)
        };
        let mut socket = tungstenite::accept_hdr(stream, check).unwrap();
        loop {
            match socket.read() {
                Ok(message) if message.is_text() || message.is_binary() => socket.send(message).unwrap(),
                Ok(Theirs::Ping(_)) => {}
                Ok(Theirs::Close(close)) => {
                    // Its answer leaves with this.
                    let _ = socket.flush();
                    return close.map(|close| (u16::from(close.code), close.reason.to_string()));
                }
                other => panic!("{other:?}"),
            }
        }
    });
    block_on(async {
        let connector = WebSocketConnector::new(&format!("ws://{address}/chat?room=1")).unwrap();
        let codec = WebSocket::default().show_controls();
        let opened = connector.header("X-Token", "secret").limits(&codec).connect().await.unwrap();
        assert_eq!(opened.protocol, None);
        let mut socket = opened.framed();
        for length in [0, 125, 126, 65_535, 65_536, 500_000] {
            let bytes = noise(2, length);
            socket.send(&bytes).await.unwrap();
            assert!(matches!(socket.next().await.unwrap(), Some(Message::Binary(back)) if back == bytes));
        }
        socket.send("grün").await.unwrap();
        assert!(matches!(socket.next().await.unwrap(), Some(Message::Text("grün"))));
        socket.send(&Ping(b"?")).await.unwrap();
        assert!(matches!(socket.next().await.unwrap(), Some(Message::Pong(b"?"))));
        socket.send(&Close { code: CloseCode::NORMAL, reason: "done" }).await.unwrap();
        assert!(
            matches!(socket.next().await.unwrap(), Some(Message::Close(Some(close))) if close.code == CloseCode::NORMAL)
        );
        assert!(socket.next().await.unwrap().is_none());
    });
    assert_eq!(serving.join().unwrap(), Some((1000, "done".to_owned())));
}

#[test]
fn a_client_answers_each_of_many_pings() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        // In one piece, so that they are found in one look.
        for i in 0..100 {
            socket.write(Theirs::Ping(vec![i].into())).unwrap();
        }
        socket.flush().unwrap();
        for i in 0..100 {
            assert_eq!(socket.read().unwrap(), Theirs::Pong(vec![i].into()));
        }
        socket.send(Theirs::text("all of them")).unwrap();
        // Not a clean end of the stream, but the closing handshake was made.
        socket.close(None).unwrap();
        assert!(socket.read().unwrap().is_close());
        socket2::SockRef::from(socket.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    });
    block_on(async {
        let connector = WebSocketConnector::new(&format!("ws://{address}")).unwrap();
        let mut socket = connector.connect().await.unwrap().framed();
        assert!(matches!(socket.next().await.unwrap(), Some(Message::Text("all of them"))));
        assert!(socket.next().await.unwrap().is_none());
    });
    serving.join().unwrap();
}

#[test]
fn a_server_that_breaks_the_protocol_is_told_so() {
    // What is found out at different times: by the header, by the payload, and when the message is looked at.
    for (broken, code) in [(&b"\x83\0"[..], 1002), (b"\x88\x03\x03\xe8\xff", 1007), (b"\x81\x02\xff\xfe", 1007)] {
        for ending in ["drop", "finish", "into_stream", "next"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let serving = std::thread::spawn(move || {
                let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
                socket.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
                socket.get_mut().write_all(broken).unwrap();
                let heard = socket.read();
                assert!(matches!(&heard, Ok(Theirs::Close(Some(close))) if u16::from(close.code) == code), "{heard:?}");
            });
            block_on(async {
                let connector = WebSocketConnector::new(&format!("ws://{address}")).unwrap();
                let mut socket = connector.connect().await.unwrap().framed();
                assert!(matches!(socket.next().await, Err(Error::Protocol(_))));
                // What is left lives until the peer has been told.
                let mut left = (None, None);
                match ending {
                    "drop" => drop(socket),
                    "into_stream" => left.0 = Some(socket.into_stream()),
                    "finish" => {
                        socket.finish().await.unwrap();
                        left.1 = Some(socket);
                    }
                    _ => {
                        let _ = socket.next().await;
                        left.1 = Some(socket);
                    }
                }
                serving.join().unwrap_or_else(|_| panic!("{broken:?}, {ending}"));
                drop(left);
            });
        }
    }
}

#[test]
fn clients_and_servers_of_ours_talk_and_say_what_is_wrong() {
    let (server, told) = echo(WebSocket::default().protocols(["chat"]));
    let url = format!("ws://{}/", server.address);
    block_on(async {
        let connector = WebSocketConnector::new(&url).unwrap().protocols(["other", "chat"]);
        let opened = connector.connect().await.unwrap();
        assert_eq!(opened.protocol.as_deref(), Some("chat"));
        let mut socket = opened.framed();
        assert!(matches!(socket.next().await.unwrap(), Some(Message::Text("welcome"))));
        socket.send("hello").await.unwrap();
        assert!(matches!(socket.next().await.unwrap(), Some(Message::Text("hello"))));
        socket.send(&Close { code: CloseCode(4321), reason: "" }).await.unwrap();
        assert!(socket.next().await.unwrap().is_none());
        for (name, value) in [("X", "a\r\nY: b"), ("X\r\nY", "b"), ("", "b"), ("X(Y)", "b"), ("X", "\x7f")] {
            let connector = WebSocketConnector::new(&url).unwrap().header(name, value).header("X", "right");
            let error = connector.connect().await.unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&HandshakeError::Field(format!("{name}: {value}"))));
        }
        for protocol in ["chat\r\nX-Admin: yes", "chat, other", "chat room", ""] {
            let connector = WebSocketConnector::new(&url).unwrap().protocols(["chat", protocol]);
            let error = connector.connect().await.unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&HandshakeError::Field(protocol.to_owned())));
        }
    });
    assert_eq!(told.next(), "closed here");
    let refusing = serve(1, WebSocket::default().origins(["nobody"]), {
        let (sender, _) = events();
        move || Echo(sender.clone())
    });
    let error = block_on(async {
        WebSocketConnector::new(&format!("ws://{}", refusing.address)).unwrap().connect().await.unwrap_err()
    });
    assert_eq!(error.to_string(), "expected 101 Switching Protocols, found HTTP/1.1 403 Forbidden");
}

/// Joins a group when it opens.
struct Guest(Group<WebSocket>);

impl Handler for Guest {
    type Codec = WebSocket;

    async fn on_open(&mut self, conn: &mut Conn<WebSocket>) -> Result {
        self.0.join(conn);
        Ok(())
    }

    async fn on_message(&mut self, _: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
        match message {
            Message::Text(text) => self.0.try_send(text),
            _ => Ok(()),
        }
    }
}

#[test]
fn messages_are_compressed_where_both_can() {
    for (server, client) in [
        (Deflate::default(), Deflate::default()),
        (Deflate::default().keep_contexts(), Deflate::default().keep_contexts().level(9)),
        (Deflate::default().keep_contexts().window_bits(9), Deflate::default()),
        (Deflate::default(), Deflate::default().keep_contexts().window_bits(10)),
    ] {
        let (server, _told) = echo(WebSocket::default().compress(server.threshold(0)));
        block_on(async {
            let connector = WebSocketConnector::new(&format!("ws://{}/", server.address)).unwrap();
            let limits = WebSocket::default().compress(client.threshold(10));
            let mut socket = connector.limits(&limits).connect().await.unwrap().framed();
            assert!(matches!(socket.next().await.unwrap(), Some(Message::Text("welcome"))));
            for round in 0..20 {
                for length in [0, 9, 10, 1_000, 100_000] {
                    let text = "grün ".repeat(length / 5 + round);
                    socket.send(&*text).await.unwrap();
                    assert!(matches!(socket.next().await.unwrap(), Some(Message::Text(back)) if back == text));
                    let bytes = noise(round as u64, length);
                    socket.send(&bytes).await.unwrap();
                    assert!(matches!(socket.next().await.unwrap(), Some(Message::Binary(back)) if back == bytes));
                }
            }
        });
    }
}

#[test]
fn what_is_compressed_wrongly_or_too_well_is_refused() {
    let (server, _told) = echo(WebSocket::default().max_message(100_000).compress(Deflate::default()));
    let asked = format!("{RIGHT}Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n");
    // Zeros, a thousand to one: 100,000 and some are too many.
    let mut bomb = flate2_of(&vec![0; 101_000]);
    for (frames, code) in [
        (frame(0xc2, &std::mem::take(&mut bomb)), 1009),
        (frame(0xc1, b"\xff\xff\xff\xff"), 1007),
        ([frame(0x42, b"\xff\xff"), frame(0x80, b"\xff\xff")].concat(), 1007),
        // It ends within a block.
        (frame(0xc2, b"\x00\x05\x00\xfa\xff"), 1007),
        (frame(0xc1, &flate2_of(b"\xff\xfe")), 1007),
        ([frame(0x41, &flate2_of(b"abc")), frame(0xc0, b"")].concat(), 1002),
    ] {
        let (mut stream, head) = ask(&server, &handshake(&asked));
        let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
        assert!(head.contains(&format!("\r\nSec-WebSocket-Extensions: {agreed}")), "{head}");
        let mut welcome = [0; 9];
        stream.read_exact(&mut welcome).unwrap();
        stream.write_all(&frames).unwrap();
        let all = read_to_end(&mut stream);
        assert_eq!((all[0], u16::from_be_bytes([all[2], all[3]])), (0x88, code));
    }
    // In fragments it is as good as in one piece.
    let (mut stream, _) = ask(&server, &handshake(&asked));
    let compressed = flate2_of("grün".as_bytes());
    let (first, rest) = compressed.split_at(3);
    stream.write_all(&[frame(0x41, first), frame(0x89, b""), frame(0x80, rest)].concat()).unwrap();
    let mut back = [0; 9 + 2 + 7];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back[9..], [b"\x8a\x00\x81\x05", "grün".as_bytes()].concat());
}

/// Compressed as a message is.
fn flate2_of(message: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(message.len() + 100);
    let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
    deflate.compress_vec(message, &mut compressed, flate2::FlushCompress::Sync).unwrap();
    compressed.truncate(compressed.len() - 4);
    compressed
}

#[test]
fn groups_reach_those_whose_handshake_is_made_and_nobody_else() {
    let group = Group::new(WebSocket::default());
    let room = group.clone();
    let server = Server::new().cores(2).listen("tcp://127.0.0.1:0", WebSocket::default(), move || Guest(room.clone()));
    let server = Running::start(server.unwrap());
    let url = format!("ws://{}/", server.address);
    let mut guests: Vec<_> = (0..10).map(|_| tungstenite::client(&url, server.connect()).unwrap().0).collect();
    // One that has not said what it wants is no guest.
    let mut silent = server.connect();
    until("all have joined", || group.len() == 10);
    guests[0].send(Theirs::text("hello, all")).unwrap();
    for guest in &mut guests {
        assert_eq!(guest.read().unwrap(), Theirs::text("hello, all"));
    }
    silent.write_all(handshake(RIGHT).as_bytes()).unwrap();
    let mut first = [0; 12];
    silent.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 101");
}

#[test]
fn a_peer_that_pings_and_does_not_read_is_not_read_either() {
    let (server, _told) = echo(WebSocket::default().max_controls(u32::MAX));
    let mut stream = open(&server);
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let pings = vec![frame(0x89, &[b'x'; 125]); 1_000].concat();
    let mut sent = 0_usize;
    // What the system buffers on both ways, and the write queue; not for ever.
    while let Ok(n) = stream.write(&pings) {
        sent += n;
        assert!(sent < 100 << 20, "{sent} bytes were taken, and none of the answers");
    }
    echoes(&mut client(&server), Theirs::text("still here"));
}

/// Leaves handshakes to the test, and says what opens.
struct Porter {
    asks: Sender<(String, Handle<WebSocket>)>,
    tells: Sender<String>,
    pauses: bool,
}

impl Handler for Porter {
    type Codec = WebSocket;

    async fn on_open(&mut self, conn: &mut Conn<WebSocket>) -> Result {
        let handshake = conn.handshake().expect("a server's connection is opened by a request");
        let request = handshake.request();
        let cookies: Vec<_> = request.cookies().map(|(name, value)| format!("{name}={value}")).collect();
        self.tells.send(format!("open {} {}", request.target(), cookies.join(" ")))?;
        conn.resume();
        conn.send("welcome").await
    }

    async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
        assert!(conn.handshake().is_none(), "a request is kept only as long as on_open runs");
        match message {
            Message::Handshake(request) => {
                if self.pauses {
                    conn.pause();
                }
                self.asks.send((request.target().to_owned(), conn.handle()))?;
                Ok(())
            }
            Message::Http(request) => conn.send(&Response::text(request.path())).await,
            Message::Text(text) => conn.send(text).await,
            _ => Ok(()),
        }
    }
}

#[test]
fn an_answer_to_a_handshake_through_a_handle_opens_the_connection() {
    for pauses in [false, true] {
        let ((asks, asked), (tells, told)) = (events(), events());
        let server = serve(1, WebSocket::default().ask().with_http(), move || Porter {
            asks: asks.clone(),
            tells: tells.clone(),
            pauses,
        });
        let mut stream = server.connect();
        let request = handshake(&format!("{RIGHT}Cookie: a=b\r\n"));
        stream.write_all(request.as_bytes()).unwrap();
        let (target, handle) = asked.next();
        assert_eq!(target, "/chat?a=b");
        // Nothing else comes from the peer: the answer alone wakes the connection.
        handle.try_send(Accept::new()).unwrap();
        assert_eq!(told.next(), "open /chat?a=b a=b");
        let (mut stream, head) = websocket::ask(stream, "");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let mut welcome = [0; 9];
        stream.read_exact(&mut welcome).unwrap();
        assert_eq!(&welcome, b"\x81\x07welcome");
        stream.write_all(&frame(0x81, b"hello")).unwrap();
        let mut hello = [0; 7];
        stream.read_exact(&mut hello).unwrap();
        assert_eq!(&hello, b"\x81\x05hello");
    }
}

#[test]
fn what_a_handshake_leaves_is_not_for_the_next_request() {
    let ((asks, asked), (tells, told)) = (events(), events());
    let server = serve(1, WebSocket::default().ask().with_http(), move || Porter {
        asks: asks.clone(),
        tells: tells.clone(),
        pauses: false,
    });
    let mut stream = server.connect();
    stream.write_all(handshake(RIGHT).as_bytes()).unwrap();
    let (_, handle) = asked.next();
    handle.try_send(Response::new(Status::UNAUTHORIZED)).unwrap();
    let (mut stream, head) = websocket::ask(stream, "GET /page HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    // The connection ends with the refusal, so an answer that comes too late answers nothing.
    let _ = handle.try_send(Accept::new());
    assert!(read_to_end(&mut stream).is_empty());
    let mut stream = server.connect();
    stream.write_all(handshake(&format!("{RIGHT}Cookie: a=c\r\n")).replace("/chat", "/other").as_bytes()).unwrap();
    asked.next().1.try_send(Accept::new()).unwrap();
    assert_eq!(told.next(), "open /other?a=b a=c");
}

#[test]
fn the_request_can_be_read_in_on_open_where_the_library_accepts() {
    let ((asks, _asked), (tells, told)) = (events(), events());
    let server =
        serve(1, WebSocket::default(), move || Porter { asks: asks.clone(), tells: tells.clone(), pauses: false });
    // With a body, which a handshake may have, and which is no part of the first frame.
    let request = handshake(&format!("{RIGHT}Cookie: x=y; z=1\r\nContent-Length: 4\r\n"));
    let (mut stream, head) = ask(&server, &format!("{request}body"));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(told.next(), "open /chat?a=b x=y z=1");
    stream.write_all(&frame(0x81, b"hello")).unwrap();
    let mut back = [0; 9 + 7];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"\x81\x07welcome\x81\x05hello");
}

/// Accepts with a cookie, when it has tried what cannot be accepted with.
struct Baker;

impl Handler for Baker {
    type Codec = WebSocket;

    async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
        let Message::Handshake(_) = message else { return Ok(()) };
        for (name, value) in [
            ("Set Cookie", "a=b"),
            ("Set-Cookie", "a=b\r\nX: y"),
            ("upgrade", "h2c"),
            ("Connection", "close"),
            ("Content-Length", "5"),
            ("transfer-encoding", "chunked"),
            ("Sec-WebSocket-Protocol", "chat"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ] {
            let error = conn.send(&Accept::new().header(name, value)).await.unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&SendError::Response(ResponseError::Field)), "{name}");
        }
        conn.send(&Accept::new().header("Set-Cookie", "a=b; Secure").header("Set-Cookie", "c=d")).await
    }
}

#[test]
fn fields_of_the_answer_to_a_handshake_are_the_handlers_and_the_codecs() {
    let server = serve(1, WebSocket::default().ask().header("X-Served-By", "1"), || Baker);
    let (_, head) = ask(&server, &handshake(RIGHT));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for line in ["Set-Cookie: a=b; Secure", "Set-Cookie: c=d", "X-Served-By: 1"] {
        assert_eq!(head.lines().filter(|other| *other == line).count(), 1, "{line}: {head}");
    }
    assert_eq!(head.matches("Upgrade: ").count(), 1, "{head}");
    let (server, _told) = echo(WebSocket::default().header("X-Served-By", "2"));
    let (_, head) = ask(&server, &handshake(RIGHT));
    assert!(head.contains("\r\nX-Served-By: 2\r\n"), "{head}");
    let wrong = std::panic::catch_unwind(|| WebSocket::default().header("Connection", "close"));
    assert!(wrong.is_err());
}

#[test]
fn control_frames_have_their_full_length_however_short_messages_are_to_be() {
    for max in [0, 16] {
        let codec = WebSocket::default().max_message(max).max_frame(max);
        let (server, _told) = echo(codec);
        let mut stream = open(&server);
        let ping = frame(0x89, &[b'p'; 125]);
        // In two pieces, because what waits for its end is what a limit could be too short for.
        stream.write_all(&ping[..100]).unwrap();
        stream.write_all(&ping[100..]).unwrap();
        let mut pong = [0; 127];
        stream.read_exact(&mut pong).unwrap();
        assert_eq!(pong[..], [&[0x8a, 125][..], &[b'p'; 125]].concat());
        stream.write_all(&frame(0x82, &[0; 17])).unwrap();
        let all = read_to_end(&mut stream);
        assert_eq!((all[0], u16::from_be_bytes([all[2], all[3]])), (0x88, 1009));
    }
}

#[test]
fn a_message_has_its_time_from_its_first_fragment_to_its_last() {
    let (sender, told) = events();
    let server = Server::new().cores(1).message_timeout(Duration::from_millis(300));
    let server = server.listen("tcp://127.0.0.1:0", WebSocket::default(), move || Echo(sender.clone())).unwrap();
    let server = Running::start(server);
    let mut stream = open(&server);
    let mut writer = stream.try_clone().unwrap();
    // Each fragment comes soon, and pings come in between; the last fragment never does.
    let fragments = std::thread::spawn(move || {
        let mut first = 0x02;
        while writer.write_all(&[frame(first, b"x"), frame(0x89, b"")].concat()).is_ok() {
            first = 0x00;
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let all = read_to_end(&mut stream);
    let close = &all[all.len() - 4..];
    assert_eq!((close[0], u16::from_be_bytes([close[2], close[3]])), (0x88, 1008), "{all:x?}");
    assert!(told.next().starts_with("timeout: "));
    drop(stream);
    fragments.join().unwrap();
}

#[test]
fn a_peer_that_pings_too_much_is_not_read_for_ever() {
    let (server, told) = echo(WebSocket::default());
    let mut stream = open(&server);
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let pings = vec![frame(0x89, &[b'x'; 125]); 1_000].concat();
    let mut sent = 0_usize;
    // It is closed for the number of its pings; what it sends from then on is thrown away, and not for ever.
    while let Ok(n) = stream.write(&pings) {
        sent += n;
        assert!(sent < 100 << 20, "{sent} bytes were taken");
    }
    assert!(told.next().contains("control frames a second"));
}

/// Sends compressed and plain messages, whatever their lengths.
struct Packer;

impl Handler for Packer {
    type Codec = WebSocket;

    async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
        let long = "long ".repeat(1_000);
        match message {
            Message::Text("compressed") => conn.send(&Outgoing::text("short").compressed()).await,
            Message::Text("plain") => conn.send(&Outgoing::binary(long.as_bytes()).plain()).await,
            Message::Text("as ever") => {
                conn.send(&Outgoing::text("short")).await?;
                conn.send(&Outgoing::text(&long)).await
            }
            Message::Text("fragments") => {
                let parts = [long.as_bytes(), b"", b"middle"];
                conn.send(&Fragment::text(parts[0]).compressed()).await?;
                conn.send(&Fragment::more(parts[1])).await?;
                conn.send(&Ping(b"between")).await?;
                let error = conn.send(&Outgoing::text("between").compressed()).await.unwrap_err();
                assert_eq!(error.downcast_ref(), Some(&SendError::Fragment));
                conn.send(&Fragment::more(parts[2])).await?;
                conn.send(&Fragment::last(b"")).await?;
                conn.send(&Fragment::binary(b"plain").compressed()).await?;
                conn.send(&Fragment::last(b" no more")).await?;
                conn.send(&Fragment::binary(&long.as_bytes()[..10])).await?;
                conn.send(&Fragment::last(b"")).await
            }
            _ => Ok(()),
        }
    }
}

/// The first byte and the payload of the frame that comes next.
fn next_frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let length = match head[1] {
        126 => {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            usize::from(u16::from_be_bytes(length))
        }
        short => usize::from(short),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).unwrap();
    (head[0], payload)
}

/// What a message was compressed from.
fn inflated(context: &mut flate2::Decompress, payload: &[u8]) -> Vec<u8> {
    let (payload, mut message) = ([payload, &[0, 0, 0xff, 0xff]].concat(), Vec::with_capacity(100_000));
    context.decompress_vec(&payload, &mut message, flate2::FlushDecompress::Sync).unwrap();
    message
}

#[test]
fn each_message_says_whether_it_is_compressed() {
    let long = "long ".repeat(1_000);
    for deflate in [Deflate::default(), Deflate::default().keep_contexts(), Deflate::default().keep_sending_context()] {
        let server = serve(1, WebSocket::default().compress(deflate), || Packer);
        let asked = format!("{RIGHT}Sec-WebSocket-Extensions: permessage-deflate\r\n");
        let (mut stream, head) = ask(&server, &handshake(&asked));
        let keeps = !head.contains("server_no_context_takeover");
        let mut context = flate2::Decompress::new(false);
        let mut take = |payload: &[u8]| {
            let message = inflated(&mut context, payload);
            if !keeps {
                context.reset(false);
            }
            message
        };
        let tell = |stream: &mut TcpStream, what: &str| stream.write_all(&frame(0x81, what.as_bytes())).unwrap();
        tell(&mut stream, "compressed");
        let (first, payload) = next_frame(&mut stream);
        assert_eq!((first, take(&payload)), (0xc1, b"short".to_vec()));
        tell(&mut stream, "plain");
        assert_eq!(next_frame(&mut stream), (0x82, long.as_bytes().to_vec()));
        tell(&mut stream, "as ever");
        assert_eq!(next_frame(&mut stream), (0x81, b"short".to_vec()));
        let (first, payload) = next_frame(&mut stream);
        assert_eq!((first, take(&payload)), (0xc1, long.as_bytes().to_vec()));
        for _ in 0..2 {
            tell(&mut stream, "fragments");
            let frames: Vec<_> = (0..9).map(|_| next_frame(&mut stream)).collect();
            let firsts: Vec<u8> = frames.iter().map(|(first, _)| *first).collect();
            // Only the first frame of a message says that it is compressed.
            assert_eq!(firsts, [0x41, 0x00, 0x89, 0x00, 0x80, 0x42, 0x80, 0x02, 0x80]);
            assert!(frames[0].1.len() < 100);
            let whole = |parts: &[usize]| parts.iter().flat_map(|i| frames[*i].1.clone()).collect::<Vec<u8>>();
            assert_eq!(take(&whole(&[0, 1, 3, 4])), format!("{long}middle").into_bytes());
            assert_eq!(take(&whole(&[5, 6])), b"plain no more");
            assert_eq!(whole(&[7, 8]), b"long long ");
        }
    }
    // A peer that cannot inflate is sent everything as it is.
    let server = serve(1, WebSocket::default().compress(Deflate::default()), || Packer);
    let (mut stream, _) = ask(&server, &handshake(RIGHT));
    stream.write_all(&[frame(0x81, b"compressed"), frame(0x81, b"fragments")].concat()).unwrap();
    assert_eq!(next_frame(&mut stream), (0x81, b"short".to_vec()));
    assert_eq!(next_frame(&mut stream), (0x01, long.into_bytes()));
}

#[test]
fn windows_of_the_peer_hold_for_what_it_sends() {
    let narrow = Deflate::default().keep_contexts().peer_window_bits(9).threshold(0);
    let (server, _told) = echo(WebSocket::default().compress(narrow.clone()));
    block_on(async {
        for client in [narrow.clone(), Deflate::default().keep_contexts().threshold(0)] {
            let connector = WebSocketConnector::new(&format!("ws://{}/", server.address)).unwrap();
            let limits = WebSocket::default().compress(client);
            let mut socket = connector.limits(&limits).connect().await.unwrap().framed();
            assert!(matches!(socket.next().await.unwrap(), Some(Message::Text("welcome"))));
            for round in 0..20 {
                // What repeats lies nearer than a narrow window, and farther.
                for distance in [100, 400, 600, 40_000] {
                    let bytes = noise(round, distance).repeat(2);
                    socket.send(&bytes).await.unwrap();
                    assert!(matches!(socket.next().await.unwrap(), Some(Message::Binary(back)) if back == bytes));
                }
            }
        }
    });
}
