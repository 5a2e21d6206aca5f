//! WebSockets by hand, for what no client library would send.

use std::io::{Read, Write};
use std::net::TcpStream;

/// What a client says that wants compression.
pub const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// Makes the handshake, with more fields if there are any.
pub fn open(stream: TcpStream, fields: &str) -> TcpStream {
    let request = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let (stream, head) = ask(stream, &format!("{request}{fields}\r\n"));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream
}

/// Sends a request; what comes back is the head of the response, and a stream of what stands behind it.
pub fn ask(mut stream: TcpStream, request: &str) -> (TcpStream, String) {
    stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).unwrap())
}

/// A frame of a client.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => frame.extend([&[0xfe][..], &(length as u16).to_be_bytes()].concat()),
        length => frame.extend([&[0xff][..], &(length as u64).to_be_bytes()].concat()),
    }
    let key = [7, 77, 177, 255];
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}
