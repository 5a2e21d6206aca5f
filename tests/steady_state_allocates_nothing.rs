//! In steady state a message costs no heap allocation, and a length field makes nobody allocate what it claims.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use support::handlers::{Echo, EchoFrames, EchoLines};
use support::*;
use tiderace::codec::{LengthDelimited, Lines, Raw};

/// Counts what the threads of a server allocate.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The clients of these tests allocate on their own account.
    static IS_CLIENT: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn count(bytes: usize) {
    if !IS_CLIENT.try_with(std::cell::Cell::get).unwrap_or(true) {
        ALLOCATIONS.fetch_add(1, SeqCst);
        BYTES.fetch_add(bytes, SeqCst);
    }
}

#[allow(unsafe_code)]
// SAFETY: every method hands its arguments to the system's allocator and returns what that returns.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's contract is the same.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The counters are the process's, so one test counts at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Allocations per thousand round trips of `message`, once the server is warm.
fn allocations(server: &Running, message: &[u8]) -> usize {
    let mut streams: Vec<_> = (0..10).map(|_| server.connect()).collect();
    let mut back = vec![0; message.len()];
    let mut round = || {
        for stream in &mut streams {
            stream.write_all(message).unwrap();
        }
        for stream in &mut streams {
            stream.read_exact(&mut back).unwrap();
            assert!(back == message);
        }
    };
    (0..100).for_each(|_| round());
    let before = ALLOCATIONS.load(SeqCst);
    (0..100).for_each(|_| round());
    ALLOCATIONS.load(SeqCst) - before
}

#[test]
fn for_raw_lines_and_length_delimited() {
    let _turn = TURN.lock().unwrap();
    IS_CLIENT.set(true);
    let (tell, _told) = events();
    let frame = |n: usize| [&(n as u32).to_be_bytes()[..], &noise(1, n)].concat();
    let raw = serve(1, Raw, || Echo);
    let lines = serve(1, Lines::default(), {
        let echo = EchoLines(tell.clone());
        move || echo.clone()
    });
    let frames = serve(1, LengthDelimited::default(), move || EchoFrames(tell.clone()));
    for (what, server, message) in [
        ("raw, 64 B", &raw, noise(1, 64)),
        ("raw, 16 KiB", &raw, noise(1, 16 * 1024)),
        ("a line", &lines, b"a line of text\n".to_vec()),
        ("a frame", &frames, frame(64)),
        ("40 frames", &frames, frame(100).repeat(40)),
    ] {
        // The ten connections may now be busy all at once for the first time, each with a ring and a write queue of its
        // own, two allocations each: some tens, not one a message.
        let allocations = allocations(server, &message);
        assert!(allocations <= 50, "{what}: {allocations} allocations in 1,000 messages");
    }
}

#[test]
fn for_an_announced_giant() {
    let _turn = TURN.lock().unwrap();
    IS_CLIENT.set(true);
    let (tell, ended) = events();
    let codec = LengthDelimited::default().max(usize::MAX);
    let server = serve(1, codec, move || EchoFrames(tell.clone()));
    let mut stream = server.connect();
    let before = BYTES.load(SeqCst);
    stream.write_all(&[0xff, 0xff, 0xff, 0xff]).unwrap();
    stream.write_all(&[7; 10]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(ended.next().contains("found the end of the stream after 14 bytes"));
    let allocated = BYTES.load(SeqCst) - before;
    assert!(allocated < 64 * 1024, "{allocated} bytes");
}
