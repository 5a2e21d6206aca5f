//! Conditions of requests (RFC 9110, section 13) and codings of responses (sections 8.4 and 12.5.3), where a handler answers.
#![cfg(feature = "http")]

mod support;

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};
use support::*;
use tiderace::http::{EntityTag, Http, Precondition, Request, Response, Status, Validators};
use tiderace::{Conn, Handler, Result};

/// Has one version of a resource, by the path: with a strong tag, a weak one, only a date, nothing at all, or no such resource.
struct Versions;

impl Handler for Versions {
    type Codec = Http;

    async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
        let tag = EntityTag::new("v,1").unwrap();
        // Sun, 06 Nov 1994 08:49:37 GMT, and a half.
        let dated = Validators::new().last_modified(UNIX_EPOCH + Duration::from_millis(784_111_777_500));
        let current = match request.path() {
            "/strong" => Some(dated.etag(tag)),
            "/weak" => Some(dated.etag(tag.weak())),
            "/dated" => Some(dated),
            "/plain" => Some(Validators::new()),
            _ => None,
        };
        let status = match request.precondition(current.as_ref()) {
            Precondition::Met => Status::OK,
            Precondition::NotModified => Status::NOT_MODIFIED,
            Precondition::Failed => Status::PRECONDITION_FAILED,
        };
        conn.send(&Response::new(status).validators(&current.unwrap_or_default()).close()).await
    }
}

fn ask(server: &Running, request: &str) -> (u16, String, Vec<u8>) {
    let mut stream = server.connect();
    stream.write_all(request.as_bytes()).unwrap();
    let all = read_to_end(&mut stream);
    let end = all.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head") + 4;
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    (head[9..12].parse().unwrap(), head, all[end..].to_vec())
}

const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// One row a rule: the section, the method, the resource, the fields, and the status.
#[test]
fn conditions_are_evaluated_as_the_rfc_says() {
    let server = serve(1, Http::default(), || Versions);
    let row = |section: &str, method: &str, path: &str, fields: &str, status: u16| {
        let fields = fields.replace("SAME", SAME).replace("BEFORE", BEFORE).replace("AFTER", AFTER);
        let request = format!("{method} /{path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        assert_eq!(ask(&server, &request).0, status, "section {section}: {request}");
    };
    let tag = "\"v,1\"";
    // If-Match: the strong comparison, or any version.
    row("13.1.1", "GET", "strong", &format!("If-Match: {tag}\r\n"), 200);
    row("13.1.1", "PUT", "strong", &format!("If-Match: \"x\",{tag} , \"y\"\r\n"), 200);
    row("13.1.1", "PUT", "strong", &format!("If-Match: \"x\"\r\nIf-Match: {tag}\r\n"), 200);
    row("13.1.1", "PUT", "strong", "If-Match: *\r\n", 200);
    row("13.1.1", "PUT", "plain", "If-Match: *\r\n", 200);
    row("13.1.1", "PUT", "none", "If-Match: *\r\n", 412);
    row("13.1.1", "GET", "strong", "If-Match: \"x\"\r\n", 412);
    row("13.1.1", "GET", "strong", &format!("If-Match: W/{tag}\r\n"), 412);
    row("13.1.1", "GET", "weak", &format!("If-Match: W/{tag}\r\n"), 412);
    row("13.1.1", "GET", "weak", &format!("If-Match: {tag}\r\n"), 412);
    row("13.1.1", "PUT", "none", &format!("If-Match: {tag}\r\n"), 412);
    row("13.1.1", "PUT", "strong", "If-Match: \"v\r\n", 412);
    row("13.1.1", "PUT", "strong", "If-Match: v,1\r\n", 412);
    row("13.1.1", "PUT", "strong", "If-Match:\r\n", 412);
    // If-None-Match: the weak comparison.
    for tag in [tag, "W/\"v,1\"", "\"x\", \"v,1\"", ", ,\"v,1\"", "*"] {
        for path in ["strong", "weak"] {
            row("13.1.2", "GET", path, &format!("If-None-Match: {tag}\r\n"), 304);
            row("13.1.2", "HEAD", path, &format!("If-None-Match: {tag}\r\n"), 304);
            row("13.1.2", "PUT", path, &format!("If-None-Match: {tag}\r\n"), 412);
            row("13.1.2", "POST", path, &format!("If-None-Match: {tag}\r\n"), 412);
        }
    }
    row("13.1.2", "GET", "strong", "If-None-Match: \"v\"\r\n", 200);
    row("13.1.2", "GET", "strong", "If-None-Match: \"V,1\"\r\n", 200);
    row("13.1.2", "GET", "strong", "If-None-Match: w/\"v,1\"\r\n", 200);
    row("13.1.2", "GET", "dated", &format!("If-None-Match: {tag}\r\n"), 200);
    row("13.1.2", "PUT", "none", "If-None-Match: *\r\n", 200);
    row("13.1.2", "PUT", "plain", "If-None-Match: *\r\n", 412);
    // If-Modified-Since: GET and HEAD only, and only one right date.
    row("13.1.3", "GET", "dated", "If-Modified-Since: SAME\r\n", 304);
    row("13.1.3", "HEAD", "dated", "If-Modified-Since: AFTER\r\n", 304);
    row("13.1.3", "GET", "dated", "If-Modified-Since: BEFORE\r\n", 200);
    row("13.1.3", "PUT", "dated", "If-Modified-Since: SAME\r\n", 200);
    row("13.1.3", "GET", "plain", "If-Modified-Since: SAME\r\n", 200);
    row("13.1.3", "GET", "none", "If-Modified-Since: SAME\r\n", 200);
    row("13.1.3", "GET", "dated", "If-Modified-Since: yesterday\r\n", 200);
    row("13.1.3", "GET", "dated", "If-Modified-Since: SAME, SAME\r\n", 200);
    row("13.1.3", "GET", "dated", "If-Modified-Since: SAME\r\nIf-Modified-Since: SAME\r\n", 200);
    row("5.6.7", "GET", "dated", "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n", 304);
    row("5.6.7", "GET", "dated", "If-Modified-Since: Sun Nov  6 08:49:37 1994\r\n", 304);
    // If-Unmodified-Since: any method.
    row("13.1.4", "PUT", "dated", "If-Unmodified-Since: SAME\r\n", 200);
    row("13.1.4", "PUT", "dated", "If-Unmodified-Since: AFTER\r\n", 200);
    row("13.1.4", "PUT", "dated", "If-Unmodified-Since: BEFORE\r\n", 412);
    row("13.1.4", "GET", "dated", "If-Unmodified-Since: BEFORE\r\n", 412);
    row("13.1.4", "PUT", "plain", "If-Unmodified-Since: BEFORE\r\n", 200);
    row("13.1.4", "PUT", "dated", "If-Unmodified-Since: yesterday\r\n", 200);
    row("13.1.4", "PUT", "dated", "If-Unmodified-Since: BEFORE, BEFORE\r\n", 200);
    // Which comes first.
    row("13.2.2", "PUT", "strong", &format!("If-Match: {tag}\r\nIf-Unmodified-Since: BEFORE\r\n"), 200);
    row("13.2.2", "PUT", "strong", "If-Match: \"x\"\r\nIf-Unmodified-Since: AFTER\r\n", 412);
    row("13.2.2", "GET", "strong", &format!("If-Match: {tag}\r\nIf-None-Match: {tag}\r\n"), 304);
    row("13.2.2", "GET", "strong", &format!("If-Match: \"x\"\r\nIf-None-Match: {tag}\r\n"), 412);
    row("13.2.2", "GET", "strong", "If-None-Match: \"x\"\r\nIf-Modified-Since: SAME\r\n", 200);
    row("13.2.2", "GET", "strong", &format!("If-None-Match: {tag}\r\nIf-Modified-Since: BEFORE\r\n"), 304);
    row("13.2.2", "GET", "dated", "If-Unmodified-Since: SAME\r\nIf-Modified-Since: SAME\r\n", 304);
    row("13.2.2", "GET", "dated", "If-Unmodified-Since: BEFORE\r\nIf-Modified-Since: SAME\r\n", 412);
    // Methods that select no representation.
    row("13.2.1", "OPTIONS", "strong", "If-Match: \"x\"\r\n", 200);
    row("13.2.1", "TRACE", "strong", "If-None-Match: *\r\n", 200);
}

#[test]
fn validators_go_out_as_fields() {
    let server = serve(1, Http::default(), || Versions);
    let (_, head, _) = ask(&server, "GET /weak HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(
        head.contains("\r\nETag: W/\"v,1\"\r\n") && head.contains(&format!("\r\nLast-Modified: {SAME}\r\n")),
        "{head}"
    );
}

#[cfg(feature = "gzip")]
mod gzip {
    use super::*;
    use std::io::Read;

    /// Text that becomes shorter.
    fn text() -> String {
        "Nothing is said once. ".repeat(200)
    }

    /// Answers by what the path says.
    struct Compressed;

    impl Handler for Compressed {
        type Codec = Http;

        async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
            let noise = noise(1, 4000);
            let response = match request.path() {
                "/text" => Response::text(text()),
                "/lent" => Response::with_body("application/vnd.api+json; v=1", text().into_bytes()),
                "/tagged" => Response::html(text()).header("ETag", "\"v1\"").header("Vary", "Cookie"),
                "/weak" => Response::html(text()).header("etag", "W/\"v1\"").header("vary", "Cookie, accept-encoding"),
                "/declared" => Response::text(text()).header("Content-Length", &text().len().to_string()),
                "/short" => Response::text("short"),
                "/image" => Response::with_body("image/png", text().into_bytes()),
                "/noise" => Response::with_body("text/plain", &noise[..]),
                "/encoded" => Response::text(text()).header("Content-Encoding", "br"),
                "/part" => Response::text(text()).status(Status::PARTIAL_CONTENT),
                "/ranged" => Response::text(text()).header("Content-Range", "bytes 0-4399/9999"),
                "/digest" => Response::text(text()).header("Repr-Digest", "sha-256=:x:"),
                "/fixed" => Response::text(text()).header("Cache-Control", "no-store, No-Transform"),
                "/nothing" => Response::new(Status::NO_CONTENT),
                "/same" => Response::new(Status::NOT_MODIFIED).header("ETag", "\"v1\""),
                "/events" => Response::with_body("text/event-stream", text().into_bytes()),
                _ => Response::text(text()).status(Status::NOT_FOUND),
            };
            conn.send(&response.close().gzip(&request)).await
        }
    }

    fn unpacked(bytes: &[u8]) -> String {
        let mut text = String::new();
        flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        text
    }

    fn get(server: &Running, path: &str, accept: &str) -> (u16, String, Vec<u8>) {
        ask(server, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n{accept}\r\n"))
    }

    #[test]
    fn body_is_compressed_where_the_peer_prefers_it() {
        let server = serve(1, Http::default(), || Compressed);
        for path in ["/text", "/lent", "/tagged", "/weak", "/declared", "/missing"] {
            let (_, head, body) = get(&server, path, "Accept-Encoding: gzip\r\n");
            assert!(head.contains("\r\nContent-Encoding: gzip\r\n"), "{head}");
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
            assert_eq!(unpacked(&body), text(), "{path}");
            let head = ask(&server, &format!("HEAD {path} HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n"));
            assert!(
                head.1.contains(&format!("\r\nContent-Length: {}\r\n", body.len())) && head.2.is_empty(),
                "{head:?}"
            );
        }
    }

    /// RFC 9110, section 12.5.3.
    #[test]
    fn preference_of_a_coding_is_read_as_the_rfc_writes_it() {
        let server = serve(1, Http::default(), || Compressed);
        for (accept, is_compressed) in [
            ("", false),
            ("Accept-Encoding:\r\n", false),
            ("Accept-Encoding: identity\r\n", false),
            ("Accept-Encoding: gzip\r\n", true),
            ("Accept-Encoding: GZip\r\n", true),
            ("Accept-Encoding: x-gzip\r\n", true),
            ("Accept-Encoding: *\r\n", true),
            ("Accept-Encoding: *;q=0\r\n", false),
            ("Accept-Encoding: gzip;q=0\r\n", false),
            ("Accept-Encoding: gzip;q=0.0, *;q=1\r\n", false),
            ("Accept-Encoding: gzip ; q=0.001\r\n", true),
            ("Accept-Encoding: br;q=1, deflate, gzip;q=0.2\r\n", true),
            ("Accept-Encoding: br, deflate\r\n", false),
            ("Accept-Encoding: identity;q=1, gzip;q=0.9\r\n", false),
            ("Accept-Encoding: identity;q=0.5, gzip;q=0.5\r\n", true),
            ("Accept-Encoding: identity;q=0, *\r\n", true),
            ("Accept-Encoding: br\r\nAccept-Encoding: , gzip\r\n", true),
            ("Accept-Encoding: gzip;q=1.5\r\n", false),
            ("Accept-Encoding: gzip;level=9\r\n", false),
            ("Accept-Encoding: gzipped\r\n", false),
        ] {
            let (_, head, body) = get(&server, "/text", accept);
            assert_eq!(head.contains("\r\nContent-Encoding: gzip\r\n"), is_compressed, "{accept}");
            assert_eq!(body == text().into_bytes(), !is_compressed, "{accept}");
            // Section 12.5.5: caches are told of both forms with either.
            assert!(head.contains("\r\nVary: Accept-Encoding\r\n"), "{head}");
        }
    }

    #[test]
    fn body_that_gains_nothing_or_is_bound_is_left_alone() {
        let server = serve(1, Http::default(), || Compressed);
        for path in ["/short", "/image", "/encoded", "/part", "/ranged", "/digest", "/fixed", "/nothing", "/events"] {
            let plain = get(&server, path, "");
            let asked = get(&server, path, "Accept-Encoding: gzip\r\n");
            assert!(!asked.1.contains("Content-Encoding: gzip") && !asked.1.contains("Vary"), "{path}: {}", asked.1);
            assert_eq!(plain.2, asked.2, "{path}");
        }
        let (_, head, body) = get(&server, "/noise", "Accept-Encoding: gzip\r\n");
        assert!(!head.contains("Content-Encoding") && body == noise(1, 4000), "what cannot become shorter");
    }

    /// RFC 9110, section 8.8.1: a tag that two codings share is weak.
    #[test]
    fn tag_of_a_negotiated_body_is_weak() {
        let server = serve(1, Http::default(), || Compressed);
        for accept in ["", "Accept-Encoding: gzip\r\n"] {
            let (_, head, _) = get(&server, "/tagged", accept);
            assert!(head.contains("\r\nETag: W/\"v1\"\r\n"), "{head}");
            assert!(head.contains("\r\nVary: Cookie\r\n") && head.contains("\r\nVary: Accept-Encoding\r\n"), "{head}");
            let (_, head, _) = get(&server, "/weak", accept);
            assert!(head.contains("\r\netag: W/\"v1\"\r\n") && head.matches("ary: ").count() == 1, "{head}");
            let (status, head, _) = get(&server, "/same", accept);
            assert!(status == 304 && head.contains("\r\nETag: W/\"v1\"\r\n"), "{head}");
            assert!(head.contains("\r\nVary: Accept-Encoding\r\n") && !head.contains("Content-Encoding"), "{head}");
        }
    }
}
