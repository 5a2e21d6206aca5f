//! The page, which is a part of the program, and the pages of other sites, which have no business here.

use tiderace::http::{Request, Response, Status};

/// Nothing but what comes from here. Should a text ever get into the page as more than a text, it is not run; and no other
/// page may show this one in a frame, to have its visitor click what it does not show.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// ANCHOR: respond
/// What is answered to a request.
pub fn respond(request: &Request<'_>) -> Response<'static> {
    let found = match request.path() {
        "/" => Response::html(include_str!("page/index.html")),
        "/chat.css" => Response::with_body("text/css; charset=utf-8", include_bytes!("page/chat.css")),
        "/chat.js" => Response::with_body("text/javascript; charset=utf-8", include_bytes!("page/chat.js")),
        _ => return secured(Response::text("this page does not exist\n").status(Status::NOT_FOUND)),
    };
    match request.method() {
        "GET" | "HEAD" => secured(found.header("Cache-Control", "no-cache")),
        _ => {
            let response = Response::text("only GET and HEAD\n").status(Status::METHOD_NOT_ALLOWED);
            secured(response.header("Allow", "GET, HEAD"))
        }
    }
}

pub fn secured(response: Response<'static>) -> Response<'static> {
    response
        .header("Content-Security-Policy", POLICY)
        .header("X-Content-Type-Options", "nosniff")
        .header("Referrer-Policy", "no-referrer")
        .header("Cross-Origin-Opener-Policy", "same-origin")
        .header("Cross-Origin-Resource-Policy", "same-origin")
}
// ANCHOR_END: respond

/// Where pages come from that may connect.
pub struct Origins(Vec<String>);

impl Origins {
    /// Of a list with commas. Without any: pages that come from the host that they connect to.
    pub fn new(list: &str) -> Origins {
        Origins(list.split(',').map(|origin| origin.trim().to_ascii_lowercase()).filter(|o| !o.is_empty()).collect())
    }

    /// Whether a handshake may be made. Browsers say truly where a page comes from, and a peer that does not say it is no
    /// browser: it has no visitor in whose name it could speak.
    pub fn admit(&self, request: &Request<'_>) -> bool {
        let mut origins = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("origin"));
        let origin = match (origins.next(), origins.next()) {
            (None, _) => return true,
            (Some((_, origin)), None) => String::from_utf8_lossy(origin).trim().to_ascii_lowercase(),
            _ => return false,
        };
        if !self.0.is_empty() {
            return self.0.contains(&origin);
        }
        // A proxy in front may speak TLS where this server does not, so both schemes are right.
        let host = request.header("host").map(|host| host.trim().to_ascii_lowercase());
        [("http://", ":80"), ("https://", ":443")].into_iter().any(|(scheme, port)| {
            let plain = |authority: &str| authority.strip_suffix(port).unwrap_or(authority).to_owned();
            let from = origin.strip_prefix(scheme).map(plain);
            from.is_some_and(|from| !from.is_empty() && Some(from) == host.as_deref().map(plain))
        })
    }
}
