//! HTTP/1.1: what a request is answered, and when; each request gets one response, from a handler or a responder.
#![cfg(feature = "http")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::Sender;
use std::time::Duration;
use support::*;
use tiderace::codec::{Codec, Decoder, Input};
use tiderace::http::{Chunk, Event, Http, HttpParts, Part, Request, Responder, Response, ResponseError, Status};
use tiderace::{CloseReason, Conn, Error, Handler, Result, Server};

/// Sends a body back as it comes.
struct Stream;

impl Handler for Stream {
    type Codec = HttpParts;

    async fn on_message(&mut self, conn: &mut Conn<HttpParts>, part: Part<'_>) -> Result {
        match part {
            Part::Request { .. } => conn.send(&Response::chunked("text/plain")).await,
            Part::Body { bytes, is_last, .. } => {
                conn.send(&Chunk::new(bytes)).await?;
                if is_last { conn.send(&Chunk::last()).await } else { Ok(()) }
            }
        }
    }
}

#[test]
fn nothing_stands_between_the_chunks_of_a_response() {
    let server = serve(1, HttpParts::default(), || Stream);
    let mut stream = server.connect();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let body = read_to_end(&mut stream);
    assert_eq!(String::from_utf8_lossy(&body), "5\r\nhello\r\n0\r\n\r\n");
}

/// Answers a request before its body has come, or behind it.
struct Once {
    early: bool,
}

impl Handler for Once {
    type Codec = HttpParts;

    async fn on_message(&mut self, conn: &mut Conn<HttpParts>, part: Part<'_>) -> Result {
        match part {
            Part::Request { .. } if self.early => conn.send(&Response::text("early")).await,
            Part::Body { is_last: true, .. } if !self.early => conn.send(&Response::text("late")).await,
            _ => Ok(()),
        }
    }
}

#[test]
fn body_has_any_number_of_chunks() {
    let server = serve(1, HttpParts::default(), || Once { early: false });
    let mut stream = server.connect();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    stream.write_all("1\r\nx\r\n".repeat(40_000).as_bytes()).unwrap();
    stream.write_all(b"0\r\n\r\n").unwrap();
    let all = String::from_utf8(read_to_end(&mut stream)).unwrap();
    assert!(all.starts_with("HTTP/1.1 200 "), "{all}");
}

#[test]
fn a_request_is_answered_once_whatever_becomes_of_its_body() {
    for (early, body, statuses) in [
        (true, "Content-Length: 10\r\n\r\nabc", &["200"][..]),
        (true, "Transfer-Encoding: chunked\r\n\r\n3\r\nabc", &["200"]),
        (true, "Transfer-Encoding: chunked\r\n\r\nzz\r\n", &["200"]),
        (false, "Content-Length: 10\r\n\r\nabc", &["408"]),
        (false, "Transfer-Encoding: chunked\r\n\r\n", &["408"]),
        (false, "Transfer-Encoding: chunked\r\n\r\nzz\r\n", &["400"]),
        // The next request is another.
        (true, "Content-Length: 3\r\n\r\nabcGET", &["200", "408"]),
        (true, "Content-Length: 3\r\n\r\nabcG(T / HTTP/1.1\r\nHost: h\r\n\r\n", &["200", "400"]),
        (false, "Content-Length: 3\r\n\r\nabc", &["200"]),
    ] {
        let server = Server::new().cores(1).idle_timeout(Duration::from_millis(100));
        let server = server.listen("tcp://127.0.0.1:0", HttpParts::default(), move || Once { early });
        let server = Running::start(server.unwrap());
        let mut stream = server.connect();
        stream.write_all(format!("POST / HTTP/1.1\r\nHost: h\r\n{body}").as_bytes()).unwrap();
        let all = String::from_utf8(read_to_end(&mut stream)).unwrap();
        let met: Vec<&str> = all.split("HTTP/1.1 ").skip(1).map(|response| &response[..3]).collect();
        assert_eq!(met, statuses, "early: {early}, {body:?} -> {all}");
    }
}

#[test]
fn a_path_is_never_taken_out_of_a_query() {
    for (target, path, query) in [
        ("/", "/", None),
        ("/a/b?c=d", "/a/b", Some("c=d")),
        ("/a?b=c://d/e", "/a", Some("b=c://d/e")),
        ("/a://b/c", "/a://b/c", None),
        ("http://h", "/", None),
        ("http://h/a?b", "/a", Some("b")),
        ("http://h?next=/admin", "/", Some("next=/admin")),
        ("http://h?next=http://h/admin", "/", Some("next=http://h/admin")),
        ("coap+tcp://h/a", "/a", None),
    ] {
        let mut head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
        let (mut decoder, _) = Http::default().halves();
        assert_eq!(decoder.frame_end(Input::from(&head[..])).unwrap(), Some(head.len()), "{target}");
        let request = decoder.decode(&mut head).unwrap();
        assert_eq!((request.target(), request.path(), request.query()), (target, path, query));
    }
}

/// Answers with bodies that outlive the functions they come from.
struct Owner;

fn respond(path: &str) -> Response<'static> {
    match path {
        "/text" => Response::text(format!("text of {path}")),
        "/html" => Response::html(format!("html of {path}")),
        "/json" => Response::json(format!("{{\"of\":\"{path}\"}}")),
        "/long" => Response::with_body("image/png", path.as_bytes().repeat(100_000)),
        "/lent" => Response::with_body("image/png", b"lent"),
        _ => Response::text(format!("no {path}")).status(Status::NOT_FOUND),
    }
}

impl Handler for Owner {
    type Codec = Http;

    async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
        conn.send(&respond(request.path())).await
    }
}

#[test]
fn a_response_may_own_its_body() {
    let server = serve(1, Http::default(), || Owner);
    for (path, media_type, body) in [
        ("/text", "text/plain; charset=utf-8", "text of /text".to_owned()),
        ("/html", "text/html; charset=utf-8", "html of /html".to_owned()),
        ("/json", "application/json", "{\"of\":\"/json\"}".to_owned()),
        ("/long", "image/png", "/long".repeat(100_000)),
        ("/lent", "image/png", "lent".to_owned()),
        ("/other", "text/plain; charset=utf-8", "no /other".to_owned()),
    ] {
        let mut stream = server.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let all = String::from_utf8(read_to_end(&mut stream)).unwrap();
        let (head, met) = all.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\nContent-Type: {media_type}\r\n")), "{head}");
        assert!(head.ends_with(&format!("\r\nContent-Length: {}", body.len())), "{head}");
        assert!(met == body, "{path}");
    }
}

/// Does what the path says with its request.
#[derive(Clone)]
struct Late {
    responders: Sender<Responder>,
    told: Sender<String>,
}

impl Late {
    fn tell(&self, result: Result) {
        let said = match result {
            Ok(()) => "sent".to_owned(),
            Err(error) => format!("{:?}", error.downcast_ref::<ResponseError>().expect("an error of a response")),
        };
        self.told.send(said).unwrap();
    }
}

impl Handler for Late {
    type Codec = Http;

    async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
        match request.path() {
            "/defer" => {
                self.responders.send(conn.responder()?)?;
                Ok(())
            }
            "/forget" => Ok(()),
            "/forget-the-end" => {
                conn.send(&Response::chunked("text/plain")).await?;
                conn.send(&Chunk::new(b"a part")).await
            }
            "/twice" => {
                conn.send(&Response::text("first")).await?;
                let second = conn.send(&Response::text("second")).await;
                self.tell(second);
                self.tell(conn.responder().map(drop).map_err(Into::into));
                Ok(())
            }
            "/defer-and-answer" => {
                let responder = conn.responder()?;
                let answered = conn.send(&Response::text("of the handler")).await;
                self.tell(answered);
                self.tell(conn.responder().map(drop).map_err(Into::into));
                responder.respond(Response::text("of the responder"))
            }
            "/handle" => {
                let handle = conn.handle();
                self.tell(handle.send(Response::text("by a handle")).await);
                self.tell(handle.send(Chunk::new(b"by a handle")).await);
                self.tell(handle.send(Event::data("by a handle")).await);
                conn.send(&Response::text("by the handler")).await
            }
            path => conn.send(&Response::text(path)).await,
        }
    }

    async fn on_close(&mut self, _: &mut Conn<Http>, reason: &CloseReason) {
        let _ = self.told.send(reason.to_string());
    }
}

fn late() -> (Running, Events<Responder>, Events<String>) {
    let ((responders, taken), (told, said)) = (events(), events());
    (serve(1, Http::default(), move || Late { responders: responders.clone(), told: told.clone() }), taken, said)
}

fn get(stream: &mut TcpStream, path: &str) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
}

/// The head of the next response.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "the end in {:?}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// The status of the next response, and its body, of which the length is said.
fn answer(stream: &mut TcpStream) -> (u16, String) {
    let head = head(stream);
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (head[9..12].parse().unwrap(), String::from_utf8(body).unwrap())
}

#[test]
fn response_without_a_request_is_refused() {
    let (server, _, told) = late();
    let mut stream = server.connect();
    get(&mut stream, "/twice");
    get(&mut stream, "/next");
    assert_eq!(answer(&mut stream), (200, "first".to_owned()));
    assert_eq!(answer(&mut stream), (200, "/next".to_owned()));
    assert_eq!((told.next(), told.next()), ("NotAsked".to_owned(), "NotAsked".to_owned()));
}

#[test]
fn response_by_a_handle_is_refused() {
    let (server, _, told) = late();
    let mut stream = server.connect();
    get(&mut stream, "/handle");
    assert_eq!(answer(&mut stream), (200, "by the handler".to_owned()));
    for _ in 0..3 {
        assert_eq!(told.next(), "Handle");
    }
}

#[test]
fn request_that_a_handler_forgets_is_a_500_and_the_end() {
    let (server, _, _) = late();
    let mut stream = server.connect();
    get(&mut stream, "/forget");
    get(&mut stream, "/next");
    let answered = head(&mut stream);
    assert!(answered.starts_with("HTTP/1.1 500 ") && answered.contains("\r\nConnection: close\r\n"), "{answered}");
    assert_eq!(read_to_end(&mut stream), b"Internal Server Error");
}

#[test]
fn chunks_that_a_handler_does_not_end_end_the_connection_without_a_last_one() {
    let (server, _, _) = late();
    let mut stream = server.connect();
    get(&mut stream, "/forget-the-end");
    get(&mut stream, "/next");
    let all = String::from_utf8(read_to_end(&mut stream)).unwrap();
    assert!(all.ends_with("\r\n\r\n6\r\na part\r\n"), "{all}");
}

#[test]
fn request_that_is_deferred_holds_up_those_behind_it() {
    let (server, responders, told) = late();
    let mut stream = server.connect();
    for path in ["/defer", "/defer", "/next", "/defer"] {
        get(&mut stream, path);
    }
    let first = responders.next();
    assert!(responders.is_quiet(), "the second request was handled before the first was answered");
    std::thread::spawn(move || first.respond(Response::text("1"))).join().unwrap().unwrap();
    assert_eq!(answer(&mut stream), (200, "1".to_owned()));
    let second = responders.next();
    second.respond(Response::text("2").status(Status::CREATED)).unwrap();
    assert_eq!(answer(&mut stream), (201, "2".to_owned()));
    assert_eq!(answer(&mut stream), (200, "/next".to_owned()));
    responders.next().respond(Response::text("4")).unwrap();
    assert_eq!(answer(&mut stream), (200, "4".to_owned()));
    assert!(told.is_quiet());
}

#[test]
fn responder_alone_answers_what_was_left_to_it() {
    let (server, _, told) = late();
    let mut stream = server.connect();
    get(&mut stream, "/defer-and-answer");
    assert_eq!(answer(&mut stream), (200, "of the responder".to_owned()));
    assert_eq!((told.next(), told.next()), ("Deferred".to_owned(), "Deferred".to_owned()));
}

#[test]
fn responder_that_is_dropped_answers_500() {
    let (server, responders, _) = late();
    let mut stream = server.connect();
    get(&mut stream, "/defer");
    get(&mut stream, "/next");
    drop(responders.next());
    assert_eq!(answer(&mut stream), (500, "Internal Server Error".to_owned()));
    assert!(read_to_end(&mut stream).is_empty());
    // So does one whose response cannot be sent.
    let wrong = [
        Response::text("a").header("X", "a\r\nb"),
        Response::new(Status(7)),
        Response::new(Status(103)),
        Response::chunked("text/plain"),
        Response::text("a").header("Content-Length", "2"),
    ];
    for response in wrong {
        let mut stream = server.connect();
        get(&mut stream, "/defer");
        let shown = format!("{response:?}");
        let _ = responders.next().respond(response);
        assert_eq!(answer(&mut stream).0, 500, "{shown}");
        assert!(read_to_end(&mut stream).is_empty());
    }
}

#[test]
fn responder_of_a_connection_that_has_ended_answers_nobody() {
    let (server, responders, told) = late();
    let mut stream = server.connect();
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    get(&mut stream, "/defer");
    let responder = responders.next();
    drop(stream);
    assert!(told.next().starts_with("reset: "));
    futures_lite::future::block_on(responder.closed());
    assert!(responder.is_closed());
    // The slot is taken anew, and its request is another.
    let mut stream = server.connect();
    get(&mut stream, "/defer");
    let other = responders.next();
    assert!(matches!(responder.respond(Response::text("too late")), Err(Error::Closed)));
    other.respond(Response::text("in time")).unwrap();
    assert_eq!(answer(&mut stream), (200, "in time".to_owned()));
}

#[test]
fn body_of_a_responder_is_written_as_the_request_wants_it() {
    for (request, body) in [
        ("GET /defer HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"),
        ("GET /defer HTTP/1.0\r\n\r\n", "one two"),
        ("HEAD /defer HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", ""),
    ] {
        let (server, responders, _) = late();
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut sender = responders.next().stream(Response::chunked("text/plain")).unwrap();
        sender.send_blocking("one ").unwrap();
        sender.try_send("two").unwrap();
        sender.finish().unwrap();
        let all = String::from_utf8(read_to_end(&mut stream)).unwrap();
        let (head, found) = all.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(found, body, "{request}");
    }
}

#[test]
fn body_of_a_responder_holds_up_the_next_request_and_leaves_the_connection() {
    let (server, responders, _) = late();
    let mut stream = server.connect();
    get(&mut stream, "/defer");
    get(&mut stream, "/next");
    let mut sender = responders.next().stream(Response::chunked("text/plain")).unwrap();
    sender.try_send("a").unwrap();
    assert!(head(&mut stream).contains("\r\nTransfer-Encoding: chunked\r\n"));
    let mut part = [0; 6];
    stream.read_exact(&mut part).unwrap();
    assert_eq!(&part, b"1\r\na\r\n");
    sender.finish().unwrap();
    let mut last = [0; 5];
    stream.read_exact(&mut last).unwrap();
    assert_eq!(&last, b"0\r\n\r\n");
    assert_eq!(answer(&mut stream), (200, "/next".to_owned()));
}

#[test]
fn body_that_is_cut_off_is_seen_to_be() {
    for (request, is_reset) in [
        ("GET /defer HTTP/1.1\r\nHost: h\r\n\r\n", false),
        ("GET /defer HTTP/1.0\r\n\r\n", true),
        ("GET /defer HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
    ] {
        let (server, responders, _) = late();
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut sender = responders.next().stream(Response::chunked("text/plain")).unwrap();
        sender.try_send("a part").unwrap();
        head(&mut stream);
        drop(sender);
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest);
        assert_eq!(end.is_err(), is_reset, "{request}: {end:?}");
        assert!(!rest.ends_with(b"0\r\n\r\n"));
    }
}

#[test]
fn requests_behind_a_deferred_one_slow_their_peer_down() {
    let (server, responders, told) = late();
    let mut stream = server.connect();
    get(&mut stream, "/defer");
    let responder = responders.next();
    // More than any buffer of the server holds: the rest is written when the first is answered.
    let requests = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n".repeat(200_000);
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(requests.as_bytes()));
    assert!(told.is_quiet());
    responder.respond(Response::text("at last")).unwrap();
    assert_eq!(answer(&mut stream), (200, "at last".to_owned()));
    let one = head(&mut stream).len() + "/x".len();
    let mut others = vec![0; 200_000 * one - one + "/x".len()];
    stream.read_exact(&mut others).unwrap();
    assert!(others.ends_with(b"\r\n\r\n/x"));
    writing.join().unwrap().unwrap();
}

#[test]
fn peer_that_has_ended_its_side_is_still_answered() {
    let (server, responders, told) = late();
    let mut stream = server.connect();
    get(&mut stream, "/defer");
    get(&mut stream, "/next");
    stream.shutdown(Shutdown::Write).unwrap();
    let responder = responders.next();
    assert!(told.is_quiet());
    responder.respond(Response::text("first")).unwrap();
    assert_eq!(answer(&mut stream), (200, "first".to_owned()));
    assert_eq!(answer(&mut stream), (200, "/next".to_owned()));
    assert!(read_to_end(&mut stream).is_empty());
    assert_eq!(told.next(), "end of stream");
}

#[test]
fn server_that_stops_waits_for_responders() {
    let (server, responders, told) = late();
    let mut stream = server.connect();
    get(&mut stream, "/defer");
    let responder = responders.next();
    server.handle.stop(PATIENCE);
    // Another connection is closed by the stop, and so it has come to this one.
    until("the server stops", || TcpStream::connect(&server.address).is_err());
    responder.respond(Response::text("in time")).unwrap();
    let answered = head(&mut stream);
    assert!(answered.contains("\r\nConnection: close\r\n"), "{answered}");
    assert_eq!(read_to_end(&mut stream), b"in time");
    while told.next() != "closed here" {}
}

/// Leaves handshakes and pages to the test.
#[cfg(feature = "websocket")]
mod handshakes {
    use super::*;
    use support::websocket::{frame, open};
    use tiderace::Handle;
    use tiderace::websocket::{Accept, Message, SendError, WebSocket};

    enum Asked {
        Handshake(Handle<WebSocket>),
        Page(Handle<WebSocket>, Responder),
        Text(String),
    }

    struct Leaves(Sender<Asked>);

    impl Handler for Leaves {
        type Codec = WebSocket;

        async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
            self.0.send(match message {
                Message::Handshake(_) => Asked::Handshake(conn.handle()),
                Message::Http(_) => Asked::Page(conn.handle(), conn.responder()?),
                Message::Text(text) => Asked::Text(text.to_owned()),
                _ => return Ok(()),
            })?;
            Ok(())
        }
    }

    fn leaves() -> (Running, Events<Asked>) {
        let (ask, asked) = events();
        (serve(1, WebSocket::default().ask().with_http(), move || Leaves(ask.clone())), asked)
    }

    const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

    #[test]
    fn handshake_may_be_answered_later_by_a_handle() {
        let (server, asked) = leaves();
        let stream = server.connect();
        let opening = std::thread::spawn(move || open(stream, ""));
        let Asked::Handshake(handle) = asked.next() else { panic!("a handshake") };
        futures_lite::future::block_on(handle.send(Accept::new())).unwrap();
        let mut stream = opening.join().unwrap();
        stream.write_all(&frame(0x81, b"hi")).unwrap();
        assert!(matches!(asked.next(), Asked::Text(text) if text == "hi"));
    }

    #[test]
    fn handshake_holds_up_what_is_behind_it_and_may_be_refused_later() {
        let (server, asked) = leaves();
        let mut stream = server.connect();
        stream.write_all(HANDSHAKE.repeat(2).as_bytes()).unwrap();
        let Asked::Handshake(handle) = asked.next() else { panic!("a handshake") };
        assert!(asked.is_quiet());
        let no = Response::text("no").status(Status::FORBIDDEN);
        futures_lite::future::block_on(handle.send(no.clone())).unwrap();
        assert_eq!(answer(&mut stream), (403, "no".to_owned()));
        // What comes too late for this handshake must not answer the next one, so there is none on this connection.
        assert!(futures_lite::future::block_on(handle.send(Accept::new())).is_err());
        assert!(read_to_end(&mut stream).is_empty());
        assert!(asked.is_quiet());
    }

    #[test]
    fn handshake_has_its_answer_behind_an_interim_response() {
        let (server, asked) = leaves();
        let mut stream = server.connect();
        stream.write_all(HANDSHAKE.as_bytes()).unwrap();
        let Asked::Handshake(handle) = asked.next() else { panic!("a handshake") };
        // By a handle only whole answers: the rest of another could not be told from that of a later request.
        for response in [Response::new(Status(103)), Response::chunked("text/plain")] {
            let error = futures_lite::future::block_on(handle.send(response)).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&SendError::Response(ResponseError::Handle)));
        }
        handle.try_send(Accept::new()).unwrap();
        assert!(head(&mut stream).starts_with("HTTP/1.1 101 "));
    }

    /// Streams events beside its WebSockets.
    struct Streams;

    impl Handler for Streams {
        type Codec = WebSocket;

        async fn on_message(&mut self, conn: &mut Conn<WebSocket>, _: Message<'_>) -> Result {
            conn.send(&Response::events().live()).await
        }
    }

    #[test]
    fn events_beside_websockets_have_their_heartbeat() {
        let codec = WebSocket::default().with_http().http(Http::default().heartbeat(Duration::from_millis(100)));
        let server = serve(1, codec, || Streams);
        let mut stream = server.connect();
        get(&mut stream, "/events");
        assert!(head(&mut stream).starts_with("HTTP/1.1 200 "));
        let mut comment = [0; 8];
        stream.read_exact(&mut comment).unwrap();
        assert_eq!(&comment, b"3\r\n:\n\n\r\n"[..8].as_ref());
    }

    #[test]
    fn page_beside_a_websocket_is_answered_by_its_responder_alone() {
        let (server, asked) = leaves();
        let mut stream = server.connect();
        get(&mut stream, "/page");
        stream.write_all(HANDSHAKE.as_bytes()).unwrap();
        let Asked::Page(handle, responder) = asked.next() else { panic!("a page") };
        let error = futures_lite::future::block_on(handle.send(Response::text("by a handle"))).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&SendError::Response(ResponseError::Handle)));
        responder.respond(Response::text("a page")).unwrap();
        assert_eq!(answer(&mut stream), (200, "a page".to_owned()));
        let Asked::Handshake(handle) = asked.next() else { panic!("a handshake") };
        handle.try_send(Accept::new()).unwrap();
        assert!(head(&mut stream).starts_with("HTTP/1.1 101 "));
        // The next page is forgotten.
        let mut stream = server.connect();
        get(&mut stream, "/page");
        drop(asked.next());
        assert_eq!(answer(&mut stream).0, 500);
        assert!(read_to_end(&mut stream).is_empty());
    }
}
