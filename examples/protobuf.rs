//! A phone book: messages of several types in Protocol Buffers, on a server and on a client, which asks it twice.
//!
//!     cargo run --release --example protobuf --features protobuf -- [--addr IP:PORT] [--cores N]
//!
//! It takes a free port unless told otherwise, and prints what the server has answered:
//!
//!     Found { number: Some("555-0173") }
//!     Found { number: None }

mod support;

// ANCHOR: messages
use prost::{Message, Name};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tiderace::protobuf::{Envelope, Envelopes};
use tiderace::{Address, Conn, Error, Handler, Result, connect};

#[derive(Clone, PartialEq, Message)]
struct Put {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    number: String,
}

#[derive(Clone, PartialEq, Message)]
struct Find {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Found {
    #[prost(string, optional, tag = "1")]
    number: Option<String>,
}

impl Name for Put {
    const PACKAGE: &'static str = "phonebook";
    const NAME: &'static str = "Put";
}

impl Name for Find {
    const PACKAGE: &'static str = "phonebook";
    const NAME: &'static str = "Find";
}

impl Name for Found {
    const PACKAGE: &'static str = "phonebook";
    const NAME: &'static str = "Found";
}
// ANCHOR_END: messages

// ANCHOR: server
/// All connections write in the same book.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<HashMap<String, String>>>);

impl Handler for Book {
    type Codec = Envelopes;

    async fn on_message(&mut self, conn: &mut Conn<Envelopes>, envelope: Envelope<'_>) -> Result {
        if envelope.is::<Put>() {
            let Put { name, number } = envelope.open()?;
            self.0.lock().unwrap().insert(name, number);
            Ok(())
        } else if envelope.is::<Find>() {
            let Find { name } = envelope.open()?;
            let number = self.0.lock().unwrap().get(&name).cloned();
            conn.send(&Found { number }).await
        } else {
            Err(Error::msg(format!("no message of ours: {}", envelope.name())))
        }
    }
}
// ANCHOR_END: server

// ANCHOR: client
async fn ask(address: Address) -> Result {
    let mut book = connect(address).await?.framed(Envelopes::default());
    book.send(&Put { name: "Ada".into(), number: "555-0173".into() }).await?;
    for name in ["Ada", "Bob"] {
        book.send(&Find { name: name.into() }).await?;
        let answer = book.next().await?.ok_or(Error::Closed)?;
        println!("{:?}", answer.open::<Found>()?);
    }
    Ok(())
}
// ANCHOR_END: client

fn main() -> Result {
    let args = support::args("127.0.0.1:0", &[])?;
    let book = Book::default();
    let server = args.server.listen(args.addr, Envelopes::default(), move || book.clone())?;
    let (address, handle) = (server.local_addrs().remove(0), server.handle());
    let serving = thread::spawn(|| server.run());

    tiderace::block_on(ask(address))?;

    handle.stop(Duration::from_secs(1));
    serving.join().expect("the server does not panic")
}
