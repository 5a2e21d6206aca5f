//! Sends, wakes and closes from other threads: each arrives, in the order of its thread, or says that it does not.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use support::*;
use tiderace::codec::Lines;
use tiderace::{Conn, Error, Handle, HandleSendError, Handler, Result, ServerHandle, after, block_on};

#[derive(Clone)]
struct Given {
    handles: Sender<Handle<Lines>>,
    wakes: Sender<()>,
}

impl Handler for Given {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        let _ = self.handles.send(conn.handle());
        Ok(())
    }

    async fn on_message(&mut self, _: &mut Conn<Lines>, line: &str) -> Result {
        if line == "wait" {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn on_wake(&mut self, conn: &mut Conn<Lines>) -> Result {
        let _ = self.wakes.send(());
        conn.send("awake").await
    }
}

fn given(cores: usize) -> (Running, Events<Handle<Lines>>, Events<()>) {
    let ((handles, handle), (wakes, woken)) = (events(), events());
    let given = Given { handles, wakes };
    (serve(cores, Lines::default(), move || given.clone()), handle, woken)
}

/// Sends lines until no more are taken although the core has nothing else to do: the peer does not read. Says how many bytes
/// these are.
fn fill(server: &ServerHandle, handle: &Handle<Lines>, line: &str) -> usize {
    let mut sent = 0;
    loop {
        while handle.try_send(line.to_owned()).is_ok() {
            sent += line.len() + 1;
        }
        // A timer goes off in a later turn than that which has written what was sent until now.
        let (tell, told) = events();
        server.run_on(handle.id().core(), move || {
            after(Duration::from_millis(1), async move { tell.send(()).unwrap() }).detach();
        });
        told.next();
        if handle.try_send(line.to_owned()).is_err() {
            return sent;
        }
        sent += line.len() + 1;
    }
}

#[test]
fn eight_threads_send_to_the_same_connections() {
    const EACH: usize = 2_000;
    for cores in CORES {
        let (server, handles, _woken) = given(cores);
        let streams: Vec<_> = (0..4).map(|_| server.connect()).collect();
        let targets: Vec<_> = (0..4).map(|_| handles.next()).collect();
        let senders: Vec<_> = (0..8)
            .map(|sender| {
                let targets = targets.clone();
                thread::spawn(move || {
                    for i in 0..EACH {
                        for target in &targets {
                            let mut message = format!("{sender} {i}");
                            // Half of them wait for room, half ask again.
                            if sender % 2 == 0 {
                                block_on(target.send(message)).unwrap();
                                continue;
                            }
                            while let Err(error) = target.try_send(message) {
                                assert!(matches!(error, HandleSendError::Full(_)));
                                message = error.into_message();
                                thread::yield_now();
                            }
                        }
                    }
                })
            })
            .collect();
        let readers = streams.into_iter().map(|stream| {
            thread::spawn(move || {
                let mut next = [0; 8];
                for line in BufReader::new(stream).lines().take(8 * EACH) {
                    let line = line.unwrap();
                    let (sender, i) = line.split_once(' ').unwrap();
                    let expected = &mut next[sender.parse::<usize>().unwrap()];
                    assert_eq!(i.parse::<usize>().unwrap(), *expected, "one sender's lines keep their order");
                    *expected += 1;
                }
                next
            })
        });
        let readers: Vec<_> = readers.collect();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        for reader in readers {
            assert_eq!(reader.join().unwrap(), [EACH; 8]);
        }
    }
}

#[test]
fn a_send_arrives_while_the_handler_waits() {
    for cores in CORES {
        let (server, handles, _woken) = given(cores);
        let mut stream = server.connect();
        let handle = handles.next();
        stream.write_all(b"wait\n").unwrap();
        handle.try_send("news".to_owned()).unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        assert_eq!(line, "news\n");
    }
}

#[test]
fn a_wake_calls_on_wake() {
    for cores in CORES {
        let (server, handles, woken) = given(cores);
        let stream = server.connect();
        let handle = handles.next();
        let mut lines = BufReader::new(&stream);
        for _ in 0..100 {
            handle.wake();
            woken.next();
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            assert_eq!(line, "awake\n");
        }
    }
}

#[test]
fn a_slow_reader_fills_the_queue_and_the_handle_says_so() {
    let (server, handles, _woken) = given(1);
    let stream = server.connect();
    let handle = handles.next();
    let line = "x".repeat(10_000);
    let mut sent = 0;
    // Refused at last, and accepted again when the reader reads.
    let full = loop {
        match handle.try_send(line.clone()) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 100_000);
        if sent % 100 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    };
    assert!(matches!(full, HandleSendError::Full(_)));
    let mut lines = BufReader::new(stream).lines();
    for _ in 0..sent {
        assert_eq!(lines.next().unwrap().unwrap().len(), 10_000);
    }
    until("there is room", || handle.try_send("again".to_owned()).is_ok());
    assert_eq!(lines.next().unwrap().unwrap(), "again");
}

#[test]
fn pause_and_resume_hold_messages_back() {
    let (server, handles, woken) = given(1);
    let mut stream = server.connect();
    let handle = handles.next();
    handle.pause();
    stream.write_all(b"x\nwait\n").unwrap();
    // Paused, so it is not waiting in the handler, and a wake still comes through.
    handle.wake();
    woken.next();
    handle.resume();
    handle.close();
    assert_eq!(read_to_end(&mut stream).len(), "awake\n".len());
}

#[test]
fn a_handle_outlives_its_connection_and_its_server() {
    let (server, handles, _woken) = given(2);
    drop(server.connect());
    let handle = handles.next();
    until("the connection has ended", || handle.is_closed());
    assert!(matches!(handle.try_send("late".to_owned()), Err(HandleSendError::Closed(message)) if message == "late"));
    assert!(matches!(block_on(handle.send("late".to_owned())), Err(Error::Closed)));
    drop(server);
    handle.wake();
    handle.close();
    assert!(matches!(block_on(handle.send("late".to_owned())), Err(Error::Closed)));
}

/// A codec that can not encode everything that it is given.
#[derive(Clone)]
struct Fragile;

impl tiderace::codec::Decoder for Fragile {
    type Item<'a> = &'a [u8];
    type Error = std::convert::Infallible;

    fn frame_end(&mut self, input: tiderace::codec::Input<'_>) -> Result<Option<usize>, Self::Error> {
        Ok(Some(input.as_slices().0.len()))
    }

    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<&'a [u8], Self::Error> {
        Ok(frame)
    }
}

impl tiderace::codec::Encoder<u8> for Fragile {
    type Error = std::convert::Infallible;

    fn encode(&mut self, byte: &u8, output: &mut tiderace::codec::Output<'_>) -> Result<(), Self::Error> {
        assert!(*byte != 0, "as told");
        output.put_u8(*byte);
        Ok(())
    }
}

struct Fragiles(Sender<Handle<Fragile>>);

impl Handler for Fragiles {
    type Codec = Fragile;

    async fn on_open(&mut self, conn: &mut Conn<Fragile>) -> Result {
        let _ = self.0.send(conn.handle());
        Ok(())
    }

    async fn on_message(&mut self, _: &mut Conn<Fragile>, _: &[u8]) -> Result {
        Ok(())
    }
}

#[test]
fn an_encoder_that_panics_ends_its_connection_only() {
    let (give, handles) = events();
    let server = serve(1, Fragile, move || Fragiles(give.clone()));
    let (mut bad, mut good) = (server.connect(), server.connect());
    let both = [handles.next(), handles.next()];
    let port = |stream: &std::net::TcpStream| stream.local_addr().unwrap().port();
    let of = |port| both.iter().find(|handle| handle.peer_addr().unwrap().port() == Some(port)).unwrap();
    of(port(&bad)).try_send(0).unwrap();
    assert_eq!(read_to_end(&mut bad), b"");
    of(port(&good)).try_send(7).unwrap();
    let mut byte = [0];
    std::io::Read::read_exact(&mut good, &mut byte).unwrap();
    assert_eq!(byte, [7]);
}

#[test]
fn a_flush_ends_when_the_system_has_everything_or_the_connection_is_gone() {
    for cores in CORES {
        let (server, handles, _woken) = given(cores);
        let mut stream = server.connect();
        let handle = handles.next();
        let line = "x".repeat(60_000);
        let sent = fill(&server.handle, &handle, &line);
        let flushing = handle.clone();
        let flushed = thread::spawn(move || block_on(flushing.flush()));
        let mut received = vec![0; sent];
        stream.read_exact(&mut received).unwrap();
        flushed.join().unwrap().unwrap();

        fill(&server.handle, &handle, &line);
        let flushing = handle.clone();
        let flushed = thread::spawn(move || block_on(flushing.flush()));
        handle.abort();
        assert!(matches!(flushed.join().unwrap(), Err(Error::Closed)));
        assert!(matches!(block_on(handle.flush()), Err(Error::Closed)));
    }
}

#[test]
fn wakes_that_race_with_a_wait_are_no_failure() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    let done = Arc::new(AtomicBool::new(false));
    block_on(async {
        let waker = std::future::poll_fn(|cx| std::task::Poll::Ready(cx.waker().clone())).await;
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (waker, done) = (waker.clone(), done.clone());
                thread::spawn(move || {
                    while !done.load(SeqCst) {
                        waker.wake_by_ref();
                        thread::yield_now();
                    }
                })
            })
            .collect();
        for _ in 0..100_000 {
            // Each waits until it is woken.
            let mut is_first = true;
            std::future::poll_fn(|_| match std::mem::take(&mut is_first) {
                true => std::task::Poll::Pending,
                false => std::task::Poll::Ready(()),
            })
            .await;
        }
        done.store(true, SeqCst);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
