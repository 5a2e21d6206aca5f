//! What the tests share: a server on a free port that stops with its test, and blocking clients.
#![allow(dead_code)]

#[cfg(feature = "websocket")]
pub mod browser;
pub mod handlers;
pub mod process;
pub mod stream;
#[cfg(target_os = "linux")]
pub mod system;
pub mod websocket;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tiderace::{Address, Handler, Result, Server, ServerHandle};

/// The numbers of cores that every test of a server runs with.
pub const CORES: [usize; 3] = [1, 2, 4];

/// Longer than anything takes here, also on a busy machine: a test that runs into it has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running server. Dropping it stops the server and checks that it ended well.
pub struct Running {
    pub address: Address,
    pub handle: ServerHandle,
    thread: Option<JoinHandle<Result>>,
}

impl Running {
    pub fn start(server: Server) -> Running {
        let (address, handle) = (server.local_addrs()[0].clone(), server.handle());
        Running { address, handle, thread: Some(std::thread::spawn(|| server.run())) }
    }

    /// A connected client, with time limits so that no test hangs.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the server accepts");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Stops the server and says how long that took.
    pub fn stop(mut self, within: Duration) -> Duration {
        let began = Instant::now();
        self.handle.stop(within);
        self.thread.take().unwrap().join().expect("no core panics").expect("the server ends well");
        began.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop(Duration::ZERO);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("no core panics").expect("the server ends well");
            }
        }
    }
}

/// Serves on a free port.
pub fn serve<H, F>(cores: usize, codec: H::Codec, handler: F) -> Running
where
    H: Handler,
    H::Codec: Clone + Send,
    F: FnMut() -> H + Clone + Send + 'static,
{
    Running::start(Server::new().cores(cores).listen("tcp://127.0.0.1:0", codec, handler).unwrap())
}

/// A channel whose sender handlers may hold.
pub fn events<T>() -> (Sender<T>, Events<T>) {
    let (sender, receiver) = channel();
    (sender, Events(receiver))
}

pub struct Events<T>(Receiver<T>);

impl<T> Events<T> {
    /// The next event; none within reason fails the test.
    #[track_caller]
    pub fn next(&self) -> T {
        self.0.recv_timeout(PATIENCE).expect("an event")
    }

    /// The next event, if it has come.
    pub fn try_next(&self) -> Option<T> {
        self.0.try_recv().ok()
    }

    /// Whether nothing has come that was not waited for.
    pub fn is_quiet(&self) -> bool {
        self.try_next().is_none()
    }
}

/// Sends bytes and expects the same ones back.
#[track_caller]
pub fn echoes(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == bytes, "other bytes came back");
}

/// Everything until the end of the stream; a reset is an end too.
pub fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    all
}

/// Waits until `met`, looking again now and then; for what tells nobody when it happens.
#[track_caller]
pub fn until(what: &str, mut met: impl FnMut() -> bool) {
    let began = Instant::now();
    while !met() {
        assert!(began.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Open descriptors of this process: other tests run beside this one, so only a fall is sure. None where it can not be told.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Bytes that are the same for the same seed and repeat nowhere near.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Whether the long versions of the trials are asked for.
pub fn long() -> bool {
    std::env::var_os("TIDERACE_LONG_TRIALS").is_some()
}
