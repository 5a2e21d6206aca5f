//! Where cores run, and how much they read.

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::time::Duration;
use support::handlers::{Echo, EchoLines};
use support::*;
use tiderace::codec::{Lines, Raw};
use tiderace::{Balance, Conn, Handler, Result, Server};

/// Tells how many bytes each message had.
#[derive(Clone)]
struct Lengths(Sender<usize>);

impl Handler for Lengths {
    type Codec = Raw;

    async fn on_message(&mut self, _: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        self.0.send(bytes.len())?;
        Ok(())
    }
}

#[test]
fn connections_that_wait_for_the_server_to_run_are_spread() {
    for cores in CORES {
        let server = Server::new().cores(cores).listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap();
        let address = server.local_addrs()[0].clone();
        let early: Vec<_> = (0..8 * cores).map(|_| TcpStream::connect(&address).unwrap()).collect();
        let server = Running::start(server);
        until("all are open", || server.handle.connections() == early.len());
        assert_eq!(server.handle.connections_per_core(), vec![8; cores]);
        for mut stream in early {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            echoes(&mut stream, b"hello");
        }
    }
}

#[test]
fn a_source_hash_spreads_unix_peers_that_have_no_name() {
    let folder = tempfile::tempdir().unwrap();
    for cores in CORES {
        let path = folder.path().join(cores.to_string());
        let server = Server::new().cores(cores).balance(Balance::SourceHash);
        let server = server.listen(format!("unix://{}", path.display()), Raw, || Echo).unwrap();
        let server = Running::start(server);
        let peers: Vec<_> = (0..4 * cores).map(|_| UnixStream::connect(&path).unwrap()).collect();
        until("all are open", || server.handle.connections() == peers.len());
        assert_eq!(server.handle.connections_per_core(), vec![4; cores]);
    }
}

#[test]
fn a_read_buffer_grows_to_its_limit_and_no_further() {
    const TOTAL: usize = 8 * 1024 * 1024;
    for (limit, largest) in [(0, 4_096), (16 * 1024, 16 * 1024), (100_000, 16 * 1024), (usize::MAX, 128 * 1024)] {
        let (sender, lengths) = events();
        let server = Server::new().cores(1).read_buffer(limit);
        let server = server.listen("tcp://127.0.0.1:0", Raw, move || Lengths(sender.clone())).unwrap();
        let server = Running::start(server);
        let mut stream = server.connect();
        let writing = std::thread::spawn(move || stream.write_all(&noise(1, TOTAL)).unwrap());
        let (mut total, mut longest) = (0, 0);
        while total < TOTAL {
            let length = lengths.next();
            total += length;
            longest = longest.max(length);
        }
        writing.join().unwrap();
        assert!(longest <= largest, "{longest} at once, with a limit of {limit}");
    }
}

/// Those that this thread may run on.
#[cfg(target_os = "linux")]
fn processors() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("Cpus_allowed_list:")).unwrap();
    line.split_whitespace().last().unwrap().to_owned()
}

#[cfg(all(target_os = "linux", feature = "blocking"))]
#[test]
fn pinned_cores_start_threads_that_are_free() {
    let (sender, told) = events();
    let server = Server::new().cores(2).pin_cores(true).on_each_core(move |_| {
        let sender = sender.clone();
        async move {
            sender.send(tiderace::spawn_blocking(processors).await.unwrap()).unwrap();
        }
    });
    let handle = server.handle();
    let thread = std::thread::spawn(|| server.run().unwrap());
    assert_eq!([told.next(), told.next()], [processors(), processors()]);
    handle.stop(PATIENCE);
    thread.join().unwrap();
}

#[test]
fn longest_durations_overflow_nothing() {
    const LONGEST: Duration = Duration::MAX;

    /// Sets the limits of its connection, and echoes.
    struct Patient;

    impl Handler for Patient {
        type Codec = Raw;

        async fn on_open(&mut self, conn: &mut Conn<Raw>) -> Result {
            conn.set_idle_timeout(Some(LONGEST));
            conn.set_message_timeout(Some(LONGEST));
            conn.set_write_timeout(Some(LONGEST));
            Ok(())
        }

        async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
            conn.send(bytes).await
        }
    }

    for cores in CORES {
        let server = Server::new().cores(cores).busy_poll(LONGEST).close_timeout(LONGEST).idle_timeout(LONGEST);
        let server = server.first_message_timeout(LONGEST).message_timeout(LONGEST).write_timeout(LONGEST);
        let server = server.on_tick(|| Some(LONGEST));
        let server = Running::start(server.listen("tcp://127.0.0.1:0", Raw, || Patient).unwrap());
        let mut stream = server.connect();
        // More than it takes until a core polls on.
        (0..2000).for_each(|_| echoes(&mut stream, b"x"));
        drop(stream);
        server.stop(LONGEST);
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    tiderace::block_on(async {
        assert_eq!(tiderace::timeout(LONGEST, async { 7 }).await, Ok(7));
        for never in [tiderace::sleep(LONGEST), tiderace::sleep_until(far_away())] {
            assert!(tiderace::timeout(Duration::from_millis(2), never).await.is_err());
        }
        assert!(tiderace::timeout(Duration::from_millis(2), tiderace::interval(LONGEST).tick()).await.is_err());
        tiderace::after(LONGEST, async {}).abort();
        tiderace::every(LONGEST, || async {}).abort();
        let connector = tiderace::Connector::new(address).unwrap().timeout(LONGEST).attempt_delay(LONGEST);
        connector.connect().await.unwrap();
        let backoff = tiderace::Backoff::default().first(LONGEST).max(LONGEST);
        let nowhere = tiderace::Connector::to_any_of([]).timeout(LONGEST);
        let client = nowhere.serve(Raw, backoff, || Patient);
        tiderace::sleep(Duration::from_millis(2)).await;
        client.close();
    });
}

/// The last instant that there is, or near to it.
fn far_away() -> std::time::Instant {
    let now = std::time::Instant::now();
    (0..64).rev().filter_map(|bit| now.checked_add(Duration::from_secs(1 << bit))).next().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn pinned_cores_keep_to_one_processor_each_and_let_go_of_it() {
    let (sender, told) = events();
    let before = processors();
    let server = Server::new().cores(3).pin_cores(true).on_each_core(move |core| {
        sender.send((core, processors())).unwrap();
        async {}
    });
    let handle = server.handle();
    let thread = std::thread::spawn(move || {
        server.run().unwrap();
        processors()
    });
    let mut of_cores: Vec<_> = (0..3).map(|_| told.next()).collect();
    of_cores.sort();
    handle.stop(PATIENCE);
    assert_eq!(thread.join().unwrap(), before, "the thread that was the first core is free again");
    let single = |text: &str| text.parse::<usize>().unwrap_or_else(|_| panic!("one processor, not {text}"));
    let of_cores: Vec<usize> = of_cores.iter().map(|(_, processor)| single(processor)).collect();
    let available = std::thread::available_parallelism().unwrap().get();
    if available >= 2 {
        assert_ne!(of_cores[0], of_cores[1]);
    }
    if available == 2 {
        assert_eq!(of_cores[0], of_cores[2], "and again from the first");
    }
}

#[test]
fn connections_of_all_cores_go_on_until_the_last_hook_is_over() {
    for cores in CORES {
        let (tell, told) = events();
        let may_end = Arc::new(AtomicBool::new(false));
        let (end, (closed, closes)) = (may_end.clone(), events());
        let server = Server::new()
            .cores(cores)
            .balance(Balance::RoundRobin)
            .on_shutdown(move || async move {
                tell.send(()).unwrap();
                while !end.load(Relaxed) {
                    tiderace::sleep(Duration::from_millis(1)).await;
                }
            })
            .listen("tcp://127.0.0.1:0", Lines::default(), move || EchoLines(closed.clone()))
            .unwrap();
        let server = Running::start(server);
        let mut streams: Vec<_> = (0..8).map(|_| server.connect()).collect();
        streams.iter_mut().for_each(|stream| echoes(stream, b"before\n"));
        assert!(server.handle.connections_per_core().iter().all(|connections| *connections > 0));
        server.handle.stop(PATIENCE);
        told.next();
        streams.iter_mut().for_each(|stream| echoes(stream, b"meanwhile\n"));
        may_end.store(true, Relaxed);
        streams.iter_mut().for_each(|stream| assert!(read_to_end(stream).is_empty()));
        drop(streams);
        assert!((0..8).all(|_| closes.next() == "shutdown"));
        server.stop(PATIENCE);
    }
}
