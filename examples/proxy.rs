//! Pumps bytes between clients and an upstream server, both ways, as fast as the slower one takes them.
//!
//!     cargo run --release --example proxy -- [--addr IP:PORT] [--cores N] [--upstream ADDRESS]
//!
//! With the echo example as the upstream, `nc 127.0.0.1 1845` echoes through the proxy:
//!
//!     listening on 127.0.0.1:1845

mod support;

// ANCHOR: handler
use futures_lite::{AsyncWriteExt, future, io};
use std::sync::Arc;
use tiderace::{Conn, Handler, Result, Stream, codec::Raw, connect};

struct Proxy {
    upstream: Arc<str>,
}

impl Handler for Proxy {
    type Codec = Raw;

    /// No message is handled here: the connection is given up before the first.
    async fn on_open(&mut self, conn: &mut Conn<Raw>) -> Result {
        let upstream = self.upstream.clone();
        conn.detach(move |client| async move {
            if let Err(error) = pump(client, &upstream).await {
                println!("{error}");
            }
        });
        Ok(())
    }

    async fn on_message(&mut self, _: &mut Conn<Raw>, _: &[u8]) -> Result {
        Ok(())
    }
}

async fn pump(client: Stream, upstream: &str) -> Result {
    let upstream = connect(upstream).await?;
    let (from_client, to_client) = io::split(client);
    let (from_upstream, to_upstream) = io::split(upstream);
    future::try_zip(copy(from_client, to_upstream), copy(from_upstream, to_client)).await?;
    Ok(())
}

/// Until the end, which is passed on: the other direction may have more to say.
async fn copy(from: impl io::AsyncRead + Unpin, mut to: impl io::AsyncWrite + Unpin) -> io::Result<()> {
    io::copy(from, &mut to).await?;
    to.close().await
}
// ANCHOR_END: handler

fn main() -> Result {
    let args = support::args("127.0.0.1:1845", &[("upstream", "127.0.0.1:1833")])?;
    let upstream: Arc<str> = args.get::<String>("upstream")?.into();
    support::run(args.server.listen(args.addr, Raw, move || Proxy { upstream: upstream.clone() })?)
}
