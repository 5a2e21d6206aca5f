//! The trials: peers that flood, stall, vanish or lie harm nobody but themselves.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};
use support::handlers::{Echo, EchoLines};
use support::*;
use tiderace::codec::{Lines, Raw};
use tiderace::{CloseReason, Conn, Error, Handler, Result, Server};

/// Sends for ever, as soon as it is sent anything; counts what is queued at most.
#[derive(Clone)]
struct Hose {
    most: Arc<AtomicUsize>,
}

impl Handler for Hose {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, _: &[u8]) -> Result {
        let block = [7; 8 * 1024];
        loop {
            conn.send(&block[..]).await?;
            self.most.fetch_max(conn.queued(), SeqCst);
        }
    }
}

#[test]
fn a_slow_reader_costs_its_write_limit_and_no_more() {
    for cores in CORES {
        let most = Arc::new(AtomicUsize::new(0));
        let hose = Hose { most: most.clone() };
        let server = Server::new().cores(cores).write_marks(64 * 1024, 32 * 1024);
        let server = server.listen("tcp://127.0.0.1:0", Raw, move || hose.clone()).unwrap();
        let server = server.listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap();
        let echo = server.local_addrs()[1].clone();
        let server = Running::start(server);
        let mut stalled: Vec<_> = (0..100).map(|_| server.connect()).collect();
        stalled.iter_mut().for_each(|stream| stream.write_all(b"go").unwrap());
        until("the queues are full", || most.load(SeqCst) > 64 * 1024);
        // Others are served meanwhile.
        let mut other = TcpStream::connect(&echo).unwrap();
        for _ in 0..100 {
            echoes(&mut other, b"unharmed");
        }
        // The mark, and the one message that crossed it.
        assert!(most.load(SeqCst) <= (64 + 8) * 1024, "{} bytes queued", most.load(SeqCst));
        // Who reads again gets on.
        let mut some = vec![0; 4 << 20];
        stalled[0].read_exact(&mut some).unwrap();
    }
}

#[test]
fn a_flooder_does_not_starve_the_quiet() {
    for cores in CORES {
        let server = serve(cores, Raw, || Echo);
        let mut quiet: Vec<_> = (0..99).map(|_| server.connect()).collect();
        quiet.iter_mut().for_each(|stream| echoes(stream, b"x"));
        let stop = Arc::new(AtomicBool::new(false));
        let mut flood = server.connect();
        let mut drain = flood.try_clone().unwrap();
        let (done, flooding) = (stop.clone(), AtomicUsize::new(0));
        thread::scope(|scope| {
            let flooding = &flooding;
            scope.spawn(move || {
                let block = noise(1, 1 << 20);
                while !done.load(SeqCst) {
                    flooding.fetch_add(flood.write(&block).unwrap(), SeqCst);
                }
                flood.shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(move || std::io::copy(&mut drain, &mut std::io::sink()).unwrap());
            until("the flood is under way", || flooding.load(SeqCst) > 1 << 20);
            let mut times: Vec<Duration> = Vec::new();
            for _ in 0..10 {
                for stream in &mut quiet {
                    let began = Instant::now();
                    echoes(stream, b"quiet");
                    times.push(began.elapsed());
                }
            }
            stop.store(true, SeqCst);
            times.sort();
            // Not a benchmark: who is starved waits for the end of the flood, which is after this.
            println!("{cores} cores: quiet p99 {:?} under a flood", times[times.len() * 99 / 100]);
        });
    }
}

#[test]
fn a_half_closed_peer_gets_its_whole_answer() {
    let (tell, ended) = events();
    let rounds = if long() { 1000 } else { 100 };
    for cores in CORES {
        let echo = EchoLines(tell.clone());
        let server = serve(cores, Lines::default(), move || echo.clone());
        let request: String = (0..2000).map(|i| format!("line {i}\n")).collect();
        for _ in 0..rounds {
            let mut stream = server.connect();
            stream.write_all(request.as_bytes()).unwrap();
            stream.write_all(b"no line end").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let answer = read_to_end(&mut stream);
            assert!(answer.strip_suffix(b"no line end\n") == Some(request.as_bytes()), "{} bytes", answer.len());
            assert_eq!(ended.next(), "end of stream");
        }
    }
}

/// Tells what a send after the peer has gone says, and how it ended.
#[derive(Clone)]
struct Late(Sender<String>);

impl Handler for Late {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, _: &[u8]) -> Result {
        let failed = loop {
            tiderace::sleep(Duration::from_millis(1)).await;
            if let Err(error) = conn.send("to nobody").await {
                break error;
            }
        };
        let _ = self.0.send(failed.to_string());
        Err(failed)
    }

    async fn on_close(&mut self, _: &mut Conn<Raw>, reason: &CloseReason) {
        let _ = self.0.send(reason.to_string());
    }
}

#[test]
fn a_send_to_a_peer_that_is_gone_is_an_error_and_no_signal() {
    for cores in CORES {
        let (tell, told) = events();
        let late = Late(tell);
        let server = serve(cores, Raw, move || late.clone());
        let mut stream = server.connect();
        stream.write_all(b"go").unwrap();
        // Reads nothing of what comes, so this close is a reset.
        drop(stream);
        assert_eq!(told.next(), Error::Closed.to_string());
        let reason = told.next();
        assert!(reason.starts_with("reset: "), "{reason}");
    }
}

#[test]
fn connections_that_are_abandoned_leave_nothing_behind() {
    let rounds = if long() { 50_000 } else { 2_000 };
    for cores in CORES {
        let server = serve(cores, Raw, || Echo);
        echoes(&mut server.connect(), b"warm");
        until("the first has ended", || server.handle.connections() == 0);
        let before = descriptors();
        for i in 0..rounds {
            let mut stream = server.connect();
            if i % 3 == 0 {
                stream.write_all(b"and away").unwrap();
            }
        }
        // Counted only when its descriptor is closed, so none is left in CLOSE_WAIT.
        until("all have ended", || server.handle.connections() == 0);
        until("all descriptors are back", || descriptors() <= before);
    }
}

#[derive(Clone)]
struct Touchy(Sender<String>);

impl Handler for Touchy {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        assert!(line != "bad", "as told");
        conn.send(line).await
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        let _ = self.0.send(reason.to_string());
    }
}

#[test]
fn a_panic_closes_one_connection_and_nobody_else_notices() {
    for cores in CORES {
        let (tell, ended) = events();
        let touchy = Touchy(tell);
        let server = serve(cores, Lines::default(), move || touchy.clone());
        let mut good: Vec<_> = (0..20).map(|_| server.connect()).collect();
        for _ in 0..20 {
            let mut bad = server.connect();
            bad.write_all(b"one\nbad\ntwo\n").unwrap();
            assert_eq!(read_to_end(&mut bad), b"one\n");
            assert_eq!(ended.next(), "panic: as told");
            good.iter_mut().for_each(|stream| echoes(stream, b"fine\n"));
        }
        assert!(ended.is_quiet());
    }
}

#[test]
fn a_graceful_stop_under_load_breaks_no_answer() {
    for cores in CORES {
        let server = serve(cores, Raw, || Echo);
        let clients: Vec<_> = (0..16)
            .map(|_| {
                let mut stream = server.connect();
                thread::spawn(move || {
                    let block = noise(5, 1000);
                    let (mut sent, mut back) = (0, Vec::new());
                    let mut room = [0; 1000];
                    while let Ok(1000) = stream.write(&block) {
                        sent += 1000;
                        match stream.read(&mut room) {
                            Ok(n) if n > 0 => back.extend_from_slice(&room[..n]),
                            _ => break,
                        }
                    }
                    back.extend(read_to_end(&mut stream));
                    assert!(back.len() <= sent);
                    back.iter().zip(block.iter().cycle()).all(|(a, b)| a == b)
                })
            })
            .collect();
        until("all are served", || server.handle.connections() == 16);
        thread::sleep(Duration::from_millis(20));
        // It ends when all have their answers, and not when its time is over.
        let took = server.stop(PATIENCE);
        assert!(took < PATIENCE, "{took:?}");
        for client in clients {
            assert!(client.join().unwrap(), "an answer was broken");
        }
    }
}
