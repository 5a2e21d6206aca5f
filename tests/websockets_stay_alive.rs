//! WebSockets of a server with an idle timeout: who answers pings stays, and who is gone without a word is closed.
#![cfg(feature = "websocket")]

mod support;

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
            Message::Text(text) => conn.send(text).await,
            _ => Ok(()),
        }
    }

    async fn on_close(&mut self, _: &mut Conn<WebSocket>, reason: &CloseReason) {
        let _ = self.0.send(reason.to_string());
    }
}

fn quiet() -> (Running, Events<String>) {
    let (tell, told) = events();
    let server = Server::new().cores(1).idle_timeout(IDLE);
    let server = server.listen("tcp://127.0.0.1:0", WebSocket::default(), move || Quiet(tell.clone())).unwrap();
    (Running::start(server), told)
}

#[test]
fn who_answers_pings_is_kept() {
    let (server, told) = quiet();
    let (mut socket, _) = tungstenite::client(format!("ws://{}", server.address), server.connect()).unwrap();
    let mut pings = 0;
    let began = Instant::now();
    while began.elapsed() < 3 * IDLE {
        // Answered by the library, when the next message is read.
        assert!(matches!(socket.read().unwrap(), tungstenite::Message::Ping(_)));
        pings += 1;
    }
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
