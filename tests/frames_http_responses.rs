//! HTTP/1.1: what is written around a response, by the status, the version and the method, and whatever the handler has set.
#![cfg(feature = "http")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::Sender;
use support::*;
use tiderace::http::{Chunk, Http, HttpParts, Part, Request, Response, ResponseError, Status};
use tiderace::{Conn, Handler, Result};

/// Answers as the function says, and tells how that went.
struct By(fn(&str) -> Vec<Response<'static>>, Sender<Option<ResponseError>>);

impl Handler for By {
    type Codec = Http;

    async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
        for response in (self.0)(request.path()) {
            let sent = conn.send(&response).await;
            let _ = self.1.send(sent.err().map(|error| *error.downcast_ref().expect("an error of a response")));
        }
        Ok(())
    }
}

fn server(respond: fn(&str) -> Vec<Response<'static>>) -> (Running, Events<Option<ResponseError>>) {
    let (tell, told) = events();
    (serve(1, Http::default(), move || By(respond, tell.clone())), told)
}

/// Everything that comes back for a request, up to the end of the connection.
fn all(server: &Running, request: &str) -> String {
    let mut stream = server.connect();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    String::from_utf8(read_to_end(&mut stream)).unwrap()
}

/// A response without its date.
fn undated(response: &str) -> String {
    let lines = response.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: "));
    lines.collect()
}

#[test]
fn status_says_whether_there_is_a_body_and_a_length() {
    let (server, _) = server(|path| {
        let (kind, status) = path[1..].split_once('/').unwrap();
        let response = match kind {
            "body" => Response::text("a body"),
            "chunks" => Response::chunked("text/plain"),
            "length" => Response::new(Status::OK).header("content-length", "70"),
            _ => Response::new(Status::OK),
        };
        vec![response.status(Status(status.parse().unwrap()))]
    });
    for (request, head, body) in [
        // RFC 9110, sections 8.6 and 15.3.5.
        ("GET /body/204", "", ""),
        ("GET /empty/204", "", ""),
        ("GET /length/204", "", ""),
        ("GET /chunks/204", "", ""),
        // Section 15.4.5: no body, and a length only where the handler knows it.
        ("GET /body/304", "", ""),
        ("GET /length/304", "Content-Length: 70", ""),
        ("GET /chunks/304", "", ""),
        // Section 15.3.6.
        ("GET /body/205", "Content-Length: 0", ""),
        ("GET /empty/200", "Content-Length: 0", ""),
        ("GET /body/200", "Content-Length: 6", "a body"),
        ("GET /body/404", "Content-Length: 6", "a body"),
        // Section 9.3.2.
        ("HEAD /body/200", "Content-Length: 6", ""),
        ("HEAD /body/404", "Content-Length: 6", ""),
        ("HEAD /length/200", "Content-Length: 70", ""),
        ("HEAD /chunks/200", "Transfer-Encoding: chunked", ""),
        ("HEAD /body/204", "", ""),
    ] {
        let answered =
            all(&server, &format!("{request} HTTP/1.1\r\nHost: h\r\n\r\nGET /body/201 HTTP/1.1\r\nHost: h\r\n\r\n"));
        let (first, next) =
            answered.split_once("HTTP/1.1 201 Created\r\n").unwrap_or_else(|| panic!("{request}: {answered}"));
        let (fields, found) = first.split_once("\r\n\r\n").unwrap();
        let framed: Vec<&str> =
            fields.split("\r\n").filter(|line| line.contains("-Length:") || line.contains("-Encoding:")).collect();
        assert_eq!(framed.join(", "), head, "{request}");
        assert_eq!(found, body, "{request}");
        assert!(next.ends_with("\r\n\r\na body"), "{request}: {next}");
    }
}

#[test]
fn field_that_frames_the_message_goes_out_once() {
    let (server, told) = server(|path| {
        let hello = || Response::text("hello");
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        vec![match path {
            "/length" => hello().header("Content-Length", "5"),
            "/type" => hello().header("content-type", "a/b").header("Content-Type", "c/d"),
            "/date" => hello().header("Date", date),
            "/coding" => hello().header("Transfer-Encoding", "Chunked"),
            "/close" => hello().header("Connection", "Close"),
            "/keep" => hello().header("Connection", "keep-alive"),
            "/options" => {
                hello().header("Connection", "X-Hop, close").header("connection", "X-Other").header("X-Hop", "1")
            }
            "/sized" => Response::chunked("text/plain").header("Content-Length", "0"),
            _ => hello(),
        }]
    });
    let typed = "Content-Type: text/plain; charset=utf-8\r\n";
    for (path, expected) in [
        ("/length", format!("{typed}Content-Length: 5\r\n\r\nhello")),
        ("/type", "Content-Type: c/d\r\nContent-Length: 5\r\n\r\nhello".to_owned()),
        ("/coding", format!("{typed}Content-Length: 5\r\n\r\nhello")),
        ("/close", format!("Connection: close\r\n{typed}Content-Length: 5\r\n\r\nhello")),
        ("/keep", format!("{typed}Content-Length: 5\r\n\r\nhello")),
        ("/options", format!("X-Hop: 1\r\nConnection: X-Hop, X-Other, close\r\n{typed}Content-Length: 5\r\n\r\nhello")),
        ("/sized", "Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n".to_owned()),
    ] {
        let answered = all(&server, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(undated(&answered), format!("HTTP/1.1 200 OK\r\n{expected}"), "{path}");
        assert_eq!(answered.matches("\r\nDate: ").count(), 1, "{path}");
        assert_eq!(told.next(), None);
    }
    let answered = all(&server, "GET /date HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(answered.matches("Date: ").count(), 1, "{answered}");
    assert!(answered.contains("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "{answered}");
    // What a handler closes is closed, and what is behind is not answered.
    let twice = "GET /close HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(all(&server, twice).matches("HTTP/1.1 200").count(), 1);
}

#[test]
fn field_that_contradicts_the_message_is_refused() {
    let (server, told) = server(|path| {
        let hello = || Response::text("hello");
        let wrong = match path {
            "/length" => hello().header("Content-Length", "6"),
            "/lengths" => hello().header("Content-Length", "5").header("Content-Length", "6"),
            "/digits" => hello().header("Content-Length", "+5"),
            "/none" => hello().header("Content-Length", ""),
            "/coding" => hello().header("Transfer-Encoding", "gzip, chunked"),
            "/dates" => hello().header("Date", "a").header("Date", "b"),
            "/type" => hello().header("Content-Type", "a\r\nb"),
            _ => Response::new(Status::NO_CONTENT).header("Connection", "close\r\nX: y"),
        };
        vec![wrong, Response::text("right")]
    });
    for (path, error) in [
        ("/length", ResponseError::Length { expected: 6, found: 5 }),
        ("/lengths", ResponseError::Field),
        ("/digits", ResponseError::Field),
        ("/none", ResponseError::Field),
        ("/coding", ResponseError::TransferCoding),
        ("/dates", ResponseError::Field),
        ("/type", ResponseError::Field),
        ("/connection", ResponseError::Field),
    ] {
        // Nothing of it is sent, and the request still waits for an answer.
        let answered = all(&server, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert!(answered.starts_with("HTTP/1.1 200 OK\r\n") && answered.ends_with("\r\n\r\nright"), "{answered}");
        assert_eq!((told.next(), told.next()), (Some(error), None), "{path}");
    }
}

#[test]
fn interim_response_is_no_answer() {
    let (server, told) = server(|_| {
        let hints =
            Response::new(Status(103)).header("Link", "</style.css>; rel=preload").header("Connection", "close");
        vec![hints.clone(), hints, Response::text("hello")]
    });
    let answered = undated(&all(&server, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    let interim = "HTTP/1.1 103 \r\nLink: </style.css>; rel=preload\r\n\r\n";
    let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(answered, format!("{interim}{interim}{expected}"));
    assert_eq!((told.next(), told.next(), told.next()), (None, None, None));
    // HTTP/1.0 does not know it.
    let answered = all(&server, "GET / HTTP/1.0\r\n\r\n");
    assert!(answered.starts_with("HTTP/1.1 200 OK\r\n") && !answered.contains("103"), "{answered}");
    // One alone is none.
    let (server, _) = self::server(|_| vec![Response::new(Status(102))]);
    let answered = all(&server, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answered.starts_with("HTTP/1.1 102 \r\n\r\nHTTP/1.1 500 "), "{answered}");
}

#[test]
fn status_that_asks_for_an_upgrade_says_so_of_the_connection() {
    let (server, _) = server(|path| {
        let upgrade = Response::new(Status::UPGRADE_REQUIRED).header("Upgrade", "websocket");
        vec![match path {
            "/close" => upgrade.close(),
            // A field that offers one does so, too, and it is said once.
            "/offer" => upgrade.status(Status::OK).header("Connection", "Upgrade"),
            _ => upgrade,
        }]
    });
    let answered = all(&server, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answered.contains("\r\nConnection: upgrade\r\n"), "{answered}");
    let answered = all(&server, "GET /close HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answered.contains("\r\nConnection: upgrade, close\r\n"), "{answered}");
    let answered = all(&server, "GET /offer HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answered.contains("\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"), "{answered}");
}

#[test]
fn tunnel_has_no_length_and_no_more_requests() {
    let (server, told) = server(|path| match path {
        "/chat" => vec![Response::new(Status::SWITCHING_PROTOCOLS).header("Upgrade", "chat")],
        _ => vec![Response::text("not in the tunnel"), Response::text("second")],
    });
    let behind = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut stream = server.connect();
    write!(stream, "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n{behind}").unwrap();
    let head = head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(!head.contains("Length") && !head.contains("Encoding") && !head.contains("Connection"), "{head}");
    assert_eq!((told.next(), told.next()), (None, Some(ResponseError::NotAsked)));
    let mut stream = server.connect();
    write!(stream, "GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: chat\r\nConnection: upgrade\r\n\r\n{behind}").unwrap();
    let head = self::head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("\r\nConnection: upgrade\r\n"), "{head}");
    assert!(!head.contains("Length"), "{head}");
    assert_eq!(told.next(), None);
    assert!(told.is_quiet());
    // A tunnel that is refused is answered like anything else.
    let (server, _) = self::server(|_| vec![Response::text("no").status(Status::FORBIDDEN)]);
    let answered = all(&server, &format!("CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n{behind}"));
    assert_eq!(answered.matches("\r\nContent-Length: 2\r\n\r\nno").count(), 2, "{answered}");
    // HTTP/1.0 cannot be upgraded.
    let (server, told) = self::server(|_| vec![Response::new(Status::SWITCHING_PROTOCOLS), Response::text("no")]);
    assert!(all(&server, "GET / HTTP/1.0\r\n\r\n").ends_with("\r\n\r\nno"));
    assert_eq!((told.next(), told.next()), (Some(ResponseError::Status(101)), None));
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "the end in {:?}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Answers heads, and lets bodies pass.
struct Early;

impl Handler for Early {
    type Codec = HttpParts;

    async fn on_message(&mut self, conn: &mut Conn<HttpParts>, part: Part<'_>) -> Result {
        match part {
            Part::Request { request, .. } => conn.send(&Response::text(request.path())).await,
            Part::Body { .. } => Ok(()),
        }
    }
}

#[test]
fn final_response_in_place_of_a_continue_closes() {
    let server = serve(1, HttpParts::default(), || Early);
    let post = |fields: &str| format!("POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n{fields}\r\n");
    let next = "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n";
    // The peer takes the response for a no, and sends no body.
    let answered = all(&server, &format!("{}{next}", post("Expect: 100-continue\r\n")));
    assert!(answered.contains("\r\nConnection: close\r\n") && answered.ends_with("\r\n\r\n/1"), "{answered}");
    assert_eq!(answered.matches("HTTP/1.1 ").count(), 1, "{answered}");
    // One that has not asked sends it.
    let answered = all(&server, &format!("{}{}{next}", post(""), "x".repeat(30)));
    assert_eq!(answered.matches("HTTP/1.1 200 OK").count(), 2, "{answered}");
    // Without a body, nothing is to go on.
    let answered = all(&server, &format!("GET /1 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n{next}"));
    assert_eq!(answered.matches("HTTP/1.1 200 OK").count(), 2, "{answered}");
}

/// Sends a body of a known length in parts: as many as the path says.
struct Sized;

impl Handler for Sized {
    type Codec = Http;

    async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
        conn.send(&Response::sized("text/plain", 6)).await?;
        for _ in 0..request.path()[1..].parse().unwrap() {
            conn.send(&Chunk::new(b"ab")).await?;
        }
        if request.query() == Some("last") { conn.send(&Chunk::last()).await } else { Ok(()) }
    }
}

#[test]
fn body_of_a_known_length_goes_out_as_it_is() {
    let server = serve(1, Http::default(), || Sized);
    for version in ["1.1", "1.0"] {
        for (path, body, is_kept) in [
            ("/3", "ababab", true),
            ("/3?last", "ababab", true),
            // The peer sees that it is short, and that nothing follows.
            ("/2", "abab", false),
            ("/2?last", "abab", false),
            // What is beyond it is refused, and the handler fails.
            ("/4", "ababab", false),
        ] {
            let request = |path| format!("GET {path} HTTP/{version}\r\nHost: h\r\nConnection: keep-alive\r\n\r\n");
            let answered = all(&server, &(request(path) + &request("/3")));
            assert_eq!(
                answered.matches("\r\nContent-Length: 6\r\n\r\n").count(),
                1 + usize::from(is_kept),
                "{answered}"
            );
            let expected = if is_kept { "\r\n\r\nababab".to_owned() } else { format!("\r\n\r\n{body}") };
            assert!(answered.ends_with(&expected), "{path}: {answered}");
        }
        let head = all(&server, &format!("HEAD /3 HTTP/{version}\r\nHost: h\r\n\r\n"));
        assert!(head.ends_with("\r\nContent-Length: 6\r\n\r\n"), "{head}");
    }
}

#[test]
fn stream_of_http_1_0_that_fails_is_reset() {
    struct Fails;

    impl Handler for Fails {
        type Codec = Http;

        async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
            conn.send(&Response::chunked("text/plain")).await?;
            conn.send(&Chunk::new(b"a part")).await?;
            conn.flush().await?;
            match request.path() {
                "/fail" => Err(tiderace::Error::msg("as asked")),
                "/panic" => panic!("as asked"),
                "/close" => {
                    conn.close();
                    Ok(())
                }
                "/end" => conn.send(&Chunk::last()).await,
                _ => Ok(()),
            }
        }
    }

    let server = serve(1, Http::default(), || Fails);
    for (path, fails) in [("/fail", true), ("/panic", true), ("/forget", true), ("/close", true), ("/end", false)] {
        let mut stream = server.connect();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let (mut body, mut bytes) = (Vec::new(), [0; 1024]);
        let end = loop {
            match stream.read(&mut bytes) {
                Ok(0) => break Ok(()),
                Ok(read) => body.extend_from_slice(&bytes[..read]),
                Err(error) => break Err(error.kind()),
            }
        };
        let expected = if fails { Err(std::io::ErrorKind::ConnectionReset) } else { Ok(()) };
        assert_eq!(end, expected, "{path}: {}", String::from_utf8_lossy(&body));
        // Where chunks say where the body ends, the end of the stream says that it is not whole.
        let answered = all(&server, &format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
        assert_eq!(answered.ends_with("6\r\na part\r\n0\r\n\r\n"), !fails, "{path}: {answered}");
        assert!(answered.contains("6\r\na part\r\n"), "{path}: {answered}");
    }
}

#[test]
fn refused_head_has_no_body() {
    let (server, _) = server(|_| vec![]);
    let forgotten = all(&server, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(forgotten.starts_with("HTTP/1.1 500 ") && forgotten.ends_with("\r\n\r\n"), "{forgotten}");
}
