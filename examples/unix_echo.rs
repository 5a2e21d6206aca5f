//! Sends back what it receives on a Unix socket.
//!
//!     cargo run --release --example unix_echo -- [--addr unix://PATH] [--cores N]
//!
//! From another terminal, `nc -U /tmp/tiderace.sock` echoes. A server that ends removes the file of its socket; Ctrl-C leaves
//! it, and the next start replaces it. On Linux `--addr unix://@NAME` makes no file:
//!
//!     listening on unix:/tmp/tiderace.sock

mod support;

use support::Echo;
use tiderace::{Result, codec::Raw};

fn main() -> Result {
    let args = support::args("unix:///tmp/tiderace.sock", &[])?;
    support::run(args.server.listen(args.addr, Raw, || Echo)?)
}
