//! How a server starts, what runs beside its connections, and how its end is asked for and waited for.

mod support;

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;
use support::handlers::Echo;
use support::*;
use tiderace::codec::{Lines, Raw};
use tiderace::{Balance, Bind, CloseReason, Conn, Error, Handler, Result, Server, ServerHandle, Tick, block_on};

/// Nothing of a server that could not start, or has ended, can be reached.
fn has_nothing_that_runs(handle: &ServerHandle) {
    assert!(!handle.is_running());
    block_on(handle.ended());
    assert!((0..handle.cores()).all(|core| !handle.run_on(core, || unreachable!())));
    assert_eq!(block_on(handle.for_each::<Raw>(|_| ())), 0);
}

#[test]
fn setup_that_panics_fails_the_start_on_whichever_core() {
    for cores in CORES {
        for panicking in 0..cores {
            let server = Server::new().cores(cores);
            let server = server.listen_per_core("tcp://127.0.0.1:0", Raw, move |core| {
                assert_ne!(core, panicking, "as told");
                || Echo
            });
            let server = server.unwrap();
            let (handle, address) = (server.handle(), server.local_addrs().remove(0));
            let error = server.run().unwrap_err().to_string();
            assert!(error.contains(&format!("core {panicking}")) && error.contains("as told"), "{error}");
            has_nothing_that_runs(&handle);
            TcpStream::connect(&address).unwrap_err();
        }
    }
}

/// With fewer and fewer descriptors, the start fails at one place after the other.
#[cfg(target_os = "linux")]
#[test]
fn start_that_runs_out_of_descriptors_leaves_nothing_that_hangs() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // A limit is one of the process: other tests must not run in it.
    if std::env::var_os("TIDERACE_FEW_DESCRIPTORS").is_none() {
        let name = "start_that_runs_out_of_descriptors_leaves_nothing_that_hangs";
        let mut test = std::process::Command::new(std::env::current_exe().unwrap());
        test.args(["--exact", name, "--test-threads", "1"]).env("TIDERACE_FEW_DESCRIPTORS", "1");
        assert!(test.status().unwrap().success());
        return;
    }
    let before = getrlimit(Resource::Nofile);
    let limit = |descriptors: usize| {
        setrlimit(Resource::Nofile, Rlimit { current: Some(descriptors as u64), ..before }).unwrap();
    };
    for cores in CORES {
        let server = || {
            let server = Server::new().cores(cores).listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap();
            server.listen("unix://@few-descriptors", Raw, || Echo).unwrap()
        };
        let (mut failures, mut most) = (0, descriptors());
        loop {
            let server = server();
            let handle = server.handle();
            // It is stopped as soon as it runs.
            handle.stop(PATIENCE);
            limit(most);
            let result = server.run();
            limit(before.current.unwrap_or(1024) as usize);
            match result {
                Ok(()) => break,
                Err(error) => assert!(matches!(&error, Error::Io(_) | Error::Bind { .. }), "{error}"),
            }
            has_nothing_that_runs(&handle);
            (failures, most) = (failures + 1, most + 1);
        }
        // How many descriptors a core needs depends on its poller, and is one at least.
        assert!(failures >= cores, "{failures} failures");
    }
}

/// A stack that is larger than the address space.
#[test]
fn start_without_threads_leaves_nothing_that_hangs() {
    if std::env::var_os("RUST_MIN_STACK").is_none() {
        let name = "start_without_threads_leaves_nothing_that_hangs";
        let mut test = std::process::Command::new(std::env::current_exe().unwrap());
        test.args(["--exact", name, "--test-threads", "1"]).env("RUST_MIN_STACK", (1u64 << 60).to_string());
        assert!(test.status().unwrap().success());
        return;
    }
    let server = Server::new().cores(4).listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap();
    let handle = server.handle();
    assert!(matches!(server.run(), Err(Error::Io(_))));
    has_nothing_that_runs(&handle);
}

/// Tells that it has opened.
struct Opens(Sender<&'static str>);

impl Handler for Opens {
    type Codec = Raw;

    async fn on_open(&mut self, _: &mut Conn<Raw>) -> Result {
        self.0.send("open")?;
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        conn.send(bytes).await
    }
}

#[test]
fn on_start_comes_before_connections() {
    for cores in CORES {
        let ((go_on, wait), (tell, told)) = (channel::<()>(), events());
        let (started, each) = (tell.clone(), tell.clone());
        let server = Server::new()
            .cores(cores)
            .on_each_core(move |_| {
                each.send("core").unwrap();
                async {}
            })
            .on_start(move |server| async move {
                assert!(!server.is_running());
                wait.recv().unwrap();
                started.send("started").unwrap();
                // It goes on beside the connections.
                std::future::pending().await
            })
            .listen("tcp://127.0.0.1:0", Raw, move || Opens(tell.clone()))
            .unwrap();
        let server = Running::start(server);
        assert!((0..cores).all(|_| told.next() == "core"));
        let mut streams: Vec<_> = (0..16).map(|_| server.connect()).collect();
        streams.iter_mut().for_each(|stream| stream.write_all(b"x").unwrap());
        // Long enough for a server that would accept them.
        streams[0].set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        streams[0].read(&mut [0]).unwrap_err();
        streams[0].set_read_timeout(Some(PATIENCE)).unwrap();
        go_on.send(()).unwrap();
        assert_eq!(told.next(), "started");
        for stream in &mut streams {
            assert_eq!(told.next(), "open");
            stream.read_exact(&mut [0]).unwrap();
        }
        assert!(server.handle.is_running());
        assert_eq!(server.handle.local_addrs(), std::slice::from_ref(&server.address));
    }
}

#[test]
fn hooks_that_panic_cost_the_server_nothing() {
    for cores in CORES {
        let (tell, told) = events();
        let mut calls = 0;
        let mut runs = 0;
        let (ticks, runs_told) = (tell.clone(), tell);
        let server = Server::new()
            .cores(cores)
            .on_start(async |_| panic!("in its future"))
            .on_start(|_| -> std::future::Ready<()> { panic!("in its call") })
            .on_each_core(|_| -> std::future::Ready<()> { panic!("on each core") })
            .on_tick(move || {
                calls += 1;
                match calls {
                    2 | 3 => panic!("in a tick"),
                    5 => {
                        ticks.send("ticks").unwrap();
                        Tick::End
                    }
                    _ => Tick::After(Duration::from_millis(1)),
                }
            })
            .every(Duration::from_millis(1), move || {
                runs += 1;
                match runs {
                    1 => panic!("in a run"),
                    2 => runs_told.send("runs").unwrap(),
                    _ => {}
                }
                async {}
            })
            .listen("tcp://127.0.0.1:0", Raw, || Echo)
            .unwrap();
        let server = Running::start(server);
        let mut heard = [told.next(), told.next()];
        heard.sort();
        assert_eq!(heard, ["runs", "ticks"]);
        echoes(&mut server.connect(), b"fine");
    }
}

#[test]
fn ticker_can_stop_the_server() {
    for cores in CORES {
        let mut calls = 0;
        let server = Server::new().cores(cores).on_tick(move || {
            calls += 1;
            if calls < 3 { Tick::After(Duration::from_millis(1)) } else { Tick::StopServer(PATIENCE) }
        });
        server.listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap().run().unwrap();
    }
}

#[test]
fn timers_of_a_server_run_on_its_first_core() {
    for cores in CORES {
        let (tell, told) = events();
        let (once, server) = (tell.clone(), Server::new().cores(cores));
        let handle = server.handle();
        let count = Arc::new(AtomicUsize::new(0));
        let server = server
            .after(Duration::from_millis(1), move || async move {
                // What stays on the core need not be `Send`.
                let shared = Rc::new(Cell::new(thread::current().id()));
                tiderace::sleep(Duration::from_millis(1)).await;
                once.send(shared.get()).unwrap();
            })
            .every(Duration::from_millis(1), move || {
                let (tell, handle) = (tell.clone(), handle.clone());
                let run = count.fetch_add(1, Relaxed) + 1;
                async move {
                    tell.send(thread::current().id()).unwrap();
                    if run == 3 {
                        handle.stop(PATIENCE);
                    }
                }
            });
        server.listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap().run().unwrap();
        assert!((0..4).all(|_| told.next() == thread::current().id()));
    }
}

/// Stops its server when its connection has ended.
struct Stops;

impl Handler for Stops {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        if line == "stop" {
            conn.stop_server(PATIENCE);
        }
        conn.send(line).await
    }

    async fn on_close(&mut self, conn: &mut Conn<Lines>, reason: &CloseReason) {
        if matches!(reason, CloseReason::EndOfStream) {
            conn.stop_server(PATIENCE);
        }
    }
}

#[test]
fn connection_can_stop_the_server_and_its_answer_arrives() {
    for cores in CORES {
        for line in ["stop", "bye"] {
            let server = Server::new().cores(cores).listen("tcp://127.0.0.1:0", Lines::default(), || Stops).unwrap();
            let (address, handle) = (server.local_addrs().remove(0), server.handle());
            let running = thread::spawn(|| server.run());
            let mut stream = TcpStream::connect(&address).unwrap();
            echoes(&mut stream, format!("{line}\n").as_bytes());
            drop(stream);
            block_on(handle.ended());
            running.join().unwrap().unwrap();
        }
    }
}

#[test]
fn end_of_a_server_is_told_to_all_that_wait() {
    for cores in CORES {
        let server = serve(cores, Raw, || Echo);
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let handle = server.handle.clone();
                thread::spawn(move || block_on(handle.ended()))
            })
            .collect();
        echoes(&mut server.connect(), b"here");
        assert!(server.handle.is_running());
        let handle = server.handle.clone();
        server.stop(PATIENCE);
        waiting.into_iter().for_each(|thread| thread.join().unwrap());
        has_nothing_that_runs(&handle);
    }
    let never_run = Server::new();
    let handle = never_run.handle();
    drop(never_run);
    block_on(handle.ended());
}

/// Counts what its core has heard, and says it with where the connection ends here.
struct Counts(usize, Rc<Cell<usize>>);

impl Handler for Counts {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, _: &str) -> Result {
        self.1.set(self.1.get() + 1);
        let local = conn.local_addr()?;
        conn.send(&format!("{} {} {local}", self.0, self.1.get())).await
    }
}

#[test]
fn listen_per_core_makes_what_the_connections_of_a_core_share() {
    for cores in CORES {
        let server = Server::new().cores(cores).balance(Balance::RoundRobin);
        let server = server.listen_per_core("tcp://127.0.0.1:0", Lines::default(), |core| {
            let count = Rc::new(Cell::new(0));
            move || Counts(core, count.clone())
        });
        let server = Running::start(server.unwrap());
        let mut counts = vec![0; cores];
        let mut streams: Vec<_> = (0..3 * cores).map(|_| server.connect()).collect();
        for stream in &mut streams {
            stream.write_all(b"count\n").unwrap();
            let mut line = String::new();
            std::io::BufRead::read_line(&mut std::io::BufReader::new(&mut *stream), &mut line).unwrap();
            let fields: Vec<&str> = line.split_whitespace().collect();
            let core: usize = fields[0].parse().unwrap();
            counts[core] += 1;
            assert_eq!(fields[1], counts[core].to_string(), "each core counts for itself");
            assert_eq!(fields[2], stream.peer_addr().unwrap().to_string(), "the local address is the peer's other end");
        }
        assert_eq!(counts, vec![3; cores]);
    }
}

/// Listens, without a server that accepts, and says how many connections may wait.
#[cfg(target_os = "linux")]
#[test]
fn backlog_holds_as_many_connections_as_it_was_told() {
    let server =
        Server::new().cores(1).listen(Bind::to("tcp://127.0.0.1:0").unwrap().backlog(3), Raw, || Echo).unwrap();
    let address = server.local_addrs().remove(0).as_socket().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100));
    // Linux lets one more in than it was told.
    let waiting: Vec<_> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
    connect().unwrap_err();
    let server = Running::start(server);
    waiting.into_iter().for_each(|mut stream| echoes(&mut stream, b"was waiting"));
    echoes(&mut server.connect(), b"and now there is room");
}

#[test]
fn reuse_address_decides_whether_a_port_with_old_connections_is_bound() {
    // A connection that has outlived its listener, which had the option as well.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let old = (TcpStream::connect(address).unwrap(), listener.accept().unwrap());
    drop(listener);
    let bind = |reuse| Bind::to(address).unwrap().reuse_address(reuse);
    let error = Server::new().listen(bind(false), Raw, || Echo).unwrap_err();
    assert!(matches!(&error, Error::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse), "{error}");
    let server = Running::start(Server::new().cores(1).listen(bind(true), Raw, || Echo).unwrap());
    echoes(&mut server.connect(), b"bound again");
    drop(old);
}
