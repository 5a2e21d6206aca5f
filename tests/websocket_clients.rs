//! Clients of WebSockets: what they ask, which answers they take, where they go, and how they come back.
#![cfg(feature = "websocket")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;
use support::*;
use tiderace::http::Status;
use tiderace::websocket::{
    Answer, Close, CloseCode, Deflate, HandshakeError, Message, Opened, WebSocket, WebSocketConnector,
};
use tiderace::{Backoff, CloseReason, Conn, Error, Handler, Result, TimeLimit, block_on};

/// A server that answers each connection with what it is told, one after the other.
struct Scripted {
    address: String,
    requests: Events<String>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    /// `ACCEPT` in an answer becomes what the client expects for its key. Then the server ends its side, and waits for the client's
    /// end.
    fn new(answers: Vec<String>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, requests) = events();
        let thread = std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let request = read_head(&mut stream);
                let accept = key(&request).map_or(String::new(), |key| accept_of(&key));
                // The client may have heard enough before the end.
                let _ = stream.write_all(answer.replace("ACCEPT", &accept).as_bytes());
                let _ = stream.shutdown(Shutdown::Write);
                let _ = sender.send(request);
                read_to_end(&mut stream);
            }
        });
        Scripted { address, requests, thread: Some(thread) }
    }

    fn once(answer: impl Into<String>) -> Scripted {
        Scripted::new(vec![answer.into()])
    }

    fn connector(&self) -> WebSocketConnector {
        WebSocketConnector::new(&format!("ws://{}/", self.address)).unwrap().timeout(PATIENCE)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take().filter(|_| !std::thread::panicking()) {
            thread.join().expect("each answer was asked for");
        }
    }
}

fn read_head(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn field<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

fn key(request: &str) -> Option<String> {
    field(request, "Sec-WebSocket-Key").first().map(|key| (*key).to_owned())
}

fn accept_of(key: &str) -> String {
    tungstenite::handshake::derive_accept_key(key.as_bytes())
}

const UPGRADE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n";
const ACCEPT: &str = "Sec-WebSocket-Accept: ACCEPT\r\n";

/// An answer that is right, with more fields.
fn right(more: &str) -> String {
    format!("{UPGRADE}Connection: Upgrade\r\n{ACCEPT}{more}\r\n")
}

fn connect(connector: &WebSocketConnector) -> Result<Opened> {
    block_on(connector.connect())
}

#[track_caller]
fn refused(result: Result<impl std::fmt::Debug>) -> HandshakeError {
    let error = result.expect_err("a handshake that fails");
    error.downcast_ref::<HandshakeError>().unwrap_or_else(|| panic!("{error:?}")).clone()
}

#[test]
fn connection_options_are_looked_for_in_all_lines() {
    for lines in [
        "Connection: Upgrade\r\n",
        "connection: keep-alive\r\nCONNECTION: upgrade\r\n",
        "Connection: keep-alive, Upgrade\r\n",
        "Connection: a\r\nConnection: b ,\t UPGRADE ,c\r\nConnection: d\r\n",
        "Connection: , ,\r\nConnection:Upgrade,\r\n",
    ] {
        let server = Scripted::once(format!("{UPGRADE}{lines}{ACCEPT}\r\n"));
        connect(&server.connector()).unwrap_or_else(|error| panic!("{lines}: {error}"));
    }
    for lines in ["", "Connection: keep-alive\r\n", "Connection: Upgraded\r\n", "Connection: not upgrade\r\n"] {
        let server = Scripted::once(format!("{UPGRADE}{lines}{ACCEPT}\r\n"));
        let error = refused(connect(&server.connector()));
        assert_eq!(error, HandshakeError::Answer("expected Connection: Upgrade, found another"), "{lines}");
    }
}

#[test]
fn provisional_responses_are_passed_over_up_to_a_limit() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nUpgrade: other\r\n\r\n";
    for before in [
        "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        hints.to_owned(),
        format!("HTTP/1.1 100 \r\n\r\n{hints}HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 ?\r\n\r\n"),
        hints.repeat(16),
    ] {
        let server = Scripted::once(before + &right("X: y\r\n") + "\u{1}");
        let opened = connect(&server.connector()).unwrap();
        assert_eq!((opened.answer.status(), opened.answer.header("x")), (Status(101), Some("y")));
    }
    let server = Scripted::once(hints.repeat(17) + &right(""));
    assert_eq!(refused(connect(&server.connector())), HandshakeError::TooManyProvisional { max: 16 });
    // They are no answer where none follows.
    let server = Scripted::once(hints);
    assert!(
        matches!(connect(&server.connector()), Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof)
    );
}

#[test]
fn answers_that_were_not_asked_for_fail_the_handshake() {
    let with_connection = |line: &str| format!("{line}Connection: Upgrade\r\n{ACCEPT}\r\n");
    for (answer, expected) in [
        ("HTTP/1.0 101 Ok\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_owned(), "HTTP/1.1"),
        (with_connection("HTTP/1.1 101 Ok\r\n"), "an upgrade"),
        (with_connection("HTTP/1.1 101 Ok\r\nUpgrade: h2c\r\n"), "an upgrade"),
        (with_connection("HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n"), "an upgrade"),
        (format!("{UPGRADE}Connection: Upgrade\r\n\r\n"), "the answer to this key"),
        (format!("{UPGRADE}Connection: Upgrade\r\n{ACCEPT}{ACCEPT}\r\n"), "the answer to this key"),
        (format!("{UPGRADE}Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"), "the answer to this key"),
        (right("Sec-WebSocket-Protocol: other\r\n"), "a subprotocol"),
        (right("Sec-WebSocket-Protocol: CHAT\r\n"), "a subprotocol"),
        (right("Sec-WebSocket-Protocol: chat, b\r\n"), "a subprotocol"),
        (right("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n"), "a subprotocol"),
        (right("Sec-WebSocket-Extensions: permessage-deflate\r\n"), "no extension"),
        (right("Sec-WebSocket-Extensions: ,\r\nSec-WebSocket-Extensions: x-y\r\n"), "no extension"),
    ] {
        let server = Scripted::once(answer.clone());
        match refused(connect(&server.connector().protocols(["chat", "b"]))) {
            HandshakeError::Answer(what) => {
                assert!(what.starts_with(&format!("expected {expected}")), "{what}: {answer}")
            }
            other => panic!("{other:?}: {answer}"),
        }
    }
    // What says nothing is right.
    let server = Scripted::once(right("Sec-WebSocket-Extensions: ,\r\nSec-WebSocket-Protocol: b\r\n"));
    assert_eq!(connect(&server.connector().protocols(["chat", "b"])).unwrap().protocol.as_deref(), Some("b"));
}

#[test]
fn request_has_the_host_the_path_and_the_credentials_of_the_address() {
    let server = Scripted::new(vec![right(""); 3]);
    let ask = |url: &str, more: Option<(&str, &str)>| {
        let connector = WebSocketConnector::new(url).unwrap();
        let connector = more.map_or(connector.clone(), |(name, value)| connector.header(name, value));
        connect(&connector).unwrap();
        server.requests.next()
    };
    let request = ask(&format!("ws://ann:s%40crt@{}?a=%2f&b", server.address), None);
    assert!(request.starts_with("GET /?a=%2f&b HTTP/1.1\r\n"), "{request}");
    assert_eq!(field(&request, "host"), [&*server.address]);
    assert_eq!(field(&request, "authorization"), ["Basic YW5uOnNAY3J0"]);
    assert_eq!(field(&request, "sec-websocket-version"), ["13"]);
    // A field that the caller gives is the only one.
    let token = Some(("authorization", "Bearer t"));
    let request = ask(&format!("WS://ann@{}/%C3%BC/..//a", server.address), token);
    assert!(request.starts_with("GET /%C3%BC/..//a HTTP/1.1\r\n"), "{request}");
    assert_eq!(field(&request, "authorization"), ["Bearer t"]);
    let request = ask(&format!("ws://{}", server.address), Some(("Origin", "https://example.com")));
    assert!(request.starts_with("GET / HTTP/1.1\r\n"), "{request}");
    assert_eq!(field(&request, "origin"), ["https://example.com"]);
    assert!(field(&request, "authorization").is_empty());
}

#[test]
fn fields_that_the_handshake_writes_are_refused() {
    let connector = WebSocketConnector::new("ws://127.0.0.1:1/").unwrap();
    for name in [
        "Host",
        "connection",
        "UPGRADE",
        "Sec-WebSocket-Key",
        "sec-websocket-protocol",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Anything",
        "Content-Length",
        "transfer-encoding",
    ] {
        let error = refused(connect(&connector.clone().header("X", "y").header(name, "z")));
        assert_eq!(error, HandshakeError::OwnField(name.to_owned()));
    }
    let error = refused(connect(&connector.clone().protocols(["a", "b", "a"])));
    assert_eq!(error, HandshakeError::Protocol("a".to_owned()));
    // Nothing of it shows a secret.
    let shown = format!("{:?}", WebSocketConnector::new("ws://u:hidden@h/").unwrap().header("Cookie", "hidden"));
    assert!(!shown.contains("hidden") && shown.contains("Cookie"), "{shown}");
}

#[test]
fn refusal_has_its_status_its_fields_and_its_body() {
    let long = "x".repeat(20_000);
    for (head, body, expected, is_whole) in [
        ("Content-Length: 5\r\n", "nope!and more", "nope!", true),
        ("Content-Length: 9\r\n", "cut", "cut", false),
        ("Content-Length: 0\r\n", "", "", true),
        ("", "until the end", "until the end", true),
        ("Transfer-Encoding: chunked\r\n", "3\r\nnop\r\n2;a=b\r\ne!\r\n0\r\n\r\n", "nope!", true),
        ("Transfer-Encoding: chunked\r\n", "3\r\nnop\r\n5\r\ne!", "nope!", false),
        ("Transfer-Encoding: chunked\r\n", "zz\r\n", "", false),
        ("Content-Length: 18446744073709551615\r\n", &*long, &long[..16 * 1024], false),
        ("", &*long, &long[..16 * 1024], false),
    ] {
        let answer =
            format!("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nX: a\r\nX: b\r\n{head}\r\n{body}");
        let server = Scripted::once(answer);
        let error = refused(connect(&server.connector()));
        assert_eq!(error.to_string(), "expected 101 Switching Protocols, found HTTP/1.1 401 Unauthorized");
        let HandshakeError::Refused(refusal) = error else { panic!("{error:?}") };
        assert_eq!(refusal.status(), Status(401));
        assert_eq!(refusal.answer().reason(), "Unauthorized");
        assert_eq!(refusal.answer().header("www-authenticate"), Some("Basic"));
        let all: Vec<_> = refusal.answer().headers().filter(|(name, _)| *name == "X").collect();
        assert_eq!(all, [("X", &b"a"[..]), ("X", b"b")]);
        assert!(refusal.body() == expected.as_bytes(), "{head}{body}");
        assert_eq!(refusal.is_whole(), is_whole, "{head}{body}");
    }
}

#[test]
fn heads_that_have_no_end_are_refused() {
    let server = Scripted::once(format!("HTTP/1.1 101 Ok\r\nX: {}", "y".repeat(100_000)));
    assert!(matches!(refused(connect(&server.connector())), HandshakeError::Head(_)));
    let server = Scripted::once(format!("HTTP/1.1 101 Ok\r\n{}\r\n", "X: y\r\n".repeat(200)));
    assert!(matches!(refused(connect(&server.connector())), HandshakeError::Head(_)));
    for wrong in ["SSH-2.0-server\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 101\r\nno colon\r\n\r\n"] {
        let server = Scripted::once(wrong);
        refused(connect(&server.connector()));
    }
}

#[test]
fn silent_server_fails_the_handshake_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let limit = Duration::from_millis(50);
    let error = refused(connect(&WebSocketConnector::new(&url).unwrap().timeout(limit)));
    assert_eq!(error, HandshakeError::Timeout { after: limit });
}

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn redirects_are_followed_on_request_and_up_to_their_number() {
    for status in [301, 302, 303, 307, 308] {
        let server = Scripted::new(vec![redirect(status, "../b?c"), redirect(status, "/d"), right("")]);
        let connector = WebSocketConnector::new(&format!("ws://u:p@{}/x/y", server.address)).unwrap();
        let connector = connector.header("Cookie", "a=b").protocols(["chat"]);
        connect(&connector.redirects(2)).unwrap();
        for path in ["/x/y", "/b?c", "/d"] {
            let request = server.requests.next();
            assert!(request.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{request}");
            // The host is the same.
            assert_eq!(field(&request, "authorization"), ["Basic dTpw"]);
            assert_eq!(field(&request, "cookie"), ["a=b"]);
            assert_eq!(field(&request, "sec-websocket-protocol"), ["chat"]);
        }
    }
    let server = Scripted::once(redirect(302, "/elsewhere"));
    let HandshakeError::Refused(refusal) = refused(connect(&server.connector())) else { panic!("it is not followed") };
    assert_eq!((refusal.status().0, refusal.answer().header("Location")), (302, Some("/elsewhere")));
    let server = Scripted::new(vec![redirect(302, "/"); 4]);
    assert_eq!(refused(connect(&server.connector().redirects(3))), HandshakeError::TooManyRedirects { max: 3 });
    // These are no redirects that a handshake follows.
    for answer in [redirect(300, "/"), redirect(304, "/"), redirect(305, "/"), "HTTP/1.1 302 Where?\r\n\r\n".to_owned()]
    {
        let server = Scripted::once(answer);
        assert!(matches!(refused(connect(&server.connector().redirects(3))), HandshakeError::Refused(_)));
    }
}

#[test]
fn redirect_to_another_host_carries_no_credentials() {
    let third = Scripted::once(right(""));
    // Also not when it leads back.
    let second = Scripted::once(redirect(307, &format!("ws://{}/back", third.address)));
    let first = Scripted::once(redirect(307, &format!("http://x:y@{}/", second.address)));
    let connector = WebSocketConnector::new(&format!("ws://u:p@{}/", first.address)).unwrap();
    let connector = connector.header("Cookie", "a=b").header("Proxy-Authorization", "c").header("X-Kept", "d");
    connect(&connector.redirects(5)).unwrap();
    let secrets = ["authorization", "cookie", "proxy-authorization"];
    let request = first.requests.next();
    assert!(secrets.iter().all(|secret| field(&request, secret).len() == 1), "{request}");
    for server in [&second, &third] {
        let request = server.requests.next();
        assert!(secrets.iter().all(|secret| field(&request, secret).is_empty()), "{request}");
        assert_eq!((field(&request, "x-kept"), field(&request, "host")), (vec!["d"], vec![&*server.address]));
    }
}

#[test]
fn redirect_that_cannot_be_followed_safely_is_refused() {
    for location in ["wss://127.0.0.1:1/", "https://127.0.0.1:1/", "ftp://h/", "ws://h:x/", "/a b", "//"] {
        let server = Scripted::once(redirect(302, location));
        let error = refused(connect(&server.connector().redirects(3)));
        assert!(matches!(error, HandshakeError::Redirect(_)), "{location}: {error}");
    }
}

/// Subscribes when it opens, and tells what happens.
struct Subscriber(std::sync::mpsc::Sender<String>);

impl Handler for Subscriber {
    type Codec = WebSocket;

    async fn on_open(&mut self, conn: &mut Conn<WebSocket>) -> Result {
        conn.send("subscribe").await
    }

    async fn on_message(&mut self, _: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
        if let Message::Text(text) = message {
            self.0.send(text.to_owned())?;
        }
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<WebSocket>, reason: &CloseReason) {
        let _ = self.0.send(match reason {
            CloseReason::Timeout(TimeLimit::Idle) => "mute".to_owned(),
            reason => reason.to_string(),
        });
    }
}

fn quickly() -> Backoff {
    Backoff::default().first(Duration::from_millis(1)).max(Duration::from_millis(5))
}

#[test]
fn client_that_stays_connected_subscribes_to_each_connection_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/feed", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        // Refused, and dropped in the handshake, and then two that open.
        let mut stream = listener.accept().unwrap().0;
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 503 Not Yet\r\nContent-Length: 0\r\n\r\n").unwrap();
        read_head(&mut listener.accept().unwrap().0);
        for round in ["one", "two"] {
            let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
            assert_eq!(socket.read().unwrap(), tungstenite::Message::text("subscribe"));
            socket.send(tungstenite::Message::text(round)).unwrap();
            if round == "one" {
                // Without a word.
                drop(socket);
            } else {
                assert_eq!(socket.read().unwrap(), tungstenite::Message::text("through the handle"));
                assert!(socket.read().unwrap().is_close());
                let _ = socket.flush();
            }
        }
    });
    let (sender, told) = events();
    block_on(async {
        let (opened, answers) = events();
        let mut client = WebSocketConnector::new(&url).unwrap().serve(quickly(), move |answer: &Answer| {
            opened.send(answer.status()).unwrap();
            Subscriber(sender.clone())
        });
        assert!(client.handle().is_none(), "nothing can be sent before it is connected");
        let mut heard = Vec::new();
        let mut first = None;
        while heard.last().map(String::as_str) != Some("two") {
            tiderace::sleep(Duration::from_millis(1)).await;
            heard.extend(told.try_next());
            first = first.or_else(|| client.handle());
        }
        assert_eq!((heard[0].as_str(), heard.len()), ("one", 3), "{heard:?}");
        assert_eq!([answers.next(), answers.next()], [Status(101); 2]);
        assert!(answers.is_quiet());
        // What is sent to the connection that has ended is not kept for the next.
        if let Some(first) = first.filter(|first| first.id() != client.handle().unwrap().id()) {
            assert!(first.send("lost").await.is_err());
        }
        client.handle().unwrap().send("through the handle").await.unwrap();
        client.close();
        client.closed().await.unwrap();
    });
    serving.join().unwrap();
}

#[test]
fn client_that_stays_connected_notices_a_mute_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/feed", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        for _ in 0..2 {
            let mut stream = accepted(&listener);
            assert_eq!(frame_of_client(&mut stream), (0x81, b"subscribe".to_vec()));
            // It hears a ping, which it does not answer. Then it is given up, and not waited for.
            read_to_end(&mut stream);
        }
    });
    let (sender, told) = events();
    block_on(async {
        let connector = WebSocketConnector::new(&url).unwrap().idle_timeout(Some(Duration::from_millis(60)));
        let client = connector.serve(quickly(), move |_| Subscriber(sender.clone()));
        let mut heard = None;
        while heard.is_none() {
            tiderace::sleep(Duration::from_millis(1)).await;
            heard = told.try_next();
        }
        assert_eq!(heard.as_deref(), Some("mute"));
        // It has come back.
        while !serving.is_finished() {
            tiderace::sleep(Duration::from_millis(1)).await;
        }
        client.close();
    });
    serving.join().unwrap();
}

#[test]
fn client_that_stays_connected_gives_up_at_once_when_it_is_set_wrongly() {
    block_on(async {
        let connector = WebSocketConnector::new("ws://127.0.0.1:1/").unwrap().header("Host", "other");
        let (sender, _told) = events();
        let mut client = connector.serve(Backoff::default(), move |_| Subscriber(sender.clone()));
        let ended = tiderace::timeout(PATIENCE, client.closed()).await.expect("it does not try again");
        assert_eq!(refused(ended), HandshakeError::OwnField("Host".to_owned()));
    });
    let server = Scripted::new(vec!["HTTP/1.1 403 No\r\n\r\n".to_owned(); 3]);
    block_on(async {
        let (sender, _told) = events();
        let mut client = server.connector().serve(quickly().tries(3), move |_| Subscriber(sender.clone()));
        let ended = tiderace::timeout(PATIENCE, client.closed()).await.expect("it gives up");
        assert!(matches!(refused(ended), HandshakeError::Refused(refusal) if refusal.status() == Status(403)));
    });
}

/// A connection whose handshake was answered.
fn accepted(listener: &TcpListener) -> TcpStream {
    accepted_with(listener, "")
}

/// The same, with more fields in the answer.
fn accepted_with(listener: &TcpListener, more: &str) -> TcpStream {
    let mut stream = listener.accept().unwrap().0;
    let request = read_head(&mut stream);
    stream.write_all(right(more).replace("ACCEPT", &accept_of(&key(&request).unwrap())).as_bytes()).unwrap();
    stream
}

/// The next frame of a client: its first byte, and its payload.
fn frame_of_client(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let (mut head, mut long, mut key) = ([0; 2], [0; 2], [0; 4]);
    stream.read_exact(&mut head).unwrap();
    assert!(head[1] & 0x80 != 0 && head[1] & 0x7f < 127, "below 64 KiB, and masked");
    let mut length = usize::from(head[1] & 0x7f);
    if length == 126 {
        stream.read_exact(&mut long).unwrap();
        length = usize::from(u16::from_be_bytes(long));
    }
    stream.read_exact(&mut key).unwrap();
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).unwrap();
    payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    (head[0], payload)
}

/// Whether the client keeps its side open. One that does not has closed it with its last frame; so this waits a moment for what is
/// not to come.
fn is_open(stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    matches!(peeked, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[test]
fn client_that_closes_leaves_the_connection_to_the_server() {
    for ending in ["handler", "by hand", "server"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let (ended, client_ended) = std::sync::mpsc::channel();
        let serving = std::thread::spawn(move || {
            let mut stream = accepted(&listener);
            if ending == "server" {
                stream.write_all(b"\x88\x02\x03\xe9").unwrap();
            } else if ending == "handler" {
                assert_eq!(frame_of_client(&mut stream), (0x81, b"subscribe".to_vec()));
            }
            assert_eq!(frame_of_client(&mut stream).0, 0x88, "{ending}");
            if ending != "server" {
                // Still on its way when the client closed, and not lost on the client: it does not reset the connection.
                stream.write_all(&[&b"\x82\x7e\x40\x00"[..], &[0; 0x4000], b"\x88\x02\x03\xe8"].concat()).unwrap();
            }
            assert!(is_open(&stream), "{ending}");
            assert_eq!(client_ended.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty), "{ending}");
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "{ending}");
        });
        let (sender, told) = events();
        block_on(async {
            let opened = WebSocketConnector::new(&url).unwrap().connect().await.unwrap();
            if ending == "handler" {
                let handle = opened.serve(Subscriber(sender)).unwrap();
                handle.close();
                // It is told of its end before that of the server.
                while !serving.is_finished() {
                    tiderace::sleep(Duration::from_millis(1)).await;
                }
            } else {
                let mut socket = opened.framed();
                if ending == "by hand" {
                    socket.send(&Close { code: CloseCode::NORMAL, reason: "" }).await.unwrap();
                }
                while socket.next().await.unwrap().is_some() {}
            }
            let _ = ended.send(());
        });
        serving.join().unwrap_or_else(|_| panic!("{ending}"));
        assert!(ending != "handler" || told.next() == "closed here");
    }
}

fn deflating(deflate: Deflate) -> WebSocket {
    WebSocket::default().compress(deflate.threshold(0))
}

#[test]
fn client_keeps_to_any_window_that_a_server_asks_for() {
    // A compressor with a larger window would refer to what is 300 and more bytes back.
    let message = [noise(1, 300), noise(1, 300), noise(2, 5_000), noise(1, 300)].concat();
    for (bits, keeps) in (8..=15).flat_map(|bits| [(bits, false), (bits, true)]) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let expected = message.clone();
        let serving = std::thread::spawn(move || {
            let anew = if keeps { "" } else { "; server_no_context_takeover; client_no_context_takeover" };
            let answer = format!("permessage-deflate; client_max_window_bits={bits}{anew}");
            let mut stream = accepted_with(&listener, &format!("Sec-WebSocket-Extensions: {answer}\r\n"));
            // In small parts, so that no more than the window is at hand.
            let mut inflate = flate2::Decompress::new_with_window_bits(false, bits.max(9));
            for _ in 0..3 {
                let (first, payload) = frame_of_client(&mut stream);
                if first == 0x82 {
                    assert!(payload == expected, "{bits}");
                    continue;
                }
                assert_eq!((first, bits > 8), (0xc2, true));
                let compressed = [&payload[..], &[0, 0, 0xff, 0xff]].concat();
                let (mut read, mut message) = (0, Vec::new());
                while read < compressed.len() || message.len() < expected.len() {
                    let mut part = [0; 64];
                    let before = (inflate.total_in(), inflate.total_out());
                    inflate.decompress(&compressed[read..], &mut part, flate2::FlushDecompress::Sync).unwrap();
                    let written = (inflate.total_out() - before.1) as usize;
                    read += (inflate.total_in() - before.0) as usize;
                    message.extend_from_slice(&part[..written]);
                    assert!(
                        message.len() <= expected.len() && (written, inflate.total_in()) != (0, before.0),
                        "{bits}"
                    );
                }
                assert!(message == expected, "{bits}, keeps {keeps}");
                if !keeps {
                    inflate.reset(false);
                }
            }
        });
        let deflate = if keeps { Deflate::default().keep_contexts() } else { Deflate::default() };
        block_on(async {
            let connector = WebSocketConnector::new(&url).unwrap().limits(&deflating(deflate));
            let mut socket = connector.connect().await.unwrap().framed();
            for _ in 0..3 {
                socket.send(&message).await.unwrap();
            }
        });
        serving.join().unwrap_or_else(|_| panic!("{bits}, keeps {keeps}"));
    }
}

#[test]
fn compression_that_was_not_offered_fails_the_handshake() {
    let anew = "permessage-deflate; server_no_context_takeover";
    for (deflate, answer, is_taken) in [
        (Some(Deflate::default()), format!("{anew}; client_no_context_takeover"), true),
        (Some(Deflate::default()), anew.to_owned(), true),
        (Some(Deflate::default()), format!("{anew}\r\nSec-WebSocket-Extensions:"), true),
        (Some(Deflate::default()), format!("{anew}; server_max_window_bits=8"), true),
        (Some(Deflate::default().keep_contexts()), "permessage-deflate".to_owned(), true),
        // It was told to forget.
        (Some(Deflate::default()), "permessage-deflate".to_owned(), false),
        (Some(Deflate::default()), format!("{anew}; client_max_window_bits"), false),
        (Some(Deflate::default()), format!("{anew}; client_max_window_bits=7"), false),
        (Some(Deflate::default()), format!("{anew}; client_max_window_bits=16"), false),
        (Some(Deflate::default()), format!("{anew}; client_max_window_bits=010"), false),
        (Some(Deflate::default()), format!("{anew}; server_max_window_bits"), false),
        (Some(Deflate::default()), format!("{anew}; server_no_context_takeover"), false),
        (Some(Deflate::default()), format!("{anew}; level=9"), false),
        (Some(Deflate::default()), format!("{anew}, {anew}"), false),
        (Some(Deflate::default()), format!("{anew}\r\nSec-WebSocket-Extensions: {anew}"), false),
        (Some(Deflate::default()), format!("{anew}, x-other"), false),
        (Some(Deflate::default()), "x-webkit-deflate-frame".to_owned(), false),
        (None, anew.to_owned(), false),
    ] {
        let server = Scripted::once(right(&format!("Sec-WebSocket-Extensions: {answer}\r\n")));
        let connector = server.connector();
        let connector = match deflate {
            Some(deflate) => connector.limits(&deflating(deflate)),
            None => connector,
        };
        match connect(&connector) {
            Ok(_) => assert!(is_taken, "{answer}"),
            Err(error) => {
                assert!(!is_taken && matches!(refused(Err::<(), _>(error)), HandshakeError::Answer(_)), "{answer}")
            }
        }
    }
}
