//! The numbers over HTTP.

use super::{Format, Metrics};
use crate::connection::{Conn, Handler};
use crate::error::Result;
use crate::http::{Http, Request, Response, Status};
use crate::runtime::expect_current;
use std::time::Duration;

/// A request is to be there in this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// The methods of the page.
const ALLOW: &str = "GET, HEAD, OPTIONS";

/// Answers a request for the numbers that `read` returns.
pub(crate) struct Page<F> {
    pub(crate) read: F,
}

impl<F: FnMut() -> Metrics + 'static> Page<F> {
    fn respond(&mut self, request: &Request<'_>) -> Response<'static> {
        match (request.method(), request.path()) {
            ("GET" | "HEAD", "/metrics") => {
                let accept = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("accept"));
                let format = Format::negotiate(accept.map(|(_, value)| value));
                let text = (self.read)().to_format(format);
                Response::with_body(format.media_type(), text.into_bytes()).header("Vary", "Accept")
            }
            ("OPTIONS", "/metrics" | "*") => Response::new(Status::NO_CONTENT).header("Allow", ALLOW),
            // Methods that are known, and that this page does not have (RFC 9110, section 9.1).
            ("POST" | "PUT" | "DELETE" | "PATCH" | "CONNECT" | "TRACE", "/metrics") => {
                let response = Response::text("only GET, HEAD and OPTIONS\n").status(Status::METHOD_NOT_ALLOWED);
                response.header("Allow", ALLOW)
            }
            (_, "/metrics") => Response::text("this method is not known\n").status(Status::NOT_IMPLEMENTED),
            _ => Response::text("the page is /metrics\n").status(Status::NOT_FOUND),
        }
    }
}

impl<F: FnMut() -> Metrics + 'static> Handler for Page<F> {
    type Codec = Http;

    async fn on_open(&mut self, conn: &mut Conn<Http>) -> Result {
        conn.set_read_deadline(Some(expect_current("a page").time() + PATIENCE));
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
        conn.send(&self.respond(&request).close()).await
    }
}
