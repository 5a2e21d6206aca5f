//! What a thread asks of a connection is done in its order, and whatever waits for a connection ends with it.

mod support;

use futures_lite::future::{block_on as wait, poll_once};
use std::future::{Future, pending};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;
use support::handlers::Echo;
use support::*;
use tiderace::codec::{Codec, Decoder, Encoder, Input, Lines, Output, Raw};
use tiderace::{CloseReason, Conn, Error, Group, Handle, HandleSendError, Handler, Result, Server, SlowMember};
use tiderace::{ServerHandle, after, sleep};

/// Gives its handle away, and does what it is told to when it is woken.
#[derive(Clone)]
struct Given {
    handles: Sender<Handle<Lines>>,
    on_wake: fn(&mut Conn<Lines>),
}

impl Handler for Given {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        let _ = self.handles.send(conn.handle());
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        conn.send(line).await
    }

    async fn on_wake(&mut self, conn: &mut Conn<Lines>) -> Result {
        (self.on_wake)(conn);
        Ok(())
    }
}

fn given(cores: usize, on_wake: fn(&mut Conn<Lines>)) -> (Running, Events<Handle<Lines>>) {
    given_with(Server::new().close_timeout(PATIENCE), cores, on_wake)
}

fn given_with(server: Server, cores: usize, on_wake: fn(&mut Conn<Lines>)) -> (Running, Events<Handle<Lines>>) {
    let (handles, handle) = events();
    let given = Given { handles, on_wake };
    let server = server.cores(cores).listen("tcp://127.0.0.1:0", Lines::default(), move || given.clone()).unwrap();
    (Running::start(server), handle)
}

/// Keeps a core from its turns until the sender that is returned is dropped.
fn hold(server: &ServerHandle, core: usize) -> Sender<()> {
    let ((held, is_held), (release, released)) = (channel(), channel());
    assert!(server.run_on(core, move || {
        held.send(()).unwrap();
        let _ = released.recv();
    }));
    is_held.recv().unwrap();
    release
}

/// Returns when the core has done what was asked of it before, and has written what that has queued.
fn settle(server: &ServerHandle, core: usize) {
    let (tell, told) = events();
    assert!(server.run_on(core, move || {
        // A timer goes off in a later turn, and the tasks of this one have run by then.
        after(Duration::from_millis(1), async move { tell.send(()).unwrap() }).detach();
    }));
    told.next();
}

/// Sends until the peer, which does not read, keeps more from being sent. Says how many lines were taken.
fn fill(server: &ServerHandle, handle: &Handle<Lines>, line: &str) -> usize {
    let mut sent = 0;
    loop {
        while handle.try_send(line.to_owned()).is_ok() {
            sent += 1;
        }
        settle(server, handle.id().core());
        match handle.try_send(line.to_owned()) {
            Ok(()) => sent += 1,
            Err(error) => {
                assert!(matches!(error, HandleSendError::Full(_)));
                return sent;
            }
        }
    }
}

fn lines(stream: &TcpStream) -> Vec<String> {
    BufReader::new(stream).lines().map_while(Result::ok).collect()
}

#[test]
fn close_does_not_overtake_what_its_thread_has_sent_before() {
    for cores in CORES {
        let (server, handles) = given(cores, |_| {});
        let stream = server.connect();
        let handle = handles.next();
        let release = hold(&server.handle, handle.id().core());
        handle.wake();
        // More than a core opens of its mail in one turn.
        for _ in 0..1_100 {
            handle.pause();
            handle.resume();
        }
        handle.try_send("the last words".to_owned()).unwrap();
        handle.close();
        drop(release);
        assert_eq!(lines(&stream), ["the last words"]);
    }
}

#[test]
fn a_burst_of_small_messages_from_a_thread_arrives_whole_and_in_order() {
    const BURST: usize = 20_000;
    for cores in CORES {
        let (server, handles) = given(cores, |_| {});
        let stream = server.connect();
        let handle = handles.next();
        // The core does not look at its mail before all of them are sent.
        let release = hold(&server.handle, handle.id().core());
        for i in 0..BURST {
            handle.try_send(i.to_string()).unwrap();
        }
        handle.close();
        drop(release);
        let lines = lines(&stream);
        assert_eq!(lines.len(), BURST);
        assert!(lines.iter().enumerate().all(|(i, line)| *line == i.to_string()));
    }
}

#[test]
fn messages_for_a_slow_peer_are_delivered_before_a_close() {
    for cores in CORES {
        let (server, handles) = given(cores, |_| {});
        let stream = server.connect();
        let handle = handles.next();
        let line = "x".repeat(10_000);
        let sent = fill(&server.handle, &handle, &line);
        handle.close();
        let lines = lines(&stream);
        assert_eq!(lines.len(), sent);
        assert!(lines.iter().all(|received| *received == line));
    }
}

/// How a connection may end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Detach,
    Close,
    Abort,
    Stop,
}

#[test]
fn senders_that_wait_for_room_end_with_their_connection() {
    for (cores, end) in CORES.into_iter().zip([End::Detach, End::Close, End::Abort]).chain([
        (1, End::Close),
        (1, End::Stop),
        (2, End::Detach),
        (4, End::Stop),
    ]) {
        let detach = |conn: &mut Conn<Lines>| {
            // Nothing is done with the stream: the descriptor closes.
            conn.detach(|stream| async { drop(stream) });
        };
        let impatient = Server::new().close_timeout(Duration::from_millis(50));
        let (server, handles) = given_with(impatient, cores, detach);
        let stream = server.connect();
        let handle = handles.next();
        let group = Group::with_policy(Lines::default(), SlowMember::Wait);
        group.join_handle(&handle);
        fill(&server.handle, &handle, &"x".repeat(10_000));

        let (tell, told) = channel();
        let waiter = |name: &'static str, waits: std::pin::Pin<Box<dyn Future<Output = bool> + Send>>| {
            let tell = tell.clone();
            thread::spawn(move || {
                let mut waits = waits;
                // Polled once before anything ends, so that it does wait.
                let at_once = wait(poll_once(waits.as_mut()));
                tell.send((name, at_once)).unwrap();
                if at_once.is_none() {
                    let ended = wait(waits);
                    tell.send((name, Some(ended))).unwrap();
                }
            })
        };
        let (sends, flushes, says) = (handle.clone(), handle.clone(), group.clone());
        let closed = |result: Result| matches!(result, Err(Error::Closed));
        let waiters = [
            waiter("send", Box::pin(async move { closed(sends.send("one more".to_owned()).await) })),
            waiter("flush", Box::pin(async move { closed(flushes.flush().await) })),
            waiter("group", Box::pin(async move { says.send("one more").await.unwrap() == 0 })),
        ];
        for _ in &waiters {
            assert_eq!(told.recv_timeout(PATIENCE).unwrap().1, None, "they wait");
        }
        settle(&server.handle, handle.id().core());

        match end {
            End::Detach => handle.wake(),
            End::Close => handle.close(),
            End::Abort => handle.abort(),
            End::Stop => server.handle.stop(Duration::ZERO),
        }
        for _ in &waiters {
            let (name, ended) = told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{end:?}: a waiter hangs"));
            assert_eq!(ended, Some(true), "{end:?}: {name}");
        }
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        // Nothing that waited keeps the descriptor open.
        let mut stream = stream;
        let mut all = Vec::new();
        match stream.read_to_end(&mut all) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{end:?}"),
        }
    }
}

#[test]
fn a_wake_of_its_own_connection_lets_others_have_their_turns() {
    let (server, handles) = given(1, |conn| conn.handle().wake());
    let mut stream = server.connect();
    handles.next().wake();
    let mut other = server.connect();
    echoes(&mut other, b"hello\n");
    echoes(&mut stream, b"hello\n");
}

/// Its last method waits without an end.
#[derive(Clone)]
struct SlowToClose {
    handles: Sender<Handle<Lines>>,
    tell: Sender<String>,
    waits: Option<Duration>,
}

struct Tells(Sender<String>, &'static str);

impl Drop for Tells {
    fn drop(&mut self) {
        let _ = self.0.send(self.1.into());
    }
}

impl Handler for SlowToClose {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        let _ = self.handles.send(conn.handle());
        Ok(())
    }

    async fn on_message(&mut self, _: &mut Conn<Lines>, _: &str) -> Result {
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        let _ = self.tell.send(reason.to_string());
        let _dropped = Tells(self.tell.clone(), "dropped");
        match self.waits {
            Some(time) => sleep(time).await,
            None => pending().await,
        }
        let _ = self.tell.send("waited".into());
    }
}

fn slow_to_close(cores: usize, waits: Option<Duration>) -> (Running, Events<Handle<Lines>>, Events<String>) {
    let ((handles, handle), (tell, told)) = (events(), events());
    let handler = SlowToClose { handles, tell, waits };
    (serve(cores, Lines::default(), move || handler.clone()), handle, told)
}

#[test]
fn abort_ends_an_on_close_that_waits() {
    for cores in CORES {
        let (server, handles, told) = slow_to_close(cores, None);
        drop(server.connect());
        assert_eq!(told.next(), "end of stream");
        let handle = handles.next();
        assert!(told.is_quiet() && !handle.is_closed());
        handle.abort();
        assert_eq!(told.next(), "dropped");
        until("it has ended", || handle.is_closed() && server.handle.connections() == 0);
        assert!(told.is_quiet());
    }
}

#[test]
fn abort_of_a_connection_lets_its_on_close_wait() {
    for cores in CORES {
        let (server, handles, told) = slow_to_close(cores, Some(Duration::from_millis(5)));
        let _stream = server.connect();
        handles.next().abort();
        for expected in ["closed here", "waited", "dropped"] {
            assert_eq!(told.next(), expected);
        }
        until("it has ended", || server.handle.connections() == 0);
    }
}

#[test]
fn a_stop_ends_an_on_close_that_waits() {
    for cores in CORES {
        let (server, _handles, told) = slow_to_close(cores, None);
        drop(server.connect());
        assert_eq!(told.next(), "end of stream");
        server.stop(Duration::from_millis(10));
        assert_eq!(told.next(), "dropped");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_flush_that_is_given_up_keeps_nothing() {
    const FLUSHES: u64 = 100_000;
    if !system::is_own_process("a_flush_that_is_given_up_keeps_nothing") {
        return;
    }
    let (server, handles) = given(1, |_| {});
    let _stream = server.connect();
    let handle = handles.next();
    fill(&server.handle, &handle, &"x".repeat(10_000));
    let process = std::process::id();
    let before = system::resident(process);
    for i in 0..FLUSHES {
        assert!(wait(poll_once(handle.flush())).is_none());
        if i % 1_000 == 0 {
            settle(&server.handle, 0);
        }
    }
    settle(&server.handle, 0);
    let kept = system::resident(process).saturating_sub(before);
    assert!(kept < FLUSHES * 200, "{kept} bytes for {FLUSHES} flushes");
}

/// Where a part of a user's code panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Panics {
    Halves,
    CanPing,
    IsOpen,
    HasAnswer,
    Farewell,
    DropOfDecoder,
    DropOfHandler,
    DropOfFuture,
    DropOfFutureAtTheEnd,
}

#[derive(Clone)]
struct Fragile(Panics);

struct FragileHalf(Panics);

impl FragileHalf {
    fn panics(&self, here: Panics) {
        assert!(self.0 != here, "as told");
    }
}

impl Drop for FragileHalf {
    fn drop(&mut self) {
        self.panics(Panics::DropOfDecoder);
    }
}

impl Codec for Fragile {
    type Decoder = FragileHalf;
    type Encoder = Raw;

    fn halves(&self) -> (FragileHalf, Raw) {
        assert!(self.0 != Panics::Halves, "as told");
        (FragileHalf(self.0), Raw)
    }
}

impl Decoder for FragileHalf {
    type Item<'a> = &'a [u8];
    type Error = std::convert::Infallible;

    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, Self::Error> {
        Ok(Some(input.as_slices().0.len()))
    }

    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<&'a [u8], Self::Error> {
        Ok(frame)
    }

    fn is_open(&self) -> bool {
        self.panics(Panics::IsOpen);
        true
    }

    fn can_ping(&self) -> bool {
        self.panics(Panics::CanPing);
        false
    }

    fn has_answer(&self) -> bool {
        self.panics(Panics::HasAnswer);
        false
    }

    fn farewell(&mut self, _: tiderace::codec::Farewell) {
        self.panics(Panics::Farewell);
    }
}

struct FragileHandler {
    panics: Panics,
    tell: Sender<Option<Handle<Fragile>>>,
}

struct PanicsWhenDropped(bool);

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        assert!(!self.0, "as told");
    }
}

impl Drop for FragileHandler {
    fn drop(&mut self) {
        assert!(self.panics != Panics::DropOfHandler, "as told");
    }
}

impl Handler for FragileHandler {
    type Codec = Fragile;

    async fn on_message(&mut self, conn: &mut Conn<Fragile>, _: &[u8]) -> Result {
        let _bomb = PanicsWhenDropped(self.panics == Panics::DropOfFuture);
        let _ = self.tell.send(Some(conn.handle()));
        pending().await
    }

    async fn on_close(&mut self, conn: &mut Conn<Fragile>, _: &CloseReason) {
        let _ = self.tell.send(None);
        if self.panics == Panics::DropOfFutureAtTheEnd {
            let _bomb = PanicsWhenDropped(true);
            let _ = self.tell.send(Some(conn.handle()));
            pending().await
        }
    }
}

#[test]
fn a_panic_in_a_user_s_part_of_a_connection_ends_that_connection_only() {
    use Panics::*;
    for panics in
        [Halves, CanPing, IsOpen, HasAnswer, Farewell, DropOfDecoder, DropOfHandler, DropOfFuture, DropOfFutureAtTheEnd]
    {
        let (tell, told) = events();
        let server = Server::new().cores(1).listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap();
        let make = move || FragileHandler { panics, tell: tell.clone() };
        let server = server.listen("tcp://127.0.0.1:0", Fragile(panics), make).unwrap();
        let fragile = server.local_addrs()[1].clone();
        let server = Running::start(server);
        let mut stream = TcpStream::connect(&fragile).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let is_told_of_it = !matches!(panics, Halves | CanPing);
        if is_told_of_it {
            let _ = stream.write_all(b"hello");
        }
        if !matches!(panics, Halves | CanPing | IsOpen | HasAnswer) {
            told.next().expect("it waits in on_message").abort();
        }
        if is_told_of_it {
            assert!(told.next().is_none(), "{panics:?}: its end is told once");
        }
        if panics == DropOfFutureAtTheEnd {
            let handle = told.next().expect("it waits in on_close");
            settle(&server.handle, 0);
            handle.abort();
        }
        read_to_end(&mut stream);
        drop(stream);
        until("it is counted no more", || server.handle.connections() == 0);
        assert_eq!(wait(server.handle.for_each(|_: Handle<Fragile>| ())), 0, "{panics:?}: it is registered");
        echoes(&mut server.connect(), b"others go on");
    }
}

#[test]
fn an_encoder_s_message_that_panics_when_it_is_dropped_costs_no_core() {
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("as told");
        }
    }

    #[derive(Clone)]
    struct Bombs;

    impl Decoder for Bombs {
        type Item<'a> = &'a [u8];
        type Error = std::convert::Infallible;

        fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, Self::Error> {
            Ok(Some(input.as_slices().0.len()))
        }

        fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<&'a [u8], Self::Error> {
            Ok(frame)
        }
    }

    impl Encoder<Bomb> for Bombs {
        type Error = std::convert::Infallible;

        fn encode(&mut self, _: &Bomb, output: &mut Output<'_>) -> Result<(), Self::Error> {
            output.put_u8(b'x');
            Ok(())
        }
    }

    struct Gives(Sender<Handle<Bombs>>);

    impl Handler for Gives {
        type Codec = Bombs;

        async fn on_open(&mut self, conn: &mut Conn<Bombs>) -> Result {
            let _ = self.0.send(conn.handle());
            Ok(())
        }

        async fn on_message(&mut self, _: &mut Conn<Bombs>, _: &[u8]) -> Result {
            Ok(())
        }
    }

    let (give, handles) = events();
    let server = serve(1, Bombs, move || Gives(give.clone()));
    let mut stream = server.connect();
    let handle = handles.next();
    let mut byte = [0];
    for _ in 0..2 {
        handle.try_send(Bomb).unwrap();
        stream.read_exact(&mut byte).unwrap();
    }
}
