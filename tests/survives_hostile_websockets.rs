//! Floods of fragments and messages that inflate without end: closed with the right code, in bounded memory.
#![cfg(all(feature = "websocket", target_os = "linux"))]

mod support;

use flate2::{Compress, Compression, FlushCompress};
use std::io::{Read, Write};
use std::net::TcpStream;
use support::process::Process;
use support::websocket::frame;
use support::*;

/// A server in a process of its own, whose memory can be looked at.
fn server() -> (Process, String) {
    let mut process = Process::example("ws_echo", &["--addr", "127.0.0.1:0", "--cores", "1"]);
    let address = process.address();
    (process, address)
}

fn open(address: &str, fields: &str) -> TcpStream {
    websocket::open(TcpStream::connect(address).unwrap(), fields)
}

/// The code of the close frame that comes next.
fn close_code(stream: &mut TcpStream) -> u16 {
    let mut close = [0; 4];
    stream.read_exact(&mut close).unwrap();
    assert_eq!(close[0], 0x88, "{close:x?}");
    u16::from_be_bytes([close[2], close[3]])
}

#[test]
fn a_million_fragments_are_too_many() {
    let (process, address) = server();
    let mut stream = open(&address, "");
    // As many as there may be are a message like others.
    let many = [frame(0x02, b"x"), frame(0x00, b"x").repeat(99_998), frame(0x80, b"x")].concat();
    stream.write_all(&many).unwrap();
    let mut back = vec![0; 10 + 100_000];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back[..10], [&[0x82, 127][..], &100_000_u64.to_be_bytes()].concat());
    let before = system::resident(process.child().id());
    let mut stream = open(&address, "");
    let mut writer = stream.try_clone().unwrap();
    let flood = std::thread::spawn(move || {
        let _ = writer.write_all(&frame(0x02, b"x"));
        let part = frame(0x00, b"x").repeat(1000);
        (0..1000).all(|_| writer.write_all(&part).is_ok())
    });
    assert_eq!(close_code(&mut stream), 1009);
    drop(stream);
    flood.join().unwrap();
    let grown = system::resident(process.child().id()).saturating_sub(before);
    assert!(grown < 4 << 20, "a flood of fragments cost {grown} bytes");
}

#[test]
fn bombs_are_defused_before_they_are_inflated() {
    let (process, address) = server();
    // 64 MiB of zeros in 64 KiB, where 16 MiB are the most.
    let mut bomb = Vec::with_capacity(1 << 20);
    let mut deflate = Compress::new(Compression::best(), false);
    deflate.compress_vec(&vec![0; 64 << 20], &mut bomb, FlushCompress::Sync).unwrap();
    assert!(bomb.len() < 128 << 10);
    let bomb = frame(0xc2, &bomb[..bomb.len() - 4]);
    let mut good = open(&address, websocket::DEFLATE);
    for _ in 0..20 {
        let mut stream = open(&address, websocket::DEFLATE);
        stream.write_all(&bomb).unwrap();
        assert_eq!(close_code(&mut stream), 1009);
        good.write_all(&frame(0x89, b"")).unwrap();
        let mut pong = [0; 2];
        good.read_exact(&mut pong).unwrap();
        assert_eq!(pong, [0x8a, 0]);
    }
    let resident = system::resident(process.child().id());
    assert!(resident < 64 << 20, "{resident} bytes are still there");
}
