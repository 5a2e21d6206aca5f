//! HTTP/1.1: what a request is answered, and when; each request gets one response, whoever gives it.
#![cfg(feature = "http")]

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;
use support::*;
use tiderace::codec::{Codec, Decoder, Input};
use tiderace::http::{Chunk, Http, HttpParts, Part, Request, Response, Status};
use tiderace::{Conn, Handler, Result, Server};

/// Sends a body back as it comes.
struct Stream;

impl Handler for Stream {
    type Codec = HttpParts;

    async fn on_message(&mut self, conn: &mut Conn<HttpParts>, part: Part<'_>) -> Result {
        match part {
            Part::Request { .. } => conn.send(&Response::chunked("text/plain")).await,
            Part::Body { bytes, is_last } => {
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
        ("x?u=http://a/b", "x", Some("u=http://a/b")),
        ("x;u=http://a/b", "x;u=http://a/b", None),
        ("1http://a/b", "1http://a/b", None),
        ("://a/b", "://a/b", None),
        ("*", "*", None),
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
