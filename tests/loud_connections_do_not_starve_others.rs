//! A core shares its turns: peers that always have more to send keep neither other peers waiting nor those that connect.
//!
//! Linux only: there, what a Unix socket takes at once is as much as these tests send.
#![cfg(target_os = "linux")]

mod support;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use support::*;
use tempfile::TempDir;
use tiderace::codec::Raw;
use tiderace::{Conn, Handler, Result, Server};

/// What happens on the core, in its order.
#[derive(Debug, PartialEq)]
enum Event {
    Accepted,
    /// So many bytes of a loud peer were handled.
    Loud(usize),
    /// So many bytes of another peer were handled.
    Other(usize),
}

/// The peers' ends of loud connections.
type Peers = Arc<Mutex<Vec<UnixStream>>>;

/// Handles bytes of loud peers, the first of which is the peer's number. A loud peer's next bytes are in the socket before its
/// last ones have been handled, so that it always has more, however slow this process is.
struct Loud {
    peer: Option<usize>,
    peers: Peers,
    events: Sender<Event>,
}

impl Handler for Loud {
    type Codec = Raw;

    async fn on_message(&mut self, _: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        let peer = *self.peer.get_or_insert(bytes[0].into());
        if let Some(peer) = self.peers.lock().unwrap().get(peer) {
            fill(peer);
            self.events.send(Event::Loud(bytes.len()))?;
        }
        Ok(())
    }
}

/// Tells of what it is sent.
struct Other(Sender<Event>);

impl Handler for Other {
    type Codec = Raw;

    async fn on_message(&mut self, _: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        self.0.send(Event::Other(bytes.len()))?;
        Ok(())
    }
}

/// Writes all that the socket takes. A Unix socket's bytes are in the receiver's queue when the call returns.
fn fill(mut peer: &UnixStream) {
    static BLOCK: [u8; 32 * 1024] = [0; 32 * 1024];
    while peer.write(&BLOCK).is_ok() {}
}

/// A server of one core: on TCP it tells of whom it accepts, on one Unix socket it serves loud peers, on another one others.
struct Trial {
    server: Running,
    folder: TempDir,
    loud: Peers,
    events: Events<Event>,
}

impl Trial {
    fn new(largest_read: usize) -> Trial {
        let (folder, loud, (sender, events)) = (TempDir::new().unwrap(), Peers::default(), events());
        let unix = |name| format!("unix://{}", folder.path().join(name).display());
        let server = Server::new().cores(1).read_buffer(largest_read);
        let accepted = sender.clone();
        let server = server.listen("tcp://127.0.0.1:0", Raw, move || {
            let _ = accepted.send(Event::Accepted);
            Other(accepted.clone())
        });
        let (peers, of_loud) = (loud.clone(), sender.clone());
        let server = server.unwrap().listen(unix("loud"), Raw, move || {
            let (peers, events) = (peers.clone(), of_loud.clone());
            Loud { peer: None, peers, events }
        });
        let server = server.unwrap().listen(unix("other"), Raw, move || Other(sender.clone())).unwrap();
        Trial { server: Running::start(server), folder, loud, events }
    }

    /// Has `prepare` run while the core does nothing.
    fn while_it_stands_still<T>(&self, prepare: impl FnOnce() -> T) -> T {
        let ((entered, is_in), (leave, left)) = (events(), channel::<()>());
        until("the server runs", || self.server.handle.run_on(0, || {}));
        self.server.handle.run_on(0, move || {
            let _ = entered.send(());
            let _ = left.recv();
        });
        is_in.next();
        let prepared = prepare();
        drop(leave);
        prepared
    }

    fn connect_loud_peers(&self, number: usize) -> Vec<UnixStream> {
        (0..number).map(|_| UnixStream::connect(self.folder.path().join("loud")).unwrap()).collect()
    }

    /// From here on they always have more.
    fn be_loud(&self, peers: Vec<UnixStream>) {
        let mut loud = self.loud.lock().unwrap();
        for (number, mut peer) in peers.into_iter().enumerate() {
            peer.write_all(&[number as u8]).unwrap();
            peer.set_nonblocking(true).unwrap();
            fill(&peer);
            loud.push(peer);
        }
    }

    /// The bytes of loud peers that are handled before all those of a message of another peer's have been.
    fn bytes_before(&self, message: usize) -> usize {
        let mut other = UnixStream::connect(self.folder.path().join("other")).unwrap();
        other.set_write_timeout(Some(PATIENCE)).unwrap();
        self.while_it_stands_still(|| {
            other.write_all(&vec![0; message]).unwrap();
            // Those of earlier turns do not count.
            while !self.events.is_quiet() {}
        });
        let (mut before, mut left) = (0, message);
        while left > 0 {
            match self.events.next() {
                Event::Loud(bytes) => before += bytes,
                Event::Other(bytes) => left -= bytes,
                Event::Accepted => unreachable!("nobody connects"),
            }
        }
        before
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // They have no more, so that the server can stop.
        self.loud.lock().unwrap().clear();
    }
}

#[test]
fn a_loud_connection_and_those_that_connect_take_turns() {
    const READ: usize = 16 * 1024;
    const CONNECTIONS: usize = 1000;
    let trial = Trial::new(READ);
    let peers = trial.connect_loud_peers(1);
    // The listener was the last one that was looked at, and more than once.
    let earlier = trial.while_it_stands_still(|| (0..200).map(|_| trial.server.connect()).collect::<Vec<_>>());
    earlier.iter().for_each(|_| assert_eq!(trial.events.next(), Event::Accepted));
    let _later = trial.while_it_stands_still(|| {
        trial.be_loud(peers);
        (0..CONNECTIONS).map(|_| trial.server.connect()).collect::<Vec<_>>()
    });
    let (mut accepted, mut accepted_in_a_row, mut read_in_a_row) = (0, 0, 0);
    while accepted < CONNECTIONS {
        match trial.events.next() {
            Event::Accepted => (accepted, accepted_in_a_row, read_in_a_row) = (accepted + 1, accepted_in_a_row + 1, 0),
            Event::Loud(bytes) => (accepted_in_a_row, read_in_a_row) = (0, read_in_a_row + bytes),
            Event::Other(_) => unreachable!("they say nothing"),
        }
        assert!(accepted_in_a_row <= 64, "{accepted_in_a_row} are accepted while a connection waits to be read");
        assert!(read_in_a_row <= READ, "{read_in_a_row} bytes are read while connections wait to be accepted");
    }
}

#[test]
fn a_message_of_any_length_comes_soon_although_others_are_loud() {
    const LOUD: usize = 16;
    let trial = Trial::new(128 * 1024);
    trial.be_loud(trial.connect_loud_peers(LOUD));
    // They are new at first, too. After that they only stream.
    let mut handled = 0;
    while handled < LOUD * 1024 * 1024 {
        let Event::Loud(bytes) = trial.events.next() else { unreachable!("only they speak") };
        handled += bytes;
    }
    for message in [6_000, 150_000] {
        let before = trial.bytes_before(message);
        assert!(before <= 1024 * 1024, "{before} bytes of others before a message of {message}");
    }
}
