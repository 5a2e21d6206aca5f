//! A protocol of one's own, on a server and on a client, which asks it once.
//!
//!     cargo run --release --example protocol -- [--addr IP:PORT] [--cores N]
//!
//! It takes a free port unless told otherwise, and prints what the server has answered:
//!
//!     Some(Note { kind: 7, text: "IS ANYBODY THERE?" })

mod support;

// ANCHOR: protocol
use std::thread;
use std::time::Duration;
use tiderace::codec::{Decoder, Encoder, Input, Output};
use tiderace::{Address, Conn, Handler, Result, connect};

/// A frame: one byte that says what it is, one byte that says how long its text is, and the text.
#[derive(Clone)]
struct Tagged;

#[derive(Debug, PartialEq)]
struct Note<'a> {
    kind: u8,
    text: &'a str,
}

impl Decoder for Tagged {
    type Item<'a> = Note<'a>;
    type Error = std::str::Utf8Error;

    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, Self::Error> {
        let end = input.get(1).map(|length| 2 + usize::from(length));
        Ok(end.filter(|end| *end <= input.len()))
    }

    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<Note<'a>, Self::Error> {
        Ok(Note { kind: frame[0], text: std::str::from_utf8(&frame[2..])? })
    }
}

impl Encoder<Note<'_>> for Tagged {
    type Error = std::num::TryFromIntError;

    fn encode(&mut self, note: &Note<'_>, output: &mut Output<'_>) -> Result<(), Self::Error> {
        let length = u8::try_from(note.text.len())?;
        output.put_prefixed([note.kind, length], note.text.as_bytes());
        Ok(())
    }
}
// ANCHOR_END: protocol

// ANCHOR: server
struct Shout;

impl Handler for Shout {
    type Codec = Tagged;

    async fn on_message(&mut self, conn: &mut Conn<Tagged>, note: Note<'_>) -> Result {
        let text = note.text.to_uppercase();
        conn.send(&Note { kind: note.kind, text: &text }).await
    }
}
// ANCHOR_END: server

// ANCHOR: client
async fn ask(address: Address) -> Result {
    let mut notes = connect(address).await?.framed(Tagged);
    notes.send(&Note { kind: 7, text: "is anybody there?" }).await?;
    println!("{:?}", notes.next().await?);
    Ok(())
}
// ANCHOR_END: client

fn main() -> Result {
    let args = support::args("127.0.0.1:0", &[])?;
    let server = args.server.listen(args.addr, Tagged, || Shout)?;
    let (address, handle) = (server.local_addrs().remove(0), server.handle());
    let serving = thread::spawn(|| server.run());

    tiderace::block_on(ask(address))?;

    handle.stop(Duration::from_secs(1));
    serving.join().expect("the server does not panic")
}
