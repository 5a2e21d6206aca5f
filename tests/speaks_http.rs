//! HTTP/1.1: right requests are answered, wrong ones are refused, and no cut of the stream makes a difference.
#![cfg(feature = "http")]

mod support;

use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::Sender;
use std::time::Duration;
use support::*;
use tiderace::codec::{Codec, Decoder, Input};
use tiderace::http::{Chunk, Http, HttpParts, Part, Request, Response, ResponseError, Status};
use tiderace::{CloseReason, Conn, Error, Handler, Result, Server};

/// Says what it was asked.
struct Mirror;

impl Handler for Mirror {
    type Codec = Http;

    async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
        let body = String::from_utf8_lossy(request.body());
        let said = format!("{} {} {body}", request.method(), request.target());
        match request.path() {
            "/fail" => Err(Error::msg("as asked")),
            "/panic" => panic!("as asked"),
            "/nothing" => conn.send(&Response::new(Status::NO_CONTENT)).await,
            "/chunks" => {
                conn.send(&Response::chunked("text/plain")).await?;
                for chunk in [&b"one "[..], b"", b"and two"] {
                    conn.send(&Chunk::new(chunk)).await?;
                }
                conn.send(&Chunk::last()).await
            }
            _ => conn.send(&Response::text(&said).header("X-Cookies", &request.cookies().count().to_string())).await,
        }
    }
}

fn mirror() -> Running {
    serve(2, Http::default(), || Mirror)
}

/// A response: its status line, its head, and its body.
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn read(stream: &mut TcpStream, is_head: bool) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert!(stream.read(&mut byte).unwrap() == 1, "the end in {:?}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; if is_head { 0 } else { length }];
        stream.read_exact(&mut body).unwrap();
        Answer { head, body: String::from_utf8(body).unwrap() }
    }

    fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    fn has(&self, field: &str) -> bool {
        self.head.contains(&format!("\r\n{field}\r\n"))
    }
}

fn ask(server: &Running, request: &str) -> Answer {
    let mut stream = server.connect();
    stream.write_all(request.as_bytes()).unwrap();
    Answer::read(&mut stream, false)
}

#[test]
fn requests_are_answered_in_order_on_one_connection() {
    let server = mirror();
    let mut stream = server.connect();
    let requests = "GET /1?q=a HTTP/1.1\r\nHost: h\r\nCookie: a=b; c=d\r\n\r\n\
                    POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello\
                    \r\nPUT /3 HTTP/1.1\r\nHOST: h\r\nTransfer-Encoding: Chunked\r\n\r\n5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n\
                    HEAD /4 HTTP/1.1\r\nHost: h\r\n\r\n\
                    GET http://other/5?x HTTP/1.1\r\nHost: h\r\n\r\n";
    for _ in 0..50 {
        stream.write_all(requests.as_bytes()).unwrap();
        let first = Answer::read(&mut stream, false);
        assert_eq!((first.status(), first.body.as_str()), (200, "GET /1?q=a "));
        assert!(first.has("X-Cookies: 2") && first.has("Content-Type: text/plain; charset=utf-8"), "{}", first.head);
        assert!(!first.head.contains("Connection:"), "{}", first.head);
        let date = first.head.lines().find_map(|line| line.strip_prefix("Date: ")).expect("a date");
        assert!(httpdate(date), "{date}");
        assert_eq!(Answer::read(&mut stream, false).body, "POST /2 hello");
        assert_eq!(Answer::read(&mut stream, false).body, "PUT /3 hello!");
        assert!(Answer::read(&mut stream, true).has("Content-Length: 8"));
        assert_eq!(Answer::read(&mut stream, false).body, "GET http://other/5?x ");
    }
}

/// Whether this is `Sun, 06 Nov 1994 08:49:37 GMT`, or like that.
fn httpdate(date: &str) -> bool {
    date.len() == 29 && date.ends_with(" GMT") && date.as_bytes()[3] == b','
}

#[test]
fn connections_are_kept_or_closed_as_the_request_says() {
    let server = mirror();
    for (request, kept) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade, Close\r\n\r\n", false),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ("GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false),
    ] {
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream.write_all(b"GET /second HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let all = String::from_utf8(read_to_end(&mut stream)).unwrap();
        assert_eq!(all.contains("GET /second"), kept, "{request} -> {all}");
        assert!(all.contains("\r\nConnection: close\r\n"), "{all}");
        assert_eq!(all.contains("\r\nConnection: keep-alive\r\n"), kept && request.contains("1.0"), "{all}");
    }
}

#[test]
fn responses_come_in_chunks_where_the_peer_knows_them() {
    let server = mirror();
    let mut stream = server.connect();
    stream.write_all(b"GET /chunks HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let all = String::from_utf8(read_to_end(&mut stream)).unwrap();
    assert!(all.contains("\r\nTransfer-Encoding: chunked\r\n"), "{all}");
    assert!(all.ends_with("\r\n\r\n4\r\none \r\n7\r\nand two\r\n0\r\n\r\n"), "{all}");
    let mut stream = server.connect();
    stream.write_all(b"GET /chunks HTTP/1.0\r\n\r\n").unwrap();
    let all = String::from_utf8(read_to_end(&mut stream)).unwrap();
    assert!(!all.contains("Transfer-Encoding") && all.ends_with("\r\n\r\none and two"), "{all}");
    let mut stream = server.connect();
    stream.write_all(b"HEAD /chunks HTTP/1.1\r\nHost: h\r\n\r\nGET /nothing HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert!(Answer::read(&mut stream, true).has("Transfer-Encoding: chunked"));
    let nothing = Answer::read(&mut stream, false);
    assert_eq!(nothing.status(), 204);
    assert!(!nothing.head.contains("Content-Length"), "{}", nothing.head);
}

#[test]
fn what_could_be_smuggled_is_refused() {
    let server = mirror();
    let post = |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n{body}");
    let chunks = |body: &str| post("Transfer-Encoding: chunked", body);
    let long = "x".repeat(20_000);
    for (request, status) in [
        (post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), 400),
        (post("Content-Length: 5\r\nContent-Length: 6", "hello"), 400),
        (post("Content-Length: 5\r\nContent-Length: 5", "hello"), 400),
        (post("Content-Length: 5, 5", "hello"), 400),
        (post("Content-Length: +5", "hello"), 400),
        (post("Content-Length: 0x5", "hello"), 400),
        (post("Content-Length: ", "hello"), 400),
        (post("Content-Length: 5 5", "hello"), 400),
        (post("Content-Length: 99999999999999999999999999", "hello"), 400),
        (post("Content-Length : 5", "hello"), 400),
        (post("X: a\r\n b", ""), 400),
        (post("X: a\nY: b", ""), 400),
        (post("X: a\rY: b", ""), 400),
        (post("X: a\0b", ""), 400),
        (post("X y: a", ""), 400),
        (post(": a", ""), 400),
        (post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"), 501),
        (post("Transfer-Encoding: chunked, chunked", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: xchunked", "0\r\n\r\n"), 400),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), 400),
        (chunks("5\r\nhelloX\r\n0\r\n\r\n"), 400),
        (chunks("5\r\nhello\n0\r\n\r\n"), 400),
        (chunks("5\nhello\r\n0\r\n\r\n"), 400),
        (chunks("0x5\r\nhello\r\n0\r\n\r\n"), 400),
        (chunks("+5\r\nhello\r\n0\r\n\r\n"), 400),
        (chunks("-5\r\nhello\r\n0\r\n\r\n"), 400),
        (chunks(" 5\r\nhello\r\n0\r\n\r\n"), 400),
        (chunks("5 \r\nhello\r\n0\r\n\r\n"), 400),
        (chunks("\r\nhello\r\n0\r\n\r\n"), 400),
        (chunks(";a=b\r\nhello\r\n0\r\n\r\n"), 400),
        (chunks("ffffffffffffffffffff\r\nhello"), 400),
        (chunks("ffffffffffffffff\r\nhello"), 413),
        (chunks(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(300))), 400),
        (chunks("0\r\nTrailer: x\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nX: {long}\r\n\r\n"), 431),
        (format!("GET /{long}"), 414),
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(101)), 431),
        (post("Content-Length: 1048577", ""), 413),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n".to_owned(), 505),
        ("GET /\r\nHost: h\r\n\r\n".to_owned(), 400),
        ("GET / a HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 400),
        ("G(T / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
        ("\x16\x03\x01\x02\0\x01\0\x01\n".to_owned(), 400),
    ] {
        let mut stream = server.connect();
        let _ = stream.write_all(request.as_bytes());
        let answer = Answer::read(&mut stream, false);
        let shown = &request[..request.len().min(200)];
        assert_eq!(answer.status(), status, "{shown:?} -> {}", answer.head);
        assert!(answer.has("Connection: close"), "{shown:?} -> {}", answer.head);
        assert!(read_to_end(&mut stream).is_empty(), "{shown:?}");
    }
}

/// Every request that a decoder finds in a stream: target and body.
fn decode<C: Codec>(
    codec: &C,
    stream: &[u8],
    cuts: &[usize],
    seam: usize,
    show: fn(&mut C::Decoder, &mut [u8]) -> String,
) -> String {
    let mut decoder = codec.halves().0;
    let (mut received, mut from, mut found) = (Vec::new(), 0, String::new());
    for end in cuts.iter().copied().chain([stream.len()]) {
        received.extend_from_slice(&stream[from..end]);
        from = end;
        while !received.is_empty() {
            let (first, second) = received.split_at(seam.min(received.len()));
            let Some(end) = decoder.frame_end(Input::new(first, second)).expect("a right stream") else { break };
            let mut frame: Vec<u8> = received.drain(..end).collect();
            if decoder.is_message(&mut frame).expect("a right frame") {
                found += &show(&mut decoder, &mut frame);
            }
        }
    }
    assert!(received.is_empty(), "{} bytes are left", received.len());
    found
}

#[test]
fn no_cut_makes_a_difference() {
    let stream = b"\r\nGET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\
        PUT /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x\r\n0123456789\r\n0\r\nT: x\r\n\r\nGET /4 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let whole = |decoder: &mut <Http as Codec>::Decoder, frame: &mut [u8]| {
        let request = decoder.decode(frame).unwrap();
        format!("{} {};", request.target(), String::from_utf8_lossy(request.body()))
    };
    let parts = |decoder: &mut <HttpParts as Codec>::Decoder, frame: &mut [u8]| match decoder.decode(frame).unwrap() {
        Part::Request { request, has_body } => format!("{} {}", request.target(), if has_body { "" } else { ";" }),
        Part::Body { bytes, is_last, .. } => {
            format!("{}{}", String::from_utf8_lossy(bytes), if is_last { ";" } else { "" })
        }
    };
    let expected = "/1 ;/2 abc;/3 abc0123456789;/4 ;";
    let bytes: Vec<usize> = (0..stream.len()).collect();
    for seam in 0..=stream.len() {
        assert_eq!(decode(&Http::default(), stream, &[], seam, whole), expected, "seam {seam}");
        assert_eq!(decode(&Http::default(), stream, &[seam], 0, whole), expected, "cut {seam}");
        assert_eq!(decode(&Http::default(), stream, &bytes, seam, whole), expected, "byte by byte, seam {seam}");
        assert_eq!(decode(&HttpParts::default(), stream, &[seam], 0, parts), expected, "cut {seam} in parts");
        assert_eq!(decode(&HttpParts::default(), stream, &bytes, seam, parts), expected, "seam {seam} in parts");
    }
}

#[test]
fn a_failing_handler_is_a_500_and_a_slow_peer_a_408() {
    let server = mirror();
    for path in ["/fail", "/panic"] {
        let answer = ask(&server, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(answer.status(), 500);
        assert!(answer.has("Connection: close"));
    }
    let server = Server::new().cores(1).first_message_timeout(Duration::from_millis(20));
    let server = server.idle_timeout(Duration::from_millis(100));
    let server = Running::start(server.listen("tcp://127.0.0.1:0", Http::default(), || Mirror).unwrap());
    assert_eq!(ask(&server, "GET / HTTP/1.1\r\nHost:").status(), 408);
    // Who has said nothing, or has been answered, is not told.
    assert!(read_to_end(&mut server.connect()).is_empty());
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert_eq!(Answer::read(&mut stream, false).status(), 200);
    assert!(read_to_end(&mut stream).is_empty());
}

#[test]
fn a_later_request_that_is_slow_is_a_408_too() {
    let server = Server::new().cores(1).message_timeout(Duration::from_millis(50));
    let server = Running::start(server.listen("tcp://127.0.0.1:0", Http::default(), || Mirror).unwrap());
    for begun in ["GET / HT", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nbod"] {
        let mut stream = server.connect();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        assert_eq!(Answer::read(&mut stream, false).status(), 200);
        std::thread::sleep(Duration::from_millis(150));
        stream.write_all(begun.as_bytes()).unwrap();
        assert_eq!(Answer::read(&mut stream, false).status(), 408);
        assert!(read_to_end(&mut stream).is_empty());
    }
}

#[test]
fn who_waits_to_be_told_to_go_on_is_told() {
    let server = mirror();
    let mut stream = server.connect();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").unwrap();
    let mut told = [0; 25];
    stream.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ab").unwrap();
    assert_eq!(Answer::read(&mut stream, false).body, "POST / ab");
    // Whose body is there need not be told, and whose is too long is told something else.
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nab").unwrap();
    assert_eq!(Answer::read(&mut stream, false).status(), 200);
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    assert_eq!(Answer::read(&mut stream, false).status(), 413);
}

#[test]
fn a_response_that_would_break_out_of_its_head_is_not_sent() {
    struct Splitter(Sender<String>);

    impl Handler for Splitter {
        type Codec = Http;

        async fn on_message(&mut self, conn: &mut Conn<Http>, _: Request<'_>) -> Result {
            for (name, value) in [("X", "a\r\nSet-Cookie: b"), ("X\r\nY", "a"), ("", "a"), ("X Y", "a"), ("X", "\0")] {
                let error = conn.send(&Response::text("no").header(name, value)).await.unwrap_err();
                assert_eq!(error.downcast_ref(), Some(&ResponseError::Field));
            }
            let error = conn.send(&Chunk::new(b"no")).await.unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&ResponseError::NotChunked));
            let error = conn.send(&Response::new(Status(7))).await.unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&ResponseError::Status(7)));
            self.0.send("seven refused".to_owned())?;
            conn.send(&Response::new(Status(299)).header("X", "a\tb")).await
        }
    }

    let (sender, told) = events();
    let server = serve(1, Http::default(), move || Splitter(sender.clone()));
    let answer = ask(&server, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(told.next(), "seven refused");
    assert!(answer.head.starts_with("HTTP/1.1 299 \r\nDate: ") && answer.has("X: a\tb"), "{}", answer.head);
}

/// Counts what it is sent, slowly if asked.
struct Upload {
    length: u64,
    longest: usize,
    closes: Sender<String>,
}

impl Handler for Upload {
    type Codec = HttpParts;

    async fn on_message(&mut self, conn: &mut Conn<HttpParts>, part: Part<'_>) -> Result {
        match part {
            Part::Request { has_body: true, .. } => {
                (self.length, self.longest) = (0, 0);
                Ok(())
            }
            Part::Request { .. } => conn.send(&Response::text("no body")).await,
            Part::Body { bytes, is_last, .. } => {
                self.length += bytes.len() as u64;
                self.longest = self.longest.max(bytes.len());
                if is_last {
                    conn.send(&Response::text(format!("{} {}", self.length, self.longest <= 128 * 1024))).await?;
                }
                Ok(())
            }
        }
    }

    async fn on_close(&mut self, _: &mut Conn<HttpParts>, reason: &CloseReason) {
        let _ = self.closes.send(reason.to_string());
    }
}

#[test]
fn bodies_stream_whatever_their_length() {
    let (sender, closed) = events();
    let upload = move || Upload { length: 0, longest: 0, closes: sender.clone() };
    let server = serve(1, HttpParts::default(), upload);
    let mut stream = server.connect();
    const LENGTH: usize = 40_000_000;
    let block = noise(1, 1_000_000);
    stream.write_all(format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes()).unwrap();
    (0..LENGTH / block.len()).for_each(|_| stream.write_all(&block).unwrap());
    assert_eq!(Answer::read(&mut stream, false).body, format!("{LENGTH} true"));
    stream
        .write_all(b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    let mut told = [0; 25];
    stream.read_exact(&mut told).unwrap();
    for _ in 0..LENGTH / block.len() {
        stream.write_all(format!("{:X}\r\n", block.len()).as_bytes()).unwrap();
        stream.write_all(&block).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert_eq!(Answer::read(&mut stream, false).body, format!("{LENGTH} true"));
    assert_eq!(Answer::read(&mut stream, false).body, "no body");
    // A body that breaks off is no body.
    stream.write_all(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(read_to_end(&mut stream).is_empty());
    let reason = closed.next();
    assert_eq!(reason, "protocol error: expected the rest of a frame, found the end of the stream after 0 bytes of it");
}

#[test]
fn hyper_understands_and_is_understood() {
    let server = mirror();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let address = server.address.as_socket().unwrap();
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let client = async {
            for i in 0..100 {
                let body = Full::new(bytes::Bytes::from(format!("body {i}")));
                let request = hyper::Request::post(format!("/{i}")).header("host", "h").body(body).unwrap();
                let response = sender.send_request(request).await.unwrap();
                assert_eq!(response.status(), 200);
                let body = response.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body, format!("POST /{i} body {i}"));
            }
            let request = hyper::Request::get("/chunks").header("host", "h").body(Full::default()).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "one and two");
            drop(sender);
        };
        let (served, ()) = futures_lite::future::zip(connection, client).await;
        served.unwrap();
    });
}
