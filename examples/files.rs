//! Serves a folder, and writes an access log.
//!
//!     cargo run --release --example files --features files,gzip -- [--folder PATH] [--addr IP:PORT] [--cores N]
//!
//! From another terminal, `curl http://127.0.0.1:8080/README.md -r 0-99` prints the first hundred bytes of that file, and
//! `curl --compressed http://127.0.0.1:8080/api/numbers` what a program has made:
//!
//!     listening on 127.0.0.1:8080
//!     127.0.0.1 "GET /README.md" 206 100 0.000121

mod support;

// ANCHOR: handler
use std::time::Instant;
use tiderace::files::{Files, Served};
use tiderace::http::{Http, Request, Response};
use tiderace::{Conn, Handler, Result};

struct Site {
    files: Files,
}

impl Handler for Site {
    type Codec = Http;

    async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
        let began = Instant::now();
        let served = match (request.method(), request.path()) {
            ("GET" | "HEAD", "/api/numbers") => {
                let numbers = serde_json::to_string(&(0..1000).collect::<Vec<u32>>())?;
                send(conn, &request, &Response::json(numbers).gzip(&request)).await?
            }
            _ => self.files.serve(conn, &request).await?,
        };
        log(conn, &request, served, began);
        Ok(())
    }
}

async fn send(conn: &mut Conn<Http>, request: &Request<'_>, response: &Response<'_>) -> Result<Served> {
    conn.send(response).await?;
    let bytes = if request.method() == "HEAD" { 0 } else { response.body().map_or(0, <[u8]>::len) };
    Ok(Served { status: response.code(), bytes: bytes as u64 })
}

/// One line for each request. A target has no line end and no quote in it.
fn log(conn: &Conn<Http>, request: &Request<'_>, served: Served, began: Instant) {
    let peer = conn.peer_addr().ok().and_then(|peer| peer.ip()).map_or("-".to_owned(), |ip| ip.to_string());
    let (method, target, seconds) = (request.method(), request.target(), began.elapsed().as_secs_f64());
    println!("{peer} \"{method} {target}\" {} {} {seconds:.6}", served.status.0, served.bytes);
}
// ANCHOR_END: handler

fn main() -> Result {
    let args = support::args("127.0.0.1:8080", &[("folder", ".")])?;
    let files = Files::new(args.get::<String>("folder")?)?.cache_control("no-cache").precompressed(true);
    support::run(args.server.listen(args.addr, Http::default(), move || Site { files: files.clone() })?)
}
