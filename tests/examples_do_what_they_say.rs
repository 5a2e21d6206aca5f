//! Each example runs, and does what stands at its top. `cargo test` has built them.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use support::process::Process;
use support::*;

const ANY: [&str; 2] = ["--addr", "127.0.0.1:0"];

fn example(name: &str, args: &[&str]) -> Process {
    Process::example(name, &[&ANY, args].concat())
}

/// A client of lines.
struct Client(BufReader<TcpStream>);

impl Client {
    fn of(address: &str) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(BufReader::new(stream))
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// A line, without its end; nothing at the end of the stream.
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, text: &str) -> String {
        self.say(text);
        self.hear()
    }
}

#[test]
fn echo_echoes() {
    let mut process = Process::example("echo", &["127.0.0.1:0"]);
    let mut stream = TcpStream::connect(process.address()).unwrap();
    echoes(&mut stream, b"abc");
}

#[test]
fn echo_codecs_echoes_in_every_codec() {
    for (codec, message) in [("raw", &b"abc"[..]), ("lines", b"a line\n"), ("frame", b"\0\0\0\x03abc")] {
        let mut process = example("echo_codecs", &["--codec", codec, "--cores", "2"]);
        let address = process.address();
        let mut stream = TcpStream::connect(address.trim_matches(['[', ']'])).unwrap();
        echoes(&mut stream, message);
        process.line_with("1 connections");
    }
}

#[test]
fn line_chat_brings_a_line_to_all() {
    let mut process = example("line_chat", &["--cores", "2"]);
    let address = process.address();
    let mut guests: Vec<Client> = (0..3).map(|_| Client::of(&address)).collect();
    process.line_with("3 guests");
    guests[1].say("hello\n");
    for guest in &mut guests {
        assert_eq!(guest.hear(), "hello");
    }
}

#[test]
fn udp_echo_echoes() {
    let mut process = Process::example("udp_echo", &["--addr", "udp://127.0.0.1:0", "--cores", "2"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(process.address()).unwrap();
    socket.send(b"hello").unwrap();
    let mut back = [0; 10];
    assert_eq!(socket.recv(&mut back).unwrap(), 5);
    assert_eq!(&back[..5], b"hello");
}

#[test]
fn unix_echo_echoes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut process = Process::example("unix_echo", &["--addr", &format!("unix://{}", path.display())]);
    process.address();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"hello");
}

#[test]
fn idle_connections_are_closed() {
    let mut process = example("idle_connections", &["--idle", "0.1", "--first", "0.05"]);
    let address = process.address();
    let mut silent = Client::of(&address);
    assert_eq!(silent.hear(), "");
    drop(silent);
    process.line_with("timeout: no first message");
    let mut tired = Client::of(&address);
    assert_eq!(tired.ask("hello\n"), "hello");
    assert_eq!(tired.hear(), "");
    process.line_with("timeout: idle");
}

#[test]
fn max_connections_are_not_exceeded() {
    let mut process = example("max_connections", &["--max", "1"]);
    let address = process.address();
    let mut first = Client::of(&address);
    assert_eq!(first.ask("hello\n"), "hello");
    assert_eq!(Client::of(&address).hear(), "");
    process.line_with("1 open, 1 refused");
}

#[test]
fn push_pushes_to_all() {
    let mut process = example("push", &["--every", "0.05", "--cores", "2"]);
    let address = process.address();
    for client in &mut [Client::of(&address), Client::of(&address)] {
        let first: u32 = client.hear().parse().unwrap();
        assert_eq!(client.hear(), (first + 1).to_string());
    }
}

#[test]
fn timers_remind_each_when_it_is_time() {
    let mut process = example("timers", &["--cores", "2"]);
    let mut client = Client::of(&process.address());
    client.say("0.2 later\n0.05 sooner\nnonsense\n");
    assert_eq!(client.hear(), "say a number of seconds, and what to say then");
    assert_eq!(client.hear(), "sooner");
    assert_eq!(client.hear(), "later");
    client.say("30 never\n0.01 now\n");
    assert_eq!(client.hear(), "now");
    // With the last of its owner's reminders goes the owner.
    client.say("forget\n");
    assert_eq!(client.hear(), "1 forgotten");
}

#[test]
fn send_from_threads_answers_backwards() {
    let mut process = example("send_from_threads", &["--cores", "2"]);
    let mut client = Client::of(&process.address());
    assert_eq!(client.ask("hello\nworld\n"), "olleh");
    assert_eq!(client.hear(), "dlrow");
}

#[test]
fn buffered_length_shows_what_waits() {
    let mut process = example("buffered_length", &[]);
    let mut client = Client::of(&process.address());
    client.say("12345\n");
    process.line_with("6 bytes wait to be read, 0 to be written");
    assert_eq!(client.ask("789A"), "12345");
    process.line_with("10 bytes wait to be read");
    assert_eq!(client.hear(), "789A");
}

#[test]
fn upgrade_changes_from_lines_to_frames() {
    let mut process = example("upgrade", &[]);
    let mut client = Client::of(&process.address());
    assert_eq!(client.hear(), "say BINARY and a name");
    assert_eq!(client.ask("hello\n"), "what?");
    client.say("BINARY bob\n\0\0\0\x05hello");
    assert_eq!(client.hear(), "OK");
    let mut frame = [0; 9];
    client.0.read_exact(&mut frame).unwrap();
    assert_eq!(&frame, b"\0\0\0\x05hello");
    process.line_with("5 bytes from bob");
    drop(client);
    process.line_with("bob has gone: end of stream");
}

#[test]
fn several_listeners_each_speak_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines");
    let others = ["--lines", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--unix", path.to_str().unwrap()];
    let mut process = example("several_listeners", &others);
    assert_eq!(Client::of(&process.nth_address(0)).ask("echo\n"), "echo");
    assert_eq!(Client::of(&process.nth_address(1)).ask("shout\n"), "1: SHOUT");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(b"datagram", process.nth_address(2)).unwrap();
    let mut back = [0; 10];
    assert_eq!(socket.recv(&mut back).unwrap(), 8);
    assert_eq!(&back[..8], b"DATAGRAM");
    process.nth_address(3);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"here\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "3: HERE\n");
}

#[test]
fn load_balancing_takes_cores_in_turn() {
    let mut process = example("load_balancing", &["--cores", "3", "--balance", "round-robin"]);
    let address = process.address();
    let mut clients: Vec<Client> = (0..6).map(|_| Client::of(&address)).collect();
    let mut cores: Vec<String> = clients.iter_mut().map(Client::hear).collect();
    process.line_with("[2, 2, 2]");
    cores.sort();
    assert_eq!(cores, ["core 0", "core 0", "core 1", "core 1", "core 2", "core 2"]);
}

#[test]
fn proxy_pumps_both_ways_until_both_have_ended() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = upstream.local_addr().unwrap().to_string();
    let mut process = example("proxy", &["--upstream", &to]);
    let mut client = TcpStream::connect(process.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut server, _) = upstream.accept().unwrap();
    let (request, response) = (noise(1, 3_000_000), noise(2, 5_000_000));
    let answer = response.clone();
    let serving = std::thread::spawn(move || {
        // It answers only when the request has ended.
        let request = read_to_end(&mut server);
        server.write_all(&answer).unwrap();
        request
    });
    client.write_all(&request).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(read_to_end(&mut client) == response);
    assert!(serving.join().unwrap() == request);
}

#[test]
fn reconnect_comes_back() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut process = Process::example("reconnect", &["--addr", &server.local_addr().unwrap().to_string()]);
    for last in [false, true] {
        let (stream, _) = server.accept().unwrap();
        process.line_with("connected");
        let mut client = Client(BufReader::new(stream));
        assert_eq!(client.hear(), "hello");
        if last {
            client.say("bye\n");
            process.line_with("closed here");
        }
    }
    assert!(process.wait().success());
}

#[cfg(feature = "metrics")]
#[test]
fn metrics_are_shown() {
    let mut process = example("metrics", &["--metrics", "127.0.0.1:0"]);
    let mut client = Client::of(&process.address());
    assert_eq!(client.ask("hello\n"), "hello");
    let mut page = TcpStream::connect(process.nth_address(1)).unwrap();
    page.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let page = String::from_utf8(read_to_end(&mut page)).unwrap();
    assert!(page.contains("\ntiderace_sent_bytes_total{core=\"0\"} "), "{page}");
    process.line_with(" messages in ");
}

#[cfg(feature = "signal")]
#[test]
fn graceful_shutdown_finishes_what_it_has_begun() {
    let mut process = example("graceful_shutdown", &["--cores", "2"]);
    let address = process.address();
    let (mut slow, mut stopper) = (Client::of(&address), Client::of(&address));
    // When the first answer is there, the second is being made.
    assert_eq!(slow.ask("one\ntwo\n"), "one");
    stopper.say("stop\n");
    assert_eq!(slow.hear(), "two");
    process.line_with("stopping");
    drop((slow, stopper));
    process.line_with("stopped");
    assert!(process.wait().success());
}

#[cfg(feature = "http")]
#[test]
fn hello_http_says_hello() {
    let mut process = example("hello_http", &["--cores", "2"]);
    let mut client = Client::of(&process.address());
    client.say("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\ntextGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let mut all = String::new();
    client.0.read_to_string(&mut all).unwrap();
    assert!(all.contains("\r\n\r\ntextHTTP/1.1 200 OK\r\n") && all.ends_with("\r\n\r\nHello, World!"), "{all}");
}

#[cfg(feature = "http")]
#[test]
fn events_tells_all_what_one_says() {
    let mut process = example("events", &["--cores", "2"]);
    let address = process.address();
    let say = |text: &str| {
        let mut client = Client::of(&address);
        let length = text.len();
        client.say(&format!(
            "POST /say HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{text}"
        ));
        let mut all = String::new();
        client.0.read_to_string(&mut all).unwrap();
        assert!(all.starts_with("HTTP/1.1 204 "), "{all}");
    };
    let expect = |client: &mut Client, end: &str| {
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).ends_with(end) {
            let mut byte = [0];
            client.0.read_exact(&mut byte).unwrap();
            all.push(byte[0]);
        }
    };
    say("one");
    let mut hears = Client::of(&address);
    hears.say("GET /events HTTP/1.1\r\nHost: h\r\n\r\n");
    // It has joined when it has what was said before.
    expect(&mut hears, "id: 1\ndata: one\n\n\r\n");
    let mut waits = Client::of(&address);
    waits.say("GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let mut behind = Client::of(&address);
    behind.say("GET /events HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 1\r\n\r\n");
    expect(&mut behind, "\r\n\r\n");
    // Until the request that waits is there, something is said again and again.
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                say("two");
            }
        });
        let mut answer = String::new();
        waits.0.read_to_string(&mut answer).unwrap();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(answer.ends_with("\r\n\r\ntwo"), "{answer}");
    });
    expect(&mut hears, "id: 2\ndata: two\n\n\r\n");
    expect(&mut behind, "id: 2\ndata: two\n\n\r\n");
}

#[cfg(all(feature = "files", feature = "gzip"))]
#[test]
fn files_serves_its_folder_and_logs_what_it_served() {
    let mut process = example("files", &["--folder", concat!(env!("CARGO_MANIFEST_DIR"), "/examples"), "--cores", "1"]);
    let mut client = Client::of(&process.address());
    client.say("GET /files.rs HTTP/1.1\r\nHost: h\r\nRange: bytes=0-18\r\n\r\n");
    client.say("GET /api/numbers HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");
    let mut all = Vec::new();
    client.0.read_to_end(&mut all).unwrap();
    let all = String::from_utf8_lossy(&all);
    assert!(
        all.starts_with("HTTP/1.1 206 ") && all.contains("\r\n\r\n//! Serves a folderHTTP/1.1 200 OK\r\n"),
        "{all}"
    );
    assert!(all.contains("\r\nContent-Encoding: gzip\r\n"), "{all}");
    process.line_with("127.0.0.1 \"GET /files.rs\" 206 19 0.");
    process.line_with("127.0.0.1 \"GET /api/numbers\" 200 ");
}

#[cfg(feature = "websocket")]
#[test]
fn ws_client_and_ws_echo_talk_to_each_other() {
    let mut server = example("ws_echo", &["--cores", "2"]);
    let url = format!("ws://{}/", server.address());
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let mut command = std::process::Command::new(path.join("examples/ws_client"));
    command.args(["--addr", &url]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut client = command.spawn().unwrap();
    client.stdin.take().unwrap().write_all("hello\ngrün\n".as_bytes()).unwrap();
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "hello\ngrün\n");
}

#[cfg(feature = "protobuf")]
#[test]
fn protobuf_finds_what_was_put() {
    let mut process = example("protobuf", &[]);
    process.line_with("Found { number: Some(\"555-0173\") }");
    process.line_with("Found { number: None }");
    assert!(process.wait().success());
}
