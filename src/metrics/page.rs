//! The numbers over HTTP.

use crate::connection::{Conn, Handler};
use crate::error::Result;
use crate::http::{Http, Request, Response, Status};
use crate::runtime::expect_current;
use std::time::Duration;

/// A request is to be there in this time.
const PATIENCE: Duration = Duration::from_secs(10);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers a request for the text that `render` makes.
pub(crate) struct Page<F> {
    pub(crate) render: F,
}

impl<F: FnMut() -> String + 'static> Handler for Page<F> {
    type Codec = Http;

    async fn on_open(&mut self, conn: &mut Conn<Http>) -> Result {
        conn.set_read_deadline(Some(expect_current("a page").time() + PATIENCE));
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
        match (request.method(), request.path()) {
            ("GET" | "HEAD", "/metrics") => {
                let text = (self.render)();
                conn.send(&Response::with_body(OPENMETRICS, text.as_bytes()).close()).await
            }
            (_, "/metrics") => {
                let response = Response::text("only GET and HEAD\n").status(Status::METHOD_NOT_ALLOWED);
                conn.send(&response.header("Allow", "GET, HEAD").close()).await
            }
            _ => conn.send(&Response::text("the page is /metrics\n").status(Status::NOT_FOUND).close()).await,
        }
    }
}
