//! A core that has nothing to do sleeps, whatever its sockets report.
#![cfg(feature = "metrics")]

mod support;

use rustix::net::{SendFlags, send};
use socket2::SockRef;
use std::future::pending;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::mpsc::Sender;
use std::time::Duration;
use support::*;
use tiderace::codec::Raw;
use tiderace::{Conn, Handler, Result, Server};

/// What the handler does with the first bytes that it gets.
#[derive(Clone, Copy, Debug)]
enum Habit {
    /// Keeps them, so that the peer is not read.
    Waits,
    Pauses,
    /// Keeps them, and sends more than the peer takes.
    Sends,
    Reads,
}

struct Habitual(Habit, Sender<()>);

impl Handler for Habitual {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, _: &[u8]) -> Result {
        self.1.send(())?;
        match self.0 {
            Habit::Waits => pending().await,
            Habit::Pauses => conn.pause(),
            Habit::Sends => {
                while conn.send(&[0; 64 * 1024][..]).await.is_ok() {}
                pending::<()>().await;
            }
            Habit::Reads => {}
        }
        Ok(())
    }
}

/// Both pollers.
fn servers() -> impl Iterator<Item = Server> {
    [false, true].into_iter().map(|portable| Server::new().cores(1).portable(portable).busy_poll(Duration::ZERO))
}

fn turns(server: &Running) -> u64 {
    server.handle.metrics().cores[0].turns.count()
}

/// A core that spins makes some hundred thousand turns in a second.
#[track_caller]
fn rests(server: &Running, what: &str) {
    std::thread::sleep(Duration::from_millis(20));
    let before = turns(server);
    std::thread::sleep(Duration::from_millis(200));
    let made = turns(server) - before;
    assert!(made < 50, "{made} turns in 200 ms: {what}");
}

#[test]
fn a_core_rests_while_a_peer_that_has_gone_is_not_read() {
    for habit in [Habit::Waits, Habit::Pauses, Habit::Sends, Habit::Reads] {
        for end in ["a reset", "an end", "an urgent byte"] {
            for server in servers() {
                let (sender, handled) = events();
                let server = server.listen("tcp://127.0.0.1:0", Raw, move || Habitual(habit, sender.clone())).unwrap();
                let server = Running::start(server);
                let mut peer = server.connect();
                peer.write_all(b"first").unwrap();
                handled.next();
                let _open: Option<TcpStream> = match end {
                    "a reset" => {
                        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
                        drop(peer);
                        None
                    }
                    "an end" => {
                        peer.write_all(b"last").unwrap();
                        drop(peer);
                        None
                    }
                    _ => {
                        send(&peer, b"!", SendFlags::OOB).unwrap();
                        Some(peer)
                    }
                };
                rests(&server, &format!("{end}, and a handler that {habit:?}"));
            }
        }
    }
}

#[test]
fn a_core_rests_while_a_listener_accepts_nothing_more() {
    for server in servers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let duplicate: OwnedFd = listener.try_clone().unwrap().into();
        let (sender, _handled) = events();
        let server = server.listen(listener, Raw, move || Habitual(Habit::Reads, sender.clone())).unwrap();
        let server = Running::start(server);
        let mut peer = server.connect();
        peer.write_all(b"first").unwrap();
        _handled.next();
        rustix::net::shutdown(&duplicate, rustix::net::Shutdown::Both).unwrap();
        rests(&server, "a listener that was shut down");
    }
}
