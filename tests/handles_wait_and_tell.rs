//! A handle waits for room, tells when its connection has ended, and does from elsewhere what a handler can do.

mod support;

use futures_lite::future::{block_on as wait, poll_once};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::pin::pin;
use std::sync::Mutex;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use support::*;
use tiderace::codec::Lines;
use tiderace::{CloseKind, CloseReason, Conn, Error, Handle, HandleSendError, Handler, Result, Server};
use tiderace::{ServerHandle, block_on};

const LIMIT: usize = 64 * 1024;
const HIGH: u32 = 32 * 1024;

/// The name that a peer has given itself.
struct Name(Mutex<String>);

/// Gives its handle away, answers, and tells how it ended.
#[derive(Clone)]
struct Given {
    handles: Sender<Handle<Lines>>,
    tell: Sender<String>,
}

impl Handler for Given {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        assert!(conn.set_value(Name(Mutex::default())));
        assert!(!conn.set_value("another"), "the first value stays");
        let _ = self.handles.send(conn.handle());
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        match line {
            "on a core" => {
                let refused = conn.handle().feed_blocking("never sent");
                assert!(matches!(refused, Err(Error::OnCore)));
                conn.send("refused").await
            }
            "panic" => panic!("as told"),
            name => {
                *conn.value::<Name>().unwrap().0.lock().unwrap() = name.into();
                let _ = self.tell.send(name.into());
                Ok(())
            }
        }
    }

    async fn on_wake(&mut self, conn: &mut Conn<Lines>) -> Result {
        conn.send("awake").await
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        let _ = self.tell.send(reason.to_string());
    }
}

fn given(cores: usize) -> (Running, Events<Handle<Lines>>, Events<String>) {
    let ((handles, handle), (tell, told)) = (events(), events());
    let given = Given { handles, tell };
    let server = Server::new().cores(cores).write_marks(HIGH, HIGH / 2).handle_limit(LIMIT).close_timeout(PATIENCE);
    let server = server.listen("tcp://127.0.0.1:0", Lines::default(), move || given.clone()).unwrap();
    (Running::start(server), handle, told)
}

/// Returns when the connection's core has done what was asked before, and has written what that has queued.
fn settle(server: &ServerHandle, handle: &Handle<Lines>) {
    let (tell, told) = events();
    assert!(server.run_on(handle.id().core(), move || {
        // A timer goes off in a later turn, and the tasks of this one have run by then.
        tiderace::after(Duration::from_millis(1), async move { tell.send(()).unwrap() }).detach();
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
        settle(server, handle);
        match handle.try_send(line.to_owned()) {
            Ok(()) => sent += 1,
            Err(error) => {
                assert!(matches!(error, HandleSendError::Full(given_back) if given_back == line));
                return sent;
            }
        }
    }
}

#[test]
fn feed_blocking_sends_everything_in_order_at_the_pace_of_the_peer() {
    const EACH: usize = 50_000;
    for cores in CORES {
        let (server, handles, _told) = given(cores);
        let stream = server.connect();
        let handle = handles.next();
        let senders: Vec<_> = (0..2)
            .map(|sender| {
                let handle = handle.clone();
                thread::spawn(move || {
                    for i in 0..EACH {
                        // One sends as a plain thread does, one as a task does.
                        match sender {
                            0 => handle.feed_blocking(format!("0 {i}")).unwrap(),
                            _ => wait(handle.feed(format!("1 {i}"))).unwrap(),
                        }
                    }
                })
            })
            .collect();
        let mut next = [0; 2];
        for line in BufReader::new(stream).lines().take(2 * EACH) {
            let line = line.unwrap();
            let (sender, i) = line.split_once(' ').unwrap();
            let expected = &mut next[sender.parse::<usize>().unwrap()];
            assert_eq!(i.parse::<usize>().unwrap(), *expected);
            *expected += 1;
        }
        assert_eq!(next, [EACH; 2]);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    }
}

#[test]
fn feed_blocking_refuses_to_block_a_core() {
    let (server, _handles, _told) = given(1);
    let mut stream = server.connect();
    stream.write_all(b"on a core\n").unwrap();
    assert_eq!(BufReader::new(stream).lines().next().unwrap().unwrap(), "refused");
}

#[test]
fn a_peer_that_does_not_read_bounds_what_handles_have_waiting() {
    for cores in CORES {
        let (server, handles, _told) = given(cores);
        let stream = server.connect();
        let handle = handles.next();
        assert_eq!(handle.queued(), 0);
        let line = "x".repeat(999);
        let sent = fill(&server.handle, &handle, &line);
        settle(&server.handle, &handle);
        let (queued, most) = (handle.queued(), HIGH as usize + LIMIT + 1_000);
        assert!((most - 2_000..=most).contains(&queued), "{queued} bytes wait");

        // Those that wait for room get it when the peer reads.
        let ready = pin!(handle.ready());
        let mut fed = pin!(handle.feed("fed".to_owned()));
        let mut sends = pin!(handle.send("sent".to_owned()));
        let mut ready = ready;
        assert!(wait(poll_once(&mut ready)).is_none());
        assert!(wait(poll_once(&mut fed)).is_none());
        assert!(wait(poll_once(&mut sends)).is_none());
        let mut lines = BufReader::new(stream).lines();
        for _ in 0..sent {
            assert_eq!(lines.next().unwrap().unwrap().len(), 999);
        }
        wait(ready).unwrap();
        wait(fed).unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "fed");
        wait(sends).unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "sent");
        wait(handle.flush()).unwrap();
        settle(&server.handle, &handle);
        assert_eq!(handle.queued(), 0);
    }
}

#[test]
fn the_limit_of_a_handle_can_be_set() {
    let (server, handles, _told) = given(1);
    let _stream = server.connect();
    let handle = handles.next();
    fill(&server.handle, &handle, &"x".repeat(999));
    settle(&server.handle, &handle);
    handle.set_limit(10 * LIMIT);
    handle.try_send("more".to_owned()).unwrap();
    handle.set_limit(0);
    assert!(matches!(handle.try_send("more".to_owned()), Err(HandleSendError::Full(_))));
}

#[test]
fn what_a_sender_costs_is_the_size_of_its_message() {
    let (server, handles, _told) = given(1);
    let _stream = server.connect();
    let handle = handles.next();
    let ((held, is_held), (release, released)) = (events(), std::sync::mpsc::channel::<()>());
    server.handle.run_on(0, move || {
        held.send(()).unwrap();
        let _ = released.recv();
    });
    is_held.next();
    handle.try_send("x".repeat(5_000)).unwrap();
    assert_eq!(handle.queued(), 5_000);
    handle.try_send("a small one counts what it takes to keep it").unwrap();
    assert_eq!(handle.queued(), 5_064);
    drop(release);
}

#[test]
fn a_message_before_a_wake_or_a_finish_is_sent_before_it() {
    for cores in CORES {
        let (server, handles, told) = given(cores);
        let mut stream = server.connect();
        let handle = handles.next();
        for i in 0..100 {
            handle.try_send(i.to_string()).unwrap();
            handle.wake();
            settle(&server.handle, &handle);
        }
        handle.try_send("last".to_owned()).unwrap();
        handle.finish();
        assert!(matches!(wait(handle.send("too late".to_owned())), Err(Error::Closed)));
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(|line| line.unwrap());
        for i in 0..100 {
            assert_eq!(lines.next().unwrap(), i.to_string());
            assert_eq!(lines.next().unwrap(), "awake");
        }
        assert_eq!(lines.next().unwrap(), "last");
        assert_eq!(lines.next(), None, "the write side is shut down");
        // The peer's messages are still handled.
        stream.write_all(b"I hear\n").unwrap();
        assert_eq!(told.next(), "I hear");
        drop((lines, stream));
        assert_eq!(told.next(), "end of stream");
    }
}

#[test]
fn a_finish_waits_for_what_a_slow_peer_was_sent_before() {
    for cores in CORES {
        let (server, handles, _told) = given(cores);
        let stream = server.connect();
        let handle = handles.next();
        let sent = fill(&server.handle, &handle, &"x".repeat(999));
        handle.finish();
        assert_eq!(BufReader::new(stream).lines().map(|line| line.unwrap().len()).filter(|n| *n == 999).count(), sent);
    }
}

#[test]
fn closed_resolves_when_on_close_has_returned_from_anywhere() {
    for cores in CORES {
        let (server, handles, told) = given(cores);
        let stream = server.connect();
        let handle = handles.next();
        // On another thread, in a task of a core, and given up.
        let on_thread = thread::spawn({
            let handle = handle.clone();
            move || wait(handle.closed())
        });
        let (tell, in_task) = events();
        let here = handle.clone();
        server.handle.run_on(handle.id().core(), move || {
            tiderace::spawn_local(async move { tell.send(here.closed().await).unwrap() }).detach();
        });
        assert!(wait(poll_once(handle.closed())).is_none());
        assert!(!handle.is_closed());
        settle(&server.handle, &handle);
        drop(stream);
        assert_eq!(on_thread.join().unwrap(), CloseKind::EndOfStream);
        assert_eq!(told.next(), "end of stream");
        assert_eq!(in_task.next(), CloseKind::EndOfStream);
        assert!(handle.is_closed());
        // It has ended already, and then its core has, too.
        assert_eq!(wait(handle.closed()), CloseKind::EndOfStream);
        drop(server);
        assert_eq!(wait(handle.closed()), CloseKind::EndOfStream);
        assert_eq!(wait(handle.closed()).to_string(), "end_of_stream");
    }
}

#[test]
fn closed_says_why() {
    for cores in CORES {
        let (server, handles, told) = given(cores);
        let end = |how: &dyn Fn(&mut std::net::TcpStream, &Handle<Lines>)| {
            let mut stream = server.connect();
            let handle = handles.next();
            how(&mut stream, &handle);
            let kind = wait(handle.closed());
            told.next();
            kind
        };
        assert_eq!(end(&|_, handle| handle.close()), CloseKind::Closed);
        assert_eq!(end(&|_, handle| handle.abort()), CloseKind::Closed);
        assert_eq!(end(&|stream, _| stream.write_all(b"panic\n").unwrap()), CloseKind::Panic);
        assert_eq!(end(&|stream, _| stream.write_all(b"\xff\n").unwrap()), CloseKind::Protocol);
        let _stream = server.connect();
        let handle = handles.next();
        let waits = thread::spawn({
            let handle = handle.clone();
            move || wait(handle.closed())
        });
        server.handle.stop(Duration::ZERO);
        assert_eq!(waits.join().unwrap(), CloseKind::Shutdown);
    }
}

#[test]
fn closed_resolves_when_the_core_of_a_client_ends() {
    let (server, _handles, _told) = given(1);
    let ((handles, _), (tell, _)) = (events(), events());
    let handle = block_on(async {
        let stream = tiderace::connect(&server.address).await.unwrap();
        stream.serve(Lines::default(), Given { handles, tell }).unwrap()
    });
    assert_eq!(wait(handle.closed()), CloseKind::Shutdown);
    assert!(matches!(handle.try_send("late".to_owned()), Err(HandleSendError::Closed(_))));
}

#[test]
fn options_of_the_socket_are_set_from_elsewhere() {
    for cores in CORES {
        let (server, handles, told) = given(cores);
        let stream = server.connect();
        let handle = handles.next();
        for on in [true, false] {
            wait(
                handle.with_options(move |options| {
                    options.set_keep_alive(on.then(|| tiderace::KeepAlive::after(PATIENCE)))
                }),
            )
            .unwrap()
            .unwrap();
            assert_eq!(wait(handle.with_options(|options| options.keep_alive())).unwrap().unwrap(), on);
        }
        let panicked = wait(handle.with_options(|_| panic!("as told"))).unwrap_err();
        assert_eq!(panicked.to_string(), "the closure panicked: as told");
        drop(stream);
        told.next();
        assert_eq!(wait(handle.closed()), CloseKind::EndOfStream);
        assert!(matches!(wait(handle.with_options(|_| ())), Err(Error::Closed)));
    }
}

#[test]
fn a_value_of_the_connection_is_seen_from_every_handle() {
    for cores in CORES {
        let (server, handles, told) = given(cores);
        let mut stream = server.connect();
        let handle = handles.next();
        stream.write_all(b"Ada\n").unwrap();
        assert_eq!(told.next(), "Ada");
        assert_eq!(*handle.value::<Name>().unwrap().0.lock().unwrap(), "Ada");
        assert!(handle.value::<String>().is_none(), "it is of another type");
        drop(stream);
        wait(handle.closed());
        assert_eq!(*handle.value::<Name>().unwrap().0.lock().unwrap(), "Ada");
    }
}

#[test]
#[expect(clippy::mutable_key_type, reason = "what a handle is equal by does not change")]
fn handles_are_equal_if_their_connection_is_the_same() {
    let (server, handles, _told) = given(2);
    let streams = [server.connect(), server.connect()];
    let both = [handles.next(), handles.next()];
    assert_ne!(both[0], both[1]);
    let (tell, told) = events();
    block_on(server.handle.for_each(move |handle: Handle<Lines>| tell.send(handle).unwrap()));
    let visited: HashSet<Handle<Lines>> = [told.next(), told.next()].into();
    assert_eq!(visited, HashSet::from(both));
    drop(streams);
}

#[test]
#[cfg(target_os = "linux")]
fn waits_that_are_given_up_keep_nothing() {
    const WAITS: u64 = 30_000;
    if !system::is_own_process("waits_that_are_given_up_keep_nothing") {
        return;
    }
    let process = std::process::id();
    let (server, handles, _told) = given(1);
    let _stream = server.connect();
    let handle = handles.next();
    fill(&server.handle, &handle, &"x".repeat(999));
    let before = system::resident(process);
    for i in 0..WAITS {
        assert!(wait(poll_once(handle.ready())).is_none());
        assert!(wait(poll_once(handle.closed())).is_none());
        assert!(wait(poll_once(handle.send("x".repeat(10_000)))).is_none());
        if i % 100 == 0 {
            settle(&server.handle, &handle);
        }
    }
    settle(&server.handle, &handle);
    let kept = system::resident(process).saturating_sub(before);
    assert!(kept < WAITS * 200, "{kept} bytes for {WAITS} waits of each kind");
    drop(server);
}
