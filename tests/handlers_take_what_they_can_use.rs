//! Without a framing decoder: a handler takes a part of what has come, and sees the rest again; and sends in parts.

mod support;

use bytes::Bytes;
use std::io::{Read, Write};
use std::sync::mpsc::Sender;
use support::*;
use tiderace::codec::{Fixed, Peek, Raw, Unread};
use tiderace::{CloseReason, Conn, Error, Handle, Handler, Result, block_on, connect};

/// Takes messages of a length byte and as many others, and tells how it ended.
#[derive(Clone)]
struct Prefixed(Sender<String>);

impl Handler for Prefixed {
    type Codec = Peek;

    async fn on_message(&mut self, conn: &mut Conn<Peek>, mut unread: Unread<'_>) -> Result {
        while let Some(length) = unread.first().map(|byte| usize::from(*byte)) {
            let Some(message) = unread.take(1 + length) else { break };
            conn.send(&[&message[1..], b"\n"][..]).await?;
        }
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Peek>, reason: &CloseReason) {
        let _ = self.0.send(reason.to_string());
    }
}

#[test]
fn what_is_not_taken_comes_again_with_more() {
    for cores in CORES {
        let (sender, closed) = events();
        let server = serve(cores, Peek::default(), move || Prefixed(sender.clone()));
        let messages: Vec<Vec<u8>> = (0..255).map(|length| noise(length, length as usize)).collect();
        let sent: Vec<u8> = messages.iter().flat_map(|m| [&[m.len() as u8][..], m].concat()).collect();
        let expected: Vec<u8> = messages.iter().flat_map(|m| [m, &b"\n"[..]].concat()).collect();
        // A piece at a time, of every length that ends in the middle of something.
        for piece in [1, 7, 64, 4_099, sent.len()] {
            let mut stream = server.connect();
            let mut writer = stream.try_clone().unwrap();
            let sent = sent.clone();
            let writing = std::thread::spawn(move || {
                sent.chunks(piece).for_each(|piece| writer.write_all(piece).unwrap());
            });
            let mut back = vec![0; expected.len()];
            stream.read_exact(&mut back).unwrap();
            assert!(back == expected, "in pieces of {piece}");
            writing.join().unwrap();
            drop(stream);
            assert_eq!(closed.next(), "end of stream");
        }
    }
}

#[test]
fn what_nobody_takes_has_a_limit_and_no_end() {
    let (sender, closed) = events();
    let server = serve(1, Peek::with_max(100), move || Prefixed(sender.clone()));
    let mut stream = server.connect();
    stream.write_all(&[255; 100]).unwrap();
    assert_eq!(closed.next(), "protocol error: expected the end of a frame within 100 bytes, found none in 100");
    let mut stream = server.connect();
    stream.write_all(&[9; 5]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let reason = closed.next();
    assert_eq!(reason, "protocol error: expected the rest of a frame, found the end of the stream after 5 bytes of it");
}

#[test]
fn a_client_that_is_driven_by_hand_takes_parts_too() {
    let server = serve(1, Raw, || handlers::Echo);
    block_on(async {
        let mut client = connect(&*server.address.to_string()).await.unwrap().framed(Peek::default());
        client.send(&[&b"ab"[..], b"cde"][..]).await.unwrap();
        let mut received = Vec::new();
        while received.len() < 4 {
            let mut unread = client.next().await.unwrap().unwrap();
            // Never the last byte: there is always something left.
            let n = unread.len() - 1;
            received.extend_from_slice(unread.take(n).unwrap());
            assert!(unread.take(2).is_none(), "there is one only");
            if received.len() < 4 {
                client.send(&b"-"[..]).await.unwrap();
            }
        }
        client.send(&b"f"[..]).await.unwrap();
        let mut unread = client.next().await.unwrap().unwrap();
        assert_eq!(unread.take_all().last(), Some(&b'f'));
        assert!(unread.is_empty());
    });
}

/// Sends shared parts, says that this is all, and goes on listening.
struct Finisher(Sender<String>);

impl Handler for Finisher {
    type Codec = Raw;

    async fn on_open(&mut self, conn: &mut Conn<Raw>) -> Result {
        let parts = vec![Bytes::from(noise(1, 100_000)), Bytes::from_static(b"end")];
        conn.send(&parts).await?;
        conn.finish().await?;
        assert!(matches!(conn.send("more").await, Err(Error::Closed)));
        Ok(())
    }

    async fn on_message(&mut self, _: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        self.0.send(String::from_utf8_lossy(bytes).into_owned())?;
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Raw>, reason: &CloseReason) {
        let _ = self.0.send(reason.to_string());
    }
}

#[test]
fn a_handler_that_has_finished_sending_still_hears() {
    let (sender, heard) = events();
    let server = serve(1, Raw, move || Finisher(sender.clone()));
    let mut stream = server.connect();
    let all = read_to_end(&mut stream);
    assert!(all == [&noise(1, 100_000)[..], b"end"].concat());
    stream.write_all(b"thanks").unwrap();
    assert_eq!(heard.next(), "thanks");
    drop(stream);
    assert_eq!(heard.next(), "end of stream");
}

/// Takes nothing before it was woken or the stream has ended, and tells what happens.
struct Waiting {
    tell: Sender<String>,
    handles: Sender<Handle<Peek>>,
    may_take: bool,
}

impl Handler for Waiting {
    type Codec = Peek;

    async fn on_open(&mut self, conn: &mut Conn<Peek>) -> Result {
        self.handles.send(conn.handle())?;
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Peek>, mut unread: Unread<'_>) -> Result {
        let (bytes, is_last) = (String::from_utf8_lossy(&unread).into_owned(), unread.is_last());
        self.tell.send(format!("{bytes}, {} behind{}", conn.buffered(), if is_last { ", last" } else { "" }))?;
        if std::mem::take(&mut self.may_take) || unread.starts_with(b"now") {
            unread.take(4);
        }
        Ok(())
    }

    async fn on_wake(&mut self, conn: &mut Conn<Peek>) -> Result {
        self.may_take = true;
        self.tell.send(format!("woken with {}", conn.buffered()))?;
        Ok(())
    }

    async fn on_eof(&mut self, conn: &mut Conn<Peek>) -> Result {
        self.tell.send(format!("ended with {}", conn.buffered()))?;
        conn.send("good bye").await
    }

    async fn on_close(&mut self, _: &mut Conn<Peek>, reason: &CloseReason) {
        let _ = self.tell.send(reason.to_string());
    }
}

fn waiting(cores: usize) -> (Running, Events<String>, Events<Handle<Peek>>) {
    let ((tell, told), (handles, handed)) = (events(), events());
    let make = move || Waiting { tell: tell.clone(), handles: handles.clone(), may_take: false };
    (serve(cores, Peek::default(), make), told, handed)
}

#[test]
fn peek_shows_what_was_left_again_after_a_wake() {
    for cores in CORES {
        let (server, told, handles) = waiting(cores);
        let mut stream = server.connect();
        let handle = handles.next();
        stream.write_all(b"12345").unwrap();
        assert_eq!(told.next(), "12345, 0 behind");
        handle.wake();
        assert_eq!([told.next(), told.next()], ["woken with 5", "12345, 0 behind"]);
        stream.write_all(b"6").unwrap();
        assert_eq!(told.next(), "56, 0 behind");
        handle.wake();
        assert_eq!([told.next(), told.next()], ["woken with 2", "56, 0 behind"]);
        // Where nothing is left, a wake is a wake.
        let mut empty = server.connect();
        handles.next().wake();
        assert_eq!(told.next(), "woken with 0");
        empty.write_all(b"7").unwrap();
        assert_eq!(told.next(), "7, 0 behind");
    }
}

#[test]
fn peek_shows_what_was_left_again_at_the_end_of_the_stream() {
    for cores in CORES {
        let (server, told, _handles) = waiting(cores);
        let mut stream = server.connect();
        stream.write_all(b"now1").unwrap();
        assert_eq!(told.next(), "now1, 0 behind");
        stream.write_all(b"no").unwrap();
        assert_eq!(told.next(), "no, 0 behind");
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(told.next(), "no, 0 behind, last");
        // It was left again, and is an error only now that the handler has been told of the end.
        assert_eq!(told.next(), "ended with 2");
        assert_eq!(read_to_end(&mut stream), b"good bye");
        let truncated = "protocol error: expected the rest of a frame, found the end of the stream after 2 bytes of it";
        assert_eq!(told.next(), truncated);
        // What is taken then is no error.
        let mut stream = server.connect();
        stream.write_all(b"now2").unwrap();
        assert_eq!(told.next(), "now2, 0 behind");
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!([told.next(), told.next()], ["ended with 0", "end of stream"]);
        assert_eq!(read_to_end(&mut stream), b"good bye");
    }
}

/// Tells how much waits behind each message.
struct Counting {
    tell: Sender<usize>,
    handled: usize,
}

impl Handler for Counting {
    type Codec = Fixed;

    async fn on_message(&mut self, conn: &mut Conn<Fixed>, message: &[u8]) -> Result {
        self.handled += message.len();
        self.tell.send(self.handled + conn.buffered())?;
        Ok(())
    }

    async fn on_wake(&mut self, conn: &mut Conn<Fixed>) -> Result {
        self.tell.send(conn.buffered())?;
        Ok(())
    }
}

#[test]
fn buffered_bytes_are_those_behind_the_message_also_where_the_ring_wraps() {
    const PIECE: usize = 1_000;
    const MESSAGE: usize = 70;
    let (tell, told) = events();
    let server = serve(1, Fixed::new(MESSAGE), move || Counting { tell: tell.clone(), handled: 0 });
    let mut stream = server.connect();
    // A part of a message is always left, so that the ring never begins anew.
    let (mut sent, mut handled) = (0, 0);
    for _ in 0..50 {
        stream.write_all(&[7; PIECE]).unwrap();
        sent += PIECE;
        while handled + MESSAGE <= sent {
            handled += MESSAGE;
            assert_eq!(told.next(), sent, "behind the message that ends at {handled}");
        }
    }
    let wakes = server.handle.for_each(|handle: Handle<Fixed>| handle.wake());
    assert_eq!(block_on(wakes), 1);
    assert_eq!(told.next(), sent - handled);
}
