//! Without a framing decoder: a handler takes a part of what has come, and sees the rest again; and sends in parts.

mod support;

use bytes::Bytes;
use std::io::{Read, Write};
use support::*;
use tiderace::codec::{Peek, Raw, Unread};
use tiderace::{CloseReason, Conn, Error, Handler, Result, block_on, connect};

/// Takes messages of a length byte and as many others, and tells how it ended.
#[derive(Clone)]
struct Prefixed(std::sync::mpsc::Sender<String>);

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
    assert_eq!(closed.next(), "protocol error: expected the end of a frame within 100 bytes, met none in 100");
    let mut stream = server.connect();
    stream.write_all(&[9; 5]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let reason = closed.next();
    assert_eq!(reason, "protocol error: expected the rest of a frame, met the end of the stream after 5 bytes of it");
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
struct Finisher(std::sync::mpsc::Sender<String>);

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
