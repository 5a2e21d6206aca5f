//! HTTP/1.1: what a request is answered, and when; each request gets one response, whoever gives it.
#![cfg(feature = "http")]

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use support::*;
use tiderace::http::{Chunk, HttpParts, Part, Response};
use tiderace::{Conn, Handler, Result};

/// Sends a body back as it comes.
struct Stream;

impl Handler for Stream {
    type Codec = HttpParts;

    async fn on_message(&mut self, conn: &mut Conn<HttpParts>, part: Part<'_>) -> Result {
        match part {
            Part::Request { .. } => conn.send(&Response::chunked("text/plain")).await,
            Part::Body { bytes, is_last } => {
                conn.send(&Chunk::new(bytes)).await?;
                if is_last { conn.send(&Chunk::last()).await } else { Ok(()) }
            }
        }
    }
}

#[test]
fn nothing_stands_between_the_chunks_of_a_response() {
    let server = serve(1, HttpParts::default(), || Stream);
    let mut stream = server.connect();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let body = read_to_end(&mut stream);
    assert_eq!(String::from_utf8_lossy(&body), "5\r\nhello\r\n0\r\n\r\n");
}
