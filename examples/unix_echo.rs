//! Sends back what it receives on a Unix socket, and removes the socket's file when it ends.
//!
//!     cargo run --release --example unix_echo -- [--addr unix://PATH] [--cores N]
//!
//! From another terminal, `nc -U /tmp/tiderace.sock` echoes. On Linux `--addr unix://@NAME` makes no file:
//!
//!     listening on unix:/tmp/tiderace.sock

mod support;

use support::Echo;
use tiderace::{Result, codec::Raw};

fn main() -> Result {
    let args = support::args("unix:///tmp/tiderace.sock", &[])?;
    support::run(args.server.listen(args.addr, Raw, || Echo)?)
}
