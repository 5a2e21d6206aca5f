//! An idle WebSocket keeps nothing of its handshake, and gives back what a rare message has taken.
#![cfg(feature = "websocket")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};
use support::websocket::{frame, open};
use support::*;
use tiderace::websocket::{Deflate, Message, WebSocket};
use tiderace::{Conn, Handler, Result};

/// Counts what the threads of a server have allocated and not given back, as glibc does: with 8 bytes around each block, in steps of
/// 16 bytes.
struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    /// The clients of these tests allocate on their own account.
    static IS_CLIENT: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn cost(bytes: usize) -> isize {
    (bytes + 8).next_multiple_of(16).max(32) as isize
}

fn count(bytes: isize) {
    if !IS_CLIENT.try_with(std::cell::Cell::get).unwrap_or(true) {
        LIVE.fetch_add(bytes, SeqCst);
    }
}

#[allow(unsafe_code)]
// SAFETY: every method hands its arguments to the system's allocator and returns what that returns.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(cost(layout.size()));
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(cost(size) - cost(layout.size()));
        // SAFETY: the caller's contract is the same.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-cost(layout.size()));
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Echo;

impl Handler for Echo {
    type Codec = WebSocket;

    async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
        match message {
            Message::Text(text) => conn.send(text).await,
            Message::Binary(bytes) => conn.send(bytes).await,
            _ => Ok(()),
        }
    }
}

/// As many bytes as an idle WebSocket may cost here, where nothing is optimised and every feature is on. The tables of the core
/// are counted, which have room for twice as many connections.
const MOST: isize = 760;
const CONNECTIONS: usize = 1_000;

/// Bytes that each connection of the server costs now, beyond what it was before.
fn each(before: isize) -> isize {
    (LIVE.load(SeqCst) - before) / CONNECTIONS as isize
}

/// Sends `message` on all streams, one after the other, and reads so many bytes from each.
fn all(streams: &mut [TcpStream], message: &[u8], back: usize) {
    let mut answer = vec![0; back];
    for stream in streams {
        stream.write_all(message).unwrap();
        stream.read_exact(&mut answer).unwrap();
    }
}

#[test]
fn an_idle_websocket_costs_little_after_its_handshake_and_after_rare_messages() {
    IS_CLIENT.set(true);
    let codec = WebSocket::default().compress(Deflate::default().threshold(1_000));
    let server = serve(1, codec, || Echo);
    let fields = [websocket::DEFLATE, "Cookie: session=0123456789abcdef0123456789abcdef\r\nUser-Agent: a browser\r\n"];
    let open_all =
        |number| -> Vec<TcpStream> { (0..number).map(|_| open(server.connect(), &fields.concat())).collect() };
    // What the core and its listener keep is made with the first connections.
    let mut first = open_all(100);
    all(&mut first, &frame(0x81, b"hello"), 7);
    let before = LIVE.load(SeqCst);
    let mut streams = open_all(CONNECTIONS);
    let shaken = each(before);
    all(&mut streams, &frame(0x81, b"hello"), 7);
    let echoed = each(before);
    all(&mut streams, &frame(0x89, &[b'p'; 125]), 127);
    all(&mut streams, &[frame(0x01, &[b'a'; 300]), frame(0x80, &[b'b'; 300])].concat(), 604);
    // The frame behind it lets go of what a message in fragments was put together in.
    all(&mut streams, &frame(0x81, b"hello"), 7);
    let rare = each(before);
    println!("{shaken} bytes after a handshake, {echoed} after an echo, {rare} after a ping and fragments");
    for cost in [shaken, echoed, rare] {
        assert!((1..=MOST).contains(&cost), "{cost} bytes each");
    }
}
