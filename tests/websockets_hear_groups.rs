//! Messages to groups of WebSockets: compressed once, for those who agreed on that, in between what they are sent alone.
#![cfg(feature = "websocket")]

mod support;

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use support::*;
use tiderace::websocket::{Close, CloseCode, Deflate, Fragment, Message, Prepared, WebSocket, WebSocketConnector};
use tiderace::{Conn, Framed, Group, Handler, Result, SlowMember};

/// Says to the group what it is told, and to who told it that it has.
#[derive(Clone)]
struct Guest {
    group: Group<WebSocket>,
    prepared: Arc<Prepared>,
}

impl Handler for Guest {
    type Codec = WebSocket;

    async fn on_open(&mut self, conn: &mut Conn<WebSocket>) -> Result {
        self.group.join(conn);
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
        match message {
            Message::Text("prepared") => conn.send(&*self.prepared).await,
            Message::Text("fragments") => {
                conn.send(&Fragment::text(b"one, ")).await?;
                self.group.send("in between").await?;
                conn.send(&Fragment::last(b"two")).await
            }
            Message::Text("leave") => {
                conn.send(&Close { code: CloseCode::NORMAL, reason: "" }).await?;
                // Behind that nothing is said, and it is not slowness that keeps it away.
                self.group.send("late").await.map(drop)
            }
            Message::Text(text) => {
                // Alone, before and behind.
                conn.send(text).await?;
                assert_eq!(self.group.send(text).await?, self.group.len());
                conn.send(text).await
            }
            _ => Ok(()),
        }
    }
}

fn long(text: &str) -> String {
    text.repeat(500)
}

fn guests(codec: &WebSocket) -> (Running, Group<WebSocket>) {
    let group = Group::with_policy(codec.clone(), SlowMember::Skip);
    let guest = Guest { group: group.clone(), prepared: Prepared::text(codec, &long("prepared ")).into() };
    (serve(2, codec.clone(), move || guest.clone()), group)
}

async fn connect(server: &Running, codec: &WebSocket) -> Framed<WebSocket> {
    let connector = WebSocketConnector::new(&format!("ws://{}/", server.address)).unwrap();
    connector.limits(codec).connect().await.unwrap().framed()
}

async fn hears(socket: &mut Framed<WebSocket>, expected: &str) {
    let heard = socket.next().await.unwrap();
    assert!(matches!(heard, Some(Message::Text(text)) if text == expected), "{heard:?}");
}

#[test]
fn every_member_understands_it() {
    let plain = WebSocket::default();
    let anew = WebSocket::default().compress(Deflate::default().threshold(0));
    let kept = WebSocket::default().compress(Deflate::default().threshold(0).keep_contexts());
    let narrow = WebSocket::default().compress(Deflate::default().threshold(0).keep_contexts().window_bits(10));
    for server in [&anew, &kept, &narrow, &plain] {
        let (server, group) = guests(server);
        tiderace::block_on(async {
            let mut sockets = Vec::new();
            for codec in [&plain, &anew, &kept, &narrow] {
                sockets.push(connect(&server, codec).await);
            }
            until("all have joined", || group.len() == 4);
            for round in 0..30 {
                // Each alone is compressed with what was said before, and what all hear knows nothing of that.
                let text = long(&format!("round {} ", round % 7));
                let speaker = round % 4;
                sockets[speaker].send(&*text).await.unwrap();
                for (index, socket) in sockets.iter_mut().enumerate() {
                    for _ in 0..if index == speaker { 3 } else { 1 } {
                        hears(socket, &text).await;
                    }
                }
                sockets[speaker].send("prepared").await.unwrap();
                hears(&mut sockets[speaker], &long("prepared ")).await;
            }
        });
    }
}

/// The first byte and the length of the payload of the next frame, which is read.
fn frame(stream: &mut TcpStream) -> (u8, usize) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut length = usize::from(head[1]);
    if length == 126 {
        let mut long = [0; 2];
        stream.read_exact(&mut long).unwrap();
        length = usize::from(u16::from_be_bytes(long));
    }
    stream.read_exact(&mut vec![0; length]).unwrap();
    (head[0], length)
}

#[test]
fn it_is_compressed_for_those_who_can_and_only_if_that_helps() {
    let (server, group) = guests(&WebSocket::default().compress(Deflate::default()));
    let mut able = websocket::open(server.connect(), websocket::DEFLATE);
    let mut unable = websocket::open(server.connect(), "");
    until("both have joined", || group.len() == 2);
    let text = long("x");
    group.try_send(&*long(&text[..4])).unwrap();
    let (first, length) = frame(&mut able);
    assert!(first == 0xc1 && length < 100, "{first:x} {length}");
    assert_eq!(frame(&mut unable), (0x81, 2000));
    // Shorter than the threshold.
    group.try_send("short").unwrap();
    assert_eq!(frame(&mut able), (0x81, 5));
    assert_eq!(frame(&mut unable), (0x81, 5));
}

#[test]
fn a_message_in_fragments_is_not_interrupted() {
    let (server, group) = guests(&WebSocket::default());
    tiderace::block_on(async {
        let mut speaker = connect(&server, &WebSocket::default()).await;
        let mut other = connect(&server, &WebSocket::default()).await;
        until("both have joined", || group.len() == 2);
        speaker.send("fragments").await.unwrap();
        hears(&mut speaker, "one, two").await;
        hears(&mut other, "in between").await;
        assert_eq!(group.skipped(), 1, "who was being told something else has missed it");
        group.try_send("for both").unwrap();
        hears(&mut speaker, "for both").await;
        hears(&mut other, "for both").await;
    });
}

#[test]
fn who_has_said_good_bye_is_not_slow() {
    let codec = WebSocket::default();
    let (server, group) = guests(&codec);
    tiderace::block_on(async {
        let mut socket = connect(&server, &codec).await;
        socket.send("leave").await.unwrap();
        assert!(socket.next().await.unwrap().is_none());
    });
    until("it has left", || server.handle.connections() == 0);
    assert_eq!(group.skipped(), 0);
}
