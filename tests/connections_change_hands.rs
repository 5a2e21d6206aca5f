//! Detaching, attaching, clients with handlers, and what is told of writes.

mod support;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc::Sender;
use std::time::Duration;
use support::handlers::{Echo, EchoLines};
use support::*;
use tiderace::codec::{Decoder, Input, LengthDelimited, Lines, Raw};
use tiderace::{CloseReason, Conn, Error, Handler, Result, Server, Stream, WriteEvent, block_on, connect, sleep};

/// Speaks lines until somebody says `frames` or `raw`.
#[derive(Clone)]
struct Upgrade(Sender<String>);

impl Handler for Upgrade {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        conn.send(line).await?;
        let tell = self.0.clone();
        match line {
            "frames" => conn.detach(move |stream| async move {
                let mut frames = stream.framed(LengthDelimited::default());
                while let Some(frame) = frames.next().await.unwrap() {
                    let frame = frame.to_vec();
                    frames.send(&frame[..]).await.unwrap();
                }
                tell.send("frames ended".into()).unwrap();
            }),
            "std" => conn.detach(move |stream| async move {
                let (mut stream, unread) = stream.into_std().await.unwrap();
                std::thread::spawn(move || {
                    stream.write_all(&unread).unwrap();
                    let mut rest = Vec::new();
                    stream.read_to_end(&mut rest).unwrap();
                    stream.write_all(&rest).unwrap();
                });
            }),
            "handler" => conn.detach(move |stream| async move {
                stream.serve(Raw, Echo).unwrap();
            }),
            _ => {}
        }
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        self.0.send(reason.to_string()).unwrap();
    }
}

fn upgrading(cores: usize) -> (Running, Events<String>) {
    let (tell, told) = events();
    let upgrade = Upgrade(tell);
    let server = Server::new().cores(cores).close_timeout(Duration::from_millis(50));
    let server = server.listen("tcp://127.0.0.1:0", Lines::default(), move || upgrade.clone()).unwrap();
    (Running::start(server), told)
}

#[test]
fn a_detached_connection_goes_on_with_the_bytes_that_were_received() {
    for cores in CORES {
        let (server, told) = upgrading(cores);
        let mut stream = server.connect();
        // In one write: the frames are in the ring already when the line is handled.
        stream.write_all(b"one\nframes\n\0\0\0\x03abc\0\0\0\x01").unwrap();
        let mut lines = [0; 11];
        stream.read_exact(&mut lines).unwrap();
        assert_eq!(&lines, b"one\nframes\n");
        assert_eq!(told.next(), "detached");
        let mut frame = [0; 7];
        stream.read_exact(&mut frame).unwrap();
        assert_eq!(&frame, b"\0\0\0\x03abc");
        stream.write_all(b"z").unwrap();
        stream.read_exact(&mut frame[..5]).unwrap();
        assert_eq!(&frame[..5], b"\0\0\0\x01z");
        until("it is no longer the server's", || server.handle.connections() == 0);
        drop(stream);
        assert_eq!(told.next(), "frames ended");
    }
}

#[test]
fn a_detached_connection_may_become_one_of_the_standard_library() {
    let (server, told) = upgrading(1);
    let mut stream = server.connect();
    stream.write_all(b"std\nunread").unwrap();
    assert_eq!(told.next(), "detached");
    stream.write_all(b", and more").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream), b"std\nunread, and more");
}

#[test]
fn a_detached_connection_may_get_another_handler() {
    let (server, told) = upgrading(2);
    let mut stream = server.connect();
    stream.write_all(b"handler\nraw bytes").unwrap();
    let mut back = [0; 17];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"handler\nraw bytes");
    assert_eq!(told.next(), "detached");
    echoes(&mut stream, &noise(1, 300_000));
    assert_eq!(server.handle.connections(), 1, "it is the server's again");
    server.stop(PATIENCE);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "and ends with it");
}

#[test]
fn a_stream_made_elsewhere_joins_a_core() {
    let server = Server::new().cores(2).listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap();
    let server = Running::start(server);
    until("it runs", || server.handle.cores() == 2);
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(elsewhere.local_addr().unwrap()).unwrap();
    let accepted = elsewhere.accept().unwrap().0;
    server.handle.run_on(1, move || {
        Stream::from_std(accepted).unwrap().serve(Raw, Echo).unwrap();
    });
    echoes(&mut client, b"served");
    assert_eq!(server.handle.connections_per_core(), [0, 1]);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    server.stop(PATIENCE);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

/// What a client's handler has received.
struct Collect(Rc<RefCell<Vec<String>>>, Sender<String>);

impl Handler for Collect {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        assert_eq!(conn.listener(), None);
        conn.send("hello").await
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        self.0.borrow_mut().push(line.into());
        if line == "bye" {
            conn.close();
        }
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        self.1.send(reason.to_string()).unwrap();
    }
}

#[test]
fn a_client_may_have_a_handler() {
    let (tell, _told) = events();
    let server = serve(2, Lines::default(), move || EchoLines(tell.clone()));
    let (closed, was_closed) = events();
    let received = block_on(async {
        let received = Rc::new(RefCell::new(Vec::new()));
        let stream = connect(&server.address).await.unwrap();
        let handle = stream.serve(Lines::default(), Collect(received.clone(), closed)).unwrap();
        while received.borrow().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        handle.send("bye").await.unwrap();
        while !handle.is_closed() {
            sleep(Duration::from_millis(1)).await;
        }
        received.take()
    });
    assert_eq!(received, ["hello", "bye"]);
    assert_eq!(was_closed.next(), "closed here");
}

/// Tells of writes.
#[derive(Clone)]
struct Watched(Sender<WriteEvent>);

impl Handler for Watched {
    type Codec = Raw;

    async fn on_open(&mut self, conn: &mut Conn<Raw>) -> Result {
        let tell = self.0.clone();
        conn.watch_writes(move |event| tell.send(event).unwrap());
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        conn.send(bytes).await?;
        conn.send(bytes).await
    }
}

#[test]
fn writes_are_told_of_before_and_after() {
    let (tell, told) = events();
    let watched = Watched(tell);
    let server = serve(1, Raw, move || watched.clone());
    let mut stream = server.connect();
    stream.write_all(b"12345").unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
    assert_eq!(told.next(), WriteEvent::Before { queued: 10 });
    assert_eq!(told.next(), WriteEvent::After { written: 10, queued: 0 });
    // Large ones go past the queue.
    let large = noise(1, 20_000);
    stream.write_all(&large).unwrap();
    let mut back = vec![0; 40_000];
    stream.read_exact(&mut back).unwrap();
    let mut written = 0;
    while written < 40_000 {
        match told.next() {
            WriteEvent::Before { queued } => assert!(queued > 0),
            WriteEvent::After { written: n, .. } => written += n,
            _ => unreachable!(),
        }
    }
    assert_eq!(written, 40_000);
}

/// Stops its server.
#[derive(Clone)]
struct Stopper(Sender<String>);

impl Handler for Stopper {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        conn.send(line).await?;
        if line == "stop" { Err(Error::stop_server(PATIENCE)) } else { Ok(()) }
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        self.0.send(reason.to_string()).unwrap();
    }
}

#[test]
fn a_handler_may_stop_its_server() {
    for cores in CORES {
        let (tell, told) = events();
        let stopper = Stopper(tell);
        let server = Server::new().cores(cores).listen("tcp://127.0.0.1:0", Lines::default(), move || stopper.clone());
        let server = server.unwrap();
        let address = server.local_addrs().remove(0);
        let thread = std::thread::spawn(|| server.run());
        let mut other = TcpStream::connect(&address).unwrap();
        echoes(&mut other, b"hello\n");
        let mut stream = TcpStream::connect(&address).unwrap();
        echoes(&mut stream, b"stop\n");
        assert_eq!([told.next(), told.next()], ["shutdown", "shutdown"]);
        assert_eq!(read_to_end(&mut other), b"");
        drop((stream, other));
        thread.join().unwrap().unwrap();
    }
}

#[test]
fn futures_io_runs_on_a_detached_stream() {
    struct Once;
    impl Handler for Once {
        type Codec = Raw;
        async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
            conn.send(bytes).await?;
            conn.detach(|mut stream| async move {
                let mut bytes = [0; 4];
                stream.read_exact(&mut bytes).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
                stream.close().await.unwrap();
            });
            Ok(())
        }
    }
    let server = serve(1, Raw, || Once);
    let mut stream = server.connect();
    echoes(&mut stream, b"x");
    stream.write_all(b"1234").unwrap();
    assert_eq!(read_to_end(&mut stream), b"1234");
}

#[test]
fn a_unix_socket_comes_and_goes_as_a_descriptor() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let back = block_on(async move {
        let mut stream = Stream::from_fd(ours.into()).unwrap();
        stream.write_all(b"there").await.unwrap();
        let mut heard = [0; 4];
        theirs.write_all(b"back, and more").unwrap();
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"back");
        let (socket, unread) = stream.into_fd().await.unwrap();
        assert_eq!(unread, b", and more"[..]);
        let mut heard = [0; 5];
        theirs.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"there");
        (UnixStream::from(socket), theirs)
    });
    assert_eq!(back.0.peer_addr().unwrap().as_pathname(), None);
}

/// Its peer is gone: there is nobody to tell.
#[test]
fn a_stream_closes_well_after_a_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    block_on(async {
        let mut stream = connect(listener.local_addr().unwrap()).await.unwrap();
        let peer = listener.accept().unwrap().0;
        socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        stream.close().await.unwrap_or_else(|error| panic!("{error}"));
        assert!(stream.read(&mut [0]).await.is_err());
    });
}

/// Four bytes each; those in capitals are refused, and written over.
#[derive(Clone, Copy)]
struct Quiet;

impl Decoder for Quiet {
    type Item<'a> = &'a [u8];
    type Error = std::fmt::Error;

    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, Self::Error> {
        Ok((input.len() >= 4).then_some(4))
    }

    fn is_message(&mut self, frame: &mut [u8]) -> Result<bool, Self::Error> {
        if !frame.iter().all(u8::is_ascii_uppercase) {
            return Ok(true);
        }
        frame.make_ascii_lowercase();
        Err(std::fmt::Error)
    }

    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<&'a [u8], Self::Error> {
        Ok(frame)
    }
}

#[test]
fn who_drives_a_stream_by_hand_meets_a_wrong_frame_once() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"softLOUDkind").unwrap();
    block_on(async move {
        let mut frames = Stream::from_fd(ours.into()).unwrap().framed(Quiet);
        assert_eq!(frames.next().await.unwrap(), Some(&b"soft"[..]));
        assert!(matches!(frames.next().await, Err(Error::Protocol(_))));
        assert_eq!(frames.next().await.unwrap(), Some(&b"kind"[..]));
    });
}

/// Sets an option by the descriptor, and keeps the connection open by a duplicate of it.
struct Duplicating(Sender<TcpStream>);

impl Handler for Duplicating {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, _: &[u8]) -> Result {
        socket2::SockRef::from(&conn.as_fd()).set_recv_buffer_size(64 * 1024)?;
        self.0.send(conn.as_fd().try_clone_to_owned()?.into())?;
        Ok(())
    }
}

#[test]
fn descriptor_of_a_connection_can_be_borrowed_and_duplicated() {
    let (tell, told) = events();
    let server = serve(1, Raw, move || Duplicating(tell.clone()));
    let mut stream = server.connect();
    stream.write_all(b"go on").unwrap();
    let mut duplicate = told.next();
    assert_eq!(duplicate.peer_addr().unwrap(), stream.local_addr().unwrap());
    assert!(socket2::SockRef::from(&duplicate).recv_buffer_size().unwrap() >= 64 * 1024);
    duplicate.write_all(b"by another way").unwrap();
    let mut heard = [0; 14];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"by another way");
}
