//! Every connection ends with exactly one `on_close`, and the reason is the true one.

mod support;

use std::future::pending;
use std::io::Write;
use std::sync::mpsc::Sender;
use std::time::Duration;
use support::*;
use tiderace::codec::{Decoder, Input, LengthDelimited, Lines, Output, Raw};
use tiderace::{CloseReason, Conn, Error, Group, Handle, Handler, Result, Server, SlowMember};

/// Does what a line says.
#[derive(Clone)]
struct Puppet {
    ends: Sender<String>,
    handles: Sender<Handle<Lines>>,
}

impl Handler for Puppet {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        let _ = self.handles.send(conn.handle());
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        conn.send(line).await?;
        match line {
            "close" => conn.close(),
            "fail" => return Err(Error::msg("as told")),
            "parse" => _ = "x".parse::<u8>()?,
            "panic" => panic!("as told"),
            "wait" => pending().await,
            _ => {}
        }
        Ok(())
    }

    async fn on_close(&mut self, conn: &mut Conn<Lines>, reason: &CloseReason) {
        assert!(matches!(conn.send("too late").await, Err(Error::Closed)));
        let _ = self.ends.send(reason.to_string());
    }
}

fn puppets(cores: usize) -> (Running, Events<String>, Events<Handle<Lines>>) {
    let ((ends, ended), (handles, handle)) = (events(), events());
    let puppet = Puppet { ends, handles };
    (serve(cores, Lines::with_max(100), move || puppet.clone()), ended, handle)
}

#[test]
fn by_the_peer_by_the_handler_by_a_fault() {
    for cores in CORES {
        let (server, ended, _handles) = puppets(cores);
        let long_line = [b'x'; 5000];
        let cases: [(&[u8], &str); 8] = [
            (b"hello\n", "end of stream"),
            (b"close\nignored\n", "closed here"),
            (b"fail\nignored\n", "handler error: as told"),
            (b"parse\n", "handler error: invalid digit found in string"),
            (b"panic\nignored\n", "panic: as told"),
            (
                b"\xff\n",
                "protocol error: expected UTF-8, found other bytes: invalid utf-8 sequence of 1 bytes from index 0",
            ),
            (&long_line, "protocol error: expected a frame of at most 100 bytes, found 4096"),
            (b"", "end of stream"),
        ];
        for (sent, reason) in cases {
            let mut stream = server.connect();
            stream.write_all(sent).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let answers = read_to_end(&mut stream);
            assert!(!answers.ends_with(b"ignored\n"), "{reason}");
            let told = ended.next();
            // How much of the long line came with the first read is the system's choice.
            let told = if sent.len() > 100 { told.split(", found").next().unwrap().to_owned() } else { told };
            assert_eq!(told, reason.split(", found 4096").next().unwrap());
        }
        assert!(ended.is_quiet(), "one on_close each");
    }
}

#[test]
fn by_a_reset() {
    for cores in CORES {
        let (server, ended, _handles) = puppets(cores);
        let mut stream = server.connect();
        echoes(&mut stream, b"hello\n");
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
        assert_eq!(ended.next(), "reset: Connection reset by peer (os error 104)");
    }
}

#[test]
fn by_a_handle_also_while_the_handler_waits() {
    for cores in CORES {
        let (server, ended, handles) = puppets(cores);
        let mut stream = server.connect();
        let handle = handles.next();
        handle.close();
        assert_eq!(ended.next(), "closed here");
        assert_eq!(read_to_end(&mut stream), b"");
        drop(stream);
        until("the handle knows", || handle.is_closed());

        let mut stream = server.connect();
        let handle = handles.next();
        echoes(&mut stream, b"wait\n");
        handle.abort();
        assert_eq!(ended.next(), "closed here");
    }
}

#[test]
fn by_the_server() {
    for cores in CORES {
        let (server, ended, _handles) = puppets(cores);
        let mut streams: Vec<_> = (0..20).map(|_| server.connect()).collect();
        streams.iter_mut().for_each(|stream| echoes(stream, b"hello\n"));
        let mut waiting = server.connect();
        echoes(&mut waiting, b"wait\n");
        let readers = std::thread::spawn(move || streams.iter_mut().map(read_to_end).all(|rest| rest.is_empty()));
        let took = server.stop(Duration::from_millis(300));
        // One of them waits for what never comes.
        assert!(took >= Duration::from_millis(300) && took < PATIENCE, "{took:?}");
        assert!(readers.join().unwrap());
        let reasons: Vec<_> = (0..21).map(|_| ended.next()).collect();
        assert!(reasons.iter().all(|reason| reason == "shutdown"), "{reasons:?}");
        assert!(ended.is_quiet());
    }
}

/// Greets at such length that the peer must read before any of its methods has returned.
#[derive(Clone)]
struct Greets {
    ends: Sender<String>,
    handles: Sender<Handle<Lines>>,
    group: Group<Lines>,
}

impl Handler for Greets {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        conn.set_write_marks(1000, 0);
        self.group.join(conn);
        let _ = self.handles.send(conn.handle());
        let greeting = "hello ".repeat(10_000);
        loop {
            conn.send(&greeting).await?;
        }
    }

    async fn on_message(&mut self, _: &mut Conn<Lines>, _: &str) -> Result {
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        let _ = self.ends.send(reason.to_string());
    }
}

#[test]
fn abort_ends_a_greeting_that_the_peer_does_not_take() {
    for cores in CORES {
        let ((ends, ended), (handles, handed)) = (events(), events());
        let group = Group::with_policy(Lines::with_max(100_000), SlowMember::Disconnect);
        let greets = Greets { ends, handles, group: group.clone() };
        let server = serve(cores, Lines::with_max(100_000), move || greets.clone());

        let _by_a_handle = server.connect();
        handed.next().abort();
        assert_eq!(ended.next(), "closed here");

        let _by_a_group = server.connect();
        let _slow = handed.next();
        until("the group finds its member slow", || {
            let _ = group.try_send("news");
            group.skipped() > 0
        });
        assert_eq!(ended.next(), "too slow for its group");

        let _by_the_server = server.connect();
        let _waits = handed.next();
        server.stop(Duration::ZERO);
        assert_eq!(ended.next(), "shutdown");
    }
}

/// Tells only how it ended.
#[derive(Clone)]
struct Quiet(Sender<String>);

impl Handler for Quiet {
    type Codec = LengthDelimited;

    async fn on_message(&mut self, _: &mut Conn<LengthDelimited>, _: &[u8]) -> Result {
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<LengthDelimited>, reason: &CloseReason) {
        let _ = self.0.send(reason.to_string());
    }
}

#[test]
fn by_an_announced_giant_and_by_a_frame_that_broke_off() {
    for cores in CORES {
        let (tell, ended) = events();
        let quiet = Quiet(tell);
        let server = serve(cores, LengthDelimited::default(), move || quiet.clone());
        let mut stream = server.connect();
        stream.write_all(&[0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(ended.next(), "protocol error: expected a frame of at most 65536 bytes, found 4294967295");

        let mut stream = server.connect();
        stream.write_all(&[0, 0, 0, 9, 1, 2]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let reason = "protocol error: expected the rest of a frame, found the end of the stream after 6 bytes of it";
        assert_eq!(ended.next(), reason);
    }
}

#[test]
fn a_panic_in_the_factory_costs_one_connection() {
    let (tell, ended) = events();
    let mut made = 0;
    let server = serve(1, LengthDelimited::default(), move || {
        made += 1;
        assert!(made != 1, "the first one fails");
        Quiet(tell.clone())
    });
    assert_eq!(read_to_end(&mut server.connect()), b"");
    drop(server.connect());
    assert_eq!(ended.next(), "end of stream");
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = Server::new().listen(address, Lines::default(), || -> Puppet { unreachable!() }).unwrap_err();
    assert_eq!(format!("{error:#}"), format!("cannot listen on {address}: Address already in use (os error 98)"));

    // Two of ours do not share a port by accident either.
    let (first, _ended, _handles) = puppets(2);
    let error = Server::new().listen(&first.address, Lines::default(), || -> Puppet { unreachable!() }).unwrap_err();
    assert!(matches!(error, Error::Bind { .. }), "{error}");
}

/// Everything that an error says, with what has caused it.
fn chain(error: Error) -> Vec<String> {
    let error = error.into_boxed();
    let (mut texts, mut source) = (vec![error.to_string()], error.source());
    while let Some(cause) = source {
        texts.push(cause.to_string());
        source = cause.source();
    }
    texts
}

fn io_error() -> std::io::Error {
    std::io::Error::from(std::io::ErrorKind::ConnectionRefused)
}

#[test]
fn errors_say_each_thing_once() {
    let not_utf8 = || tiderace::codec::Error::NotUtf8(std::str::from_utf8(&[0xff][..]).unwrap_err());
    let protocol = || tiderace::codec::ProtocolError::Decode(not_utf8().into());
    let address = "127.0.0.1:1".to_owned();
    let long = format!("unix://{}", "x".repeat(1000));
    let errors = [
        (Error::Bind { address: address.clone(), source: io_error() }, 2),
        (Error::Connect { address, source: io_error() }, 2),
        (Error::Encode(not_utf8().into()), 2),
        (Error::from(protocol()), 2),
        (Error::from(not_utf8()), 2),
        (Error::from(io_error()), 1),
        (Server::new().listen(long, Raw, || handlers::Echo).unwrap_err(), 2),
    ];
    for (error, length) in errors {
        let (line, lines) = (format!("{error:#}"), format!("{error:?}"));
        let texts = chain(error);
        assert!(texts.len() >= length, "{texts:?}");
        for (i, text) in texts.iter().enumerate() {
            assert!(texts[i + 1..].iter().all(|cause| !text.contains(cause)), "{texts:?}");
        }
        assert!(line.ends_with(&texts[1..].join(": ")) && lines.ends_with(&texts[1..].join("\n  caused by: ")));
        assert!(texts.iter().all(|text| line.matches(text.as_str()).count() == 1), "{line}");
    }
    let reason = CloseReason::Protocol(protocol());
    let why = std::str::from_utf8(&[0xff][..]).unwrap_err();
    assert_eq!(reason.to_string(), format!("protocol error: expected UTF-8, found other bytes: {why}"));
    let reason = CloseReason::Handler(Error::Encode(not_utf8().into()));
    let text = format!("handler error: cannot send this message: expected UTF-8, found other bytes: {why}");
    assert_eq!(reason.to_string(), text);
}

#[test]
fn outside_a_core_it_is_said_what_was_called() {
    fn panic_of(future: impl Future<Output: Sized>) -> String {
        let polled = std::panic::AssertUnwindSafe(|| drop(futures_lite::future::block_on(future)));
        *std::panic::catch_unwind(polled).unwrap_err().downcast::<String>().unwrap()
    }

    let connector = tiderace::Connector::new("tcp://127.0.0.1:1").unwrap();
    assert!(panic_of(tiderace::connect("tcp://127.0.0.1:1")).starts_with("connect needs a core"));
    assert!(panic_of(connector.connect()).starts_with("Connector::connect needs a core"));
    let serve = async { connector.clone().serve(Raw, tiderace::Backoff::default(), || handlers::Echo) };
    assert!(panic_of(serve).starts_with("Connector::serve needs a core"));
    assert!(panic_of(tiderace::UdpSocket::bind("udp://:0")).starts_with("UdpSocket::bind needs a core"));
    assert!(panic_of(tiderace::UdpSocket::connect("udp://:1")).starts_with("UdpSocket::connect needs a core"));
    #[cfg(feature = "websocket")]
    {
        let connector = tiderace::websocket::WebSocketConnector::new("ws://127.0.0.1:1").unwrap();
        assert!(panic_of(connector.connect()).starts_with("WebSocketConnector::connect needs a core"));
    }
}

/// Answers each byte by itself, with more than a peer has room for.
#[derive(Clone)]
struct Loud {
    answers: u32,
    tell: Sender<String>,
}

impl Decoder for Loud {
    type Item<'a> = ();
    type Error = std::convert::Infallible;

    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, Self::Error> {
        Ok((!input.is_empty()).then_some(1))
    }

    fn is_message(&mut self, _: &mut [u8]) -> Result<bool, Self::Error> {
        self.answers += 1;
        Ok(false)
    }

    fn decode<'a>(&'a mut self, _: &'a mut [u8]) -> Result<(), Self::Error> {
        Ok(())
    }

    fn has_answer(&self) -> bool {
        self.answers > 0
    }

    fn answer(&mut self, output: &mut Output<'_>) {
        self.answers = 0;
        output.put_slice(&vec![7; 32 * 1024 * 1024]);
        self.tell.send("answered".into()).unwrap();
    }
}

struct OfLoud {
    tell: Sender<String>,
    handles: Sender<Handle<Loud>>,
}

impl Handler for OfLoud {
    type Codec = Loud;

    async fn on_open(&mut self, conn: &mut Conn<Loud>) -> Result {
        self.handles.send(conn.handle())?;
        Ok(())
    }

    async fn on_message(&mut self, _: &mut Conn<Loud>, (): ()) -> Result {
        Ok(())
    }

    async fn on_wake(&mut self, _: &mut Conn<Loud>) -> Result {
        self.tell.send("woken".into())?;
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Loud>, reason: &CloseReason) {
        let _ = self.tell.send(reason.to_string());
    }
}

#[test]
fn close_and_wake_do_not_wait_for_a_peer_that_takes_no_answers() {
    for cores in CORES {
        let ((tell, told), (handles, handed)) = (events(), events());
        let codec = Loud { answers: 0, tell: tell.clone() };
        let make = move || OfLoud { tell: tell.clone(), handles: handles.clone() };
        let server = Server::new().cores(cores).close_timeout(Duration::from_millis(50));
        let server = Running::start(server.listen("tcp://127.0.0.1:0", codec, make).unwrap());
        let mut stream = server.connect();
        let handle = handed.next();
        stream.write_all(b"x").unwrap();
        assert_eq!(told.next(), "answered");
        handle.wake();
        assert_eq!(told.next(), "woken");
        handle.close();
        let reason = told.next();
        assert!(reason.contains("undelivered"), "{reason}");
    }
}
