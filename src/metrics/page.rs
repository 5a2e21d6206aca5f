//! The numbers over HTTP: as little of RFC 9112 as a scraper needs. One request a connection.

use crate::codec::{Codec, Delimiter, Raw};
use crate::connection::{Conn, Handler};
use crate::error::{Error, Result};
use crate::runtime::expect_current;
use std::time::Duration;

/// A request's head may be this long. Those of browsers have a few kilobytes, mostly of cookies.
const HEAD: usize = 16 * 1024;
const HEADERS: usize = 100;
/// It is to be there in this time.
const PATIENCE: Duration = Duration::from_secs(10);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Answers a request for the text that `render` makes.
pub(crate) struct Page<F> {
    pub(crate) render: F,
}

/// Receives the heads of requests, and sends what it is told.
#[derive(Clone)]
pub(crate) struct Heads;

impl Codec for Heads {
    type Decoder = Delimiter;
    type Encoder = Raw;

    fn halves(&self) -> (Delimiter, Raw) {
        (Delimiter::with_max(b"\r\n\r\n", HEAD), Raw)
    }
}

impl<F: FnMut() -> String + 'static> Handler for Page<F> {
    type Codec = Heads;

    async fn on_open(&mut self, conn: &mut Conn<Heads>) -> Result {
        conn.set_read_deadline(Some(expect_current("a page").time() + PATIENCE));
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Heads>, head: &[u8]) -> Result {
        let response = self.response(head)?;
        conn.send(&response).await?;
        conn.close();
        Ok(())
    }
}

impl<F: FnMut() -> String> Page<F> {
    fn response(&mut self, head: &[u8]) -> Result<String> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        // The codec has taken the empty line off its end.
        let whole = [head, b"\r\n\r\n"].concat();
        if request.parse(&whole).is_err() {
            return Ok(response("400 Bad Request", PLAIN, "this is no request\n", true));
        }
        let with_body = match request.method {
            Some("GET") => true,
            Some("HEAD") => false,
            Some(_) => return Ok(response("405 Method Not Allowed", PLAIN, "only GET and HEAD\n", true)),
            None => return Err(Error::msg("expected a method, met none")),
        };
        let path = request.path.unwrap_or_default();
        match path.split('?').next() {
            Some("/metrics") => Ok(response("200 OK", OPENMETRICS, &(self.render)(), with_body)),
            _ => Ok(response("404 Not Found", PLAIN, "the page is /metrics\n", with_body)),
        }
    }
}

fn response(status: &str, media_type: &str, body: &str, with_body: bool) -> String {
    let length = body.len();
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n{allow}Connection: close\r\n\r\n"
    );
    if with_body { head + body } else { head }
}
