//! Another codec, or another codec and handler, for a connection that goes on.

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc::Sender;
use std::time::Duration;
use support::*;
use tiderace::codec::{Fixed, LengthDelimited, Lines, Peek, Unread};
use tiderace::{
    CloseReason, Conn, ConnectionId, Error, Group, Handle, Handler, Result, Server, TimeLimit, block_on, sleep,
};

/// Speaks lines, and does what they say.
#[derive(Clone)]
struct Text {
    tell: Sender<String>,
    handles: Sender<(Handle<Lines>, ConnectionId)>,
    group: Group<Lines>,
}

impl Text {
    fn upgrade(&self, conn: &mut Conn<Lines>) {
        let frames = Frames { text: self.clone(), id: conn.id(), listener: conn.listener() };
        conn.upgrade(LengthDelimited::default(), frames);
    }
}

impl Handler for Text {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        self.group.join(conn);
        self.handles.send((conn.handle(), conn.id()))?;
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        conn.send(line).await?;
        match line {
            "frames" => self.upgrade(conn),
            "much, and frames" => {
                conn.set_write_marks(32 * 1024 * 1024, 0);
                let much = "x".repeat(60_000);
                for _ in 0..200 {
                    conn.send(&*much).await?;
                }
                self.upgrade(conn);
            }
            "finish, and frames" => {
                conn.finish().await?;
                self.upgrade(conn);
            }
            "frames, and close" => {
                self.upgrade(conn);
                conn.close();
            }
            "frames, and pause" => {
                self.upgrade(conn);
                conn.pause();
            }
            _ => {}
        }
        Ok(())
    }

    async fn on_wake(&mut self, conn: &mut Conn<Lines>) -> Result {
        self.upgrade(conn);
        Ok(())
    }

    async fn on_eof(&mut self, conn: &mut Conn<Lines>) -> Result {
        self.upgrade(conn);
        Ok(())
    }

    async fn on_close(&mut self, conn: &mut Conn<Lines>, reason: &CloseReason) {
        // What is sent now would stand behind the beginning of the other protocol.
        assert!(matches!(conn.send("late").await, Err(Error::Closed)));
        let _ = self.tell.send(reason.to_string());
    }
}

/// Speaks frames, and goes back to lines when one says so.
struct Frames {
    text: Text,
    id: ConnectionId,
    listener: Option<usize>,
}

impl Handler for Frames {
    type Codec = LengthDelimited;

    async fn on_open(&mut self, conn: &mut Conn<LengthDelimited>) -> Result {
        assert_eq!((conn.id(), conn.listener()), (self.id, self.listener));
        self.text.tell.send("opened".into())?;
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<LengthDelimited>, frame: &[u8]) -> Result {
        conn.send(frame).await?;
        if frame == b"lines" {
            conn.upgrade(Lines::default(), self.text.clone());
        }
        Ok(())
    }

    async fn on_eof(&mut self, conn: &mut Conn<LengthDelimited>) -> Result {
        self.text.tell.send("eof".into())?;
        conn.send(&b"bye"[..]).await
    }

    async fn on_close(&mut self, _: &mut Conn<LengthDelimited>, reason: &CloseReason) {
        let _ = self.text.tell.send(format!("frames: {reason}"));
    }
}

struct Setting {
    server: Running,
    told: Events<String>,
    handles: Events<(Handle<Lines>, ConnectionId)>,
    group: Group<Lines>,
}

fn text(server: Server) -> Setting {
    let ((tell, told), (handles, handed), group) = (events(), events(), Group::new(Lines::default()));
    let text = Text { tell, handles, group: group.clone() };
    // The second one, so that it is seen which listener stays known.
    let server = server.listen("tcp://127.0.0.1:0", Fixed::new(1), || Unused).unwrap();
    let server = server.listen("tcp://127.0.0.1:0", Lines::default(), move || text.clone()).unwrap();
    let address = server.local_addrs()[1].clone();
    let mut server = Running::start(server);
    server.address = address;
    Setting { server, told, handles: handed, group }
}

struct Unused;

impl Handler for Unused {
    type Codec = Fixed;

    async fn on_message(&mut self, _: &mut Conn<Fixed>, _: &[u8]) -> Result {
        Ok(())
    }
}

const SHORT: Duration = Duration::from_millis(60);

#[test]
fn upgraded_connection_goes_on_with_the_bytes_that_were_received() {
    for cores in CORES {
        let Setting { server, told, handles, group } = text(Server::new().cores(cores));
        let mut stream = server.connect();
        let (handle, _) = handles.next();
        until("the group", || group.len() == 1);
        // In one write: the frames are in the ring already when the line is handled.
        stream.write_all(b"one\nframes\n\0\0\0\x03abc\0\0\0\x01").unwrap();
        let mut back = [0; 18];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"one\nframes\n\0\0\0\x03abc");
        assert_eq!([told.next(), told.next()], ["upgraded", "opened"]);
        stream.write_all(b"z").unwrap();
        stream.read_exact(&mut back[..5]).unwrap();
        assert_eq!(&back[..5], b"\0\0\0\x01z");
        // It is the same connection, and nobody reaches it in the old protocol.
        assert_eq!(server.handle.connections(), 1);
        assert_eq!(group.len(), 0);
        until("the handle is closed", || handle.is_closed());
        assert!(matches!(block_on(handle.send("late")), Err(Error::Closed)));
        group.try_send("late").unwrap();
        echoes(&mut stream, b"\0\0\0\x02zz");
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!([told.next(), told.next()], ["eof", "frames: end of stream"]);
        assert_eq!(read_to_end(&mut stream), b"\0\0\0\x03bye");
        until("the count", || server.handle.connections() == 0);
    }
}

#[test]
fn upgraded_connection_sends_first_what_was_sent_before() {
    for cores in CORES {
        let Setting { server, told, handles: _handles, .. } = text(Server::new().cores(cores));
        let mut stream = server.connect();
        // The answer to the frame is queued while most of the rest still is.
        stream.write_all(b"much, and frames\n\0\0\0\x03abc").unwrap();
        assert_eq!([told.next(), told.next()], ["upgraded", "opened"]);
        let mut all = vec![0; 17 + 200 * 60_001 + 7];
        stream.read_exact(&mut all).unwrap();
        assert!(all.starts_with(b"much, and frames\nxxx"));
        assert!(all.ends_with(b"xxx\n\0\0\0\x03abc"));
        echoes(&mut stream, b"\0\0\0\x02zz");
    }
}

#[test]
fn upgraded_connection_is_counted_once_and_leaves_nothing() {
    let Setting { server, told, handles: _handles, .. } = text(Server::new().cores(1).max_connections(1));
    let mut stream = server.connect();
    let before = descriptors();
    for _ in 0..300 {
        stream.write_all(b"frames\n\0\0\0\x05lines").unwrap();
        let mut back = [0; 16];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"frames\n\0\0\0\x05lines");
        assert_eq!([told.next(), told.next(), told.next()], ["upgraded", "opened", "frames: upgraded"]);
        assert_eq!(server.handle.connections(), 1);
    }
    assert!(descriptors() < before + 100);
    // It is still the only one.
    assert_eq!(read_to_end(&mut server.connect()), b"");
    echoes(&mut stream, b"a line\n");
    stream.shutdown(Shutdown::Both).unwrap();
    until("the count", || server.handle.connections() == 0);
    echoes(&mut server.connect(), b"another\n");
}

#[test]
fn upgraded_connection_keeps_its_time_limits() {
    for cores in CORES {
        let server = Server::new().cores(cores).idle_timeout(4 * SHORT).close_timeout(SHORT);
        let Setting { server, told, handles: _handles, .. } = text(server);
        let mut stream = server.connect();
        echoes(&mut stream, b"frames\n");
        assert_eq!([told.next(), told.next()], ["upgraded", "opened"]);
        assert_eq!(told.next(), format!("frames: {}", CloseReason::Timeout(TimeLimit::Idle)));
    }
}

#[test]
fn upgraded_connection_may_come_from_every_method() {
    for cores in CORES {
        let Setting { server, told, handles, .. } = text(Server::new().cores(cores));
        let mut stream = server.connect();
        handles.next().0.wake();
        assert_eq!([told.next(), told.next()], ["upgraded", "opened"]);
        echoes(&mut stream, b"\0\0\0\x02zz");
        // Lines with which the stream ends are handled first; the new handler is told of the end, too.
        let mut ended = server.connect();
        ended.write_all(b"hello\n").unwrap();
        ended.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut ended), b"hello\n\0\0\0\x03bye");
        assert_eq!([told.next(), told.next()], ["upgraded", "opened"]);
        assert_eq!([told.next(), told.next()], ["eof", "frames: end of stream"]);
        // A pause is the old handler's.
        let mut paused = server.connect();
        echoes(&mut paused, b"frames, and pause\n");
        echoes(&mut paused, b"\0\0\0\x02zz");
        assert_eq!([told.next(), told.next()], ["upgraded", "opened"]);
        // A close that was asked for is a close.
        let mut closed = server.connect();
        echoes(&mut closed, b"frames, and close\n");
        assert_eq!(read_to_end(&mut closed), b"");
        assert_eq!(told.next(), "closed here");
        // Where the sending has ended, it has.
        let mut finished = server.connect();
        finished.write_all(b"finish, and frames\n").unwrap();
        assert_eq!(read_to_end(&mut finished), b"finish, and frames\n");
        assert_eq!([told.next(), told.next()], ["upgraded", "opened"]);
        finished.write_all(b"\0\0\0\x02zz").unwrap();
        assert_eq!(told.next(), "frames: handler error: the connection is closed");
    }
}

/// Is told of its upgrade, and takes long over it.
struct Hesitant(Sender<&'static str>);

/// What comes after it.
struct After(Sender<&'static str>);

impl Handler for Hesitant {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, _: &str) -> Result {
        conn.upgrade(LengthDelimited::default(), After(self.0.clone()));
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        assert!(matches!(reason, CloseReason::Upgraded));
        self.0.send("hesitating").unwrap();
        sleep(4 * SHORT).await;
    }
}

impl Handler for After {
    type Codec = LengthDelimited;

    async fn on_open(&mut self, conn: &mut Conn<LengthDelimited>) -> Result {
        self.0.send("opened")?;
        conn.send(&b"hi"[..]).await
    }

    async fn on_message(&mut self, _: &mut Conn<LengthDelimited>, _: &[u8]) -> Result {
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<LengthDelimited>, reason: &CloseReason) {
        self.0.send(reason.name()).unwrap();
    }
}

#[test]
fn upgraded_connection_ends_with_a_server_that_stops_meanwhile() {
    for cores in CORES {
        let (tell, told) = events();
        let server = serve(cores, Lines::default(), move || Hesitant(tell.clone()));
        let mut stream = server.connect();
        stream.write_all(b"go on\n").unwrap();
        assert_eq!(told.next(), "hesitating");
        let stopping = std::thread::spawn(move || server.stop(PATIENCE));
        assert_eq!([told.next(), told.next()], ["opened", "shutdown"]);
        assert_eq!(read_to_end(&mut stream), b"\0\0\0\x02hi");
        drop(stream);
        stopping.join().unwrap();
    }
}

/// A client's handler, which upgrades as the server does.
struct Asking(Sender<String>);

impl Handler for Asking {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        conn.send("frames").await
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, _: &str) -> Result {
        conn.upgrade(LengthDelimited::default(), Answered(self.0.clone()));
        Ok(())
    }
}

struct Answered(Sender<String>);

impl Handler for Answered {
    type Codec = LengthDelimited;

    async fn on_open(&mut self, conn: &mut Conn<LengthDelimited>) -> Result {
        conn.send(&b"question"[..]).await
    }

    async fn on_message(&mut self, conn: &mut Conn<LengthDelimited>, frame: &[u8]) -> Result {
        self.0.send(String::from_utf8_lossy(frame).into_owned())?;
        conn.close();
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<LengthDelimited>, reason: &CloseReason) {
        self.0.send(reason.to_string()).unwrap();
    }
}

#[test]
fn upgraded_connection_may_be_that_of_a_client() {
    let Setting { server, told: _told, handles: _handles, .. } = text(Server::new().cores(1));
    let (tell, told) = events();
    block_on(async {
        let stream = tiderace::connect(&server.address).await.unwrap();
        stream.serve(Lines::default(), Asking(tell)).unwrap();
        while told.is_quiet() {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(told.next(), "closed here");
    });
}

/// Four bytes each, until it is told how many.
struct Sized(usize);

impl Handler for Sized {
    type Codec = Fixed;

    async fn on_message(&mut self, conn: &mut Conn<Fixed>, message: &[u8]) -> Result {
        assert_eq!(message.len(), self.0);
        conn.send(message).await?;
        if let Some(length) = message.strip_prefix(b"now") {
            self.0 = usize::from(length[0] - b'0');
            conn.set_codec(&Fixed::new(self.0));
        }
        Ok(())
    }
}

#[test]
fn codec_that_is_set_decodes_the_bytes_behind_the_message() {
    for cores in CORES {
        let server = serve(cores, Fixed::new(4), || Sized(4));
        let mut stream = server.connect();
        echoes(&mut stream, b"abcdnow6ABCDEFnow7..ABCDEFG");
        // Also where a part of the next message has come.
        stream.write_all(b"now5...123").unwrap();
        stream.read_exact(&mut [0; 7]).unwrap();
        stream.write_all(b"45").unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"12345");
    }
}

/// Takes nothing, and is given another limit once.
struct Growing {
    tell: Sender<String>,
    has_grown: bool,
}

impl Handler for Growing {
    type Codec = Peek;

    async fn on_message(&mut self, conn: &mut Conn<Peek>, unread: Unread<'_>) -> Result {
        self.tell.send(format!("{} of it", unread.len()))?;
        if !std::mem::replace(&mut self.has_grown, true) {
            conn.set_codec(&Peek::with_max(12));
        }
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Peek>, reason: &CloseReason) {
        let _ = self.tell.send(reason.to_string());
    }
}

#[test]
fn codec_that_is_set_has_limits_of_its_own() {
    let (tell, told) = events();
    let server = serve(1, Peek::with_max(9), move || Growing { tell: tell.clone(), has_grown: false });
    let mut stream = server.connect();
    stream.write_all(&[0; 8]).unwrap();
    // The new decoder has not seen it, and shows it.
    assert_eq!([told.next(), told.next()], ["8 of it", "8 of it"]);
    stream.write_all(&[0; 2]).unwrap();
    assert_eq!(told.next(), "10 of it");
    stream.write_all(&[0; 2]).unwrap();
    assert_eq!(told.next(), "12 of it");
    assert_eq!(told.next(), "protocol error: expected the end of a frame within 12 bytes, found none in 12");
}
