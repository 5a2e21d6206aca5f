//! A closed loop of messages, every answer checked byte by byte.

use super::Server;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const WARM_UP: Duration = Duration::from_millis(150);

/// Connections, each of which sends `depth` messages of `size` bytes and waits for the answer to all of them.
pub struct Load {
    connections: usize,
    size: usize,
    depth: usize,
    framed: bool,
}

/// What one run has shown.
#[derive(Clone)]
pub struct Row {
    /// Messages a second.
    pub rate: f64,
    /// Microseconds of processor time that the server used for a message.
    pub cost: f64,
    /// The median time from a batch to its whole answer, in microseconds.
    pub p50: f64,
}

struct Client {
    stream: TcpStream,
    received: usize,
    sent_at: Instant,
}

impl Load {
    pub const fn echo(connections: usize, size: usize) -> Load {
        Load { connections, size, depth: 1, framed: false }
    }

    pub const fn frames(connections: usize, size: usize, depth: usize) -> Load {
        Load { connections, size, depth, framed: true }
    }

    fn batch(&self) -> Vec<u8> {
        let header = (self.size as u32).to_be_bytes();
        let payload: Vec<u8> = (0..self.size).map(|i| (i * 31) as u8).collect();
        let message = if self.framed { [&header[..], &payload].concat() } else { payload };
        message.repeat(self.depth)
    }

    /// Runs against a fresh server.
    pub fn run(&self, server: Server, secs: f64) -> Row {
        let (mut child, address) = server.start();
        let batch = self.batch();
        let poller = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let mut clients: Vec<Client> = (0..self.connections)
            .map(|i| {
                let stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                epoll::add(&poller, &stream, EventData::new_u64(i as u64), EventFlags::IN).unwrap();
                Client { stream, received: 0, sent_at: Instant::now() }
            })
            .collect();
        for client in &mut clients {
            client.send(&batch);
        }
        let mut buffer = vec![0; 256 * 1024];
        let mut events = Vec::with_capacity(256);
        let mut times = Vec::new();
        let began = Instant::now();
        let mut measured_from = None;
        loop {
            events.clear();
            epoll::wait(&poller, spare_capacity(&mut events), None).unwrap();
            for event in &events {
                let data = event.data;
                let client = &mut clients[data.u64() as usize];
                if let Some(time) = client.receive(&batch, &mut buffer) {
                    times.push(time);
                    client.send(&batch);
                }
            }
            match measured_from {
                None if began.elapsed() >= WARM_UP => {
                    times.clear();
                    measured_from = Some((Instant::now(), processor_time(child.id())));
                }
                Some((from, used)) if from.elapsed().as_secs_f64() >= secs => {
                    let messages = (times.len() * self.depth) as f64;
                    let rate = messages / from.elapsed().as_secs_f64();
                    let cost = (processor_time(child.id()) - used) / messages * 1e6;
                    let _ = child.kill();
                    let _ = child.wait();
                    times.sort();
                    return Row { rate, cost, p50: times[times.len() / 2].as_secs_f64() * 1e6 };
                }
                _ => {}
            }
        }
    }
}

impl Client {
    fn send(&mut self, batch: &[u8]) {
        self.sent_at = Instant::now();
        self.stream.write_all(batch).expect("the server reads");
    }

    /// The time that the answer took, once it is whole.
    fn receive(&mut self, batch: &[u8], buffer: &mut [u8]) -> Option<Duration> {
        let read = self.stream.read(buffer).expect("the server answers");
        let expected = &batch[self.received..self.received + read];
        assert!(read > 0 && buffer[..read] == *expected, "another answer than was expected");
        self.received = (self.received + read) % batch.len();
        (self.received == 0).then(|| self.sent_at.elapsed())
    }
}

/// Seconds of processor time that a process has used, from the scheduler's account in nanoseconds (proc(5)).
fn processor_time(process: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("the server runs");
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let account = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        account.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}
