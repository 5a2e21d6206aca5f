//! WebSockets of a server with an idle timeout: who answers pings stays, and who is gone without a word is closed.
#![cfg(feature = "websocket")]

mod support;

use std::io::Write;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use support::*;
use tiderace::websocket::{Message, WebSocket, WebSocketConnector};
use tiderace::{CloseReason, Conn, Handler, Result, Server};

/// Half of it is what a peer has for an answer, also on a busy machine.
const IDLE: Duration = Duration::from_millis(600);

struct Quiet(Sender<String>);

impl Handler for Quiet {
    type Codec = WebSocket;

    async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
        match message {
            Message::Text("be deaf") => {
                conn.pause();
                let handle = conn.handle();
                let speaks = async move {
                    while handle.try_send("tick".to_owned()).is_ok() {
                        tiderace::sleep(2 * IDLE).await;
                    }
                };
                tiderace::spawn_local(speaks).detach();
                Ok(())
            }
            Message::Text(text) => conn.send(text).await,
            _ => Ok(()),
        }
    }

    async fn on_close(&mut self, _: &mut Conn<WebSocket>, reason: &CloseReason) {
        let _ = self.0.send(reason.to_string());
    }
}

fn quiet() -> (Running, Events<String>) {
    quiet_for(IDLE, WebSocket::default())
}

fn quiet_for(idle: Duration, codec: WebSocket) -> (Running, Events<String>) {
    let (tell, told) = events();
    let server = Server::new().cores(1).idle_timeout(idle);
    let server = server.listen("tcp://127.0.0.1:0", codec, move || Quiet(tell.clone())).unwrap();
    (Running::start(server), told)
}

#[test]
fn who_answers_pings_is_kept() {
    let (mut socket, pings, told, _server) = 'again: loop {
        let (server, told) = quiet();
        let (mut socket, _) = tungstenite::client(format!("ws://{}", server.address), server.connect()).unwrap();
        let (began, mut before, mut pings) = (Instant::now(), Instant::now(), 0);
        while began.elapsed() < 3 * IDLE {
            // Answered by the library, when the next message is read.
            let read = socket.read();
            let heard = Instant::now();
            if !matches!(read, Ok(tungstenite::Message::Ping(_))) {
                // A peer that is kept from its work for so long is closed, and rightly.
                assert!(heard - before > IDLE * 3 / 4, "{read:?}");
                continue 'again;
            }
            (before, pings) = (heard, pings + 1);
        }
        break (socket, pings, told, server);
    };
    assert!(told.is_quiet(), "it was closed");
    assert!((2..=7).contains(&pings), "{pings} pings in three idle times");
    socket.send(tungstenite::Message::text("still there")).unwrap();
    assert_eq!(socket.read().unwrap(), tungstenite::Message::text("still there"));
}

#[test]
fn our_own_client_is_kept_while_it_listens() {
    let (server, told) = quiet();
    let url = format!("ws://{}/", server.address);
    tiderace::block_on(async move {
        let mut socket = WebSocketConnector::new(&url).unwrap().connect().await.unwrap().framed();
        assert!(tiderace::timeout(3 * IDLE, socket.next()).await.is_err(), "nothing is said");
        socket.send("still there").await.unwrap();
        assert!(matches!(socket.next().await, Ok(Some(Message::Text("still there")))));
    });
    assert_eq!(told.next(), CloseReason::EndOfStream.to_string());
}

#[test]
fn who_does_not_answer_is_closed() {
    let (server, told) = quiet();
    let began = Instant::now();
    let mut stream = websocket::open(server.connect(), "");
    let frames = read_to_end(&mut stream);
    // One ping, and a close that says why: 1008.
    assert_eq!(frames, [0x89, 0, 0x88, 2, 0x03, 0xf0]);
    assert!(began.elapsed() >= IDLE);
    assert_eq!(told.next(), CloseReason::Timeout(tiderace::TimeLimit::Idle).to_string());
}

/// It could not be heard.
#[test]
fn who_is_not_read_from_is_not_pinged() {
    let (server, told) = quiet_for(3 * IDLE, WebSocket::default());
    let (mut socket, _) = tungstenite::client(format!("ws://{}", server.address), server.connect()).unwrap();
    socket.send(tungstenite::Message::text("be deaf")).unwrap();
    for _ in 0..4 {
        assert_eq!(socket.read().unwrap(), tungstenite::Message::text("tick"));
    }
    assert!(told.is_quiet(), "it was closed");
}

/// The library answers, and it is the peer for whom that waits.
#[test]
fn who_asks_for_pongs_and_does_not_read_is_idle() {
    let (server, told) = quiet_for(IDLE, WebSocket::default().max_controls(u32::MAX));
    let (mut socket, _) = tungstenite::client(format!("ws://{}", server.address), server.connect()).unwrap();
    let stream = socket.get_mut();
    stream.set_write_timeout(Some(IDLE)).unwrap();
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'x'; 125]].concat();
    while stream.write_all(&ping.repeat(500)).is_ok() {}
    assert_eq!(told.next(), "timeout: idle");
}
