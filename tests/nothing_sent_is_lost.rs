//! What was sent arrives, whatever becomes of the messages behind it, and of a message that is refused nothing arrives.

mod support;

use bytes::Bytes;
use futures_lite::future::poll_once;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use support::*;
use tiderace::codec::{Decoder, Encoder, Input, Output, Raw};
use tiderace::{CloseReason, Conn, Error, Group, Handle, Handler, Result, Server, WriteEvent, block_on, connect};

/// A message is a list of these, so that an encoder may fail between any two.
enum Piece {
    Copied(Vec<u8>),
    Shared(Bytes),
    /// Released as soon as it is encoded, if it is short.
    Last(Cell<Bytes>),
    /// Done while the message is encoded.
    Does(Box<dyn Fn() + Send>),
    Refused,
    Panics,
}

use Piece::{Copied, Does, Last, Panics, Refused, Shared};

#[derive(Clone)]
struct Pieces;

impl Decoder for Pieces {
    type Item<'a> = &'a [u8];
    type Error = Infallible;

    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, Infallible> {
        Ok(Some(input.len()).filter(|length| *length > 0))
    }

    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<&'a [u8], Infallible> {
        Ok(frame)
    }
}

impl Encoder<Vec<Piece>> for Pieces {
    type Error = std::fmt::Error;

    fn encode(&mut self, pieces: &Vec<Piece>, output: &mut Output<'_>) -> Result<(), std::fmt::Error> {
        for piece in pieces {
            match piece {
                Copied(bytes) => output.put_slice(bytes),
                Shared(bytes) => output.put_bytes(bytes.clone()),
                Last(bytes) => output.put_bytes(bytes.take()),
                Does(work) => work(),
                Refused => return Err(std::fmt::Error),
                Panics => panic!("in the encoder"),
            }
        }
        Ok(())
    }
}

/// More than any socket takes while its peer does not read.
const MUCH: usize = 16_000_000;
/// Goes to the socket at once.
const LARGE: usize = 20_000;

fn copied(text: &str) -> Vec<Piece> {
    vec![Copied(text.into())]
}

type Messages = Arc<dyn Fn() -> Vec<Vec<Piece>> + Send + Sync>;

/// Messages in this order, the one that fails included; then it closes. It tells how it ended.
#[derive(Clone)]
struct Sends {
    messages: Messages,
    told: Sender<CloseReason>,
}

impl Handler for Sends {
    type Codec = Pieces;

    async fn on_message(&mut self, conn: &mut Conn<Pieces>, _: &[u8]) -> Result {
        conn.set_write_marks(u32::MAX, 0);
        for message in (self.messages)() {
            match conn.send(&message).await {
                Err(Error::Encode(_)) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        conn.close();
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Pieces>, reason: &CloseReason) {
        let reason = match reason {
            CloseReason::Closed => CloseReason::Closed,
            CloseReason::Reset(error) => CloseReason::Reset(error.kind().into()),
            CloseReason::Panic(message) => CloseReason::Panic(message.clone()),
            other => CloseReason::Panic(format!("another reason: {other}")),
        };
        let _ = self.told.send(reason);
    }
}

/// What arrives of the messages, and how the connection ends for both sides.
fn arrives(cores: usize, messages: fn() -> Vec<Vec<Piece>>) -> (Vec<u8>, std::io::Result<()>, CloseReason) {
    arrives_after(cores, Arc::new(messages), |_| Vec::new())
}

/// The same of a peer that does something before it reads, and gives back what it has read by that.
fn arrives_after(
    cores: usize,
    messages: Messages,
    begin: impl FnOnce(&mut TcpStream) -> Vec<u8>,
) -> (Vec<u8>, std::io::Result<()>, CloseReason) {
    let (told, reasons) = events();
    let sends = Sends { messages, told };
    let server = serve(cores, Pieces, move || sends.clone());
    let mut stream = server.connect();
    stream.write_all(b"go").unwrap();
    let mut all = begin(&mut stream);
    let end = stream.read_to_end(&mut all).map(drop);
    (all, end, reasons.next())
}

#[test]
fn refused_message_leaves_nothing_behind_where_older_bytes_left_meanwhile() {
    for cores in CORES {
        let ((ask, asked), (tell, told), (finish, finished)) = (events(), events(), events());
        let told = Arc::new(Mutex::new(told));
        let messages = move || {
            let (ask, told, finish) = (ask.clone(), told.clone(), finish.clone());
            let peer_reads = Does(Box::new(move || {
                ask.send(()).unwrap();
                told.lock().unwrap().next();
            }));
            let peer_goes_on = Does(Box::new(move || finish.send(()).unwrap()));
            let (copied_first, copied_large) = (Copied(b"not this".into()), Copied(vec![b'n'; LARGE]));
            let refused = vec![copied_first, peer_reads, copied_large, peer_goes_on, Refused];
            vec![vec![Copied(vec![b'a'; MUCH])], refused, copied("last")]
        };
        let (all, end, reason) = arrives_after(cores, Arc::new(messages), |stream| {
            asked.next();
            // The socket takes more now, but never all that is queued.
            let mut some = vec![0; 1 << 20];
            stream.read_exact(&mut some).unwrap();
            tell.send(()).unwrap();
            finished.next();
            some
        });
        assert_eq!(all.len(), MUCH + 4);
        assert!(all[..MUCH].iter().all(|byte| *byte == b'a') && all.ends_with(b"last"));
        assert!(end.is_ok() && matches!(reason, CloseReason::Closed), "{end:?}, {reason}");
    }
}

#[test]
fn refused_message_that_is_on_its_way_resets_the_connection() {
    for cores in CORES {
        let (all, end, reason) =
            arrives(cores, || vec![vec![Copied(vec![b'n'; MUCH]), Refused], copied("not this"), copied("not this")]);
        assert!(all.iter().all(|byte| *byte == b'n'));
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(
            matches!(&reason, CloseReason::Reset(error) if error.kind() == ErrorKind::ConnectionAborted),
            "{reason}"
        );
    }
}

#[test]
fn refused_message_that_is_on_its_way_ends_a_stream_driven_by_hand() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    block_on(async {
        for as_stream in [false, true] {
            let mut framed = connect(&*address).await.unwrap().framed(Pieces);
            let (mut peer, _) = listener.accept().unwrap();
            peer.write_all(b"an answer").unwrap();
            let partly = vec![Copied(vec![b'n'; MUCH]), Refused];
            assert!(matches!(framed.feed(&partly).await, Err(Error::Encode(_))));
            let aborted =
                |error: Error| matches!(error, Error::Io(error) if error.kind() == ErrorKind::ConnectionAborted);
            if as_stream {
                use futures_lite::{AsyncReadExt, AsyncWriteExt};
                let mut stream = framed.into_stream();
                assert_eq!(stream.write(b"not this").await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
                assert_eq!(stream.read(&mut [0; 10]).await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
            } else {
                for _ in 0..2 {
                    assert!(aborted(framed.send(&copied("not this")).await.unwrap_err()));
                    assert!(aborted(framed.flush().await.unwrap_err()));
                    assert!(aborted(framed.next().await.unwrap_err()));
                    assert!(aborted(framed.finish().await.unwrap_err()));
                }
                drop(framed);
            }
            let mut all = Vec::new();
            assert_eq!(peer.read_to_end(&mut all).unwrap_err().kind(), ErrorKind::ConnectionReset);
            assert!(all.iter().all(|byte| *byte == b'n'));
        }
    });
}

#[test]
fn encoder_that_panics_leaves_the_earlier_messages() {
    for cores in CORES {
        let messages =
            || vec![copied("one "), vec![Shared(Bytes::from(vec![b'2'; 5000]))], vec![Copied(b"no".into()), Panics]];
        let (all, end, reason) = arrives(cores, messages);
        assert_eq!(all, [b"one ", &[b'2'; 5000][..]].concat());
        assert!(end.is_ok());
        assert!(matches!(&reason, CloseReason::Panic(message) if message == "in the encoder"), "{reason}");
    }
}

#[test]
fn encoder_that_panics_over_a_part_on_its_way_resets_the_connection() {
    let (all, end, reason) = arrives(1, || vec![vec![Copied(vec![b'n'; MUCH]), Panics]]);
    assert!(all.iter().all(|byte| *byte == b'n'));
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(matches!(&reason, CloseReason::Panic(message) if message == "in the encoder"), "{reason}");
}

/// Gives its handle away, and waits for ever.
#[derive(Clone)]
struct Waits {
    handles: Sender<Handle<Pieces>>,
    told: Sender<String>,
}

impl Handler for Waits {
    type Codec = Pieces;

    async fn on_open(&mut self, conn: &mut Conn<Pieces>) -> Result {
        let _ = self.handles.send(conn.handle());
        std::future::pending().await
    }

    async fn on_message(&mut self, _: &mut Conn<Pieces>, _: &[u8]) -> Result {
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Pieces>, reason: &CloseReason) {
        let _ = self.told.send(reason.to_string());
    }
}

#[test]
fn encoder_that_panics_over_a_handles_message_leaves_the_earlier_ones() {
    for cores in CORES {
        let ((handles, handed), (told, reasons)) = (events(), events());
        let waits = Waits { handles, told };
        let server = serve(cores, Pieces, move || waits.clone());
        let mut stream = server.connect();
        let handle = handed.next();
        // In one turn of the core, so that nothing leaves before the panic.
        let same = handle.clone();
        server.handle.run_on(handle.id().core(), move || {
            same.try_send(copied("one ")).unwrap();
            same.try_send(copied("two")).unwrap();
            let _ = same.try_send(vec![Copied(b"no".into()), Panics]);
        });
        assert_eq!(read_to_end(&mut stream), b"one two");
        assert_eq!(reasons.next(), "panic: in the encoder");
    }
}

/// Sends, and then says something to a group that its encoder panics over.
#[derive(Clone)]
struct SaysToAll(Group<Pieces>);

impl Handler for SaysToAll {
    type Codec = Pieces;

    async fn on_open(&mut self, conn: &mut Conn<Pieces>) -> Result {
        self.0.join(conn);
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Pieces>, _: &[u8]) -> Result {
        conn.send(&copied("one ")).await?;
        let _ = self.0.try_send(&copied("all"));
        self.0.try_send(&vec![Copied(b"no".into()), Panics])
    }
}

#[test]
fn encoder_that_panics_over_a_groups_message_leaves_the_earlier_ones() {
    for cores in CORES {
        let group = Group::new(Pieces);
        let server = serve(cores, Pieces, move || SaysToAll(group.clone()));
        let mut stream = server.connect();
        stream.write_all(b"go").unwrap();
        let all = read_to_end(&mut stream);
        assert!(all.starts_with(b"one "), "{:?}", String::from_utf8_lossy(&all));
    }
}

#[test]
fn encoder_that_panics_leaves_what_was_fed_by_hand() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    block_on(async {
        let mut framed = connect(&*address).await.unwrap().framed(Pieces);
        let (mut peer, _) = listener.accept().unwrap();
        framed.feed(&copied("one ")).await.unwrap();
        let panics = vec![Copied(b"no".into()), Panics];
        {
            let mut feed = pin!(framed.feed(&panics));
            let polled =
                poll_fn(|cx| Poll::Ready(catch_unwind(AssertUnwindSafe(|| feed.as_mut().poll(cx).is_ready())))).await;
            assert!(polled.is_err());
        }
        assert!(matches!(poll_once(framed.send(&copied("two"))).await, Some(Ok(()))));
        drop(framed);
        assert_eq!(read_to_end(&mut peer), b"one two");
    });
}

/// Sends so many bytes and closes.
#[derive(Clone)]
struct Downloads {
    bytes: Bytes,
    told: Sender<String>,
}

impl Handler for Downloads {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, _: &[u8]) -> Result {
        conn.set_write_marks(u32::MAX, 0);
        conn.send(&self.bytes).await?;
        conn.close();
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Raw>, reason: &CloseReason) {
        let _ = self.told.send(reason.to_string());
    }
}

/// A close that stands still for so long is given up.
const STANDSTILL: Duration = Duration::from_secs(2);

fn downloads(cores: usize, length: usize, limit: Duration) -> (Running, Events<String>) {
    downloads_at("tcp://127.0.0.1:0", cores, length, limit)
}

fn downloads_at(address: &str, cores: usize, length: usize, limit: Duration) -> (Running, Events<String>) {
    let (told, reasons) = events();
    let downloads = Downloads { bytes: Bytes::from(noise(3, length)), told };
    let server = Server::new().cores(cores).close_timeout(limit);
    (Running::start(server.listen(address, Raw, move || downloads.clone()).unwrap()), reasons)
}

/// Reads in steps, which take twice the time that a close may stand still, and calls `between` before each.
fn read_slowly<S: Read>(stream: &mut S, length: usize, mut between: impl FnMut(&mut S)) -> Vec<u8> {
    const STEPS: usize = 40;
    let mut all = vec![0; length];
    for step in all.chunks_mut(length.div_ceil(STEPS)) {
        between(stream);
        std::thread::sleep(2 * STANDSTILL / STEPS as u32);
        stream.read_exact(step).unwrap();
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    all
}

#[test]
fn close_waits_for_a_slow_reader() {
    const LENGTH: usize = 24 << 20;
    let readers: Vec<_> = CORES
        .into_iter()
        .map(|cores| {
            std::thread::spawn(move || {
                let (server, reasons) = downloads(cores, LENGTH, STANDSTILL);
                let mut stream = server.connect();
                stream.write_all(b"go").unwrap();
                assert!(read_slowly(&mut stream, LENGTH, |_| ()) == noise(3, LENGTH));
                assert_eq!(reasons.next(), "closed here");
            })
        })
        .collect();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

/// All lies in the kernel when the write side is shut down, and what the peer says meanwhile would make a reset of the close.
#[test]
fn close_waits_for_a_slow_reader_also_where_the_kernel_has_it_all() {
    const LENGTH: usize = 1 << 20;
    let readers: Vec<_> = CORES
        .into_iter()
        .map(|cores| {
            std::thread::spawn(move || {
                let (server, reasons) = downloads(cores, LENGTH, STANDSTILL);
                let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
                // The peer's kernel takes little by itself.
                socket.set_recv_buffer_size(32 * 1024).unwrap();
                socket.connect(&server.address.as_socket().unwrap().into()).unwrap();
                let mut stream = TcpStream::from(socket);
                stream.write_all(b"go").unwrap();
                assert_eq!(reasons.next(), "closed here", "before the peer has read anything");
                let says_something = |stream: &mut TcpStream| stream.write_all(b"still here").unwrap();
                assert!(read_slowly(&mut stream, LENGTH, says_something) == noise(3, LENGTH));
            })
        })
        .collect();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

#[test]
fn close_waits_for_a_slow_reader_of_a_unix_socket() {
    const LENGTH: usize = 140_000;
    let path = std::env::temp_dir().join(format!("tiderace-slow-{}", std::process::id()));
    let (_server, reasons) = downloads_at(&format!("unix://{}", path.display()), 1, LENGTH, STANDSTILL);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"go").unwrap();
    assert_eq!(reasons.next(), "closed here", "before the peer has read anything");
    let says_something = |stream: &mut UnixStream| stream.write_all(b"still here").unwrap();
    assert!(read_slowly(&mut stream, LENGTH, says_something) == noise(3, LENGTH));
}

#[test]
fn close_does_not_wait_for_ever() {
    for cores in CORES {
        let limit = Duration::from_millis(50);
        // The peer has everything, and talks on.
        let (server, reasons) = downloads(cores, 10, limit);
        let mut talks = server.connect();
        talks.write_all(b"go").unwrap();
        assert_eq!(reasons.next(), "closed here");
        talks.set_nonblocking(true).unwrap();
        until("it is cut off", || match talks.write(b"talk") {
            Err(error) => error.kind() != ErrorKind::WouldBlock,
            Ok(_) => false,
        });
        until("it is gone", || server.handle.connections() == 0);
        // The peer takes nothing, and talks on.
        let (server, reasons) = downloads(cores, MUCH * 4, limit);
        let mut deaf = server.connect();
        deaf.write_all(b"go").unwrap();
        deaf.set_nonblocking(true).unwrap();
        until("it is cut off", || match deaf.write(b"talk") {
            Err(error) => error.kind() != ErrorKind::WouldBlock,
            Ok(_) => false,
        });
        assert!(reasons.next().contains("undelivered"));
        until("it is gone", || server.handle.connections() == 0);
    }
}

/// Bytes that send something when they are released.
struct Owner<F: Fn()> {
    bytes: Vec<u8>,
    release: F,
}

impl<F: Fn()> AsRef<[u8]> for Owner<F> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<F: Fn()> Drop for Owner<F> {
    fn drop(&mut self) {
        (self.release)();
    }
}

fn owned(bytes: Vec<u8>, release: impl Fn() + Send + 'static) -> Piece {
    Last(Cell::new(Bytes::from_owner(Owner { bytes, release })))
}

/// How the encoder comes to release bytes.
#[derive(Clone, Copy, Debug)]
enum Released {
    /// Short ones are copied.
    Copied,
    /// Longer ones were queued before, and leave with a part of the message.
    WrittenThrough,
    /// Longer ones are taken back with their message.
    TakenBack,
    /// The same, by a panic.
    Panicked,
}

/// Sends bytes whose owner sends, by a handle or to a group, when they are released while another message is encoded.
#[derive(Clone)]
struct Releases {
    how: Released,
    group: Option<Group<Pieces>>,
    closes: bool,
}

impl Handler for Releases {
    type Codec = Pieces;

    async fn on_open(&mut self, conn: &mut Conn<Pieces>) -> Result {
        if let Some(group) = &self.group {
            group.join(conn);
        }
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Pieces>, _: &[u8]) -> Result {
        let (handle, group) = (conn.handle(), self.group.clone());
        let release = move || match &group {
            // The first poll sends it to this core's members at once.
            Some(group) => _ = futures_lite::future::block_on(poll_once(group.send(&copied("<released>")))),
            None => handle.try_send(copied("<released>")).unwrap(),
        };
        match self.how {
            Released::Copied => {
                conn.send(&vec![Copied(b"<one>".into()), owned(b"<owned>".into(), release), Copied(b"<end>".into())])
                    .await?;
            }
            Released::WrittenThrough => {
                conn.send(&vec![owned(b"<owned>".repeat(1000), release)]).await?;
                conn.send(&vec![Copied(b"<one>".repeat(10_000)), Copied(b"<end>".into())]).await?;
            }
            Released::TakenBack => {
                conn.send(&copied("<one>")).await?;
                let refused = vec![owned(b"<owned>".repeat(1000), release), Refused];
                assert!(matches!(conn.send(&refused).await, Err(Error::Encode(_))));
            }
            Released::Panicked => {
                conn.send(&copied("<one>")).await?;
                conn.send(&vec![owned(b"<owned>".repeat(1000), release), Panics]).await?;
            }
        }
        if self.closes {
            conn.close();
            return Ok(());
        }
        conn.send(&copied("<after>")).await
    }
}

#[test]
fn release_within_an_encoder_may_send() {
    for cores in CORES {
        for how in [Released::Copied, Released::WrittenThrough, Released::TakenBack, Released::Panicked] {
            for to_group in [false, true] {
                for closes in [false, true] {
                    let group = to_group.then(|| Group::new(Pieces));
                    let releases = Releases { how, group, closes };
                    let server = serve(cores, Pieces, move || releases.clone());
                    let mut stream = server.connect();
                    stream.write_all(b"go").unwrap();
                    // Until the server ends it, or, where it does not, all has come.
                    let mut all = Vec::new();
                    let ends = closes || matches!(how, Released::Panicked);
                    while ends || !all.ends_with(b"<after>") {
                        let mut some = [0; 10_000];
                        match stream.read(&mut some).unwrap() {
                            0 => break,
                            n => all.extend_from_slice(&some[..n]),
                        }
                    }
                    let before = match how {
                        Released::Copied => b"<one><owned><end>".to_vec(),
                        Released::WrittenThrough => {
                            [b"<owned>".repeat(1000), b"<one>".repeat(10_000), b"<end>".into()].concat()
                        }
                        Released::TakenBack | Released::Panicked => b"<one>".to_vec(),
                    };
                    let after = if ends { &b""[..] } else { b"<after>" };
                    let expected = [&before, &b"<released>"[..], after].concat();
                    let shown = String::from_utf8_lossy(&all[all.len().saturating_sub(100)..]);
                    assert!(all == expected, "{how:?}, to a group: {to_group}, closes: {closes}: ...{shown}");
                }
            }
        }
    }
}

/// Says more for its first write, at the end of a turn: by a handle, or to a group.
#[derive(Clone)]
struct SaysMore {
    handles: Sender<Handle<Pieces>>,
    group: Option<Group<Pieces>>,
}

impl Handler for SaysMore {
    type Codec = Pieces;

    async fn on_open(&mut self, conn: &mut Conn<Pieces>) -> Result {
        if let Some(group) = &self.group {
            group.join(conn);
        }
        let (handle, group) = (conn.handle(), self.group.clone());
        let mut rest = vec!["two ", "three ", "four ", "five ", "six ", "seven ", "eight"].into_iter();
        conn.watch_writes(move |event| {
            if let WriteEvent::After { .. } = event
                && let Some(next) = rest.next()
            {
                match &group {
                    Some(group) => group.try_send(&copied(next)).unwrap(),
                    None => handle.try_send(copied(next)).unwrap(),
                }
            }
        });
        let _ = self.handles.send(conn.handle());
        Ok(())
    }

    async fn on_message(&mut self, _: &mut Conn<Pieces>, _: &[u8]) -> Result {
        Ok(())
    }
}

#[test]
fn flush_that_brings_about_another_needs_no_other_event() {
    for cores in CORES {
        for to_group in [false, true] {
            let (handles, handed) = events();
            let says_more = SaysMore { handles, group: to_group.then(|| Group::new(Pieces)) };
            let server = serve(cores, Pieces, move || says_more.clone());
            let mut stream = server.connect();
            handed.next().try_send(copied("one ")).unwrap();
            let mut all = [0; 39];
            stream.read_exact(&mut all).unwrap();
            assert_eq!(&all, b"one two three four five six seven eight");
        }
    }
}

#[test]
fn release_at_the_end_of_a_turn_needs_no_other_event() {
    for cores in CORES {
        let ((handles, handed), (told, _reasons)) = (events(), events());
        let waits = Waits { handles, told };
        let server = serve(cores, Pieces, move || waits.clone());
        let mut stream = server.connect();
        let handle = handed.next();
        let same = handle.clone();
        let release = move || same.try_send(copied("<released>")).unwrap();
        handle.try_send(vec![owned(b"<owned>".repeat(1000), release)]).unwrap();
        let mut all = [0; 7010];
        stream.read_exact(&mut all).unwrap();
        assert!(all.ends_with(b"<owned><released>"));
    }
}
