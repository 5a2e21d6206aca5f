//! Time limits of connections: who keeps them stays, who exceeds one is closed for that reason.

mod support;

use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::net::TcpStream;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use support::*;
use tiderace::codec::{Codec, Item, Lines, Peek};
use tiderace::{CloseReason, Conn, Group, Handler, Result, Server, TimeLimit, sleep};

/// Does what a line says, and tells why the connection has ended.
#[derive(Clone)]
struct Obedient(Sender<TimeLimit>);

const SHORT: Duration = Duration::from_millis(60);

impl Handler for Obedient {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        match line {
            "work" => sleep(4 * SHORT).await,
            "idle" => conn.set_idle_timeout(Some(SHORT)),
            "patient" => {
                conn.set_idle_timeout(None);
                conn.set_read_deadline(None);
            }
            "pause soon" => {
                let (pausing, resuming) = (conn.handle(), conn.handle());
                tiderace::after(SHORT, async move { pausing.pause() });
                tiderace::after(16 * SHORT, async move { resuming.resume() });
            }
            "be quick" => conn.set_message_timeout(Some(2 * SHORT)),
            "pause past a read deadline" => {
                conn.set_read_deadline(Some(Instant::now() + 4 * SHORT));
                conn.pause();
                let (ending, resuming) = (conn.handle(), conn.handle());
                tiderace::after(8 * SHORT, async move { ending.wake() });
                tiderace::after(9 * SHORT, async move { resuming.resume() });
            }
            "read" => conn.set_read_deadline(Some(Instant::now() + SHORT)),
            "flood" => {
                conn.set_write_deadline(Some(Instant::now() + SHORT));
                flood(conn).await?;
            }
            "give me much" => flood(conn).await?,
            _ => {}
        }
        conn.send(line).await
    }

    async fn on_wake(&mut self, conn: &mut Conn<Lines>) -> Result {
        conn.set_read_deadline(None);
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        if let CloseReason::Timeout(limit) = reason {
            self.0.send(*limit).unwrap();
        }
    }
}

const FLOOD: usize = 1000 * 60_001;

async fn flood(conn: &mut Conn<Lines>) -> Result {
    let much = "x".repeat(60_000);
    for _ in 0..1000 {
        conn.send(&*much).await?;
    }
    Ok(())
}

fn obedient(configure: impl FnOnce(Server) -> Server) -> (Running, Events<TimeLimit>) {
    let (tell, told) = events();
    let obedient = Obedient(tell);
    let server = configure(Server::new().cores(2).close_timeout(SHORT));
    let server = server.listen("tcp://127.0.0.1:0", Lines::default(), move || obedient.clone()).unwrap();
    (Running::start(server), told)
}

/// What `attempt` comes to. It fails where the machine keeps this test from its work for longer than `within`, as a peer may
/// not be; then it is made again.
fn in_time<T>(within: Duration, mut attempt: impl FnMut() -> io::Result<T>) -> T {
    loop {
        let began = Instant::now();
        match attempt() {
            Ok(outcome) => return outcome,
            Err(error) => assert!(began.elapsed() >= within, "{error}, although it was in time"),
        }
    }
}

fn try_echo(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.read_exact(&mut vec![0; bytes.len()])
}

/// A server, and a connection that has spoken within `SHORT`.
fn spoken_to(what: &[u8], configure: impl Fn(Server) -> Server) -> (Running, Events<TimeLimit>, TcpStream) {
    in_time(SHORT, || {
        let (server, told) = obedient(&configure);
        let mut stream = server.connect();
        try_echo(&mut stream, what).map(|()| (server, told, stream))
    })
}

/// Has two connections, one of which lives: `live` does something, and returns when the peer has noticed that. The other is
/// idle and closed for that; says how often the first has lived until then.
fn outlives_an_idle_one(join: impl Fn(&Running), mut live: impl FnMut(&mut TcpStream) -> io::Result<()>) -> u32 {
    loop {
        let (server, told, mut busy) = spoken_to(b"hello\n", |server| server.idle_timeout(SHORT));
        join(&server);
        let mut idle = server.connect();
        let (began, mut lives, mut longest) = (Instant::now(), 0, Duration::ZERO);
        let mut before = began;
        let lived = loop {
            let lived = live(&mut busy);
            longest = longest.max(before.elapsed());
            if lived.is_err() || !told.is_quiet() {
                break lived;
            }
            before = Instant::now();
            std::thread::sleep(SHORT / 10);
            lives += 1;
            assert!(began.elapsed() < PATIENCE);
        };
        // The first was idle, too, where the machine kept this test from its work for so long.
        if longest < SHORT / 2 {
            lived.unwrap();
            assert!(began.elapsed() >= SHORT, "not before its time");
            assert_eq!(idle.read(&mut [0]).unwrap(), 0);
            return lives;
        }
    }
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let chats = outlives_an_idle_one(|_| {}, |busy| try_echo(busy, b"hello\n"));
    assert!(chats >= 3, "{chats}");
}

#[test]
fn idle_is_not_a_connection_that_hears_its_group() {
    let room = Group::new(Lines::default());
    let join = |server: &Running| {
        let room = room.clone();
        tiderace::block_on(server.handle.for_each(move |handle| room.join_handle(&handle)));
    };
    let heard = outlives_an_idle_one(join, |busy| {
        room.try_send("hear").unwrap();
        busy.read_exact(&mut [0; 5])
    });
    assert!(heard >= 3, "{heard}");
}

#[test]
fn it_is_the_peer_that_is_idle_not_the_handler() {
    let (server, told) = obedient(|server| server);
    let mut stream = server.connect();
    // Longer than the limit, and yet it is answered.
    echoes(&mut stream, b"idle\nwork\n");
    assert_eq!(told.next(), TimeLimit::Idle);
}

#[test]
fn a_connection_may_set_its_own_limits() {
    let (server, told) = obedient(|server| server);
    let mut idle = server.connect();
    echoes(&mut idle, b"idle\n");
    assert_eq!(told.next(), TimeLimit::Idle);
    let mut slow = server.connect();
    echoes(&mut slow, b"read\n");
    // Bytes of a message that does not end are no message.
    while told.is_quiet() {
        let _ = slow.write_all(b"x");
        std::thread::sleep(SHORT / 10);
        if slow.peer_addr().is_err() || server.handle.connections() == 0 {
            break;
        }
    }
    let (_server, told, mut patient) = spoken_to(b"patient\n", |server| server.idle_timeout(SHORT));
    std::thread::sleep(3 * SHORT);
    echoes(&mut patient, b"still here\n");
    assert!(told.is_quiet());
}

#[test]
fn a_read_deadline_is_kept_by_a_message_not_by_its_bytes() {
    let (server, told) = obedient(|server| server);
    let mut slow = server.connect();
    echoes(&mut slow, b"read\n");
    let dripping = std::thread::spawn(move || {
        while slow.write_all(b"x").is_ok() {
            std::thread::sleep(SHORT / 20);
        }
    });
    assert_eq!(told.next(), TimeLimit::Read);
    drop(server);
    dripping.join().unwrap();
}

#[test]
fn who_does_not_speak_in_time_is_closed() {
    let (server, told, mut speaks) = spoken_to(b"hello\n", |server| server.first_message_timeout(SHORT));
    let mut silent = server.connect();
    let mut drips = server.connect();
    drips.write_all(b"hel").unwrap();
    assert_eq!(told.next(), TimeLimit::FirstMessage);
    assert_eq!(told.next(), TimeLimit::FirstMessage);
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    assert_eq!(drips.read(&mut [0]).unwrap(), 0);
    echoes(&mut speaks, b"still here\n");
}

#[test]
fn a_peer_that_takes_nothing_is_closed_at_the_write_deadline() {
    let (server, told) = obedient(|server| server.close_timeout(SHORT));
    let mut stream = server.connect();
    stream.write_all(b"flood\n").unwrap();
    let TimeLimit::Write { queued } = told.next() else { panic!("another limit") };
    assert!(queued > 0);
}

#[test]
fn a_message_that_has_begun_must_end() {
    // Between messages there is no limit, and each message has its own, whatever comes with it.
    let two_messages = |stream: &mut TcpStream| {
        stream.write_all(b"hel")?;
        std::thread::sleep(SHORT);
        stream.write_all(b"lo\nhel")?;
        stream.read_exact(&mut [0; 6])?;
        std::thread::sleep(SHORT);
        stream.write_all(b"lo\n")?;
        stream.read_exact(&mut [0; 6])
    };
    let (told, mut stream, _server) = 'again: loop {
        let (server, told) = obedient(|server| server.message_timeout(4 * SHORT));
        let mut stream = server.connect();
        for _ in 0..3 {
            let began = Instant::now();
            if let Err(error) = two_messages(&mut stream) {
                assert!(began.elapsed() >= 4 * SHORT, "{error}, although it was in time");
                continue 'again;
            }
            std::thread::sleep(5 * SHORT);
        }
        break (told, stream, server);
    };
    // Whoever sends a byte now and then is closed all the same.
    let limit = loop {
        let _ = stream.write_all(b"x");
        std::thread::sleep(SHORT / 4);
        if let Some(limit) = told.try_next() {
            break limit;
        }
    };
    assert_eq!(limit, TimeLimit::Message);
}

#[test]
fn a_message_that_was_kept_waiting_may_still_end() {
    let (server, told) = obedient(|server| server.message_timeout(4 * SHORT));
    let mut stream = server.connect();
    stream.write_all(b"pause soon\nhel").unwrap();
    stream.read_exact(&mut [0; 11]).unwrap();
    // While it is paused, and later than a message may end that is read.
    std::thread::sleep(5 * SHORT);
    stream.write_all(b"lo\n").unwrap();
    stream.read_exact(&mut [0; 6]).unwrap();
    assert!(told.is_quiet());
}

/// To wait for it would be to fail: these connections have had their time.
const LONG_CLOSE: Duration = PATIENCE.saturating_mul(4);

#[test]
fn who_takes_nothing_is_closed_at_once() {
    let configure = |server: Server| server.write_timeout(SHORT).close_timeout(LONG_CLOSE);
    let (server, told) = obedient(configure);
    let mut greedy = server.connect();
    greedy.write_all(b"give me much\n").unwrap();
    assert!(matches!(told.next(), TimeLimit::Write { queued } if queued > 0));
    until("the count", || server.handle.connections() == 0);
    // The deadline that a handler sets ends it as quickly.
    let mut greedy = server.connect();
    greedy.write_all(b"flood\n").unwrap();
    assert!(matches!(told.next(), TimeLimit::Write { queued } if queued > 0));
    until("the count", || server.handle.connections() == 0);
}

#[test]
fn who_takes_what_it_has_asked_for_is_kept() {
    let (server, told) = obedient(|server| server.write_timeout(PATIENCE));
    let mut eager = server.connect();
    eager.write_all(b"give me much\n").unwrap();
    let mut much = vec![0; FLOOD + "give me much\n".len()];
    eager.read_exact(&mut much).unwrap();
    assert!(much.ends_with(b"xx\ngive me much\n"));
    assert!(told.is_quiet());
}

/// What others send counts as well, while its own task has nothing to do.
#[test]
fn who_does_not_take_what_others_send_is_closed() {
    let (server, told) = obedient(|server| server.write_timeout(SHORT).close_timeout(LONG_CLOSE));
    let _quiet = server.connect();
    until("the count", || server.handle.connections() == 1);
    let much = "x".repeat(60_000);
    let visits = server.handle.for_each(move |handle: tiderace::Handle<Lines>| {
        let much = much.clone();
        tiderace::spawn_local(async move { while handle.send(much.clone()).await.is_ok() {} });
    });
    assert_eq!(tiderace::block_on(visits), 1);
    assert!(matches!(told.next(), TimeLimit::Write { queued } if queued > 0));
    until("the count", || server.handle.connections() == 0);
}

/// Takes what comes, in any protocol, says nothing, and tells which time limit has ended the connection.
struct Silent<C>(Sender<TimeLimit>, PhantomData<fn() -> C>);

impl<C: Codec + 'static> Handler for Silent<C> {
    type Codec = C;

    fn on_message<'a>(&'a mut self, _: &'a mut Conn<C>, _: Item<'a, C>) -> impl Future<Output = Result> + 'a {
        std::future::ready(Ok(()))
    }

    async fn on_close(&mut self, _: &mut Conn<C>, reason: &CloseReason) {
        if let CloseReason::Timeout(limit) = reason {
            self.0.send(*limit).unwrap();
        }
    }
}

fn silent<C: Codec + Clone + Send + 'static>(server: Server, codec: C) -> (Running, Events<TimeLimit>) {
    let (tell, told) = events();
    let make = move || Silent(tell.clone(), PhantomData);
    let server = server.close_timeout(SHORT);
    (Running::start(server.listen("tcp://127.0.0.1:0", codec, make).unwrap()), told)
}

/// Sends the same bytes again and again, until the connection is closed.
fn drip(mut stream: TcpStream, bytes: &[u8]) -> JoinHandle<()> {
    let bytes = bytes.to_vec();
    std::thread::spawn(move || {
        while stream.write_all(&bytes).is_ok() {
            std::thread::sleep(SHORT / 20);
        }
    })
}

#[cfg(feature = "resp")]
#[test]
fn first_message_limit_is_not_kept_by_empty_lines() {
    for cores in CORES {
        let server = Server::new().cores(cores).first_message_timeout(2 * SHORT);
        let (server, told) = silent(server, tiderace::resp::Commands::default());
        let dripping = drip(server.connect(), b"\r\n");
        assert_eq!(told.next(), TimeLimit::FirstMessage);
        dripping.join().unwrap();
    }
}

#[cfg(feature = "resp")]
#[test]
fn first_message_limit_is_kept_by_a_command_behind_an_empty_line() {
    let server = Server::new().cores(1).first_message_timeout(16 * SHORT).idle_timeout(24 * SHORT);
    let (server, told) = silent(server, tiderace::resp::Commands::default());
    let mut stream = server.connect();
    stream.write_all(b"\r\n*1\r\n$4\r\nPING\r\n").unwrap();
    assert_eq!(told.next(), TimeLimit::Idle);
}

#[test]
fn first_message_limit_is_not_kept_by_bytes_that_the_handler_leaves() {
    let server = Server::new().cores(1).first_message_timeout(2 * SHORT);
    let (server, told) = silent(server, Peek::default());
    let dripping = drip(server.connect(), b"x");
    assert_eq!(told.next(), TimeLimit::FirstMessage);
    dripping.join().unwrap();
}

#[cfg(feature = "websocket")]
#[test]
fn first_message_limit_is_kept_by_a_websocket_handshake() {
    let server = Server::new().cores(1).first_message_timeout(16 * SHORT);
    let (server, told) = silent(server, tiderace::websocket::WebSocket::default());
    let mut listening = support::websocket::open(server.connect(), "");
    let mut silent = server.connect();
    assert_eq!(told.next(), TimeLimit::FirstMessage);
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    // The one that has made its handshake is still asked for no message.
    listening.write_all(&support::websocket::frame(0x89, b"ping")).unwrap();
    let mut pong = [0; 6];
    listening.read_exact(&mut pong).unwrap();
    assert_eq!(&pong[2..], b"ping");
}

#[test]
fn message_limit_holds_for_bytes_that_the_handler_leaves() {
    let server = Server::new().cores(1).message_timeout(2 * SHORT);
    let (server, told) = silent(server, Peek::default());
    let dripping = drip(server.connect(), b"x");
    assert_eq!(told.next(), TimeLimit::Message);
    dripping.join().unwrap();
}

#[cfg(feature = "websocket")]
#[test]
fn message_limit_holds_for_all_fragments_of_a_websocket_message() {
    use support::websocket::{frame, open};
    for cores in CORES {
        let server = Server::new().cores(cores).message_timeout(4 * SHORT);
        let (server, told) = silent(server, tiderace::websocket::WebSocket::default());
        let mut stream = open(server.connect(), "");
        stream.write_all(&frame(0x01, b"a")).unwrap();
        // Each fragment is a whole frame, and so is a ping between them.
        let dripping = drip(stream, &[frame(0x00, b"b"), frame(0x89, b"ping")].concat());
        assert_eq!(told.next(), TimeLimit::Message);
        dripping.join().unwrap();
    }
}

#[cfg(feature = "http")]
#[test]
fn message_limit_holds_for_a_request_whose_body_comes_in_parts() {
    let server = Server::new().cores(1).message_timeout(4 * SHORT);
    let (server, told) = silent(server, tiderace::http::HttpParts::default());
    for head in ["Content-Length: 1000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"] {
        let mut stream = server.connect();
        stream.write_all(format!("POST / HTTP/1.1\r\nHost: h\r\n{head}").as_bytes()).unwrap();
        let part: &[u8] = if head.starts_with('C') { b"x" } else { b"1\r\nx\r\n" };
        let dripping = drip(stream, part);
        assert_eq!(told.next(), TimeLimit::Message);
        dripping.join().unwrap();
    }
}

/// A second message that has begun with the last part of the first has a time of its own.
#[cfg(feature = "websocket")]
#[test]
fn message_limit_begins_anew_with_each_message() {
    use support::websocket::{frame, open};
    let server = Server::new().cores(1).message_timeout(16 * SHORT).idle_timeout(40 * SHORT);
    let (server, told) = silent(server, tiderace::websocket::WebSocket::default());
    let mut stream = open(server.connect(), "");
    stream.write_all(&frame(0x01, b"a")).unwrap();
    let began = Instant::now();
    while began.elapsed() < 32 * SHORT {
        std::thread::sleep(2 * SHORT);
        // The end of one, and the beginning of the next.
        stream.write_all(&[frame(0x80, b"z"), frame(0x01, b"a")].concat()).unwrap();
        assert!(told.is_quiet());
    }
    stream.write_all(&frame(0x80, b"z")).unwrap();
    assert_eq!(told.next(), TimeLimit::Idle);
}

/// Takes parts of a request, of which one takes long.
#[cfg(feature = "http")]
struct Slow(Sender<String>);

#[cfg(feature = "http")]
impl Handler for Slow {
    type Codec = tiderace::http::HttpParts;

    async fn on_open(&mut self, _: &mut Conn<Self::Codec>) -> Result {
        sleep(Slow::LONG).await;
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Self::Codec>, part: tiderace::http::Part<'_>) -> Result {
        use tiderace::http::{Part, Response};
        match part {
            Part::Body { bytes: b"slow", .. } => {
                sleep(Slow::LONG).await;
                self.0.send("slow".into())?;
            }
            Part::Body { bytes: b"more time", .. } => {
                conn.set_message_timeout(Some(PATIENCE));
                self.0.send("more time".into())?;
            }
            Part::Body { is_last: true, .. } => conn.send(&Response::text("done")).await?,
            Part::Body { bytes, .. } => self.0.send(String::from_utf8_lossy(bytes).into_owned())?,
            Part::Request { .. } => {}
        }
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Self::Codec>, reason: &CloseReason) {
        self.0.send(reason.to_string()).unwrap();
    }
}

#[cfg(feature = "http")]
impl Slow {
    const LIMIT: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_millis(1_200);

    fn start() -> (Running, Events<String>) {
        let (tell, told) = events();
        let server = Server::new().cores(1).first_message_timeout(Slow::LIMIT).message_timeout(Slow::LIMIT);
        let (codec, make) = (tiderace::http::HttpParts::default(), move || Slow(tell.clone()));
        (Running::start(server.listen("tcp://127.0.0.1:0", codec, make).unwrap()), told)
    }
}

#[cfg(feature = "http")]
#[test]
fn message_limits_do_not_count_the_time_that_the_handler_takes() {
    let (server, told) = Slow::start();
    let mut stream = server.connect();
    // The head comes in two pieces, because only a message that is waited for has a time limit.
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\ns").unwrap();
    assert_eq!(told.next(), "s");
    stream.write_all(b"slow").unwrap();
    assert_eq!(told.next(), "slow");
    stream.write_all(b"end").unwrap();
    let mut status = [0; 15];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 OK");
}

#[cfg(feature = "http")]
#[test]
fn message_limit_that_a_handler_sets_counts_for_the_message_that_has_begun() {
    let (server, told) = Slow::start();
    let mut stream = server.connect();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 13\r\n\r\ns").unwrap();
    assert_eq!(told.next(), "s");
    stream.write_all(b"more time").unwrap();
    assert_eq!(told.next(), "more time");
    std::thread::sleep(Slow::LONG);
    stream.write_all(b"end").unwrap();
    let mut status = [0; 15];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 OK");
}

#[test]
fn message_limit_may_be_set_by_a_handler() {
    let (server, told) = obedient(|server| server);
    let mut stream = server.connect();
    echoes(&mut stream, b"be quick\n");
    let dripping = drip(stream, b"x");
    assert_eq!(told.next(), TimeLimit::Message);
    dripping.join().unwrap();
}

#[test]
fn read_deadline_does_not_count_while_the_connection_is_paused() {
    let (server, told) = obedient(|server| server);
    let mut stream = server.connect();
    echoes(&mut stream, b"pause past a read deadline\n");
    echoes(&mut stream, b"patient\n");
    assert!(told.is_quiet());
}
