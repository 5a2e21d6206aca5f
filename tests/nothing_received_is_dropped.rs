//! What a peer has sent is handled, also where writes to it fail, and where something in its stream ends a read early.

mod support;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::*;
use tiderace::codec::Raw;
use tiderace::{
    CloseReason, Conn, Error, Handler, Result, Server, Stream, TrySendError, block_on, connect, sleep, spawn_local,
};

/// Fits into any socket's buffer, and not into the first ring.
const LENGTH: usize = 50_000;

/// Whether the kernel has received `length` bytes that were not read.
fn has_received(socket: &impl AsFd, length: usize) -> bool {
    rustix::io::ioctl_fionread(socket).unwrap() == length as u64
}

/// How a peer goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goes {
    /// It resets the connection.
    Reset,
    /// It ends its stream, and resets what is sent to it then.
    End,
}

/// Closes a connection whose bytes have all arrived.
fn go(how: Goes, peer: TcpStream) {
    if how == Goes::Reset {
        socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    }
    drop(peer);
}

/// A stream whose peer has sent noise and gone, and to which a write has failed.
async fn broken(how: Goes) -> (Stream, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stream = connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let sent = noise(1, LENGTH);
    peer.write_all(&sent).unwrap();
    // The core, which is this thread, reads nothing meanwhile.
    until("all has arrived", || has_received(&stream, LENGTH));
    go(how, peer);
    let error = loop {
        match stream.write(b"anything").await {
            Ok(_) => sleep(Duration::from_millis(1)).await,
            Err(error) => break error,
        }
    };
    let expected = if how == Goes::Reset { ErrorKind::ConnectionReset } else { ErrorKind::BrokenPipe };
    assert_eq!(error.kind(), expected);
    (stream, sent)
}

#[test]
fn failed_write_leaves_a_stream_what_has_arrived() {
    for how in [Goes::Reset, Goes::End] {
        block_on(async {
            let (mut stream, sent) = broken(how).await;
            assert!(stream.write(b"again").await.is_err());
            let mut all = Vec::new();
            let end = stream.read_to_end(&mut all).await;
            assert!(all == sent, "{how:?}: {} bytes of {}", all.len(), sent.len());
            match how {
                Goes::Reset => assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset),
                Goes::End => assert_eq!(end.unwrap(), LENGTH),
            }
            assert!(stream.write(b"again").await.is_err());
        });
    }
}

#[test]
fn failed_write_leaves_a_framed_stream_what_has_arrived() {
    for how in [Goes::Reset, Goes::End] {
        block_on(async {
            let (stream, sent) = broken(how).await;
            let mut framed = stream.framed(Raw);
            assert!(matches!(framed.send(&b"again"[..]).await, Err(Error::Io(_))));
            let mut all = Vec::new();
            let end = loop {
                match framed.next().await {
                    Ok(Some(bytes)) => all.extend_from_slice(bytes),
                    Ok(None) => break Ok(()),
                    Err(Error::Io(error)) => break Err(error.kind()),
                    Err(error) => panic!("{error}"),
                }
            };
            assert!(all == sent, "{how:?}: {} bytes of {}", all.len(), sent.len());
            assert_eq!(end, if how == Goes::Reset { Err(ErrorKind::ConnectionReset) } else { Ok(()) });
        });
    }
}

/// Greets, and notes what it hears. With the first message it waits until all has arrived and the peer is gone.
#[derive(Clone)]
struct Listens {
    arrived: Sender<()>,
    ends: Sender<(Vec<u8>, String)>,
    heard: Vec<u8>,
}

impl Handler for Listens {
    type Codec = Raw;

    async fn on_open(&mut self, conn: &mut Conn<Raw>) -> Result {
        // Where a write has failed before, this fails, too.
        let _ = conn.send("hello").await;
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        if self.heard.is_empty() {
            until("all has arrived", || has_received(conn, LENGTH - bytes.len()));
            let _ = self.arrived.send(());
            while !matches!(conn.try_send("anything"), Err(TrySendError::Closed)) {
                sleep(Duration::from_millis(1)).await;
            }
            assert!(matches!(conn.send("again").await, Err(Error::Closed)));
        }
        self.heard.extend_from_slice(bytes);
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Raw>, reason: &CloseReason) {
        let reason = match reason {
            CloseReason::Reset(error) => format!("{:?}", error.kind()),
            other => other.to_string(),
        };
        let _ = self.ends.send((std::mem::take(&mut self.heard), reason));
    }
}

#[test]
fn failed_write_leaves_a_handler_what_has_arrived() {
    for cores in CORES {
        for how in [Goes::Reset, Goes::End] {
            let ((arrived, all_arrived), (ends, ended)) = (events(), events());
            let listens = Listens { arrived, ends, heard: Vec::new() };
            let server = serve(cores, Raw, move || listens.clone());
            let mut peer = server.connect();
            let sent = noise(2, LENGTH);
            peer.write_all(&sent).unwrap();
            all_arrived.next();
            go(how, peer);
            let (heard, reason) = ended.next();
            assert!(heard == sent, "{how:?}: {} bytes of {}", heard.len(), sent.len());
            // What the peer has not read makes a reset of its end.
            assert!(reason == "ConnectionReset" || how == Goes::End && reason == "BrokenPipe", "{reason}");
        }
    }
}

#[test]
fn failed_write_and_a_reset_go_along_to_a_handler() {
    block_on(async {
        let (ends, ended) = channel();
        let listens = || Listens { arrived: channel().0, ends: ends.clone(), heard: b"!".to_vec() };
        let next = async || loop {
            match ended.try_recv() {
                Ok((heard, reason)) => break (heard, reason),
                Err(_) => sleep(Duration::from_millis(1)).await,
            }
        };
        // A write has failed, and much has arrived.
        let (stream, sent) = broken(Goes::Reset).await;
        stream.serve(Raw, listens()).unwrap();
        let (heard, reason) = next().await;
        assert!(heard[1..] == sent, "{} bytes of {}", heard.len() - 1, sent.len());
        assert_eq!(reason, "ConnectionReset");

        for seen in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut stream = connect(listener.local_addr().unwrap()).await.unwrap();
            go(Goes::Reset, listener.accept().unwrap().0);
            if seen {
                // The kernel reports a reset once.
                assert!(stream.read(&mut [0]).await.is_err());
            }
            stream.serve(Raw, listens()).unwrap();
            assert_eq!(next().await, (b"!".to_vec(), "ConnectionReset".into()));
        }
    });
}

#[test]
fn failed_write_ends_a_paused_connection() {
    struct Pauses(Sender<String>);
    impl Handler for Pauses {
        type Codec = Raw;

        async fn on_open(&mut self, conn: &mut Conn<Raw>) -> Result {
            conn.pause();
            let handle = conn.handle();
            spawn_local(async move {
                while !handle.is_closed() {
                    let _ = handle.try_send("anything");
                    sleep(Duration::from_millis(1)).await;
                }
            });
            Ok(())
        }

        async fn on_message(&mut self, _: &mut Conn<Raw>, _: &[u8]) -> Result {
            unreachable!("it is paused");
        }

        async fn on_close(&mut self, _: &mut Conn<Raw>, reason: &CloseReason) {
            assert!(matches!(reason, CloseReason::Reset(_)), "{reason}");
            let _ = self.0.send(reason.to_string());
        }
    }
    for cores in CORES {
        let (ends, ended) = events();
        let server = serve(cores, Raw, move || Pauses(ends.clone()));
        let mut peer = server.connect();
        peer.read_exact(&mut [0; 8]).unwrap();
        peer.write_all(b"not heard").unwrap();
        drop(peer);
        ended.next();
    }
}

/// Keeps its core from all work until the test lets it go, so that everything lies there before anything is read. Sends back
/// what it has heard when a line ends, and not before: to read that would be an event for a Unix socket.
#[derive(Clone)]
struct Held {
    opened: Sender<()>,
    go: Arc<Mutex<Receiver<()>>>,
    line: Vec<u8>,
}

impl Handler for Held {
    type Codec = Raw;

    async fn on_open(&mut self, _: &mut Conn<Raw>) -> Result {
        let _ = self.opened.send(());
        let _ = self.go.lock().unwrap().recv_timeout(PATIENCE);
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        self.line.extend_from_slice(bytes);
        if bytes.ends_with(b"\n") { conn.send(&*std::mem::take(&mut self.line)).await } else { Ok(()) }
    }
}

fn held(cores: usize, address: &str) -> (Running, Events<()>, Sender<()>) {
    let ((opened, open), (go, wait)) = (events(), channel());
    let held = Held { opened, go: Arc::new(Mutex::new(wait)), line: Vec::new() };
    let server = Server::new().cores(cores).listen(address, Raw, move || held.clone()).unwrap();
    (Running::start(server), open, go)
}

#[test]
fn bytes_behind_an_urgent_one_are_read() {
    for cores in CORES {
        let (server, open, go) = held(cores, "tcp://127.0.0.1:0");
        let mut stream = server.connect();
        open.next();
        stream.write_all(b"hello").unwrap();
        assert_eq!(rustix::net::send(&stream, b"!", SendFlags::OOB).unwrap(), 1);
        stream.write_all(b"world\n").unwrap();
        go.send(()).unwrap();
        let mut all = [0; 11];
        stream.read_exact(&mut all).unwrap();
        assert_eq!(&all, b"helloworld\n");
        // And so are those that come later.
        echoes(&mut stream, b"and so on\n");
    }
}

/// Sends bytes with a descriptor, and says by its end when the last copy of that is closed.
fn send_descriptor(stream: &UnixStream, bytes: &[u8]) -> std::io::PipeReader {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [writer.as_fd()];
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::empty()).unwrap();
    reader
}

fn send_split(stream: &mut UnixStream) -> std::io::PipeReader {
    stream.write_all(b"hello").unwrap();
    let reader = send_descriptor(stream, b", ");
    stream.write_all(b"world\n").unwrap();
    reader
}

#[test]
fn bytes_around_a_descriptor_are_read_and_the_descriptor_is_closed() {
    for cores in CORES {
        let path = std::env::temp_dir().join(format!("tiderace-split-{}-{cores}", std::process::id()));
        let (_server, open, go) = held(cores, &format!("unix://{}", path.display()));
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        open.next();
        let mut descriptor = send_split(&mut stream);
        go.send(()).unwrap();
        let mut all = [0; 13];
        stream.read_exact(&mut all).unwrap();
        assert_eq!(&all, b"hello, world\n");
        assert_eq!(descriptor.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn bytes_around_a_descriptor_are_read_from_a_stream() {
    let path = std::env::temp_dir().join(format!("tiderace-split-stream-{}", std::process::id()));
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    block_on(async {
        for connects in [true, false] {
            let (mut stream, mut peer) = if connects {
                let stream = connect(&*format!("unix://{}", path.display())).await.unwrap();
                (stream, listener.accept().unwrap().0)
            } else {
                let (ours, theirs) = UnixStream::pair().unwrap();
                (Stream::from_fd(ours.into()).unwrap(), theirs)
            };
            let mut descriptor = send_split(&mut peer);
            let mut all = [0; 13];
            tiderace::timeout(PATIENCE, stream.read_exact(&mut all)).await.expect("all of it comes").unwrap();
            assert_eq!(&all, b"hello, world\n");
            assert_eq!(descriptor.read(&mut [0]).unwrap(), 0);
        }
    });
    std::fs::remove_file(&path).unwrap();
}
