//! Groups: who is a member gets every message, once and in order; who is slow is treated as the group says.

mod support;

use futures_lite::AsyncWriteExt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::*;
use tiderace::codec::Lines;
use tiderace::{Address, CloseReason, Conn, Error, Group, Handle, Handler, Result, Server, SlowMember, block_on};

/// Joins when told to, and tells of its end.
#[derive(Clone)]
struct Guest {
    room: Group<Lines>,
    handles: Sender<Handle<Lines>>,
    others: Arc<Mutex<Vec<Handle<Lines>>>>,
    closes: Sender<String>,
    detaches: bool,
}

impl Handler for Guest {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        self.handles.send(conn.handle())?;
        self.others.lock().unwrap().push(conn.handle());
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        let answer = match line {
            "join" => self.room.join(conn),
            "leave" => self.room.leave(conn),
            "say and close" => {
                conn.send("before").await?;
                self.room.try_send("said")?;
                conn.send("after").await?;
                conn.close();
                return Ok(());
            }
            "close, say and wait" => {
                conn.close();
                self.room.try_send("said")?;
                tiderace::sleep(Duration::from_millis(10)).await;
                return Ok(());
            }
            "say and finish" => {
                self.room.try_send("said")?;
                return conn.finish().await;
            }
            "say and finish by a handle" => {
                self.room.try_send("said")?;
                conn.handle().finish();
                return Ok(());
            }
            "say and upgrade" => {
                self.room.try_send("said")?;
                conn.upgrade(Lines::default(), Upgraded);
                return Ok(());
            }
            "say and fail" => {
                self.room.try_send("said")?;
                return Err(std::io::Error::other("on purpose").into());
            }
            "say and stop" => {
                self.room.try_send("said")?;
                return Err(Error::StopServer { within: PATIENCE });
            }
            "say and close others" => {
                self.room.try_send("said")?;
                let others = self.others.lock().unwrap();
                others.iter().filter(|other| other.id() != conn.id()).for_each(Handle::close);
                return Ok(());
            }
            "detach when woken" => {
                self.detaches = true;
                return Ok(());
            }
            "say and detach" => {
                self.room.try_send("said")?;
                conn.detach(|mut stream| async move {
                    stream.write_all(b"detached\n").await.unwrap();
                });
                return Ok(());
            }
            "whisper" => {
                self.room.try_send_except(conn.id(), "psst")?;
                true
            }
            other => {
                self.room.try_send(other)?;
                return Ok(());
            }
        };
        conn.send(if answer { "yes" } else { "no" }).await
    }

    async fn on_wake(&mut self, conn: &mut Conn<Lines>) -> Result {
        if self.detaches {
            // It is kept open, and not read from.
            conn.detach(|stream| async move {
                tiderace::sleep(PATIENCE).await;
                drop(stream);
            });
        }
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        let _ = self.closes.send(reason.to_string());
    }
}

/// Says so, and closes.
struct Upgraded;

impl Handler for Upgraded {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        conn.send("upgraded").await?;
        conn.close();
        Ok(())
    }

    async fn on_message(&mut self, _: &mut Conn<Lines>, _: &str) -> Result {
        Ok(())
    }
}

/// A peer that does not end its side is not waited for.
const CLOSE: Duration = Duration::from_millis(50);

struct Party {
    room: Group<Lines>,
    server: Running,
    handles: Events<Handle<Lines>>,
    closes: Events<String>,
}

fn party(cores: usize, slow: SlowMember) -> Party {
    party_with(cores, slow, |server| server.write_marks(64 * 1024, 32 * 1024))
}

fn party_with(cores: usize, slow: SlowMember, configure: impl FnOnce(Server) -> Server) -> Party {
    let ((handles_to, handles), (closes_to, closes)) = (events(), events());
    let room = Group::with_policy(Lines::default(), slow);
    let guest =
        Guest { room: room.clone(), handles: handles_to, others: Arc::default(), closes: closes_to, detaches: false };
    let server = configure(Server::new().cores(cores).close_timeout(CLOSE));
    let server = server.listen("tcp://127.0.0.1:0", Lines::default(), move || guest.clone()).unwrap();
    Party { room, server: Running::start(server), handles, closes }
}

fn ask(stream: &mut TcpStream, what: &str) -> String {
    stream.write_all(format!("{what}\n").as_bytes()).unwrap();
    line(stream)
}

/// One line; what stands behind it is left in the socket.
fn line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    loop {
        let mut some = [0; 4096];
        let seen = stream.peek(&mut some).unwrap();
        assert!(seen > 0, "the stream ended within a line");
        let end = some[..seen].iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(seen, |end| end + 1);
        stream.read_exact(&mut some[..taken]).unwrap();
        line.extend(&some[..taken]);
        if line.pop_if(|byte| *byte == b'\n').is_some() {
            return String::from_utf8(line).unwrap();
        }
    }
}

#[test]
fn members_hear_what_is_said_while_they_are_members() {
    for cores in CORES {
        let party = party(cores, SlowMember::Skip);
        let mut guests: Vec<_> = (0..8).map(|_| party.server.connect()).collect();
        for guest in &mut guests {
            assert_eq!(ask(guest, "join"), "yes");
            assert_eq!(ask(guest, "join"), "no", "twice is once");
        }
        assert_eq!(party.room.len(), 8);
        for i in 0..50 {
            guests[i % 8].write_all(format!("line {i}\n").as_bytes()).unwrap();
            // Each hears it before the next is said, so that all hear the same order.
            guests.iter_mut().for_each(|guest| assert_eq!(line(guest), format!("line {i}")));
        }
        guests[0].write_all(b"whisper\n").unwrap();
        assert_eq!(line(&mut guests[0]), "yes");
        guests[1..].iter_mut().for_each(|guest| assert_eq!(line(guest), "psst"));
        assert_eq!(ask(&mut guests[0], "leave"), "yes");
        assert_eq!(ask(&mut guests[0], "leave"), "no");
        drop(guests.pop());
        until("who closes leaves", || party.room.len() == 6);
        guests[1].write_all(b"again\n").unwrap();
        guests[1..].iter_mut().for_each(|guest| assert_eq!(line(guest), "again"));
        assert_eq!(ask(&mut guests[0], "join"), "yes", "and nothing was heard in between");
        assert_eq!(block_on(party.room.send("from outside")).unwrap(), 7);
        guests.iter_mut().for_each(|guest| assert_eq!(line(guest), "from outside"));
        assert_eq!(party.room.skipped(), 0);
    }
}

#[test]
fn handles_join_and_leave_from_any_thread() {
    let party = party(2, SlowMember::Skip);
    let mut guests: Vec<_> = (0..4).map(|_| party.server.connect()).collect();
    let handles: Vec<_> = (0..4).map(|_| party.handles.next()).collect();
    handles.iter().for_each(|handle| party.room.join_handle(handle));
    until("all have joined", || party.room.len() == 4);
    assert_eq!(block_on(party.room.send("hello")).unwrap(), 4);
    guests.iter_mut().for_each(|guest| assert_eq!(line(guest), "hello"));
    handles.iter().for_each(|handle| party.room.leave_handle(handle));
    until("all have left", || party.room.is_empty());
    assert_eq!(block_on(party.room.send("nobody")).unwrap(), 0);
}

#[test]
fn one_senders_messages_come_in_order() {
    let party = party(4, SlowMember::Wait);
    let guests: Vec<_> = (0..8).map(|_| party.server.connect()).collect();
    (0..8).for_each(|_| party.room.join_handle(&party.handles.next()));
    until("all have joined", || party.room.len() == 8);
    let readers: Vec<_> = (guests.into_iter())
        .map(|guest| {
            std::thread::spawn(move || {
                for (i, line) in BufReader::new(guest).lines().take(2000).enumerate() {
                    assert_eq!(line.unwrap(), format!("message {i}"));
                }
            })
        })
        .collect();
    block_on(async {
        for i in 0..2000 {
            assert_eq!(party.room.send(&*format!("message {i}")).await.unwrap(), 8);
        }
    });
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

/// What a member is sent until its end.
fn rest(stream: &mut TcpStream) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    rest
}

#[test]
fn group_message_before_a_close_is_delivered() {
    for cores in CORES {
        let ends = [
            ("say and close", "before\nafter\nsaid\n"),
            ("close, say and wait", "said\n"),
            ("say and fail", "said\n"),
            ("say and finish", "said\n"),
            ("say and finish by a handle", "said\n"),
            ("say and upgrade", "said\nupgraded\n"),
            ("say and detach", "said\ndetached\n"),
            ("say and stop", "said\n"),
        ];
        for (what, heard) in ends {
            let party = party(cores, SlowMember::Skip);
            let (mut speaker, mut other) = (party.server.connect(), party.server.connect());
            assert_eq!(ask(&mut speaker, "join"), "yes");
            assert_eq!(ask(&mut other, "join"), "yes");
            speaker.write_all(format!("{what}\n").as_bytes()).unwrap();
            assert_eq!(rest(&mut speaker), heard, "{what}");
            if what != "say and stop" {
                assert_eq!(line(&mut other), "said", "{what}");
            }
        }
    }
}

#[test]
fn group_message_before_the_end_of_the_input_is_delivered() {
    for cores in CORES {
        let party = party(cores, SlowMember::Skip);
        let mut speaker = party.server.connect();
        speaker.write_all(b"join\nfirst\nsecond\n").unwrap();
        speaker.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut speaker), "yes\nfirst\nsecond\n");
    }
}

#[test]
fn group_message_is_delivered_to_a_member_that_joins_and_is_closed_at_once() {
    for cores in CORES {
        let party = party(cores, SlowMember::Skip);
        let mut speaker = party.server.connect();
        speaker.write_all(b"join\nsay and close\n").unwrap();
        assert_eq!(rest(&mut speaker), "yes\nbefore\nafter\nsaid\n");
    }
}

#[test]
fn group_message_before_a_close_by_a_handle_is_delivered() {
    // From a handler of the same core, and from this thread.
    let party = party(1, SlowMember::Skip);
    let mut guests: Vec<_> = (0..3).map(|_| party.server.connect()).collect();
    guests.iter_mut().for_each(|guest| assert_eq!(ask(guest, "join"), "yes"));
    guests[0].write_all(b"say and close others\n").unwrap();
    guests[1..].iter_mut().for_each(|guest| assert_eq!(rest(guest), "said\n"));
    assert_eq!(line(&mut guests[0]), "said");
    party.room.try_send("good night").unwrap();
    party.handles.next().close();
    assert_eq!(rest(&mut guests[0]), "good night\n");
}

/// Keeps a core from its work until what is returned is dropped.
fn hold(server: &Running, core: usize) -> Sender<()> {
    let ((holding, held), (release, released)) = (events(), channel::<()>());
    assert!(server.handle.run_on(core, move || {
        holding.send(()).unwrap();
        let _ = released.recv();
    }));
    held.next();
    release
}

#[test]
fn group_takes_a_burst_while_its_core_is_busy() {
    const BURST: usize = 20_000;
    for cores in CORES {
        let party = party_with(cores, SlowMember::Skip, |server| server.write_marks(1024 * 1024, 0));
        let mut guests: Vec<_> = (0..4).map(|_| party.server.connect()).collect();
        guests.iter_mut().for_each(|guest| assert_eq!(ask(guest, "join"), "yes"));
        let held: Vec<_> = (0..cores).map(|core| hold(&party.server, core)).collect();
        (0..BURST).for_each(|i| party.room.try_send(&*format!("{i}")).unwrap());
        drop(held);
        for guest in guests {
            for (i, line) in BufReader::new(guest).lines().take(BURST).enumerate() {
                assert_eq!(line.unwrap(), i.to_string());
            }
        }
        assert_eq!(party.room.skipped(), 0);
    }
}

#[test]
fn group_is_busy_when_megabytes_are_under_way_to_a_core() {
    let party = party_with(1, SlowMember::Skip, |server| server.write_marks(16 * 1024 * 1024, 0));
    let guest = party.server.connect();
    party.room.join_handle(&party.handles.next());
    until("it has joined", || party.room.len() == 1);
    let mut lines = BufReader::new(guest).lines();
    for message in ["x".repeat(60_000), "y".to_string()] {
        let held = hold(&party.server, 0);
        let mut said = 0;
        let refused = loop {
            match party.room.try_send(&*message) {
                Ok(()) => said += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::Busy), "{refused}");
        let bytes = said * (message.len() + 1);
        assert!(said > 20_000 || bytes > 4_000_000, "{said} messages, {bytes} bytes");
        assert!(bytes < 5_000_000, "{bytes}");
        // The one that waits is not refused, and comes in its turn.
        let (room, waiting) = (party.room.clone(), message.clone());
        let waits = std::thread::spawn(move || block_on(room.send(&*waiting)));
        drop(held);
        assert_eq!(waits.join().unwrap().unwrap(), 1);
        (0..said + 1).for_each(|_| assert_eq!(lines.next().unwrap().unwrap(), message));
        party.room.try_send("goes on").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "goes on");
    }
}

#[test]
fn group_messages_of_a_thread_keep_their_order_with_joining_and_leaving() {
    let party = party(1, SlowMember::Skip);
    let mut guests: Vec<_> = (0..2).map(|_| party.server.connect()).collect();
    let handles: Vec<_> = (0..2).map(|_| party.handles.next()).collect();
    party.room.join_handle(&handles[0]);
    let held = hold(&party.server, 0);
    party.room.try_send("one").unwrap();
    party.room.join_handle(&handles[1]);
    party.room.try_send("two").unwrap();
    party.room.try_send_except(handles[0].id(), "three").unwrap();
    party.room.leave_handle(&handles[1]);
    party.room.try_send("four").unwrap();
    drop(held);
    assert_eq!(block_on(party.room.send("five")).unwrap(), 1);
    handles.iter().for_each(Handle::close);
    let heard: Vec<_> = guests.iter_mut().map(rest).collect();
    let first = handles[0].peer_addr().unwrap() == &Address::from(guests[0].local_addr().unwrap());
    let expected = ["one\ntwo\nfour\nfive\n", "two\nthree\n"];
    assert_eq!(heard[usize::from(!first)], expected[0]);
    assert_eq!(heard[usize::from(first)], expected[1]);
}

#[test]
fn group_send_to_a_core_that_ends_is_answered() {
    let party = party(1, SlowMember::Wait);
    let mut guest = party.server.connect();
    assert_eq!(ask(&mut guest, "join"), "yes");
    let held = hold(&party.server, 0);
    let sending: Vec<_> = (0..4)
        .map(|_| {
            let room = party.room.clone();
            std::thread::spawn(move || block_on(room.send("last words")))
        })
        .collect();
    party.server.handle.stop(Duration::ZERO);
    drop(held);
    drop(party.server);
    sending.into_iter().for_each(|sending| assert!(sending.join().unwrap().unwrap() <= 1));
    assert_eq!(block_on(party.room.send("to nobody")).unwrap(), 0);
    party.room.try_send("to nobody").unwrap();
}

/// A party with one guest that does not read and one that does.
fn crowd(slow: SlowMember) -> (Party, TcpStream, TcpStream) {
    let party = party(2, slow);
    let (mut stalled, mut good) = (party.server.connect(), party.server.connect());
    assert_eq!(ask(&mut stalled, "join"), "yes");
    assert_eq!(ask(&mut good, "join"), "yes");
    (party, stalled, good)
}

#[test]
fn a_slow_member_is_skipped_and_the_others_hear_all() {
    let (party, mut stalled, mut good) = crowd(SlowMember::Skip);
    let much = "x".repeat(30_000);
    while party.room.skipped() < 10 {
        assert!(block_on(party.room.send(&*much)).unwrap() >= 1);
        // Only when it has heard this is the next said, so it is never slow.
        assert!(line(&mut good) == much);
    }
    assert!(party.closes.is_quiet(), "nobody is disconnected");
    let mut some = [0; 1000];
    stalled.read_exact(&mut some).unwrap();
    assert_eq!(some, [b'x'; 1000]);
}

#[test]
fn a_slow_member_is_disconnected_where_that_is_the_policy() {
    let (party, _stalled, mut good) = crowd(SlowMember::Disconnect);
    let much = "x".repeat(30_000);
    while party.room.len() == 2 {
        party.room.try_send(&*much).unwrap();
        // Only when it has heard this is the next said, so it is never slow.
        assert!(line(&mut good) == much);
    }
    assert_eq!(party.closes.next(), "too slow for its group");
    assert_eq!(block_on(party.room.send("still here")).unwrap(), 1);
    assert_eq!(line(&mut good), "still here");
    assert!(party.closes.is_quiet());
}

#[test]
fn a_slow_member_is_waited_for_where_that_is_the_policy() {
    let (party, stalled, good) = crowd(SlowMember::Wait);
    let count = |stream: TcpStream| {
        std::thread::spawn(move || {
            BufReader::new(stream).lines().take(400).map(|line| line.unwrap().len()).sum::<usize>()
        })
    };
    let reader = count(good);
    let much = "x".repeat(60_000);
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        count(stalled).join().unwrap()
    });
    block_on(async {
        for _ in 0..400 {
            assert_eq!(party.room.send(&*much).await.unwrap(), 2);
        }
    });
    assert_eq!(reader.join().unwrap(), 400 * 60_000);
    assert_eq!(late.join().unwrap(), 400 * 60_000, "nothing was skipped");
    assert_eq!(party.room.skipped(), 0);
}

#[test]
fn who_waits_for_a_connection_that_is_aborted_waits_no_longer() {
    let party = party(2, SlowMember::Wait);
    let stalled = party.server.connect();
    let handle = party.handles.next();
    let sender = handle.clone();
    let sending = std::thread::spawn(move || {
        block_on(async {
            loop {
                if let Err(error) = sender.send("x".repeat(60_000)).await {
                    return error;
                }
            }
        })
    });
    until("it is full", || handle.queued() > 64 * 1024);
    handle.abort();
    assert!(matches!(sending.join().unwrap(), Error::Closed));
    assert_eq!(party.closes.next(), "closed here");
    until("it is gone", || party.server.handle.connections() == 0);
    drop(stalled);
}

#[test]
fn group_send_does_not_wait_for_a_member_that_leaves_or_is_given_up() {
    for end in ["leave", "abort", "close", "detach"] {
        let party = party(2, SlowMember::Wait);
        let mut stalled = party.server.connect();
        if end == "detach" {
            stalled.write_all(b"detach when woken\n").unwrap();
        }
        assert_eq!(ask(&mut stalled, "join"), "yes");
        let handle = party.handles.next();
        let (room, (tell, told)) = (party.room.clone(), events());
        let sending = std::thread::spawn(move || {
            let much = "x".repeat(60_000);
            while block_on(room.send(&*much)).unwrap() == 1 {
                tell.send(()).unwrap();
            }
        });
        until("it is full", || handle.queued() > 64 * 1024);
        match end {
            "leave" => party.room.leave_handle(&handle),
            "abort" => handle.abort(),
            "close" => handle.close(),
            _ => handle.wake(),
        }
        sending.join().unwrap();
        assert!(!told.is_quiet(), "{end}");
        assert_eq!(party.room.skipped(), 0);
    }
}

#[test]
fn member_has_left_when_its_handler_hears_of_the_end() {
    for cores in CORES {
        for end in ["close", "abort", "fail"] {
            let party = party(cores, SlowMember::Skip);
            let (mut stays, mut ends) = (party.server.connect(), party.server.connect());
            assert_eq!(ask(&mut stays, "join"), "yes");
            party.handles.next();
            assert_eq!(ask(&mut ends, "join"), "yes");
            let handle = party.handles.next();
            match end {
                "close" => handle.close(),
                "abort" => handle.abort(),
                _ => ends.write_all(b"say and fail\n").unwrap(),
            }
            party.closes.next();
            assert_eq!(party.room.len(), 1, "{end}, while the peer has not closed its side");
        }
    }
}
