//! Sends back what it receives, in one of three protocols, and prints how many connections are open every two seconds. The
//! benchmarks run with it.
//!
//!     cargo run --release --example echo_codecs -- [--addr IP:PORT] [--cores N] [--codec raw|lines|frame]
//!                                                  [--busy-poll MICROSECONDS] [--portable]
//!
//! It listens on 127.0.0.1:1833 with a core for each processor unless told otherwise. From another terminal,
//! `nc 127.0.0.1 1833` echoes.

use std::marker::PhantomData;
use std::thread;
use std::time::Duration;
use tiderace::codec::{Codec, Encoder, Item, LengthDelimited, Lines, Raw};
use tiderace::{Conn, Error, Handler, Result, Server};

/// One handler serves every codec `C` whose messages can be sent as they are received, as an `M`.
struct Echo<C, M: ?Sized> {
    codec: PhantomData<C>,
    message: PhantomData<M>,
}

impl<C, M> Handler for Echo<C, M>
where
    C: Codec + 'static,
    M: ?Sized + 'static,
    C::Encoder: Encoder<M>,
    for<'a> Item<'a, C>: AsRef<M>,
{
    type Codec = C;

    // A handler that is generic over its codec names the lifetime, as the trait does.
    async fn on_message<'a>(&'a mut self, conn: &'a mut Conn<C>, message: Item<'a, C>) -> Result {
        conn.send(message.as_ref()).await
    }
}

const OPTIONS: &str = "[--addr IP:PORT] [--cores N] [--codec raw|lines|frame] [--busy-poll MICROSECONDS] [--portable]";

fn main() -> Result {
    let mut addr = String::from("127.0.0.1:1833");
    let mut codec = String::from("raw");
    let mut server = Server::new();
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        use lexopt::{Arg::Long, Arg::Short, ValueExt};
        match arg {
            Short('h') | Long("help") => {
                println!("{OPTIONS}");
                return Ok(());
            }
            Long("addr") => addr = args.value()?.parse()?,
            Long("cores") => server = server.cores(args.value()?.parse()?),
            Long("codec") => codec = args.value()?.parse()?,
            Long("busy-poll") => server = server.busy_poll(Duration::from_micros(args.value()?.parse()?)),
            Long("portable") => server = server.portable(true),
            _ => return Err(arg.unexpected().into()),
        }
    }
    let server = match codec.as_str() {
        "raw" => server.listen(addr, Raw, echo::<Raw, [u8]>)?,
        "lines" => server.listen(addr, Lines::default(), echo::<Lines, str>)?,
        "frame" => server.listen(addr, LengthDelimited::default(), echo::<LengthDelimited, [u8]>)?,
        _ => return Err(Error::msg(format!("--codec: expected raw, lines or frame, found {codec}"))),
    };

    println!("listening on {:?}", server.local_addrs());
    let handle = server.handle();
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_secs(2));
            println!("{} connections", handle.connections());
        }
    });
    server.run()
}

fn echo<C, M: ?Sized>() -> Echo<C, M> {
    Echo { codec: PhantomData, message: PhantomData }
}
