//! Server-sent events: to one peer and to many, and what becomes of streams whose peers leave.
#![cfg(feature = "http")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::Sender;
use std::time::Duration;
use support::*;
use tiderace::http::{BodySender, Chunk, Event, Http, Request, Response, ResponseError};
use tiderace::{CloseReason, Conn, Group, Handler, Result, SlowMember};

#[derive(Clone)]
struct News {
    group: Group<Http>,
    told: Sender<String>,
    senders: Sender<BodySender>,
}

impl Handler for News {
    type Codec = Http;

    async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
        match request.path() {
            "/group" => {
                conn.send(&Response::events()).await?;
                conn.send(&Event::data("welcome").id("0")).await?;
                self.group.join(conn);
                self.told.send(format!("joined behind {}", request.header("last-event-id").unwrap_or("nothing")))?;
            }
            "/one" => self.senders.send(conn.responder()?.stream(Response::events())?)?,
            "/bytes" => {
                conn.send(&Response::chunked("application/octet-stream").live()).await?;
                self.group.join(conn);
                self.told.send("joined".to_owned())?;
            }
            // A member whose response takes nothing of it.
            "/member" => {
                self.group.join(conn);
                conn.send(&Response::chunked("text/plain")).await?;
                conn.send(&Chunk::new(b"first")).await?;
                self.group.send(&Event::data("not for this one")).await?;
                conn.send(&Chunk::new(b"second")).await?;
                conn.send(&Chunk::last()).await?;
            }
            path => conn.send(&Response::text(path)).await?,
        }
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Http>, reason: &CloseReason) {
        let _ = self.told.send(reason.to_string());
    }
}

struct Newsroom {
    server: Running,
    group: Group<Http>,
    told: Events<String>,
    senders: Events<BodySender>,
}

fn newsroom(cores: usize) -> Newsroom {
    let group = Group::with_policy(Http::default(), SlowMember::Skip);
    let ((told, tells), (senders, sent)) = (events(), events());
    let news = News { group: group.clone(), told, senders };
    Newsroom { server: serve(cores, Http::default(), move || news.clone()), group, told: tells, senders: sent }
}

fn ask(server: &Running, request: &str) -> TcpStream {
    let mut stream = server.connect();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn get(server: &Running, path: &str) -> TcpStream {
    ask(server, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"))
}

fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "the end in {:?}", String::from_utf8_lossy(&all));
        all.push(byte[0]);
    }
    String::from_utf8(all).unwrap()
}

/// What is in the chunks, which must be right.
fn dechunked(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        body += &rest[..size];
        chunks = rest[size..].strip_prefix("\r\n").expect("the end of a chunk");
    }
    body
}

#[test]
fn group_sends_its_events_to_all_that_stream() {
    for cores in CORES {
        let Newsroom { server, group, told, .. } = newsroom(cores);
        let mut streams: Vec<TcpStream> = (0..6).map(|_| get(&server, "/group")).collect();
        // HTTP/1.0 knows no chunks, and gets the same events.
        let mut old = ask(&server, "GET /group HTTP/1.0\r\nLast-Event-ID: 41\r\n\r\n");
        let joined: Vec<String> = (0..7).map(|_| told.next()).collect();
        assert!(
            joined.contains(&"joined behind 41".to_owned()) && joined.contains(&"joined behind nothing".to_owned())
        );
        for i in 1..=3 {
            group.try_send(&Event::data(format!("{i}\nlines")).name("news").id(i.to_string())).unwrap();
        }
        group.try_send(&Event::comment("end")).unwrap();
        let expected = |i| format!("id: {i}\nevent: news\ndata: {i}\ndata: lines\n\n");
        let expected = format!("id: 0\ndata: welcome\n\n{}{}{}: end\n\n", expected(1), expected(2), expected(3));
        for stream in &mut streams {
            let head = read_until(stream, "\r\n\r\n");
            assert!(head.contains("\r\nContent-Type: text/event-stream\r\n"), "{head}");
            assert!(head.contains("\r\nCache-Control: no-store\r\n"), "{head}");
            assert!(head.contains("\r\nTransfer-Encoding: chunked\r\n"), "{head}");
            assert_eq!(dechunked(&read_until(stream, ": end\n\n\r\n")), expected);
        }
        let head = read_until(&mut old, "\r\n\r\n");
        assert!(!head.contains("Transfer-Encoding"), "{head}");
        assert_eq!(read_until(&mut old, ": end\n\n"), expected);
        assert_eq!(group.skipped(), 0);
    }
}

#[test]
fn peer_that_ends_its_side_leaves() {
    let Newsroom { server, group, told, senders } = newsroom(1);
    let mut stream = get(&server, "/group");
    told.next();
    assert_eq!(group.len(), 1);
    read_until(&mut stream, "welcome\n\n\r\n");
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(told.next(), "end of stream");
    assert_eq!(read_to_end(&mut stream), b"0\r\n\r\n");
    until("the member has left", || group.is_empty());
    // A task that sends to it learns of that, too.
    let stream = get(&server, "/one");
    let sender = senders.next();
    drop(stream);
    futures_lite::future::block_on(sender.closed());
    assert!(sender.is_closed());
}

#[test]
fn peer_that_leaves_a_response_to_come_is_not_waited_for() {
    let Newsroom { server, told, senders, .. } = newsroom(1);
    let mut stream = get(&server, "/one");
    let mut sender = senders.next();
    read_until(&mut stream, "\r\n\r\n");
    // The end of the peer's side is no reason to end, but that nothing can be sent is one.
    stream.shutdown(Shutdown::Write).unwrap();
    drop(stream);
    while futures_lite::future::block_on(sender.send("data: is it there?\n\n")).is_ok() {}
    drop(sender);
    told.next();
    until("it has ended", || server.handle.connections() == 0);
}

#[test]
fn heartbeat_without_a_pause_leaves_time_for_others() {
    let group = Group::with_policy(Http::default(), SlowMember::Skip);
    let ((told, tells), (senders, _sent)) = (events(), events());
    let news = News { group: group.clone(), told, senders };
    let server = serve(1, Http::default().heartbeat(Duration::ZERO), move || news.clone());
    let _stream = get(&server, "/group");
    tells.next();
    let mut other = get(&server, "/other");
    assert!(read_until(&mut other, "/other").starts_with("HTTP/1.1 200 "));
}

#[test]
fn events_come_from_any_thread_one_after_the_other() {
    let Newsroom { server, senders, told, .. } = newsroom(1);
    let mut stream = get(&server, "/one");
    let mut sender = senders.next();
    let thread = std::thread::spawn(move || {
        for i in 0..1_000 {
            let event = Event::data(i.to_string());
            futures_lite::future::block_on(sender.send_event(&event)).unwrap();
        }
        let error = futures_lite::future::block_on(sender.send_event(&Event::data("").id("a\nb"))).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&ResponseError::Event));
        sender.finish().unwrap();
    });
    read_until(&mut stream, "\r\n\r\n");
    let body = String::from_utf8(read_to_end(&mut stream)).unwrap();
    let events = dechunked(&body);
    assert_eq!(events, (0..1_000).map(|i| format!("data: {i}\n\n")).collect::<String>());
    thread.join().unwrap();
    assert_eq!(told.next(), "closed here");
}

#[test]
fn stream_whose_sender_is_dropped_ends_well() {
    let Newsroom { server, senders, .. } = newsroom(1);
    for (request, end) in [("HTTP/1.1\r\nHost: h\r\n\r\n", "0\r\n\r\n"), ("HTTP/1.0\r\n\r\n", "")] {
        let mut stream = ask(&server, &format!("GET /one {request}"));
        let mut sender = senders.next();
        read_until(&mut stream, "\r\n\r\n");
        sender.try_send("data: x\n\n").unwrap();
        drop(sender);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        let rest = String::from_utf8(rest).unwrap();
        assert!(rest.contains("data: x\n\n") && rest.ends_with(end), "{rest}");
    }
}

#[test]
fn stream_ends_with_the_server() {
    let Newsroom { server, told, senders, .. } = newsroom(1);
    let (mut group, mut one) = (get(&server, "/group"), get(&server, "/one"));
    told.next();
    let sender = senders.next();
    read_until(&mut group, "welcome\n\n\r\n");
    read_until(&mut one, "\r\n\r\n");
    server.handle.stop(PATIENCE);
    assert_eq!(read_to_end(&mut group), b"0\r\n\r\n");
    assert_eq!(read_to_end(&mut one), b"0\r\n\r\n");
    assert_eq!((told.next(), told.next()), ("shutdown".to_owned(), "shutdown".to_owned()));
    drop(sender);
}

#[test]
fn what_a_group_sends_comes_into_no_other_response() {
    let Newsroom { server, group, told, .. } = newsroom(1);
    let mut stream = get(&server, "/member");
    read_until(&mut stream, "\r\n\r\n");
    assert_eq!(dechunked(&read_until(&mut stream, "second\r\n")), "firstsecond");
    read_until(&mut stream, "0\r\n\r\n");
    assert_eq!(group.skipped(), 1);
    // Between requests it has no response to send on, either.
    assert_eq!(futures_lite::future::block_on(group.send(&Event::data("a"))).unwrap(), 0);
    stream.write_all(b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert!(read_until(&mut stream, "/next").starts_with("HTTP/1.1 200 OK\r\n"));
    // An answer to a HEAD has no body, and its connection closes as that of the stream would.
    let mut stream = ask(&server, "HEAD /group HTTP/1.1\r\nHost: h\r\n\r\n");
    let all = String::from_utf8(read_to_end(&mut stream)).unwrap();
    assert!(all.ends_with("\r\n\r\n") && !all.contains("welcome"), "{all}");
    assert_eq!(told.next(), "joined behind nothing");
}

#[test]
fn group_takes_parts_of_bodies_and_neither_responses_nor_ends() {
    let Newsroom { server, group, told, .. } = newsroom(1);
    let mut stream = get(&server, "/bytes");
    assert_eq!(told.next(), "joined");
    let refused = |result: Result| *result.unwrap_err().downcast_ref::<ResponseError>().unwrap();
    assert_eq!(refused(group.try_send(&Chunk::last())), ResponseError::Group);
    assert_eq!(refused(group.try_send(&Response::text("a"))), ResponseError::Unfinished);
    assert_eq!(refused(group.try_send(&Event::data("a").name("b\nc"))), ResponseError::Event);
    group.try_send(&Chunk::new(b"")).unwrap();
    group.try_send(&Chunk::new(b"some bytes")).unwrap();
    let long = vec![b'x'; 100_000];
    group.try_send(&Chunk::new(&long)).unwrap();
    read_until(&mut stream, "\r\n\r\n");
    assert_eq!(read_until(&mut stream, "x\r\n").len(), "a\r\nsome bytes\r\n186a0\r\n\r\n".len() + long.len());
}

#[test]
fn stream_takes_no_more_requests() {
    let Newsroom { server, group, told, .. } = newsroom(1);
    let request = "GET /group HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut stream = ask(&server, &format!("{request}{request}"));
    told.next();
    read_until(&mut stream, "welcome\n\n\r\n");
    group.try_send(&Event::retry_after(Duration::from_secs(3))).unwrap();
    assert_eq!(read_until(&mut stream, "\n\n\r\n"), "d\r\nretry: 3000\n\n\r\n");
    assert!(told.is_quiet());
    assert_eq!(group.len(), 1);
}
