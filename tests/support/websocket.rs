//! WebSockets by hand, for what no client library would send.

use std::io::{Read, Write};
use std::net::TcpStream;

/// What a client says that wants compression.
pub const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// Makes the handshake, with more fields if there are any.
pub fn open(mut stream: TcpStream, fields: &str) -> TcpStream {
    let request = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
    stream.write_all(format!("{request}{fields}\r\n").as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
    stream
}
