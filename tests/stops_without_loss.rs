//! A stop loses no connection and no message that it has received, and a server is replaced without a gap.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use support::handlers::Echo;
use support::*;
use tiderace::codec::{Lines, Raw};
use tiderace::{Address, Balance, Conn, Handler, Listen, Result, Server};

/// For clients that do not close when the server does.
const SOON: Duration = Duration::from_millis(50);

/// Connects, says something, and expects it back.
fn ask(address: &Address) -> std::io::Result<()> {
    fn echo(mut stream: impl Read + Write) -> std::io::Result<()> {
        let mut back = [0; 5];
        stream.write_all(b"hello")?;
        stream.read_exact(&mut back)?;
        assert_eq!(&back, b"hello");
        Ok(())
    }
    match address.as_path() {
        Some(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            echo(stream)
        }
        None => {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            echo(stream)
        }
    }
}

/// An echo server that runs when this returns.
fn echo_server(on: impl Listen, cores: usize, balance: Balance, portable: bool) -> Running {
    let (tell, told) = events();
    let server = Server::new()
        .cores(cores)
        .portable(portable)
        .balance(balance)
        .on_start(move |_| async move { tell.send(()).unwrap() });
    let server = Running::start(server.listen(on, Raw, || Echo).unwrap());
    told.next();
    server
}

/// Replaces a server ten times while eight threads connect and ask, and says what they have lost.
fn lost_by_replacing(on: &str, cores: [usize; 2], balance: &Balance) -> Vec<String> {
    let mut server = echo_server(on, cores[0], balance.clone(), false);
    let address = server.address.clone();
    let (over, asked, lost) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    if let Err(error) = ask(&address) {
                        lost.lock().unwrap().push(error.to_string());
                    }
                    asked.fetch_add(1, Relaxed);
                }
            });
        }
        let more = |what: &str| {
            let before = asked.load(Relaxed);
            until(what, || asked.load(Relaxed) >= before + 40);
        };
        for i in 1..=10 {
            more("the old server is busy");
            let listeners = server.handle.duplicate_listeners().unwrap().remove(0);
            // Every third one works by the portable poller.
            let next = echo_server(listeners, cores[i % 2], balance.clone(), i % 3 == 0);
            more("both are busy");
            std::mem::replace(&mut server, next).stop(PATIENCE);
        }
        more("the last server is busy");
        over.store(true, Relaxed);
    });
    lost.into_inner().unwrap()
}

#[test]
fn replacing_a_server_loses_no_connection() {
    for cores in CORES {
        for balance in [Balance::Kernel, Balance::RoundRobin] {
            let lost = lost_by_replacing("tcp://127.0.0.1:0", [cores; 2], &balance);
            assert!(lost.is_empty(), "{cores} cores, {balance:?}: {lost:?}");
        }
    }
}

#[test]
fn replacing_a_server_by_one_with_other_cores_loses_no_connection() {
    for cores in [[1, 4], [4, 2], [2, 3]] {
        let lost = lost_by_replacing("tcp://127.0.0.1:0", cores, &Balance::Kernel);
        assert!(lost.is_empty(), "{cores:?}: {lost:?}");
    }
}

#[test]
fn replacing_a_server_on_a_unix_socket_loses_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    for cores in CORES {
        let path = folder.path().join(format!("{cores}.sock"));
        let lost = lost_by_replacing(&format!("unix://{}", path.display()), [cores; 2], &Balance::Kernel);
        assert!(lost.is_empty(), "{cores} cores: {lost:?}");
        assert!(path.exists(), "the file is left to those who have the listener");
    }
}

#[test]
fn duplicates_of_listeners_are_those_of_all_cores() {
    for cores in CORES {
        let expected = if cfg!(target_os = "linux") { cores } else { 1 };
        let server = Server::new().cores(cores).listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap();
        let handle = server.handle();
        handle.duplicate_listeners().unwrap_err();
        let before: Vec<OwnedFd> = server.duplicate_listeners().unwrap().remove(0);
        assert_eq!(before.len(), expected);
        drop(before);
        let server = Running::start(server);
        ask(&server.address).unwrap();
        assert_eq!(handle.duplicate_listeners().unwrap()[0].len(), expected);
        server.stop(PATIENCE);
        handle.duplicate_listeners().unwrap_err();
    }
}

#[test]
fn listeners_of_two_addresses_are_refused_as_one() {
    let bind = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Server::new().listen(vec![bind(), bind()], Raw, || Echo).unwrap_err();
    Server::new().listen(Vec::<OwnedFd>::new(), Raw, || Echo).unwrap_err();
    let datagrams = OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    Server::new().listen(datagrams, Raw, || Echo).unwrap_err();
}

/// Waits in `on_open` if it is told to, and says each line back.
struct Gated(Option<Arc<Gate>>, Sender<String>);

/// Opened by a test.
#[derive(Default)]
struct Gate(AtomicBool);

impl Gate {
    async fn passed(&self) {
        while !self.0.load(Relaxed) {
            tiderace::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Handler for Gated {
    type Codec = Lines;

    async fn on_open(&mut self, _: &mut Conn<Lines>) -> Result {
        self.1.send("open".into())?;
        if let Some(gate) = &self.0 {
            gate.passed().await;
        }
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        self.1.send(line.into())?;
        if let Some(gate) = &self.0 {
            gate.passed().await;
        }
        conn.send(line).await
    }
}

#[test]
fn stop_handles_a_first_message_that_has_been_received() {
    for cores in CORES {
        let (gate, (tell, told)) = (Arc::new(Gate::default()), events());
        let waits = gate.clone();
        let server = Server::new()
            .cores(cores)
            .listen("tcp://127.0.0.1:0", Lines::default(), move || Gated(Some(waits.clone()), tell.clone()));
        let server = Running::start(server.unwrap());
        let mut stream = server.connect();
        stream.write_all(b"first\nsecond\n").unwrap();
        assert_eq!(told.next(), "open");
        server.handle.stop(PATIENCE);
        // Its port is free when the server has begun to stop.
        until("nothing is accepted", || TcpStream::connect(&server.address).is_err());
        gate.0.store(true, Relaxed);
        assert_eq!(read_to_end(&mut stream), b"first\nsecond\n");
        drop(stream);
        server.stop(PATIENCE);
    }
}

#[test]
fn stop_handles_all_messages_that_have_been_received() {
    for cores in CORES {
        let (gate, (tell, told)) = (Arc::new(Gate::default()), events());
        let waits = gate.clone();
        let server = Server::new()
            .cores(cores)
            .listen("tcp://127.0.0.1:0", Lines::default(), move || Gated(Some(waits.clone()), tell.clone()));
        let server = Running::start(server.unwrap());
        let mut stream = server.connect();
        gate.0.store(true, Relaxed);
        echoes(&mut stream, b"before\n");
        gate.0.store(false, Relaxed);
        stream.write_all(b"one\ntwo\nthree\nand a part of a fou").unwrap();
        while told.next() != "one" {}
        server.handle.stop(PATIENCE);
        until("nothing is accepted", || TcpStream::connect(&server.address).is_err());
        gate.0.store(true, Relaxed);
        assert_eq!(read_to_end(&mut stream), b"one\ntwo\nthree\n");
        drop(stream);
        server.stop(PATIENCE);
    }
}

#[test]
fn stop_waits_for_the_first_message_of_a_new_connection() {
    for cores in CORES {
        let (tell, told) = events();
        let server = Server::new().cores(cores).close_timeout(SOON);
        let server = server.listen("tcp://127.0.0.1:0", Lines::default(), move || Gated(None, tell.clone())).unwrap();
        let server = Running::start(server);
        let (mut old, mut new, mut silent) = (server.connect(), server.connect(), server.connect());
        echoes(&mut old, b"spoken\n");
        while server.handle.connections() < 3 {
            told.next();
        }
        server.handle.stop(PATIENCE);
        assert_eq!(read_to_end(&mut old), b"", "it has spoken, and is closed first");
        new.write_all(b"hello\n").unwrap();
        assert_eq!(read_to_end(&mut new), b"hello\n");
        assert_eq!(read_to_end(&mut silent), b"", "it has its time, and no more");
        server.stop(PATIENCE);
    }
}

/// Blocks its core until it is told to stop the server.
struct Blocks(Arc<Mutex<Receiver<()>>>, Sender<()>);

impl Handler for Blocks {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        if bytes == b"block" {
            self.1.send(())?;
            self.0.lock().unwrap().recv()?;
        }
        conn.send(bytes).await
    }
}

/// One core accepts for all, and is blocked when the server stops. The connections that wait meanwhile go to the cores that
/// `place` names, by their numbers.
fn stop_serves_all_that_wait(place: fn(usize) -> usize) {
    for cores in CORES {
        let (go_on, wait) = channel();
        let (wait, (tell, told)) = (Arc::new(Mutex::new(wait)), events());
        let count = AtomicUsize::new(0);
        let server =
            Server::new().cores(cores).balance(Balance::custom(move |_, _| place(count.fetch_add(1, Relaxed))));
        let server = server.listen("tcp://127.0.0.1:0", Raw, move || Blocks(wait.clone(), tell.clone())).unwrap();
        let server = Running::start(server);
        let mut first = server.connect();
        first.write_all(b"block").unwrap();
        told.next();
        let mut waiting: Vec<TcpStream> = (0..300).map(|_| server.connect()).collect();
        waiting.iter_mut().for_each(|stream| stream.write_all(b"hello").unwrap());
        server.handle.stop(PATIENCE);
        go_on.send(()).unwrap();
        for stream in waiting.iter_mut() {
            assert_eq!(read_to_end(stream), b"hello");
        }
        drop((first, waiting));
        server.stop(PATIENCE);
    }
}

#[test]
fn stop_serves_all_connections_that_wait_to_be_accepted() {
    stop_serves_all_that_wait(|_| 0);
}

#[test]
fn stop_serves_connections_that_are_handed_to_a_core_which_has_nothing_left() {
    stop_serves_all_that_wait(|number| number);
}

/// Never answers.
struct Waits(Sender<()>);

impl Handler for Waits {
    type Codec = Raw;

    async fn on_message(&mut self, _: &mut Conn<Raw>, _: &[u8]) -> Result {
        self.0.send(())?;
        std::future::pending().await
    }
}

#[test]
fn stop_with_less_time_hurries_an_earlier_one() {
    for cores in CORES {
        let (tell, told) = events();
        let server = serve(cores, Raw, move || Waits(tell.clone()));
        let mut stream = server.connect();
        stream.write_all(b"x").unwrap();
        told.next();
        let began = Instant::now();
        server.handle.stop(Duration::from_secs(3600));
        until("nothing is accepted", || TcpStream::connect(&server.address).is_err());
        server.handle.stop(Duration::from_secs(7200));
        server.stop(Duration::from_millis(1));
        assert!(began.elapsed() < PATIENCE);
    }
}

#[test]
fn stop_ends_although_peers_go_on_to_connect() {
    for cores in CORES {
        let server = serve(cores, Raw, || Echo);
        let address: SocketAddr = server.address.as_socket().unwrap();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !over.load(Relaxed) {
                        drop(TcpStream::connect(address));
                    }
                });
            }
            until("they are served", || server.handle.connections() > 0);
            server.stop(Duration::from_secs(2));
            over.store(true, Relaxed);
        });
    }
}

/// Answers each request when it may.
#[cfg(feature = "http")]
struct Answers(Arc<Gate>, Sender<()>);

#[cfg(feature = "http")]
impl Handler for Answers {
    type Codec = tiderace::http::Http;

    async fn on_message(&mut self, conn: &mut Conn<tiderace::http::Http>, _: tiderace::http::Request<'_>) -> Result {
        self.1.send(())?;
        self.0.passed().await;
        conn.send(&tiderace::http::Response::text("hello")).await
    }
}

#[test]
#[cfg(feature = "http")]
fn stop_is_announced_by_the_last_response_of_http() {
    use tiderace::http::Http;
    for cores in CORES {
        let (gate, (tell, told)) = (Arc::new(Gate::default()), events());
        let answers = gate.clone();
        // All on one core, so that the end of one connection shows that the other was told, too.
        let server = Server::new().cores(cores).balance(Balance::custom(|_, _| 0));
        let server =
            server.listen("tcp://127.0.0.1:0", Http::default(), move || Answers(answers.clone(), tell.clone()));
        let server = Running::start(server.unwrap());
        let (mut idle, mut stream) = (server.connect(), server.connect());
        let request = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";
        gate.0.store(true, Relaxed);
        for stream in [&mut idle, &mut stream] {
            stream.write_all(request).unwrap();
            told.next();
            let mut first = Vec::new();
            while !first.ends_with(b"hello") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                first.push(byte[0]);
            }
            assert!(!String::from_utf8(first).unwrap().contains("Connection: close"));
        }
        gate.0.store(false, Relaxed);
        // What is behind the last response is not answered: the client asks again elsewhere.
        stream.write_all(&request.repeat(2)).unwrap();
        told.next();
        server.handle.stop(PATIENCE);
        read_to_end(&mut idle);
        gate.0.store(true, Relaxed);
        let last = String::from_utf8(read_to_end(&mut stream)).unwrap();
        assert_eq!(last.matches("HTTP/1.1 200").count(), 1, "{last}");
        assert!(last.contains("Connection: close\r\n"), "{last}");
        drop((stream, idle));
        server.stop(PATIENCE);
    }
}
