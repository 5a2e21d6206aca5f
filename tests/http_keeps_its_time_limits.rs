//! HTTP/1.1: every wait for a peer ends by itself, and none that is not for the peer.
#![cfg(feature = "http")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use support::*;
use tiderace::codec::Codec;
use tiderace::http::{Http, HttpParts, Part, Request, Responder, Response};
use tiderace::{CloseReason, Conn, Handler, Result, TimeLimit, sleep};

/// Longer than a test is kept from running on a busy machine, mostly; past it by far is twice as long.
const LIMIT: Duration = Duration::from_secs(1);

/// Answers, or leaves that to the test; and says why its connection has ended.
#[derive(Clone)]
struct Whole {
    responders: Sender<Responder>,
    ends: Sender<Option<TimeLimit>>,
}

impl Handler for Whole {
    type Codec = Http;

    async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
        match request.path() {
            "/defer" => self.responders.send(conn.responder()?)?,
            "/slow" => {
                sleep(2 * LIMIT).await;
                conn.send(&Response::text("slow")).await?;
            }
            "/events" => conn.send(&Response::events()).await?,
            _ => conn.send(&Response::text("quick")).await?,
        }
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Http>, reason: &CloseReason) {
        let _ = self.ends.send(limit(reason));
    }
}

fn limit(reason: &CloseReason) -> Option<TimeLimit> {
    match reason {
        CloseReason::Timeout(limit) => Some(*limit),
        _ => None,
    }
}

fn whole(codec: Http) -> (Running, Events<Responder>, Events<Option<TimeLimit>>) {
    let ((responders, taken), (ends, ended)) = (events(), events());
    (serve(1, codec, move || Whole { responders: responders.clone(), ends: ends.clone() }), taken, ended)
}

/// The status of the next response, whose body is left out.
fn status(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "the end in {:?}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    stream.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
    head[9..12].to_owned()
}

#[test]
fn limits_are_there_by_default() {
    let patience = Http::default().patience();
    assert_eq!(patience.idle, Some(Duration::from_secs(75)));
    assert_eq!(HttpParts::default().patience(), patience);
    assert!(patience.steps);
    let none = Http::default().head_timeout(None).body_progress(None).idle_timeout(None).heartbeat(None);
    assert_eq!(none.patience(), tiderace::codec::Patience::default());
}

#[test]
fn head_that_is_not_whole_in_its_time_is_a_408() {
    let (server, _, ended) = whole(Http::default().head_timeout(LIMIT));
    // A peer that has said nothing is told nothing.
    let mut silent = server.connect();
    assert!(read_to_end(&mut silent).is_empty());
    assert_eq!(ended.next(), Some(TimeLimit::Progress));
    // One that goes on and on has no more time.
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n").unwrap();
    let mut slow = stream.try_clone().unwrap();
    let dripping = std::thread::spawn(move || while slow.write_all(b"a: b\r\n").is_ok() && ended_is_near() {});
    assert_eq!(status(&mut stream), "408");
    assert_eq!(ended.next(), Some(TimeLimit::Progress));
    stream.shutdown(Shutdown::Both).unwrap();
    dripping.join().unwrap();
    // A later head has its own time, from its first byte.
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert_eq!(status(&mut stream), "200");
    std::thread::sleep(2 * LIMIT);
    assert!(ended.is_quiet(), "between requests another limit holds");
    stream.write_all(b"GET ").unwrap();
    assert!(String::from_utf8(read_to_end(&mut stream)).unwrap().contains("HTTP/1.1 408 "));
    assert_eq!(ended.next(), Some(TimeLimit::Progress));
}

/// Slows the writer down, which ends when its peer is gone.
fn ended_is_near() -> bool {
    std::thread::sleep(LIMIT / 100);
    true
}

#[test]
fn body_that_does_not_get_on_is_a_408_and_one_that_does_is_taken() {
    let (server, _, ended) = whole(Http::default().body_progress((1_000, LIMIT)));
    for head in ["Content-Length: 100000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"] {
        let mut stream = server.connect();
        stream.write_all(format!("POST / HTTP/1.1\r\nHost: h\r\n{head}").as_bytes()).unwrap();
        let mut slow = stream.try_clone().unwrap();
        let part: &[u8] = if head.starts_with('C') { b"x" } else { b"1\r\nx\r\n" };
        let dripping = std::thread::spawn(move || while slow.write_all(part).is_ok() && ended_is_near() {});
        assert_eq!(status(&mut stream), "408");
        assert_eq!(ended.next(), Some(TimeLimit::Progress));
        stream.shutdown(Shutdown::Both).unwrap();
        dripping.join().unwrap();
    }
    // It takes many times the limit in all.
    let (server, _, ended) = whole(Http::default().body_progress((1_000, LIMIT)));
    let mut stream = server.connect();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n").unwrap();
    for _ in 0..20 {
        std::thread::sleep(LIMIT / 10);
        stream.write_all(&[b'x'; 1_000]).unwrap();
    }
    assert_eq!(status(&mut stream), "200");
    assert!(ended.is_quiet());
}

#[test]
fn connection_without_another_request_is_closed() {
    let (server, _, ended) = whole(Http::default().idle_timeout(LIMIT));
    let mut stream = server.connect();
    for _ in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        assert_eq!(status(&mut stream), "200");
    }
    let began = Instant::now();
    let rest = String::from_utf8(read_to_end(&mut stream)).unwrap();
    assert!(!rest.contains("408"), "{rest}");
    assert!(began.elapsed() >= LIMIT / 2);
    assert_eq!(ended.next(), Some(TimeLimit::Idle));
}

#[test]
fn time_that_an_answer_takes_is_not_the_peers() {
    let codec = Http::default().idle_timeout(LIMIT).head_timeout(LIMIT).body_progress((1_000, LIMIT));
    let (server, responders, ended) = whole(codec);
    let mut stream = server.connect();
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert_eq!(status(&mut stream), "200");
    // A part of the next request is there, which is not waited for.
    let mut stream = server.connect();
    stream.write_all(b"GET /defer HTTP/1.1\r\nHost: h\r\n\r\nGET / HT").unwrap();
    let responder = responders.next();
    std::thread::sleep(2 * LIMIT);
    responder.respond(Response::text("late")).unwrap();
    assert_eq!(status(&mut stream), "200");
    // But it is from then on.
    assert!(String::from_utf8(read_to_end(&mut stream)).unwrap().contains("HTTP/1.1 408 "));
    let ends = [ended.next(), ended.next()];
    assert!(ends.contains(&Some(TimeLimit::Progress)) && ends.contains(&Some(TimeLimit::Idle)), "{ends:?}");
}

#[test]
fn stream_that_is_quiet_has_comments_and_does_not_end() {
    let (server, _, ended) = whole(Http::default().idle_timeout(LIMIT).heartbeat(LIMIT / 4));
    let mut stream = server.connect();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut received = String::new();
    while received.matches("\r\n3\r\n:\n\n\r\n").count() < 12 {
        let mut bytes = [0; 256];
        let read = stream.read(&mut bytes).unwrap();
        assert!(read > 0, "{received}");
        received += std::str::from_utf8(&bytes[..read]).unwrap();
    }
    assert!(ended.is_quiet());
}

/// Keeps the first part until it may go on, and answers behind the last one.
#[derive(Clone)]
struct Slow(Arc<AtomicBool>, Sender<Option<TimeLimit>>);

impl Handler for Slow {
    type Codec = HttpParts;

    async fn on_message(&mut self, conn: &mut Conn<HttpParts>, part: Part<'_>) -> Result {
        match part {
            Part::Body { is_last: true, .. } => conn.send(&Response::text("done")).await?,
            Part::Body { .. } => {
                while !self.0.load(Relaxed) {
                    sleep(Duration::from_millis(2)).await;
                }
            }
            Part::Request { .. } => {}
        }
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<HttpParts>, reason: &CloseReason) {
        let _ = self.1.send(limit(reason));
    }
}

#[test]
fn time_that_a_part_is_in_hand_is_not_the_peers() {
    let ((tell, ended), may_go_on) = (events(), Arc::new(AtomicBool::new(false)));
    let codec = HttpParts::new(Http::default().body_progress((1_000, LIMIT)));
    let held = may_go_on.clone();
    let server = serve(1, codec, move || Slow(held.clone(), tell.clone()));
    let mut stream = server.connect();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na").unwrap();
    std::thread::sleep(2 * LIMIT);
    stream.write_all(b"bc").unwrap();
    may_go_on.store(true, Relaxed);
    assert_eq!(status(&mut stream), "200");
    assert!(ended.is_quiet());
    // A body that stays away has a limit here, too.
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n").unwrap();
    assert!(String::from_utf8(read_to_end(&mut stream)).unwrap().contains("HTTP/1.1 408 "));
    assert_eq!(ended.next(), Some(TimeLimit::Progress));
}

#[cfg(feature = "websocket")]
#[test]
fn websocket_handshake_has_the_time_of_a_head_and_what_follows_has_all() {
    use support::websocket::open;
    use tiderace::websocket::{Message, WebSocket};

    struct Echo(Sender<Option<TimeLimit>>);

    impl Handler for Echo {
        type Codec = WebSocket;

        async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
            match message {
                Message::Text(text) => conn.send(text).await,
                _ => conn.send(&Response::text("a page")).await,
            }
        }

        async fn on_close(&mut self, _: &mut Conn<WebSocket>, reason: &CloseReason) {
            let _ = self.0.send(limit(reason));
        }
    }

    for (codec, expected) in [
        (WebSocket::default(), TimeLimit::FirstMessage),
        // Here requests are messages, and have all the limits of HTTP.
        (WebSocket::default().with_http(), TimeLimit::Progress),
    ] {
        let (tell, ended) = events();
        let codec = codec.http(Http::default().head_timeout(LIMIT).idle_timeout(LIMIT));
        let server = serve(1, codec, move || Echo(tell.clone()));
        let mut opened = open(server.connect(), "");
        // The limit of each connection is its own, whichever came before.
        for begun in ["", "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"] {
            let mut stream = server.connect();
            stream.write_all(begun.as_bytes()).unwrap();
            let said = read_to_end(&mut stream);
            assert_eq!(said.starts_with(b"HTTP/1.1 408 "), !begun.is_empty(), "{}", String::from_utf8_lossy(&said));
            assert_eq!(ended.next(), Some(expected));
        }
        std::thread::sleep(2 * LIMIT);
        assert!(ended.is_quiet());
        opened.write_all(&support::websocket::frame(0x81, b"hi")).unwrap();
        let mut back = [0; 4];
        opened.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"\x81\x02hi");
    }
}
