//! Connections, descriptors and listeners that are brought to a server while it runs.

mod support;

use std::fs::File;
use std::future::Future;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write, pipe};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use support::handlers::{Echo, EchoLines};
use support::*;
use tiderace::codec::{Lines, Raw};
use tiderace::{Balance, CloseReason, Conn, Error, Handler, Result, Server, block_on};

/// Tells of each line, and how it ended.
struct Told(Sender<String>);

impl Handler for Told {
    type Codec = Lines;

    async fn on_message(&mut self, _: &mut Conn<Lines>, line: &str) -> Result {
        self.0.send(line.to_owned())?;
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        let _ = self.0.send(format!("closed: {reason}"));
    }
}

/// Sends so many bytes when it opens, and tells how it ended.
struct Sends(usize, Sender<String>);

impl Handler for Sends {
    type Codec = Raw;

    async fn on_open(&mut self, conn: &mut Conn<Raw>) -> Result {
        conn.send(&noise(1, self.0)).await
    }

    async fn on_message(&mut self, _: &mut Conn<Raw>, _: &[u8]) -> Result {
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Raw>, reason: &CloseReason) {
        let _ = self.1.send(reason.to_string());
    }
}

fn running(server: Server) -> Running {
    let server = Running::start(server.listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap());
    let cores = server.handle.clone();
    until("the server runs", move || cores.run_on(0, || {}));
    server
}

fn is_send<F: Future + Send + 'static>(future: F) -> F {
    future
}

#[test]
fn a_socket_becomes_a_connection_on_the_core_that_is_asked_for() {
    for cores in CORES {
        let server = running(Server::new().cores(cores));
        let (sender, ended) = events();
        for core in 0..cores {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            let handler = EchoLines(sender.clone());
            let attached = is_send(server.handle.attach_on(core, theirs, Lines::default(), || handler));
            let handle = block_on(attached).unwrap();
            assert_eq!(handle.id().core(), core);
            ours.write_all(b"hello\n").unwrap();
            let mut line = String::new();
            BufReader::new(&ours).read_line(&mut line).unwrap();
            assert_eq!(line, "hello\n");
            assert_eq!(server.handle.connections_per_core()[core], 1);
            ours.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(ended.next(), "end of stream");
        }
        let (_ours, theirs) = UnixStream::pair().unwrap();
        block_on(server.handle.attach(theirs, Lines::default(), move || EchoLines(sender))).unwrap();
        server.stop(Duration::from_millis(50));
        assert_eq!(ended.next(), "shutdown", "it ends with the server");
    }
}

#[test]
fn sockets_are_spread_as_the_server_spreads_connections() {
    for balance in [Balance::Kernel, Balance::RoundRobin, Balance::LeastConnections, Balance::SourceHash] {
        let server = running(Server::new().cores(4).balance(balance.clone()));
        let mut ours = Vec::new();
        for _ in 0..8 {
            let (one, other) = UnixStream::pair().unwrap();
            ours.push(one);
            block_on(server.handle.attach(other, Raw, || Echo)).unwrap();
        }
        assert_eq!(server.handle.connections_per_core(), [2; 4], "{balance:?}");
    }
}

#[test]
fn a_server_connects_and_counts_the_connection() {
    for cores in CORES {
        let server = running(Server::new().cores(cores).max_connections(1));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let (sender, ended) = events();
        let of_first = sender.clone();
        let connected = is_send(server.handle.connect_on(cores - 1, to, Raw, move || Sends(5, of_first)));
        let handle = block_on(connected).unwrap();
        assert_eq!((handle.id().core(), server.handle.connections()), (cores - 1, 1));
        let (mut peer, _) = listener.accept().unwrap();
        let mut bytes = [0; 5];
        peer.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes[..], noise(1, 5));
        let refused = block_on(server.handle.connect(to, Raw, move || Sends(5, sender)));
        assert!(matches!(refused, Err(Error::TooManyConnections)));
        drop(peer);
        assert_eq!(ended.next(), "end of stream");
    }
}

#[test]
fn a_connection_that_cannot_be_made_says_why() {
    let server = running(Server::new().cores(1));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(matches!(block_on(server.handle.connect(nobody, Raw, || Echo)), Err(Error::Connect { .. })));
    assert!(matches!(block_on(server.handle.connect("nowhere", Raw, || Echo)), Err(Error::Address(_))));
    let panics = block_on(server.handle.attach(UnixStream::pair().unwrap().0, Raw, || -> Echo { panic!("no") }));
    assert!(panics.unwrap_err().to_string().contains("no handler could be made: no"));
    until("nothing is left", || server.handle.connections() == 0);
}

#[test]
fn a_server_that_does_not_run_takes_nothing() {
    let server = Server::new().cores(1).listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap();
    let handle = server.handle();
    let attach = |core| block_on(handle.attach_on(core, UnixStream::pair().unwrap().0, Raw, || Echo));
    assert!(matches!(attach(0), Err(Error::NotRunning)));
    let server = Running::start(server);
    until("the server runs", || handle.run_on(0, || {}));
    assert!(attach(0).is_ok());
    assert!(matches!(attach(1), Err(Error::NotRunning)), "it has one core");
    server.stop(Duration::ZERO);
    assert!(matches!(attach(0), Err(Error::NotRunning)));
    assert!(matches!(block_on(handle.listen_on(0, "tcp://127.0.0.1:0", Raw, || Echo)), Err(Error::NotRunning)));
}

#[test]
fn a_server_listens_on_one_more_address_while_it_runs() {
    for cores in CORES {
        let server = running(Server::new().cores(cores));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let unix = block_on(server.handle.listen_on(0, format!("unix://{}", path.display()), Raw, || Echo)).unwrap();
        assert_eq!(unix.as_path(), Some(&*path));
        let existing = TcpListener::bind("127.0.0.1:0").unwrap();
        let listening = is_send(server.handle.listen_on(cores - 1, existing, Raw, || Echo));
        let mut tcp = TcpStream::connect(block_on(listening).unwrap()).unwrap();
        echoes(&mut tcp, b"hello");
        assert_eq!(server.handle.connections_per_core()[cores - 1], 1);
        let mut unix = UnixStream::connect(&path).unwrap();
        unix.write_all(b"hello").unwrap();
        unix.read_exact(&mut [0; 5]).unwrap();
        let taken = block_on(server.handle.listen_on(0, format!("unix://{}", path.display()), Raw, || Echo));
        assert!(matches!(taken, Err(Error::Bind { .. })));
        drop((tcp, unix));
        server.stop(PATIENCE);
        assert!(!path.exists(), "the file ends with the server");
    }
}

#[test]
fn a_pipe_is_read_to_its_end() {
    const LINES: usize = 20_000;
    for portable in [false, true] {
        let server = running(Server::new().cores(1).portable(portable));
        let (reader, mut writer) = pipe().unwrap();
        let (sender, told) = events();
        let handle = block_on(server.handle.attach(reader, Lines::default(), move || Told(sender))).unwrap();
        assert!(handle.peer_addr().is_none());
        // More than a pipe holds.
        let lines: String = (0..LINES).map(|i| format!("{i}\n")).collect();
        writer.write_all(lines.as_bytes()).unwrap();
        drop(writer);
        for i in 0..LINES {
            assert_eq!(told.next(), i.to_string());
        }
        assert_eq!(told.next(), "closed: end of stream");
    }
}

#[test]
fn a_pipe_is_written_and_ends_with_the_connection() {
    const BYTES: usize = 1 << 20;
    for portable in [false, true] {
        let server = running(Server::new().cores(1).portable(portable).close_timeout(2 * PATIENCE));
        let (mut reader, writer) = pipe().unwrap();
        let (sender, ended) = events();
        let handle = block_on(server.handle.attach(writer, Raw, move || Sends(BYTES, sender))).unwrap();
        let mut bytes = vec![0; BYTES];
        reader.read_exact(&mut bytes).unwrap();
        assert!(bytes == noise(1, BYTES));
        block_on(handle.send(bytes::Bytes::from_static(b"last"))).unwrap();
        let closing = Instant::now();
        handle.close();
        let mut last = String::new();
        reader.read_to_string(&mut last).unwrap();
        assert_eq!((last.as_str(), ended.next().as_str()), ("last", "closed here"));
        assert!(closing.elapsed() < PATIENCE, "its end is not waited for");
    }
}

#[test]
fn a_pipe_whose_reader_has_gone_ends() {
    for portable in [false, true] {
        let server = running(Server::new().cores(1).portable(portable));
        // One that is written when the reader has gone, and one that is not.
        for bytes in [1 << 20, 0] {
            let (reader, writer) = pipe().unwrap();
            let (sender, ended) = events();
            block_on(server.handle.attach(writer, Raw, move || Sends(bytes, sender))).unwrap();
            drop(reader);
            let reason = ended.next();
            assert!(reason == "end of stream" || reason.starts_with("reset: Broken pipe"), "{reason}");
        }
    }
}

/// A host program may not ignore SIGPIPE, as Rust's runtime does.
#[test]
#[cfg(target_os = "linux")]
fn a_core_that_writes_to_a_pipe_holds_sigpipe_back() {
    let server = running(Server::new().cores(1));
    let (sender, blocked) = events();
    let is_blocked = || {
        let sender = sender.clone();
        server.handle.run_on(0, move || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
            let _ = sender.send(u64::from_str_radix(line.trim(), 16).unwrap() & 1 << (13 - 1) != 0);
        });
        blocked.next()
    };
    block_on(server.handle.attach(UnixStream::pair().unwrap().0, Raw, || Echo)).unwrap();
    assert!(!is_blocked(), "for a socket it is not");
    block_on(server.handle.attach(pipe().unwrap().1, Raw, || Echo)).unwrap();
    assert!(is_blocked());
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_gives_all_its_lines() {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    for portable in [false, true] {
        let server = running(Server::new().cores(1).portable(portable));
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = || open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let (sender, told) = events();
        let of_master = sender.clone();

        block_on(server.handle.attach(slave(), Lines::default(), || Told(sender))).unwrap();
        // One read gives one of them.
        File::from(master.try_clone().unwrap()).write_all(b"one\ntwo\nthree\n").unwrap();
        assert_eq!([told.next(), told.next(), told.next()], ["one", "two", "three"]);
        let mut echo = [0; 17];
        File::from(master.try_clone().unwrap()).read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"one\r\ntwo\r\nthree\r\n".first_chunk::<17>().unwrap());
        drop(master);
        assert_eq!(told.next(), "closed: end of stream");

        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        block_on(server.handle.attach(master, Lines::default(), || Told(of_master))).unwrap();
        File::from(slave).write_all(b"four\n").unwrap();
        assert_eq!(told.next(), "four");
        assert_eq!(told.next(), "closed: end of stream", "when nobody has the other end any more");
    }
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let server = running(Server::new().cores(1));
    let file: OwnedFd = tempfile::tempfile().unwrap().into();
    let folder: OwnedFd = File::open(std::env::temp_dir()).unwrap().into();
    // poll(2) watches this one: it is always ready, and at its end.
    let null = if cfg!(polling_test_poll_backend) { "/" } else { "/dev/null" };
    let null: OwnedFd = File::open(null).unwrap().into();
    let datagrams: OwnedFd = UdpSocket::bind("127.0.0.1:0").unwrap().into();
    for descriptor in [file, folder, null, datagrams] {
        let Err(Error::Io(error)) = block_on(server.handle.attach(descriptor, Raw, || Echo)) else { panic!("taken") };
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    until("nothing is left", || server.handle.connections() == 0);
}
