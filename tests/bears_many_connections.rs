//! Trials with thousands of connections. Longer with TIDERACE_LONG_TRIALS.
#![cfg(target_os = "linux")]

mod support;

use socket2::SockRef;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use support::handlers::EchoLines;
use support::process::Process;
use support::system::{alone, connections, resident, ticks};
use support::*;
use tiderace::codec::{LengthDelimited, Lines, Raw};
use tiderace::{Bind, CloseReason, Conn, Group, Handler, Result, Server};

const ANY: [&str; 2] = ["--addr", "127.0.0.1:0"];

/// Opens connections that close without waiting in TIME_WAIT, where they would use up the ports.
fn open(address: &str, number: usize) -> Vec<TcpStream> {
    let open = |_| {
        let stream = TcpStream::connect(address).unwrap();
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    (0..number).map(open).collect()
}

#[test]
fn idle_connections_cost_next_to_nothing() {
    let _alone = alone();
    let number = connections(10_000, 1);
    let seconds = if long() { 60 } else { 3 };
    // With timers, which is what makes idle connections cost something.
    let limits = ["--cores", "1", "--idle", "3600", "--first", "3600"];
    let mut process = Process::example("idle_connections", &[&ANY[..], &limits].concat());
    let (address, id) = (process.address(), process.child().id());
    let speak = |streams: &mut [TcpStream]| streams.iter_mut().for_each(|stream| echoes(stream, b"once\n"));
    speak(&mut open(&address, 100));
    let before = resident(id);
    let mut streams = open(&address, number);
    speak(&mut streams);
    let each = resident(id).saturating_sub(before) / number as u64;
    // What the last of them has caused comes to rest.
    std::thread::sleep(Duration::from_millis(200));
    let began = ticks(id);
    std::thread::sleep(Duration::from_secs(seconds));
    let used = ticks(id) - began;
    println!("{number} idle connections for {seconds} s: {each} bytes each, {used} ticks of 10 ms");
    assert!(each <= 1024, "{each} bytes each");
    // Half a percent, and a tick, which is what can not be told from nothing.
    assert!(used <= seconds * 100 / 200 + 1, "{used} ticks in {seconds} s");
}

#[test]
fn connections_are_spread_evenly() {
    let _alone = alone();
    let number = connections(10_000, 1);
    for (balance, most) in [("round-robin", 1.1), ("least", 1.1), ("kernel", 1.5)] {
        let args = [&ANY[..], &["--cores", "4", "--balance", balance]].concat();
        let mut process = Process::example("load_balancing", &args);
        let address = process.address();
        let _streams = open(&address, number);
        let began = Instant::now();
        let spread: Vec<f64> = loop {
            assert!(began.elapsed() < PATIENCE, "not all of {number} are counted");
            let line = process.line_with("[");
            let line = line.trim().trim_matches(['[', ']']);
            let spread: Vec<f64> = line.split(", ").map(|n| n.parse().unwrap()).collect();
            if spread.iter().sum::<f64>() as usize == number {
                break spread;
            }
        };
        let (max, min) = (spread.iter().copied().fold(0.0, f64::max), spread.iter().copied().fold(f64::MAX, f64::min));
        println!("{balance}: {spread:?}, {:.3}", max / min);
        assert!(max / min <= most, "{balance}: {spread:?}");
    }
}

/// Tells when which peer was closed, and why.
#[derive(Clone)]
struct Timed(Sender<(Instant, u16, String)>);

impl Handler for Timed {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        conn.send(bytes).await
    }

    async fn on_close(&mut self, conn: &mut Conn<Raw>, reason: &CloseReason) {
        let port = conn.peer_addr().ok().and_then(|peer| peer.port()).unwrap_or_default();
        let _ = self.0.send((Instant::now(), port, reason.to_string()));
    }
}

#[test]
fn idle_connections_are_reaped_when_it_is_time() {
    let _alone = alone();
    const IDLE: Duration = Duration::from_secs(2);
    let number = connections(10_000, 2);
    for cores in [1, 4] {
        let (closes, closed) = events();
        let server = Server::new().cores(cores).idle_timeout(IDLE).close_timeout(Duration::ZERO);
        let server = server.listen("tcp://127.0.0.1:0", Raw, move || Timed(closes.clone())).unwrap();
        let server = Running::start(server);
        let (address, mut streams) = (server.address.to_string(), Vec::new());
        let speak = |_| {
            // One after the other, or what is measured is how long it takes to close them all.
            std::thread::sleep(Duration::from_micros(100));
            let mut stream = open(&address, 1).pop().unwrap();
            let spoken = Instant::now();
            stream.write_all(b"once").unwrap();
            streams.push(stream);
            (streams.last().unwrap().local_addr().unwrap().port(), spoken)
        };
        let spoken: HashMap<u16, Instant> = (0..number).map(speak).collect();
        let mut late: Vec<Duration> = (0..number)
            .map(|_| {
                let (ended, port, reason) = closed.next();
                assert_eq!(reason, "timeout: idle");
                let after = ended - spoken[&port];
                assert!(after >= IDLE, "after {after:?} already");
                after - IDLE
            })
            .collect();
        late.sort();
        println!("{cores} cores, {number} reaped: late by {:?}, at most {:?}", late[number / 2], late[number - 1]);
        // Not a benchmark: who was forgotten would not come at all, or with the next turn of the wheel.
        assert!(late[number / 2] < IDLE / 2, "{:?}", late[number / 2]);
    }
}

/// Sends frames back, and counts its end.
struct Ends(Arc<AtomicU64>);

impl Handler for Ends {
    type Codec = LengthDelimited;

    async fn on_message(&mut self, conn: &mut Conn<LengthDelimited>, frame: &[u8]) -> Result {
        conn.send(frame).await
    }

    async fn on_close(&mut self, _: &mut Conn<LengthDelimited>, _: &CloseReason) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_storm_of_resets_leaves_nothing_behind() {
    let _alone = alone();
    let rounds = if long() { 100_000 } else { 8_000 };
    for cores in CORES {
        let ended = Arc::new(AtomicU64::new(0));
        let ends = ended.clone();
        let server = serve(cores, LengthDelimited::default(), move || Ends(ends.clone()));
        let address = server.address.to_string();
        let storm = |rounds: usize| {
            for i in 0..rounds {
                let mut stream = open(&address, 1).pop().unwrap();
                match i % 4 {
                    0 => {}
                    1 => stream.write_all(b"\0\0\0\x08half").unwrap(),
                    2 => stream.write_all(b"\0\0\0\x05whole").unwrap(),
                    _ => echoes(&mut stream, b"\0\0\0\x05whole"),
                }
            }
            until("all have ended", || ended.load(SeqCst) == rounds as u64 && server.handle.connections() == 0);
        };
        storm(1_000);
        ended.store(0, SeqCst);
        let (files, memory) = (descriptors(), resident(std::process::id()));
        storm(rounds);
        until("all descriptors are back", || descriptors() <= files);
        let grown = resident(std::process::id()).saturating_sub(memory);
        println!("{cores} cores, {rounds} resets: {} KiB more", grown / 1024);
        assert!(grown < 512 * 1024, "{grown} bytes more");
    }
}

/// The 99th of a hundred of the times that an echo takes.
fn p99(stream: &mut TcpStream) -> Duration {
    let mut times: Vec<Duration> = (0..500)
        .map(|_| {
            let began = Instant::now();
            echoes(stream, b"hello\n");
            began.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() * 99 / 100]
}

#[test]
fn those_who_never_finish_their_first_message_are_closed() {
    let _alone = alone();
    let number = connections(2_000, 2);
    for cores in CORES {
        let (sender, closed) = events();
        let server = Server::new().cores(cores).first_message_timeout(Duration::from_millis(500));
        let server = server.close_timeout(Duration::from_millis(10));
        let server = server.listen("tcp://127.0.0.1:0", Lines::default(), move || EchoLines(sender.clone())).unwrap();
        let server = Running::start(server);
        let mut good = server.connect();
        let alone = p99(&mut good);
        let mut slow = open(&server.address.to_string(), number);
        let done = Arc::new(AtomicBool::new(false));
        let slowly = {
            let done = done.clone();
            std::thread::spawn(move || {
                while !done.load(SeqCst) {
                    // A byte now and then: it keeps them from being idle, and that is all.
                    for stream in &mut slow {
                        let _ = stream.write(b"x");
                        std::thread::sleep(Duration::from_micros(100));
                    }
                }
            })
        };
        let meanwhile = p99(&mut good);
        for _ in 0..number {
            assert_eq!(closed.next(), "timeout: no first message");
        }
        done.store(true, SeqCst);
        slowly.join().unwrap();
        echoes(&mut good, b"still here\n");
        // Not a benchmark: on a machine that is busy with other tests, it says little.
        println!("{cores} cores: a good client's p99 {alone:?} alone, {meanwhile:?} beside {number} slow ones");
    }
}

/// Hears what the group says.
struct Subscriber(Group<Lines>);

impl Handler for Subscriber {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        self.0.join(conn);
        Ok(())
    }

    async fn on_message(&mut self, _: &mut Conn<Lines>, _: &str) -> Result {
        Ok(())
    }
}

#[test]
fn one_stalled_subscriber_of_a_thousand_is_skipped_and_nobody_else_is() {
    let _alone = alone();
    const SUBSCRIBERS: usize = 1_000;
    const MESSAGES: usize = 400;
    for cores in [1, 4] {
        let group = Group::new(Lines::default());
        let room = group.clone();
        // Small buffers, so that a stall shows soon.
        let place = Bind::to("tcp://127.0.0.1:0").unwrap().send_buffer(4 * 1024);
        let server = Server::new().cores(cores).write_marks(16 * 1024, 8 * 1024);
        let server = server.listen(place, Lines::default(), move || Subscriber(room.clone())).unwrap();
        let server = Running::start(server);
        let mut streams = open(&server.address.to_string(), SUBSCRIBERS);
        until("all have joined", || group.len() == SUBSCRIBERS);
        let stalled = streams.pop().unwrap();
        SockRef::from(&stalled).set_recv_buffer_size(4 * 1024).unwrap();

        let heard = Arc::new(AtomicU64::new(0));
        let readers: Vec<_> = streams
            .chunks_mut(250)
            .map(|streams| streams.iter().map(|stream| stream.try_clone().unwrap()).collect::<Vec<_>>())
            .map(|streams| {
                let heard = heard.clone();
                std::thread::spawn(move || {
                    let mut readers: Vec<_> = streams.into_iter().map(BufReader::new).collect();
                    for i in 0..MESSAGES {
                        for reader in &mut readers {
                            let mut line = String::new();
                            reader.read_line(&mut line).unwrap();
                            assert_eq!(line.split(' ').next(), Some(&*i.to_string()), "in order, and all of them");
                        }
                        heard.fetch_add(readers.len() as u64, SeqCst);
                    }
                })
            })
            .collect();
        let mut times = Vec::new();
        for i in 0..MESSAGES {
            let began = Instant::now();
            group.try_send(&format!("{i} {}", "x".repeat(1_000))).unwrap();
            let all = ((i + 1) * (SUBSCRIBERS - 1)) as u64;
            until("all others have heard it", || heard.load(SeqCst) >= all);
            times.push(began.elapsed());
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        let skipped = group.skipped();
        assert!(skipped > 0 && skipped < MESSAGES, "{skipped} skipped");
        // What the stalled one has got is whole, and the first of what was said.
        drop(streams);
        server.stop(Duration::from_millis(100));
        let mut got = Vec::new();
        let _ = (&stalled).read_to_end(&mut got);
        let first: Vec<_> =
            got.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b' ').next()).collect();
        assert_eq!(first[0], Some(&b"0"[..]));
        times.sort();
        println!("{cores} cores: {skipped} skipped; to all others within {:?} (p99)", times[MESSAGES * 99 / 100]);
    }
}

#[test]
fn a_server_in_bad_company_stays_as_it_is() {
    let _alone = alone();
    soak::run(if long() { Duration::from_secs(600) } else { Duration::from_secs(20) });
}

/// Mixed faults, for as long as asked.
mod soak {
    use super::*;

    /// Echoes; panics, fails and sleeps when asked.
    struct Victim;

    impl Handler for Victim {
        type Codec = LengthDelimited;

        async fn on_message(&mut self, conn: &mut Conn<LengthDelimited>, frame: &[u8]) -> Result {
            match frame.first() {
                Some(b'!') => panic!("as asked"),
                Some(b'?') => Err(tiderace::Error::msg("as asked")),
                Some(b'.') => {
                    tiderace::sleep(Duration::from_millis(5)).await;
                    conn.send(frame).await
                }
                _ => conn.send(frame).await,
            }
        }
    }

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = (length as u32).to_be_bytes().to_vec();
        frame.resize(4 + length, first);
        frame
    }

    /// One connection of a peer that is good or bad, as `dice` falls.
    fn visit(address: &str, dice: u64) {
        let Ok(mut stream) = TcpStream::connect(address) else { return };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        let mut back = [0; 4 + 100];
        let small = frame(b'x', 100);
        match dice % 10 {
            // Some work, and an end.
            0..=3 => {
                for _ in 0..20 {
                    stream.write_all(&small).unwrap();
                    stream.read_exact(&mut back).unwrap();
                    assert_eq!(back[..], small[..]);
                }
            }
            4 => drop(stream.write_all(&small[..50])),
            5 => drop(stream.write_all(&frame(b'!', 10)).and_then(|()| stream.read(&mut back))),
            6 => drop(stream.write_all(&frame(b'?', 10)).and_then(|()| stream.read(&mut back))),
            // A length that is a lie.
            7 => drop(stream.write_all(&[0xff; 64]).and_then(|()| stream.read(&mut back))),
            // Much is asked for and nothing read.
            8 => {
                stream.set_write_timeout(Some(Duration::from_millis(1))).unwrap();
                let large = frame(b'x', 60_000);
                (0..30).for_each(|_| drop(stream.write_all(&large)));
            }
            _ => {
                stream.write_all(&frame(b'.', 100)).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                stream.read_exact(&mut back).unwrap();
                assert_eq!(back[4..], [b'.'; 100]);
            }
        }
    }

    pub(super) fn run(length: Duration) {
        // Thousands of panics are asked for; to print a backtrace for each is most of the work.
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref() != Some(&"as asked") {
                usual(info);
            }
        }));
        let server = Server::new().cores(2).close_timeout(Duration::from_millis(100));
        let server = Running::start(server.listen("tcp://127.0.0.1:0", LengthDelimited::default(), || Victim).unwrap());
        let address = server.address.to_string();
        let began = Instant::now();
        let visits = Arc::new(AtomicU64::new(0));
        let visitors: Vec<_> = (0..4_u64)
            .map(|seed| {
                let (address, visits) = (address.clone(), visits.clone());
                std::thread::spawn(move || {
                    let mut dice = noise(seed, 1 << 16).into_iter().cycle();
                    while began.elapsed() < length {
                        visit(&address, u64::from(dice.next().unwrap()));
                        visits.fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        // By a quarter of the time everything has been met, and is as large as it gets.
        std::thread::sleep(length / 4);
        let early = resident(std::process::id());
        visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
        until("all have ended", || server.handle.connections() == 0);
        let late = resident(std::process::id());
        let grown = late.saturating_sub(early);
        let visits = visits.load(SeqCst);
        println!("{visits} visits in {length:?}: {} KiB early, {} KiB late", early / 1024, late / 1024);
        assert!(grown < 1024 * 1024, "{grown} bytes more");
        let files = descriptors();
        echoes(&mut server.connect(), &frame(b'x', 100));
        until("all descriptors are back", || descriptors() <= files);
    }
}
