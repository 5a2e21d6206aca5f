//! User code that panics, sends where it is called from the midst of things, or outlives what it belongs to: it costs its
//! own connection at most.

mod support;

use bytes::Bytes;
use std::convert::Infallible;
use std::future::{Future, ready};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket as StdUdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use support::handlers::EchoLines;
use support::*;
use tiderace::codec::{Codec, Encoder, Lines, Output, Raw};
use tiderace::{
    CloseReason, Conn, ConnectionId, DatagramHandler, Group, Handle, Handler, Peer, Result, Server, SlowMember,
    UdpSocket,
};
use tiderace::{WriteEvent, block_on, connect, spawn_local, timeout};

/// Its last method panics before it has made a future.
struct PanicsAtTheEnd;

impl Handler for PanicsAtTheEnd {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        conn.send(line).await?;
        conn.close();
        Ok(())
    }

    fn on_close<'a>(&'a mut self, _: &'a mut Conn<Lines>, _: &'a CloseReason) -> impl Future<Output = ()> + 'a {
        if self.panics() { panic!("in on_close") } else { ready(()) }
    }
}

impl PanicsAtTheEnd {
    fn panics(&self) -> bool {
        true
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_panic_at_the_end_closes_the_descriptor() {
    let server = serve(1, Lines::default(), || PanicsAtTheEnd);
    let before = descriptors();
    for _ in 0..300 {
        let mut stream = server.connect();
        echoes(&mut stream, b"good bye\n");
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    // Other tests run beside this one, and have some.
    until("the descriptors are closed", || descriptors() < before + 150);
}

struct PanicsOverDatagrams;

impl DatagramHandler for PanicsOverDatagrams {
    fn on_datagram<'a>(
        &'a mut self,
        socket: &'a UdpSocket,
        datagram: &'a [u8],
        from: Peer,
    ) -> impl Future<Output = Result> + 'a {
        assert_ne!(datagram, b"bad");
        socket.send_to(datagram, from)
    }
}

#[test]
fn a_panic_over_a_datagram_costs_that_one() {
    let server = Server::new().cores(1).listen_udp("udp://127.0.0.1:0", || PanicsOverDatagrams).unwrap();
    let server = Running::start(server);
    let client = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.connect(&server.address).unwrap();
    for datagram in [&b"bad"[..], b"good"] {
        client.send(datagram).unwrap();
    }
    let mut answer = [0; 8];
    assert_eq!(client.recv(&mut answer).unwrap(), 4);
}

#[test]
fn a_panic_of_a_visitor_costs_nobody() {
    let (tell, _told) = events();
    let server = serve(2, Lines::default(), move || EchoLines(tell.clone()));
    let mut streams: Vec<_> = (0..4).map(|_| server.connect()).collect();
    streams.iter_mut().for_each(|stream| echoes(stream, b"here\n"));
    let visits = server.handle.for_each(|_: Handle<Lines>| panic!("in a visitor"));
    assert_eq!(block_on(visits), 4);
    streams.iter_mut().for_each(|stream| echoes(stream, b"still here\n"));
}

/// Bytes whose owner panics when they are released.
struct Bomb(Vec<u8>);

impl AsRef<[u8]> for Bomb {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in a destructor");
    }
}

#[test]
fn a_panic_of_an_owner_of_sent_bytes_costs_nothing() {
    for cores in CORES {
        let server = serve(cores, Raw, || ChattyWatcher);
        let mut peers: Vec<_> = (0..2).map(|_| server.connect()).collect();
        until("both are open", || server.handle.connections() == 2);
        block_on(server.handle.for_each(|handle: Handle<Raw>| {
            // Several in one queue.
            for _ in 0..3 {
                handle.try_send(Bytes::from_owner(Bomb(vec![b'x'; 5000]))).unwrap();
            }
        }));
        for peer in &mut peers {
            let mut all = [0; 15_000];
            peer.read_exact(&mut all).unwrap();
            assert!(all.iter().all(|byte| *byte == b'x'));
        }
        assert_eq!(server.handle.connections(), 2);
    }
}

/// Its watcher panics.
struct BadlyWatched(Sender<String>);

impl Handler for BadlyWatched {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        conn.watch_writes(|_| panic!("in a watcher"));
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        conn.send(line).await
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        let _ = self.0.send(reason.to_string());
    }
}

#[test]
fn a_panic_of_a_watcher_costs_its_connection() {
    let (tell, told) = events();
    let server = serve(1, Lines::default(), move || BadlyWatched(tell.clone()));
    // In the connection's own task, and at the end of a turn.
    let mut asks = server.connect();
    asks.write_all(b"hello\n").unwrap();
    told.next();
    let _listens = server.connect();
    until("it is open", || server.handle.connections() == 1);
    block_on(server.handle.for_each(|handle: Handle<Lines>| handle.try_send("hello").unwrap()));
    told.next();
    until("both are gone", || server.handle.connections() == 0);
    read_to_end(&mut asks);
}

/// Its watcher sends, once.
struct ChattyWatcher;

impl Handler for ChattyWatcher {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, message: &[u8]) -> Result {
        let (handle, before) = (conn.handle(), message == b"before");
        let mut note = Some(b"note".to_vec());
        conn.watch_writes(move |event| {
            if matches!(event, WriteEvent::Before { .. }) == before
                && let Some(note) = note.take()
            {
                handle.try_send(note).unwrap();
            }
        });
        // Large enough to go to the socket at once, if nobody watched.
        conn.send(&[b'x'; 20_000][..]).await
    }
}

#[test]
fn a_watcher_may_send() {
    let server = serve(1, Raw, || ChattyWatcher);
    for when in [&b"before"[..], b"after"] {
        let mut stream = server.connect();
        stream.write_all(when).unwrap();
        let mut all = vec![0; 20_004];
        stream.read_exact(&mut all).unwrap();
        assert_eq!(all.iter().filter(|byte| **byte == b'x').count(), 20_000);
    }
}

/// Sends for its release.
struct Owner(Handle<Raw>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &[b'x'; 100_000]
    }
}

/// Too long to be copied into what waits.
static RELEASED: [u8; 100_000] = [b'R'; 100_000];

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.0.try_send(RELEASED.to_vec());
    }
}

/// Sends bytes whose owner sends when they have left, while more waits behind them.
struct Releases;

impl Handler for Releases {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, _: &[u8]) -> Result {
        conn.set_write_marks(u32::MAX, 0);
        // So much that the owner's bytes leave while the socket is being written to.
        conn.send(&Bytes::from(vec![b'a'; 10_000_000])).await?;
        conn.send(&Bytes::from_owner(Owner(conn.handle()))).await?;
        conn.send(&Bytes::from(vec![b'y'; 20_000_000])).await
    }
}

#[test]
fn a_release_may_send() {
    let server = serve(1, Raw, || Releases);
    let mut stream = server.connect();
    stream.write_all(b"go").unwrap();
    let mut all = vec![0; 10_000_000 + 100_000 + 20_000_000 + RELEASED.len()];
    stream.read_exact(&mut all).unwrap();
    let pieces: Vec<(u8, usize)> = all.chunk_by(|a, b| a == b).map(|piece| (piece[0], piece.len())).collect();
    assert_eq!(pieces, [(b'a', 10_000_000), (b'x', 100_000), (b'y', 20_000_000), (b'R', 100_000)]);
}

#[test]
fn a_release_with_its_connection_may_send() {
    let server = serve(1, Raw, || Releases);
    let address = server.address.to_string();
    block_on(async {
        let other = connect(&*address).await.unwrap().serve(Raw, Releases).unwrap();
        let mut framed = connect(&*address).await.unwrap().framed(Raw);
        framed.feed(&Bytes::from_owner(Owner(other.clone()))).await.unwrap();
        assert!(spawn_local(async move { drop(framed) }).await.is_ok());
        assert!(!other.is_closed());
    });
}

#[test]
fn a_group_outlives_a_server() {
    let room = Group::new(Lines::default());
    for _ in 0..2 {
        let (tell, _told) = events();
        let server = serve(2, Lines::default(), move || EchoLines(tell.clone()));
        let mut stream = server.connect();
        echoes(&mut stream, b"here\n");
        let joining = room.clone();
        assert_eq!(block_on(server.handle.for_each(move |handle| joining.join_handle(&handle))), 1);
        until("it is a member", || room.len() == 1);
        // More than may be under way to one core, were they not received.
        for _ in 0..1500 {
            room.try_send("hear").unwrap();
            stream.read_exact(&mut [0; 5]).unwrap();
        }
    }
    assert_eq!(room.len(), 0);
}

/// Connects to somebody after its server was told to stop.
struct Latecomer(SocketAddr, Sender<String>);

impl Handler for Latecomer {
    type Codec = Lines;

    async fn on_message(&mut self, _: &mut Conn<Lines>, _: &str) -> Result {
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, _: &CloseReason) {
        if let Ok(stream) = connect(self.0).await {
            stream.serve(Lines::default(), EchoLines(self.1.clone())).unwrap();
        }
    }
}

#[test]
fn a_connection_made_while_the_server_stops_ends_with_it() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let (tell, told) = events();
    let address = elsewhere.local_addr().unwrap();
    let server = serve(1, Lines::default(), move || Latecomer(address, tell.clone()));
    let _stream = server.connect();
    until("it is open", || server.handle.connections() == 1);
    let began = Instant::now();
    let stopping = std::thread::spawn(move || server.stop(2 * PATIENCE));
    // The peer ends as soon as it is told of the end, so nothing is left to wait for.
    let mut late = elsewhere.accept().unwrap().0;
    assert_eq!(late.read(&mut [0]).unwrap(), 0);
    drop(late);
    assert_eq!(told.next(), CloseReason::Shutdown.to_string());
    drop(_stream);
    stopping.join().unwrap();
    assert!(began.elapsed() < PATIENCE + Duration::from_secs(5));
}

/// Gives its connection up when the peer has ended.
struct GivesUpLate(Sender<String>);

impl Handler for GivesUpLate {
    type Codec = Lines;

    async fn on_message(&mut self, _: &mut Conn<Lines>, _: &str) -> Result {
        Ok(())
    }

    async fn on_eof(&mut self, conn: &mut Conn<Lines>) -> Result {
        let tell = self.0.clone();
        conn.detach(move |_| async move { tell.send("taken".to_owned()).unwrap() });
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        self.0.send(reason.to_string()).unwrap();
    }
}

#[test]
fn a_connection_may_be_given_up_at_its_end() {
    let (tell, told) = events();
    let server = serve(1, Lines::default(), move || GivesUpLate(tell.clone()));
    let stream = server.connect();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!([told.next(), told.next()], ["detached", "taken"]);
}

/// Bytes that tell by their number how many of them are kept.
struct Kept(#[expect(dead_code, reason = "it is counted")] Arc<()>);

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &[b'x'; 100_000]
    }
}

#[test]
fn sends_that_are_given_up_keep_nothing() {
    let (tell, told) = events();
    let server = serve(1, Raw, move || Hands(tell.clone()));
    let _does_not_read = server.connect();
    let handle = told.next();
    let kept = Arc::new(());
    let mut given_up = 0;
    block_on(async {
        while given_up < 2_000 {
            let message = Bytes::from_owner(Kept(kept.clone()));
            let sent = timeout(Duration::from_micros(100), handle.send(message)).await;
            given_up += usize::from(sent.is_err());
        }
    });
    // What was queued before is on its way, at most as much as a socket takes.
    until("nothing is kept of them", || Arc::strong_count(&kept) < 500);
}

/// Gives a handle of its connection away.
struct Hands(Sender<Handle<Raw>>);

impl Handler for Hands {
    type Codec = Raw;

    async fn on_open(&mut self, conn: &mut Conn<Raw>) -> Result {
        self.0.send(conn.handle()).unwrap();
        Ok(())
    }

    async fn on_message(&mut self, _: &mut Conn<Raw>, _: &[u8]) -> Result {
        Ok(())
    }
}

/// Says good bye, and closes, with much before that on its way.
struct Leaves(Group<Lines>, Sender<String>);

impl Handler for Leaves {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        self.0.join(conn);
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, _: &str) -> Result {
        conn.set_write_marks(u32::MAX, 0);
        conn.send(&"x".repeat(60_000)).await?;
        for _ in 0..300 {
            conn.send(&"x".repeat(60_000)).await?;
        }
        conn.send("good bye").await?;
        conn.close();
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        self.1.send(reason.to_string()).unwrap();
    }
}

#[test]
fn nothing_comes_behind_the_last_message() {
    for slow in [SlowMember::Skip, SlowMember::Disconnect] {
        let room = Group::with_policy(Lines::default(), slow);
        let (tell, told) = events();
        let leaves = room.clone();
        let server = serve(1, Lines::default(), move || Leaves(leaves.clone(), tell.clone()));
        let mut stream = server.connect();
        stream.write_all(b"leave\n").unwrap();
        // It waits for its reader now.
        stream.read_exact(&mut [0; 60_001]).unwrap();
        for _ in 0..10 {
            assert_eq!(block_on(room.send("late")).unwrap(), 0);
        }
        let all = read_to_end(&mut stream);
        assert!(all.ends_with(b"xxx\ngood bye\n"), "{}", all[all.len() - 50..].escape_ascii());
        drop(stream);
        assert_eq!(told.next(), "closed here");
        assert_eq!(room.skipped(), 0);
    }
}

#[test]
fn a_panic_of_the_last_hook_costs_no_connection_its_end() {
    let (tell, told) = events();
    let server = Server::new().cores(2).on_shutdown(async || panic!("in a hook"));
    let server = server.listen("tcp://127.0.0.1:0", Lines::default(), move || EchoLines(tell.clone())).unwrap();
    let server = Running::start(server);
    let mut stream = server.connect();
    echoes(&mut stream, b"here\n");
    server.handle.stop(PATIENCE);
    assert_eq!(read_to_end(&mut stream), b"");
    drop(stream);
    assert_eq!(told.next(), "shutdown");
    server.stop(PATIENCE);
}

#[test]
#[cfg(target_os = "linux")]
fn a_group_keeps_nothing_of_servers_that_have_ended() {
    let room = Group::new(Lines::default());
    let before = descriptors();
    for _ in 0..200 {
        let (tell, _told) = events();
        let server = serve(1, Lines::default(), move || EchoLines(tell.clone()));
        let mut stream = server.connect();
        echoes(&mut stream, b"here\n");
        let joining = room.clone();
        block_on(server.handle.for_each(move |handle| joining.join_handle(&handle)));
        until("it is a member", || room.len() == 1);
    }
    // Other tests run beside this one, and have some.
    until("their descriptors are closed", || descriptors() < before + 100);
}

/// A protocol of lines whose codec does what it should not. What it is told is said by what is sent.
#[derive(Clone)]
struct Careless(Arc<Room>);

#[derive(Default)]
struct Room {
    group: OnceLock<Group<Careless>>,
    first: OnceLock<ConnectionId>,
    /// Whether the next question for a member panics.
    panics: AtomicBool,
}

impl Codec for Careless {
    type Decoder = Lines;
    type Encoder = Careless;

    fn halves(&self) -> (Lines, Careless) {
        (Lines::default(), self.clone())
    }

    fn takes_group_messages(encoder: &Careless) -> bool {
        assert!(!encoder.0.panics.swap(false, SeqCst), "on purpose");
        true
    }
}

impl Encoder<str> for Careless {
    type Error = Infallible;

    fn encode(&mut self, message: &str, output: &mut Output<'_>) -> std::result::Result<(), Infallible> {
        let group = self.0.group.get().unwrap();
        match message {
            "tattle" => {
                // To the connection as well that this is for.
                group.try_send_except(*self.0.first.get().unwrap(), "psst").unwrap();
                group.try_send("all").unwrap();
            }
            "panic" => panic!("on purpose"),
            _ => {}
        }
        output.put_slice(message.as_bytes());
        output.put_slice(b"\n");
        Ok(())
    }
}

/// Joins, and answers each line with it.
struct Member(Arc<Room>, Sender<String>);

impl Handler for Member {
    type Codec = Careless;

    async fn on_open(&mut self, conn: &mut Conn<Careless>) -> Result {
        let _ = self.0.first.set(conn.id());
        self.0.group.get().unwrap().join(conn);
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Careless>, line: &str) -> Result {
        match line {
            "panic" => self.0.group.get().unwrap().try_send(line),
            line => conn.send(line).await,
        }
    }

    async fn on_close(&mut self, _: &mut Conn<Careless>, reason: &CloseReason) {
        let _ = self.1.send(reason.to_string());
    }
}

fn careless(cores: usize) -> (Running, Group<Careless>, Arc<Room>, Events<String>) {
    let (room, (tell, told)) = (Arc::new(Room::default()), events());
    let group = room.group.get_or_init(|| Group::new(Careless(room.clone()))).clone();
    let member = room.clone();
    let server = serve(cores, Careless(room.clone()), move || Member(member.clone(), tell.clone()));
    (server, group, room, told)
}

#[test]
fn an_encoder_may_send_to_a_group_of_its_connection() {
    let (server, group, _, told) = careless(1);
    let mut first = server.connect();
    until("the first has joined", || group.len() == 1);
    let mut second = server.connect();
    until("both have joined", || group.len() == 2);
    second.write_all(b"tattle\n").unwrap();
    let mut heard = [0; 16];
    second.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"tattle\npsst\nall\n");
    first.read_exact(&mut heard[..4]).unwrap();
    assert_eq!(&heard[..4], b"all\n");
    assert!(told.is_quiet());
}

#[test]
fn a_panic_over_a_group_message_costs_one_connection() {
    for cores in CORES {
        let (server, group, room, told) = careless(cores);
        let mut members: Vec<_> = (0..3).map(|_| server.connect()).collect();
        until("all have joined", || group.len() == 3);
        // The codec of one of them, at the end of a turn.
        room.panics.store(true, SeqCst);
        group.try_send("to two").unwrap();
        assert!(told.next().contains("panic"));
        until("it has left", || group.len() == 2);
        let heard: Vec<_> = members.iter_mut().filter_map(|member| member.read_exact(&mut [0; 7]).ok()).collect();
        assert_eq!(heard.len(), 2);
    }
}

#[test]
fn a_group_encoder_that_panics_costs_the_connection_that_says_it() {
    for cores in CORES {
        let (server, group, _, told) = careless(cores);
        let (mut speaker, mut other) = (server.connect(), server.connect());
        until("both have joined", || group.len() == 2);
        group.try_send("before").unwrap();
        speaker.write_all(b"panic\n").unwrap();
        assert!(told.next().contains("panic"));
        assert_eq!(read_to_end(&mut speaker), b"before\n");
        drop(speaker);
        until("it has left", || group.len() == 1);
        group.try_send("after").unwrap();
        let mut heard = [0; 13];
        other.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"before\nafter\n");
    }
}
