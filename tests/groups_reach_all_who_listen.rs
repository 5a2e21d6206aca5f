//! Groups: who is a member gets every message, once and in order; who is slow is treated as the group says.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::Sender;
use std::time::Duration;
use support::*;
use tiderace::codec::Lines;
use tiderace::{CloseReason, Conn, Error, Group, Handle, Handler, Result, Server, SlowMember, block_on};

/// Joins when told to, and tells of its end.
#[derive(Clone)]
struct Guest {
    room: Group<Lines>,
    handles: Sender<Handle<Lines>>,
    closes: Sender<String>,
}

impl Handler for Guest {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        self.handles.send(conn.handle())?;
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        let answer = match line {
            "join" => self.room.join(conn),
            "leave" => self.room.leave(conn),
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

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        let _ = self.closes.send(reason.to_string());
    }
}

struct Party {
    room: Group<Lines>,
    server: Running,
    handles: Events<Handle<Lines>>,
    closes: Events<String>,
}

fn party(cores: usize, slow: SlowMember) -> Party {
    let ((handles_to, handles), (closes_to, closes)) = (events(), events());
    let room = Group::with_policy(Lines::default(), slow);
    let guest = Guest { room: room.clone(), handles: handles_to, closes: closes_to };
    let server = Server::new().cores(cores).close_timeout(Duration::from_millis(50)).write_marks(64 * 1024, 32 * 1024);
    let server = server.listen("tcp://127.0.0.1:0", Lines::default(), move || guest.clone()).unwrap();
    Party { room, server: Running::start(server), handles, closes }
}

fn ask(stream: &mut TcpStream, what: &str) -> String {
    stream.write_all(format!("{what}\n").as_bytes()).unwrap();
    line(stream)
}

/// One line, read byte by byte, so that nothing behind it is taken.
fn line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        match byte[0] {
            b'\n' => return String::from_utf8(line).unwrap(),
            byte => line.push(byte),
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

/// A party with one guest that does not read and one that does, filled until the first is slow.
fn crowd(slow: SlowMember) -> (Party, TcpStream, TcpStream) {
    let party = party(2, slow);
    let (mut stalled, mut good) = (party.server.connect(), party.server.connect());
    assert_eq!(ask(&mut stalled, "join"), "yes");
    assert_eq!(ask(&mut good, "join"), "yes");
    (party, stalled, good)
}

#[test]
fn a_slow_member_is_skipped_and_the_others_hear_all() {
    let (party, mut stalled, good) = crowd(SlowMember::Skip);
    let much = "x".repeat(60_000);
    let reader = std::thread::spawn(move || {
        let mut lines = BufReader::new(good).lines();
        let mut heard = 0;
        while lines.next().unwrap().unwrap() != "end" {
            heard += 1;
        }
        (heard, lines)
    });
    let mut said = 0;
    while party.room.skipped() < 10 {
        let heard = block_on(party.room.send(&*much)).unwrap();
        said += 1;
        assert!(heard >= 1 && said < 100_000);
    }
    // The good one may have been skipped too, where it was not quick enough; but not for ever.
    while block_on(party.room.send("end")).unwrap() == 0 {}
    let (heard, _open) = reader.join().unwrap();
    assert!(heard > 0);
    assert!(party.closes.is_quiet(), "nobody is disconnected");
    let mut some = [0; 1000];
    stalled.read_exact(&mut some).unwrap();
    assert_eq!(some, [b'x'; 1000]);
}

#[test]
fn a_slow_member_is_disconnected_where_that_is_the_policy() {
    let (party, stalled, good) = crowd(SlowMember::Disconnect);
    let reader = std::thread::spawn(move || std::io::copy(&mut BufReader::new(good), &mut std::io::sink()));
    let much = "x".repeat(1_000);
    // Small messages, so that the good reader keeps up.
    while party.room.len() == 2 {
        party
            .room
            .try_send(&*much)
            .or_else(|error| match error {
                Error::Busy => Ok(()),
                other => Err(other),
            })
            .unwrap();
        std::thread::sleep(Duration::from_micros(50));
    }
    assert_eq!(party.closes.next(), "too slow for its group");
    drop((party, stalled));
    reader.join().unwrap().unwrap();
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
    until("it is full", || matches!(handle.try_send("y"), Err(tiderace::HandleSendError::Full(_))));
    handle.abort();
    assert!(matches!(sending.join().unwrap(), Error::Closed));
    assert_eq!(party.closes.next(), "closed here");
    until("it is gone", || party.server.handle.connections() == 0);
    drop(stalled);
}
