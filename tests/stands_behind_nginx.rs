//! HTTP and WebSocket behind nginx, which keeps its connections to the server and gives them to one client after the other: each client
//! gets its own answers, whatever others do. Ignored unless asked for: `cargo test --all-features -- --ignored nginx`.
#![cfg(feature = "websocket")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::mpsc::Sender;
use support::*;
use tempfile::TempDir;
use tiderace::http::{Chunk, HttpParts, Part, Request, Response, Status};
use tiderace::websocket::{Message, WebSocket};
use tiderace::{Address, CloseReason, Conn, Handler, Result};

/// nginx before a server, on a socket of its own.
struct Nginx {
    child: Child,
    folder: TempDir,
}

impl Nginx {
    /// It passes bodies on as they come, or keeps them until they are whole, and keeps four connections to the server that are idle at most.
    fn before(server: &Address, buffering: &str) -> Nginx {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let config = format!(
            "daemon off; master_process off; pid {path}/pid; error_log stderr warn;
            events {{ worker_connections 512; }}
            http {{
                access_log off; client_max_body_size 0;
                client_body_temp_path {path}/1; proxy_temp_path {path}/2; fastcgi_temp_path {path}/3;
                uwsgi_temp_path {path}/4; scgi_temp_path {path}/5;
                map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
                upstream server {{ server {server}; keepalive 4; }}
                server {{
                    listen unix:{path}/socket;
                    proxy_http_version 1.1;
                    proxy_set_header Host $http_host;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_buffering {buffering}; proxy_request_buffering {buffering};
                    keepalive_requests 100000;
                    location / {{ proxy_pass http://server; }}
                }}
            }}"
        );
        fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-e").arg("stderr").arg("-p").arg(folder.path()).arg("-c").arg("nginx.conf").stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("nginx: {error}"));
        let nginx = Nginx { child, folder };
        until("nginx listens", || UnixStream::connect(nginx.socket()).is_ok());
        nginx
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn connect(&self) -> Client {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client(BufReader::new(stream))
    }

    /// What nginx has to complain about.
    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that keeps its connection.
struct Client(BufReader<UnixStream>);

struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Client {
    fn send(&mut self, request: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(request.as_ref()).unwrap();
    }

    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "the end in {head:?}");
        }
        head
    }

    fn answer(&mut self, is_head: bool) -> Answer {
        let mut head = self.head();
        while head.starts_with("HTTP/1.1 100 ") {
            head = self.head();
        }
        let mut body = Vec::new();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        if is_head {
        } else if let Some(length) = length {
            body.resize(length.parse().unwrap(), 0);
            self.0.read_exact(&mut body).unwrap();
        } else if head.contains("Transfer-Encoding: chunked") {
            loop {
                let mut size = String::new();
                self.0.read_line(&mut size).unwrap();
                let size = usize::from_str_radix(size.trim_end(), 16).unwrap_or_else(|_| panic!("{size:?} is no size"));
                let from = body.len();
                body.resize(from + size + 2, 0);
                self.0.read_exact(&mut body[from..]).unwrap();
                body.truncate(from + size);
                if size == 0 {
                    break;
                }
            }
        }
        Answer { head, body }
    }

    #[track_caller]
    fn asks(&mut self, path: &str) {
        self.send(format!("GET /text/{path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let answer = self.answer(false);
        assert_eq!(String::from_utf8_lossy(&answer.body), format!("GET /text/{path} "), "{}", answer.head);
    }
}

/// What a handler tells the test.
#[derive(Debug, PartialEq)]
enum Event {
    Opened,
    /// A request for this path has come, and its body not.
    Asked(String),
    Closed,
}

/// Answers in the way that the first segment of the path asks for.
struct Server {
    method: String,
    path: String,
    body: Vec<u8>,
    events: Sender<Event>,
}

const LARGE: usize = 32 * 1024 * 1024;

impl Server {
    fn start() -> (Running, Events<Event>) {
        let (sender, told) = events();
        let new =
            move || Server { method: String::new(), path: String::new(), body: Vec::new(), events: sender.clone() };
        (serve(2, HttpParts::default(), new), told)
    }

    fn kind(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default()
    }

    async fn on_request(&mut self, conn: &mut Conn<HttpParts>, request: Request<'_>) -> Result {
        (self.method, self.path) = (request.method().to_owned(), request.path().to_owned());
        self.body.clear();
        match self.kind() {
            "early" => {
                let response = Response::text(&self.path).status(Status::CONTENT_TOO_LARGE);
                conn.send(&response.close()).await
            }
            "endless" => {
                self.events.send(Event::Asked(self.path.clone()))?;
                conn.send(&Response::chunked("text/plain")).await?;
                loop {
                    conn.send(&Chunk::new(&[b'x'; 64 * 1024])).await?;
                }
            }
            "upload" => Ok(self.events.send(Event::Asked(self.path.clone()))?),
            _ => Ok(()),
        }
    }

    async fn answer(&mut self, conn: &mut Conn<HttpParts>) -> Result {
        let body = String::from_utf8_lossy(&self.body);
        let said = format!("{} {} {body}", self.method, self.path);
        let path = &self.path;
        match self.kind() {
            "early" => Ok(()),
            "nothing" => conn.send(&Response::new(Status::NO_CONTENT).header("X-Path", path)).await,
            "missing" => conn.send(&Response::text(said).status(Status::NOT_FOUND).header("X-Path", path)).await,
            "close" => conn.send(&Response::text(said).header("X-Path", path).close()).await,
            "large" => conn.send(&Response::with_body("a/b", noise(1, LARGE))).await,
            "chunked" => {
                conn.send(&Response::chunked("text/plain").header("X-Path", path)).await?;
                for chunk in said.as_bytes().chunks(7) {
                    conn.send(&Chunk::new(chunk)).await?;
                }
                conn.send(&Chunk::last()).await
            }
            _ => conn.send(&Response::text(said).header("X-Path", path)).await,
        }
    }
}

impl Handler for Server {
    type Codec = HttpParts;

    async fn on_open(&mut self, _: &mut Conn<HttpParts>) -> Result {
        Ok(self.events.send(Event::Opened)?)
    }

    async fn on_message(&mut self, conn: &mut Conn<HttpParts>, part: Part<'_>) -> Result {
        match part {
            Part::Request { request, has_body } => {
                self.on_request(conn, request).await?;
                if has_body { Ok(()) } else { self.answer(conn).await }
            }
            Part::Body { bytes, is_last, .. } => {
                self.body.extend_from_slice(bytes);
                if is_last { self.answer(conn).await } else { Ok(()) }
            }
        }
    }

    async fn on_close(&mut self, _: &mut Conn<HttpParts>, _: &CloseReason) {
        let _ = self.events.send(Event::Closed);
    }
}

const CLIENTS: usize = 8;
const REQUESTS: usize = 500;

/// One client's requests, several at a time without waiting for answers, in a mixture of all kinds.
fn ask_in_all_ways(mut client: Client, number: usize) {
    const KINDS: [&str; 6] = ["text", "chunked", "nothing", "missing", "close", "text"];
    const METHODS: [&str; 4] = ["GET", "POST", "HEAD", "PUT"];
    let request = |n: usize| {
        let (kind, method) = (KINDS[(n + number) % 6], METHODS[(n / 3 + number) % 4]);
        (method, format!("/{kind}/{number}/{n}"), "b".repeat(n * 37 % 1000))
    };
    for first in (0..REQUESTS).step_by(5) {
        for n in first..first + 5 {
            let (method, path, body) = request(n);
            let head = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n");
            client.send(match method {
                "POST" => format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
                "PUT" => format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n"),
                _ => format!("{head}\r\n"),
            });
        }
        for n in first..first + 5 {
            let (method, path, body) = request(n);
            let answer = client.answer(method == "HEAD");
            assert!(answer.head.contains(&format!("\r\nX-Path: {path}\r\n")), "{method} {path} -> {}", answer.head);
            let said = match method {
                "HEAD" => String::new(),
                _ if path.starts_with("/nothing/") => String::new(),
                "GET" => format!("GET {path} "),
                "PUT" => format!("PUT {path} b"),
                _ => format!("POST {path} {body}"),
            };
            assert!(String::from_utf8_lossy(&answer.body) == said, "{method} {path} -> {}", answer.head);
        }
    }
}

#[test]
#[ignore = "needs nginx"]
fn each_client_behind_nginx_gets_its_own_answers() {
    for buffering in ["on", "off"] {
        let (server, events) = Server::start();
        let nginx = Nginx::before(&server.address, buffering);
        std::thread::scope(|scope| {
            for number in 0..CLIENTS {
                let client = nginx.connect();
                scope.spawn(move || ask_in_all_ways(client, number));
            }
        });
        // It says so if it was sent more than an answer, or less.
        assert_eq!(nginx.log(), "");
        let mut opened = 0;
        while let Some(event) = events.try_next() {
            opened += usize::from(event == Event::Opened);
        }
        assert!(opened < CLIENTS * REQUESTS * 3 / 4, "{opened} connections: nginx has kept hardly any");
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_slow_client_behind_nginx_gets_all_and_delays_no_other() {
    for buffering in ["on", "off"] {
        let (server, _events) = Server::start();
        let nginx = Nginx::before(&server.address, buffering);
        let mut slow = nginx.connect();
        slow.send("GET /large/ HTTP/1.1\r\nHost: h\r\n\r\n");
        let head = slow.head();
        assert!(head.contains(&format!("\r\nContent-Length: {LARGE}\r\n")), "{head}");
        let (large, mut part) = (noise(1, LARGE), vec![0; LARGE / 64]);
        let mut other = nginx.connect();
        for (n, expected) in large.chunks(part.len()).enumerate() {
            for i in 0..10 {
                other.asks(&format!("{n}/{i}"));
            }
            slow.0.read_exact(&mut part).unwrap();
            assert!(part == expected, "part {n} is another, buffering {buffering}");
        }
        slow.asks("afterwards");
    }
}

#[test]
#[ignore = "needs nginx"]
fn an_aborted_client_of_nginx_disturbs_no_other() {
    for buffering in ["on", "off"] {
        let (server, events) = Server::start();
        let nginx = Nginx::before(&server.address, buffering);
        let mut other = nginx.connect();
        for n in 0..20 {
            let mut client = nginx.connect();
            client.send(format!("GET /endless/{n} HTTP/1.1\r\nHost: h\r\n\r\n"));
            until_told(&events, &Event::Asked(format!("/endless/{n}")));
            other.asks(&format!("{n}"));
            let mut begin = [0; 100_000];
            client.0.read_exact(&mut begin).unwrap();
            drop(client);
            // nginx notices, and closes its own connection.
            until_told(&events, &Event::Closed);
            other.asks(&format!("{n}/afterwards"));
        }
        // In the middle of a body, of which the server sees something where nginx passes it on.
        for n in 0..20 {
            let mut client = nginx.connect();
            client.send(format!("POST /upload/{n} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nhalf"));
            if buffering == "off" {
                until_told(&events, &Event::Asked(format!("/upload/{n}")));
            }
            drop(client);
            if buffering == "off" {
                until_told(&events, &Event::Closed);
            }
            other.asks(&format!("{n}/again"));
        }
    }
}

#[track_caller]
fn until_told(events: &Events<Event>, wanted: &Event) {
    while events.next() != *wanted {}
}

#[test]
#[ignore = "needs nginx"]
fn an_early_answer_to_a_large_upload_passes_nginx() {
    const UPLOAD: usize = 16 * 1024 * 1024;
    for buffering in ["on", "off"] {
        let (server, _events) = Server::start();
        let nginx = Nginx::before(&server.address, buffering);
        for n in 0..10 {
            let mut client = nginx.connect();
            let mut sender = client.0.get_ref().try_clone().unwrap();
            let sending = std::thread::spawn(move || {
                let head = format!("POST /early/{n} HTTP/1.1\r\nHost: h\r\nContent-Length: {UPLOAD}\r\n\r\n");
                // nginx may close while it is sent to.
                let _ = sender.write_all(head.as_bytes()).and_then(|()| sender.write_all(&vec![b'x'; UPLOAD]));
            });
            let answer = client.answer(false);
            assert!(answer.head.starts_with("HTTP/1.1 413 "), "{} {}", answer.head, nginx.log());
            assert_eq!(String::from_utf8_lossy(&answer.body), format!("/early/{n}"));
            let _ = client.0.get_ref().shutdown(std::net::Shutdown::Both);
            sending.join().unwrap();
            nginx.connect().asks(&format!("{n}"));
        }
    }
}

/// Sends messages back, and answers requests that are no handshakes.
struct Echo;

impl Handler for Echo {
    type Codec = WebSocket;

    async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
        match message {
            Message::Http(request) => {
                let said = format!("{} {} ", request.method(), request.path());
                conn.send(&Response::text(said)).await
            }
            Message::Text(text) => conn.send(text).await,
            Message::Binary(bytes) => conn.send(bytes).await,
            _ => Ok(()),
        }
    }
}

#[test]
#[ignore = "needs nginx"]
fn websockets_pass_nginx() {
    for buffering in ["on", "off"] {
        let server = serve(2, WebSocket::default().with_http(), || Echo);
        let nginx = Nginx::before(&server.address, buffering);
        std::thread::scope(|scope| {
            for number in 0..CLIENTS {
                let nginx = &nginx;
                scope.spawn(move || {
                    let stream = UnixStream::connect(nginx.socket()).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let mut socket = tungstenite::client("ws://h/", stream).unwrap().0;
                    let mut page = nginx.connect();
                    for n in 0..100 {
                        let text = format!("{number} {n} {}", "é".repeat(n * n));
                        socket.send(tungstenite::Message::text(text.clone())).unwrap();
                        assert_eq!(socket.read().unwrap(), tungstenite::Message::text(text));
                        page.asks(&format!("{number}/{n}"));
                    }
                    let large = noise(3, 1_000_000);
                    socket.send(tungstenite::Message::binary(large.clone())).unwrap();
                    assert_eq!(socket.read().unwrap(), tungstenite::Message::binary(large));
                    socket.close(None).unwrap();
                    let closed = socket.read();
                    assert!(matches!(closed, Ok(tungstenite::Message::Close(_))), "{closed:?}");
                });
            }
        });
    }
}
