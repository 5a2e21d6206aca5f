//! Where cores run, and how much they read.

mod support;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::time::Duration;
use support::handlers::EchoLines;
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

#[cfg(target_os = "linux")]
#[test]
fn pinned_cores_keep_to_one_processor_each_and_let_go_of_it() {
    fn processors() -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("Cpus_allowed_list:")).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    }

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
