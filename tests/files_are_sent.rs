//! `send_file`: a part of a file arrives as it is, between what was sent before and after.

mod support;

use futures_lite::future::poll_once;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;
use support::*;
use tiderace::codec::Lines;
use tiderace::{CloseReason, Conn, Error, Handle, Handler, Result, Server, Stream, block_on};

/// More than the system keeps for a peer that does not read.
const LENGTH: usize = 16 << 20;

/// Bytes that repeat only after a length which no power of two divides.
fn bytes(length: usize) -> Vec<u8> {
    let once = noise(7, 65_521);
    let mut bytes = once.repeat(length / once.len() + 1);
    bytes.truncate(length);
    bytes
}

fn file(bytes: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

/// Sends a part of its file for each line, and tells what came of that.
#[derive(Clone)]
struct Files {
    file: Arc<File>,
    range: Range<u64>,
    results: Sender<String>,
    handles: Sender<Handle<Lines>>,
}

impl Handler for Files {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, _: &str) -> Result {
        conn.send("before").await?;
        let _ = self.handles.send(conn.handle());
        let sent = conn.send_file(&self.file, self.range.clone()).await;
        let _ = self.results.send(match &sent {
            Ok(bytes) => format!("{bytes} bytes"),
            Err(Error::Io(error)) => format!("{:?}: {error}", error.kind()),
            Err(error) => error.to_string(),
        });
        sent?;
        conn.send("after").await
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        let _ = self.results.send(format!("closed: {reason}"));
    }
}

struct Trial {
    server: Running,
    results: Events<String>,
    handles: Events<Handle<Lines>>,
}

fn trial(server: Server, file: Arc<File>, range: Range<u64>) -> Trial {
    let ((results, told), (handles, given)) = (events(), events());
    let files = Files { file, range, results, handles };
    let server = server.listen("tcp://127.0.0.1:0", Lines::default(), move || files.clone()).unwrap();
    Trial { server: Running::start(server), results: told, handles: given }
}

#[test]
fn a_file_arrives_between_what_was_sent_before_and_what_others_send_meanwhile() {
    let content = bytes(LENGTH + 2_000);
    for cores in CORES {
        for portable in [false, true] {
            let server = Server::new().cores(cores).portable(portable);
            let trial = trial(server, file(&content), 1_000..1_000 + LENGTH as u64);
            let mut peer = trial.server.connect();
            peer.write_all(b"please\n").unwrap();
            // The peer has not read yet, so the file is under way.
            let handle = trial.handles.next();
            block_on(handle.send("meanwhile")).unwrap();
            let mut flushed = pin!(handle.flush());
            assert!(block_on(poll_once(&mut flushed)).is_none(), "it waits for the file");
            let mut all = vec![0; b"before\n".len() + LENGTH];
            peer.read_exact(&mut all).unwrap();
            let (before, sent) = all.split_at(b"before\n".len());
            assert_eq!(before, b"before\n");
            assert!(sent == &content[1_000..1_000 + LENGTH]);
            assert_eq!(trial.results.next(), format!("{LENGTH} bytes"));
            assert!(block_on(flushed).is_ok());
            peer.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_to_end(&mut peer), b"meanwhile\nafter\n");
            assert_eq!(trial.results.next(), "closed: end of stream");
        }
    }
}

#[test]
fn a_file_that_has_become_shorter_is_an_error_that_says_so() {
    let trial = trial(Server::new().cores(1), file(&bytes(1_000)), 100..5_000);
    let mut peer = trial.server.connect();
    peer.write_all(b"please\n").unwrap();
    assert_eq!(read_to_end(&mut peer).len(), b"before\n".len() + 900, "what there is arrives");
    let told = "UnexpectedEof: the file ends at byte 1000 by now, and 4000 more were to be sent";
    assert_eq!(trial.results.next(), told);
    assert!(trial.results.next().starts_with("closed: handler error"));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_the_connection_goes_on() {
    let (_, unreadable) = std::io::pipe().unwrap();
    let unreadable = File::from(std::os::fd::OwnedFd::from(unreadable));
    let trial = trial(Server::new().cores(1), Arc::new(unreadable), 0..10);
    let mut peer = trial.server.connect();
    peer.write_all(b"please\n").unwrap();
    assert_eq!(read_to_end(&mut peer), b"before\n");
    let told = trial.results.next();
    assert!(!told.contains("closed") && !told.contains("bytes"), "{told}");
    assert!(trial.results.next().starts_with("closed: handler error"));
}

#[test]
fn a_peer_that_takes_nothing_of_a_file_runs_into_the_write_timeout() {
    let server = Server::new().cores(1).write_timeout(Duration::from_millis(200)).close_timeout(Duration::ZERO);
    let trial = trial(server, file(&bytes(LENGTH)), 0..LENGTH as u64);
    let mut peer = trial.server.connect();
    peer.write_all(b"please\n").unwrap();
    let told = trial.results.next();
    assert!(told.starts_with("closed: timeout") && told.contains("not taken"), "{told}");
}

#[test]
fn a_peer_that_goes_away_ends_a_file() {
    for portable in [false, true] {
        let trial = trial(Server::new().cores(1).portable(portable), file(&bytes(LENGTH)), 0..LENGTH as u64);
        let mut peer = trial.server.connect();
        peer.write_all(b"please\n").unwrap();
        trial.handles.next();
        drop(peer);
        assert_eq!(trial.results.next(), "the connection is closed");
        let told = trial.results.next();
        assert!(told.starts_with("closed: reset"), "{told}");
    }
}

#[test]
fn an_aborted_connection_ends_a_file() {
    let trial = trial(Server::new().cores(1), file(&bytes(LENGTH)), 0..LENGTH as u64);
    let mut peer = trial.server.connect();
    peer.write_all(b"please\n").unwrap();
    trial.handles.next().abort();
    assert_eq!(trial.results.next(), "closed: closed here");
}

#[test]
fn a_stream_sends_a_file_and_goes_on() {
    let content = bytes(LENGTH);
    block_on(async {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).unwrap();
            all
        });
        let mut stream = Stream::from_fd(ours.into()).unwrap();
        stream.write_all(b"before").await.unwrap();
        assert_eq!(stream.send_file(&*file(&content), ..).await.unwrap(), LENGTH as u64);
        stream.write_all(b"after").await.unwrap();
        stream.close().await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        let all = reading.join().unwrap();
        assert!(all == [b"before", &content[..], b"after"].concat());
    });
}
