//! Every public future may be dropped at any await point: nothing is lost, nothing comes twice, no descriptor leaks.

mod support;

use futures_lite::future::{poll_once, yield_now};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::future::{Future, poll_fn};
use std::net::TcpListener;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use support::handlers::{Echo, EchoFrames};
use support::*;
use tiderace::codec::{LengthDelimited, Raw};
use tiderace::{Error, Result, Stream, block_on, connect, sleep, spawn_local, timeout};

/// Polls a future a few times, letting the core turn in between, and then drops it.
async fn poll_then_drop<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Some(output) = poll_once(&mut future).await {
            return Some(output);
        }
        tiderace::yield_now().await;
    }
    None
}

#[test]
fn a_next_that_is_dropped_loses_no_frame() {
    let (tell, _told) = events();
    let server = serve(2, LengthDelimited::default(), move || EchoFrames(tell.clone()));
    block_on(async {
        let mut frames = connect(&server.address).await.unwrap().framed(LengthDelimited::default());
        for i in 0..300_u32 {
            let payload = noise(u64::from(i), 1 + (i as usize * 37) % 5000);
            frames.send(&payload).await.unwrap();
            let mut polls = 0;
            let received = loop {
                polls = polls % 4 + 1;
                // A lent item can not leave the loop while the next turn may borrow again, so it is copied.
                match poll_then_drop(async { frames.next().await.map(|item| item.map(<[u8]>::to_vec)) }, polls).await {
                    Some(received) => break received.unwrap().unwrap(),
                    None => sleep(Duration::from_micros(50)).await,
                }
            };
            assert!(received == payload, "frame {i}");
        }
    });
}

#[test]
fn a_send_that_is_dropped_is_whole_or_not_at_all() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    block_on(async {
        let mut frames = connect(address).await.unwrap().framed(LengthDelimited::default());
        let (mut peer, _) = listener.accept().unwrap();
        peer.set_nonblocking(true).unwrap();
        let mut stream = Vec::new();
        let read = |stream: &mut Vec<u8>| {
            let _ = std::io::Read::read_to_end(&mut &peer, stream);
        };
        // The peer reads seldom, so that the socket fills and feeds and flushes are dropped while they wait.
        for i in 0..400_u32 {
            let payload = [&i.to_be_bytes()[..], &[7; 40_000]].concat();
            if poll_then_drop(frames.feed(&payload), 2).await.is_none() {
                poll_then_drop(frames.flush(), 2).await;
                read(&mut stream);
            }
        }
        while poll_then_drop(frames.flush(), 1).await.is_none() {
            read(&mut stream);
            tiderace::yield_now().await;
        }
        frames.finish().await.unwrap();
        // What the system has still on its way, up to the end.
        peer.set_nonblocking(false).unwrap();
        std::io::Read::read_to_end(&mut peer, &mut stream).unwrap();
        let frame = 4 + 4 + 40_000;
        assert_eq!(stream.len() % frame, 0, "a frame was cut");
        let numbers: Vec<u32> =
            stream.chunks(frame).map(|frame| u32::from_be_bytes(frame[4..8].try_into().unwrap())).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "a frame came twice or out of order");
        assert!(stream.chunks(frame).all(|frame| frame[..4] == [0, 0, 156, 68] && frame[8..] == [7; 40_000]));
    });
}

#[test]
fn a_connect_that_is_dropped_closes_its_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    block_on(async {
        for polls in [0, 1, 2] {
            drop(poll_then_drop(connect(address), polls).await);
        }
    });
    listener.set_nonblocking(true).unwrap();
    until("each connection has ended", || match listener.accept() {
        Ok((mut peer, _)) => {
            peer.set_nonblocking(false).unwrap();
            peer.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!(read_to_end(&mut peer), b"");
            false
        }
        Err(_) => true,
    });
}

#[test]
fn nobody_there_is_an_error_that_names_the_address() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = block_on(connect(address)).unwrap_err();
    assert_eq!(format!("{error:#}"), format!("cannot connect to {address}: Connection refused (os error 111)"));
    assert!(matches!(
        block_on(connect("tcp://no.such.host.invalid:1")),
        Err(Error::Address(_) | Error::Connect { .. })
    ));
    assert!(matches!(block_on(connect("udp://127.0.0.1:1")), Err(Error::Address(_))));
}

#[test]
fn a_name_is_looked_up() {
    let server = serve(1, Raw, || Echo);
    let port = server.address.port().unwrap();
    block_on(async {
        let mut stream = connect(format!("tcp://localhost:{port}")).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"hello");
    });
}

#[test]
fn a_stream_reads_and_writes_as_futures_io_expects() -> Result {
    let server = serve(1, Raw, || Echo);
    block_on(async {
        let stream = connect(&server.address).await?;
        let sent = noise(1, 3 << 20);
        let (mut reader, mut writer) = futures_lite::io::split(stream);
        let expected = sent.clone();
        let writing = spawn_local(async move {
            writer.write_all(&sent).await.unwrap();
            writer.close().await.unwrap();
        });
        let mut back = Vec::new();
        reader.read_to_end(&mut back).await?;
        writing.await?;
        assert!(back == expected);
        Ok(())
    })
}

#[test]
fn a_stream_goes_to_std_and_comes_back_with_every_byte() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let stream = std::net::TcpStream::connect(listener.local_addr()?)?;
    let (mut peer, _) = listener.accept()?;
    block_on(async {
        let mut stream = Stream::from_std(stream)?;
        std::io::Write::write_all(&mut peer, b"one two")?;
        let mut first = [0; 3];
        stream.read_exact(&mut first).await?;
        assert_eq!(&first, b"one");
        // What the reactor has read already comes along.
        let (std_stream, unread) = stream.into_std().await?;
        assert_eq!(&unread[..], b" two");
        std::io::Write::write_all(&mut peer, b" three")?;
        let mut rest = [0; 6];
        std::io::Read::read_exact(&mut (&std_stream), &mut rest)?;
        assert_eq!(&rest, b" three");
        let mut stream = Stream::from_std(std_stream)?;
        stream.write_all(b"four").await?;
        let mut back = [0; 4];
        std::io::Read::read_exact(&mut peer, &mut back)?;
        assert_eq!(&back, b"four");
        Ok(())
    })
}

#[test]
fn a_cancelled_task_is_dropped_and_a_panic_is_told() {
    struct Dropped(std::rc::Rc<std::cell::Cell<bool>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    block_on(async {
        let dropped = std::rc::Rc::new(std::cell::Cell::new(false));
        let guard = Dropped(dropped.clone());
        let task = spawn_local(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        yield_now().await;
        assert!(task.cancel().await.is_none());
        assert!(dropped.get());

        let error = spawn_local(async { panic!("as told") }).await.unwrap_err();
        assert_eq!(error, tiderace::JoinError::Panicked("as told".into()));

        let finished = spawn_local(async { 7 });
        assert_eq!(finished.await, Ok(7));
    });
}

#[test]
fn what_a_timeout_drops_is_dropped() {
    block_on(async {
        assert!(timeout(Duration::from_millis(5), std::future::pending::<()>()).await.is_err());
        let ready = timeout(Duration::from_secs(5), poll_fn(|_| Poll::Ready(3))).await;
        assert_eq!(ready, Ok(3));
    });
}

/// The last waker of a task that is dropped, or used, on another thread after the task's core has ended.
#[test]
fn a_waker_may_outlive_its_core() {
    for use_it in [false, true] {
        let (give, given) = events();
        block_on(async {
            spawn_local(poll_fn(move |cx| {
                give.send(cx.waker().clone()).unwrap();
                Poll::<()>::Pending
            }))
            .detach();
            tiderace::yield_now().await;
        });
        let waker: std::task::Waker = given.next();
        std::thread::spawn(move || if use_it { waker.wake() } else { drop(waker) }).join().unwrap();
    }
}
