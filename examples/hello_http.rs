//! Answers requests of HTTP.
//!
//!     cargo run --release --example hello_http --features http -- [--addr IP:PORT] [--cores N]
//!
//! From another terminal, `curl http://127.0.0.1:8080/` prints `Hello, World!`, and `curl -d text http://127.0.0.1:8080/echo`
//! what it was sent:
//!
//!     listening on 127.0.0.1:8080

mod support;

// ANCHOR: handler
use tiderace::http::{Http, Request, Response, Status};
use tiderace::{Conn, Handler, Result};

struct Hello;

impl Handler for Hello {
    type Codec = Http;

    async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
        let response = match (request.method(), request.path()) {
            ("GET" | "HEAD", "/") => Response::text("Hello, World!"),
            ("POST", "/echo") => {
                let media_type = request.header("content-type").unwrap_or("application/octet-stream");
                Response::with_body(media_type, request.body())
            }
            (_, "/" | "/echo") => Response::text("not like that\n").status(Status::METHOD_NOT_ALLOWED),
            _ => Response::text("nothing here\n").status(Status::NOT_FOUND),
        };
        conn.send(&response).await
    }
}
// ANCHOR_END: handler

fn main() -> Result {
    let args = support::args("127.0.0.1:8080", &[])?;
    support::run(args.server.listen(args.addr, Http::default(), || Hello)?)
}
