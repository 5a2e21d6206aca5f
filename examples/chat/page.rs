//! The page, which is a part of the program.

use tiderace::http::{Request, Response, Status};

/// Nothing but what comes from here: should a text ever get into the page as more than a text, it is not run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:";

// ANCHOR: respond
/// What is answered to a request.
pub fn respond(request: &Request<'_>) -> Response<'static> {
    let found = match request.path() {
        "/" => Response::html(include_str!("page/index.html")),
        "/chat.css" => Response::with_body("text/css; charset=utf-8", include_bytes!("page/chat.css")),
        "/chat.js" => Response::with_body("text/javascript; charset=utf-8", include_bytes!("page/chat.js")),
        _ => return Response::text("there is nothing here").status(Status::NOT_FOUND),
    };
    found.header("Content-Security-Policy", POLICY).header("X-Content-Type-Options", "nosniff")
}
// ANCHOR_END: respond
