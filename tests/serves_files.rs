//! A folder over HTTP: which file a path names, and what of it is sent.
#![cfg(feature = "files")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::*;
use tempfile::TempDir;
use tiderace::files::{Files, Served};
use tiderace::http::{Http, HttpParts, Part, Request, Response, Status};
use tiderace::{CloseReason, Conn, Handler, Result};

/// Sun, 06 Nov 1994 08:49:37 GMT
const CHANGED: Duration = Duration::from_secs(784_111_777);
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// Serves its files, and tells what it has served.
#[derive(Clone)]
struct Site {
    files: Files,
    served: Sender<std::result::Result<Option<Served>, String>>,
}

impl Handler for Site {
    type Codec = Http;

    async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
        let served = match request.path().strip_prefix("/static") {
            Some(path) => self.files.serve_if_found(conn, &request, path).await,
            None => self.files.serve(conn, &request).await.map(Some),
        };
        let _ = self.served.send(served.as_ref().map(|served| *served).map_err(ToString::to_string));
        if served?.is_none() {
            conn.send(&Response::text("my own page").status(Status::NOT_FOUND)).await?;
        }
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Http>, reason: &CloseReason) {
        let _ = self.served.send(Err(reason.to_string()));
    }
}

struct Trial {
    folder: TempDir,
    server: Running,
    served: Events<std::result::Result<Option<Served>, String>>,
}

fn put(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(UNIX_EPOCH + CHANGED + Duration::from_nanos(5))
        .unwrap();
}

fn trial(change: impl FnOnce(Files) -> Files) -> Trial {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    for (name, content) in [
        ("index.html", "<p>the first page"),
        ("a.txt", "0123456789"),
        ("empty.txt", ""),
        ("sub/index.html", "<p>sub"),
        ("sub/grün ist.css", "a{}"),
        ("bare/x.js", "1"),
        (".env", "secret"),
        (".well-known/security.txt", "Contact: us"),
        ("sub/.htpasswd", "secret"),
        ("noending", "bytes"),
    ] {
        put(&root, name, content);
    }
    put(folder.path(), "secret.txt", "outside");
    symlink("../secret.txt", root.join("out.txt")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("sub/index.html", root.join("within.html")).unwrap();
    let (served, events) = events();
    let files = change(Files::new(&root).unwrap());
    let server = serve(2, Http::default(), move || Site { files: files.clone(), served: served.clone() });
    Trial { folder, server, served: events }
}

/// A response: its status, its fields, and its body.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn read(stream: &mut TcpStream, is_head: bool) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert!(stream.read(&mut byte).unwrap() == 1, "the end in {:?}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let mut answer = Answer { status: head[9..12].parse().unwrap(), head, body: Vec::new() };
        let length = answer.get("Content-Length").map_or(0, |length| length.parse().unwrap());
        answer.body = vec![0; if is_head || answer.status == 304 { 0 } else { length }];
        stream.read_exact(&mut answer.body).unwrap();
        answer
    }

    fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.head.lines().filter_map(|line| line.split_once(": ")).filter(|(field, _)| *field == name);
        let value = found.next().map(|(_, value)| value);
        assert!(found.next().is_none(), "{name} stands twice in {}", self.head);
        value
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Trial {
    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("root")
    }

    /// The answer to a request whose lines are given without the `Host`; the connection has to be there for another.
    #[track_caller]
    fn ask(&self, request: &str, fields: &str) -> Answer {
        let mut stream = self.server.connect();
        let both = format!("{request} HTTP/1.1\r\nHost: h\r\n{fields}\r\nGET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n");
        stream.write_all(both.as_bytes()).unwrap();
        let answer = Answer::read(&mut stream, request.starts_with("HEAD"));
        assert_eq!(Answer::read(&mut stream, false).text(), "0123456789", "behind {request}");
        answer
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "")
    }
}

#[test]
fn file_is_sent_with_its_type_length_and_validators() {
    let trial = trial(|files| files.cache_control("public, max-age=60"));
    let answer = trial.get("/a.txt?query");
    assert_eq!((answer.status, answer.text()), (200, "0123456789"));
    for (name, value) in [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", "10"),
        ("Last-Modified", DATE),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", "public, max-age=60"),
        ("X-Content-Type-Options", "nosniff"),
    ] {
        assert_eq!(answer.get(name), Some(value), "{name} of {}", answer.head);
    }
    let etag = answer.get("ETag").unwrap();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "{etag}");
    assert_eq!(answer.get("Vary"), None);
    assert_eq!(trial.get("/empty.txt").get("Content-Length"), Some("0"));
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/bare/x.js", "text/javascript; charset=utf-8"),
        ("/sub/gr%C3%BCn%20ist.css", "text/css; charset=utf-8"),
        ("/noending", "application/octet-stream"),
    ] {
        let answer = trial.get(path);
        assert_eq!((answer.status, answer.get("Content-Type")), (200, Some(media_type)), "{path}");
    }
}

#[test]
fn folder_that_is_not_there_is_named() {
    let error = Files::new("/no/such/folder").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
    assert!(Files::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).is_err(), "no folder");
}

#[test]
fn head_has_the_fields_of_the_get_and_no_body() {
    let trial = trial(|files| files);
    for path in ["/a.txt", "/", "/empty.txt", "/none", "/sub"] {
        let (get, head) = (trial.get(path), trial.ask(&format!("HEAD {path}"), ""));
        let without_date = |answer: &Answer| {
            answer.head.lines().filter(|line| !line.starts_with("Date:")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(without_date(&get), without_date(&head), "{path}");
    }
}

#[test]
fn other_methods_are_told_which_are_allowed() {
    let trial = trial(|files| files);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"] {
        for path in ["/a.txt", "/none"] {
            let answer = trial.ask(&format!("{method} {path}"), "");
            assert_eq!((answer.status, answer.get("Allow")), (405, Some("GET, HEAD")), "{method} {path}");
        }
    }
}

#[test]
fn paths_never_leave_the_folder() {
    let trial = trial(|files| files);
    for (path, status) in [
        ("/../secret.txt", 400),
        ("/sub/../../secret.txt", 400),
        ("/sub/../a.txt", 400),
        ("/%2e%2e/secret.txt", 400),
        ("/.%2E/secret.txt", 400),
        ("/./a.txt", 400),
        ("/a.txt%00", 400),
        ("/a.txt%00.html", 400),
        ("/%zz", 400),
        ("/a%2", 400),
        ("/..%2fsecret.txt", 404),
        ("/%2e%2e%2fsecret.txt", 404),
        ("/sub%2Findex.html", 404),
        ("/%2Fetc/passwd", 404),
        ("//etc/passwd", 404),
        ("//a.txt", 404),
        ("/sub//index.html", 404),
        ("/..%5csecret.txt", 404),
        ("/out.txt", 404),
        ("/up/secret.txt", 404),
        ("/up/root/a.txt", 404),
        ("/.env", 404),
        ("/%2eenv", 404),
        ("/sub/.htpasswd", 404),
        ("/none", 404),
        ("/a.txt/", 404),
        ("/a.txt/b", 404),
        ("/bare/", 404),
        (&format!("/{}", "x".repeat(300)), 404),
        (&"/x".repeat(5000), 404),
        ("/within.html", if cfg!(target_os = "linux") { 200 } else { 404 }),
        ("/.well-known/security.txt", 200),
    ] {
        let answer = trial.get(path);
        assert_eq!(answer.status, status, "{path}");
        assert!(!answer.text().contains("secret") && !answer.text().contains("outside"), "{path}");
    }
}

#[test]
fn links_and_dotfiles_are_served_where_that_is_asked_for() {
    let trial = trial(|files| files.dotfiles(true).follow_links(true).unwrap());
    assert_eq!(trial.get("/out.txt").text(), "outside");
    assert_eq!(trial.get("/up/secret.txt").text(), "outside");
    assert_eq!(trial.get("/.env").text(), "secret");
    assert_eq!(trial.get("/../secret.txt").status, 400);
    assert_eq!(trial.get("/sub/..").status, 400);
}

#[test]
fn what_is_no_regular_file_is_not_found_at_once() {
    let trial = trial(|files| files);
    let _listener = std::os::unix::net::UnixListener::bind(trial.root().join("socket")).unwrap();
    assert!(Command::new("mkfifo").arg(trial.root().join("fifo")).status().unwrap().success());
    symlink("/dev/zero", trial.root().join("device")).unwrap();
    for path in ["/socket", "/fifo", "/device"] {
        assert_eq!(trial.get(path).status, 404, "{path}");
    }
}

#[test]
fn folder_is_its_index_and_without_a_slash_a_redirect() {
    let trial = trial(|files| files);
    assert_eq!(trial.get("/").text(), "<p>the first page");
    assert_eq!(trial.get("/sub/").text(), "<p>sub");
    for (path, location) in
        [("/sub", "/sub/"), ("/sub?a=b/c", "/sub/?a=b/c"), ("/s%75b", "/s%75b/"), ("http://h/sub", "/sub/")]
    {
        let answer = trial.get(path);
        assert_eq!((answer.status, answer.get("Location")), (301, Some(location)), "{path}");
    }
    // Never to another host.
    for path in ["//sub", "///sub"] {
        assert_eq!(trial.get(path).status, 404, "{path}");
    }
    let answer = trial.get("/static/sub");
    assert_eq!((answer.status, answer.get("Location")), (301, Some("/static/sub/")), "behind a prefix");
}

#[test]
fn index_may_have_another_name_or_none() {
    let other = trial(|files| files.index(Some("x.js")));
    assert_eq!(other.get("/bare/").text(), "1");
    assert_eq!(other.get("/").status, 404);
    let none = trial(|files| files.index(None));
    for path in ["/", "/sub", "/sub/"] {
        assert_eq!(none.get(path).status, 404, "{path}");
    }
    assert_eq!(none.get("/sub/index.html").status, 200);
}

#[test]
fn not_found_is_left_to_the_handler_that_wants_it() {
    let trial = trial(|files| files);
    assert_eq!(trial.get("/static/a.txt").text(), "0123456789");
    assert_eq!(trial.get("/static/none").text(), "my own page");
    assert_eq!(trial.get("/static/../secret.txt").status, 400);
}

/// RFC 9110, section 13.2.2, as far as files have it.
#[test]
fn file_that_the_peer_has_is_not_sent_again() {
    let trial = trial(|files| files.cache_control("no-cache"));
    let etag = trial.get("/a.txt").get("ETag").unwrap().to_owned();
    for (fields, status) in [
        (format!("If-None-Match: {etag}\r\n"), 304),
        (format!("If-None-Match: \"x\", W/{etag}\r\n"), 304),
        ("If-None-Match: *\r\n".into(), 304),
        ("If-None-Match: \"x\"\r\n".into(), 200),
        (format!("If-Modified-Since: {DATE}\r\n"), 304),
        (format!("If-Modified-Since: {DATE}\r\nIf-None-Match: \"x\"\r\n"), 200),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n".into(), 200),
        (format!("If-Match: {etag}\r\n"), 200),
        (format!("If-Match: W/{etag}\r\n"), 412),
        (format!("If-Unmodified-Since: {DATE}\r\n"), 200),
        ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n".into(), 412),
        // Section 13.2.1: conditions come before ranges.
        (format!("If-None-Match: {etag}\r\nRange: bytes=0-1\r\n"), 304),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = trial.ask(&format!("{method} /a.txt"), &fields);
            assert_eq!(answer.status, status, "{method} {fields}");
            if status == 304 {
                // Section 15.4.5.
                assert_eq!((answer.get("ETag"), answer.get("Cache-Control")), (Some(&*etag), Some("no-cache")));
                let others = ["Content-Length", "Content-Type", "Last-Modified", "Accept-Ranges"];
                assert!(others.iter().all(|name| answer.get(name).is_none()), "{}", answer.head);
            }
        }
    }
    // Section 13.2.1: not where the answer would be another.
    assert_eq!(trial.ask("GET /none", "If-None-Match: *\r\n").status, 404);
    assert_eq!(trial.ask("GET /sub", "If-Match: \"x\"\r\n").status, 301);
}

/// RFC 9110, section 8.8.1: while another change might not show in the tag, the tag is weak.
#[test]
fn tag_of_a_file_that_has_just_changed_is_weak_and_changes_with_the_file() {
    let trial = trial(|files| files);
    let path = trial.root().join("a.txt");
    let set = |time: SystemTime| fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let tag = || trial.ask("GET /a.txt", "").get("ETag").unwrap().to_owned();
    let old = tag();
    set(UNIX_EPOCH + CHANGED + Duration::from_nanos(6));
    assert_ne!(tag(), old, "another nanosecond is another version");
    set(SystemTime::now() + Duration::from_secs(3600));
    let answer = trial.get("/a.txt");
    assert!(answer.get("ETag").unwrap().starts_with("W/\""), "{}", answer.head);
    // Section 8.8.2.1: not later than the date of the response.
    assert_eq!(&answer.get("Last-Modified").unwrap()[..16], &answer.get("Date").unwrap()[..16]);
}

/// RFC 9110, section 14.
#[test]
fn one_range_is_sent_as_a_part() {
    let trial = trial(|files| files);
    for (range, part, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=-100", "0123456789", "bytes 0-9/10"),
        ("bytes=5-999999999999999999999", "56789", "bytes 5-9/10"),
        ("Bytes=0-1", "01", "bytes 0-1/10"),
        ("bytes=0-1, 2-3", "0123", "bytes 0-3/10"),
    ] {
        let answer = trial.ask("GET /a.txt", &format!("Range: {range}\r\n"));
        assert_eq!((answer.status, answer.text()), (206, part), "{range}");
        assert_eq!(answer.get("Content-Range"), Some(content_range));
        assert!(answer.get("ETag").is_some() && answer.get("Content-Type") == Some("text/plain; charset=utf-8"));
    }
    // Section 14.2: only GET has ranges, and what is wrong is ignored.
    let answer = trial.ask("HEAD /a.txt", "Range: bytes=0-0\r\n");
    assert_eq!((answer.status, answer.get("Content-Length")), (200, Some("10")));
    for range in ["bytes=4-2", "bytes=", "lines=0-1", "bytes=a-b", "bytes=0-1\r\nRange: bytes=2-3"] {
        let answer = trial.ask("GET /a.txt", &format!("Range: {range}\r\n"));
        assert_eq!((answer.status, answer.text(), answer.get("Content-Range")), (200, "0123456789", None), "{range}");
    }
}

/// RFC 9110, section 15.5.17.
#[test]
fn range_beyond_the_file_is_told_its_length() {
    let trial = trial(|files| files);
    for (path, range, length) in
        [("/a.txt", "10-", 10), ("/a.txt", "100-200", 10), ("/a.txt", "-0", 10), ("/empty.txt", "0-", 0)]
    {
        let answer = trial.ask(&format!("GET {path}"), &format!("Range: bytes={range}\r\n"));
        assert_eq!(answer.status, 416, "{range}");
        assert_eq!(answer.get("Content-Range"), Some(&*format!("bytes */{length}")), "{range}");
    }
    assert_eq!(trial.ask("GET /empty.txt", "Range: bytes=-5\r\n").status, 200, "the whole of nothing");
}

/// RFC 9110, section 13.1.5.
#[test]
fn range_of_another_version_is_the_whole() {
    let trial = trial(|files| files);
    let etag = trial.get("/a.txt").get("ETag").unwrap().to_owned();
    for (condition, status) in [
        (etag.clone(), 206),
        (format!("W/{etag}"), 200),
        ("\"x\"".into(), 200),
        (DATE.into(), 206),
        ("Sunday, 06-Nov-94 08:49:37 GMT".into(), 206),
        ("Sun, 06 Nov 1994 08:49:38 GMT".into(), 200),
        ("Sun, 06 Nov 1994 08:49:36 GMT".into(), 200),
        ("yesterday".into(), 200),
        (format!("{etag}, \"x\""), 200),
    ] {
        let answer = trial.ask("GET /a.txt", &format!("Range: bytes=1-2\r\nIf-Range: {condition}\r\n"));
        assert_eq!(answer.status, status, "{condition}");
        // A part that cannot be had is no error of one whose version is another.
        let status = if status == 206 { 416 } else { 200 };
        let answer = trial.ask("GET /a.txt", &format!("Range: bytes=99-\r\nIf-Range: {condition}\r\n"));
        assert_eq!(answer.status, status, "{condition}");
    }
    // Without a Range it is ignored.
    assert_eq!(trial.ask("GET /a.txt", "If-Range: \"x\"\r\n").status, 200);
}

/// RFC 9110, sections 14.6 and 15.3.7.2.
#[test]
fn several_ranges_are_sent_as_parts_of_one_body() {
    let trial = trial(|files| files);
    let content = noise(3, 100_000);
    put(&trial.root(), "noise.bin", &content);
    let answer = trial.ask("GET /noise.bin", "Range: bytes=50000-50009, 0-4,-3\r\n");
    assert_eq!((answer.status, answer.get("Content-Range")), (206, None));
    let boundary = answer.get("Content-Type").unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut expected = Vec::new();
    for part in [50_000..50_010, 0..5, 99_997..100_000] {
        let range = format!("bytes {}-{}/100000", part.start, part.end - 1);
        let head =
            format!("\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {range}\r\n\r\n");
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&content[part]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(answer.body == expected, "{}", String::from_utf8_lossy(&answer.body));
    let many: String = (0..17).map(|i| format!("{0}-{0},", i * 1000)).collect();
    assert_eq!(trial.ask("GET /noise.bin", &format!("Range: bytes={many}\r\n")).status, 200, "too many");
}

#[test]
fn compressed_file_beside_the_file_is_sent_where_it_is_taken() {
    let trial = trial(|files| files.precompressed(true));
    put(&trial.root(), "a.txt.gz", "pretend this is gzip");
    put(&trial.root(), "sub/index.html.gz", "pretend, too");
    let plain = trial.get("/a.txt");
    assert_eq!((plain.text(), plain.get("Vary")), ("0123456789", Some("Accept-Encoding")));
    let gzip = trial.ask("GET /a.txt", "Accept-Encoding: gzip\r\n");
    assert_eq!((gzip.text(), gzip.get("Vary")), ("pretend this is gzip", Some("Accept-Encoding")));
    assert_eq!(
        (gzip.get("Content-Encoding"), gzip.get("Content-Type")),
        (Some("gzip"), Some("text/plain; charset=utf-8"))
    );
    assert_ne!(gzip.get("ETag"), plain.get("ETag"));
    assert_eq!(trial.ask("GET /sub/", "Accept-Encoding: gzip\r\n").text(), "pretend, too");
    // RFC 9110, section 12.5.3.
    for (accept, is_taken) in [
        ("gzip;q=0", false),
        ("identity", false),
        ("", false),
        ("*", true),
        ("*;q=0", false),
        ("br, GZIP;q=0.1", true),
        ("x-gzip", true),
        ("gzip;q=0, *", false),
        ("gzip;q=0.5, identity;q=0.8", false),
        ("identity;q=0.5, gzip;q=0.8", true),
        ("br\r\nAccept-Encoding: gzip", true),
        ("gzip;q=2", false),
        ("deflate", false),
    ] {
        let answer = trial.ask("GET /a.txt", &format!("Accept-Encoding: {accept}\r\n"));
        assert_eq!(answer.get("Content-Encoding").is_some(), is_taken, "{accept}");
    }
    // Each form has versions and ranges of its own.
    let etag = gzip.get("ETag").unwrap();
    let again = trial.ask("GET /a.txt", &format!("Accept-Encoding: gzip\r\nIf-None-Match: {etag}\r\n"));
    assert_eq!((again.status, again.get("Vary")), (304, Some("Accept-Encoding")));
    assert_eq!(trial.ask("GET /a.txt", &format!("If-None-Match: {etag}\r\n")).status, 200);
    let part = trial.ask("GET /a.txt", "Accept-Encoding: gzip\r\nRange: bytes=-4\r\n");
    assert_eq!((part.text(), part.get("Content-Range")), ("gzip", Some("bytes 16-19/20")));
    // What is said of the coding would be said of several parts together.
    put(&trial.root(), "long.txt", vec![b'x'; 5000]);
    put(&trial.root(), "long.txt.gz", vec![b'z'; 3000]);
    let parts = "Range: bytes=0-0,2000-2000\r\n";
    assert_eq!(trial.ask("GET /long.txt", parts).status, 206);
    let whole = trial.ask("GET /long.txt", &format!("{parts}Accept-Encoding: gzip\r\n"));
    assert_eq!((whole.status, whole.body.len(), whole.get("Content-Encoding")), (200, 3000, Some("gzip")));
    // One that is older than the file is not that of the file any more.
    let file = fs::File::options().write(true).open(trial.root().join("a.txt")).unwrap();
    file.set_modified(UNIX_EPOCH + CHANGED + Duration::from_secs(1)).unwrap();
    assert_eq!(trial.ask("GET /a.txt", "Accept-Encoding: gzip\r\n").text(), "0123456789");
    assert_eq!(trial.get("/b.txt").status, 404);
}

#[test]
fn what_was_served_is_told() {
    let trial = trial(|files| files);
    for (request, fields, status, bytes) in [
        ("GET /a.txt", "", 200, 10),
        ("HEAD /a.txt", "", 200, 0),
        ("GET /a.txt", "Range: bytes=1-3\r\n", 206, 3),
        ("GET /none", "", 404, "Not Found".len() as u64),
        ("HEAD /none", "", 404, 0),
        ("GET /a.txt", "If-None-Match: *\r\n", 304, 0),
    ] {
        trial.ask(request, fields);
        assert_eq!(trial.served.next(), Ok(Some(Served { status: Status(status), bytes })), "{request}");
        // That of the second request, and the end.
        trial.served.next().unwrap();
        trial.served.next().unwrap_err();
    }
}

/// More than the system keeps for a peer that does not read.
const LONG: usize = 24 << 20;

/// A request for a long file, of which the first bytes have come.
fn begin(trial: &Trial) -> TcpStream {
    put(&trial.root(), "long", vec![7; LONG]);
    let mut stream = trial.server.connect();
    stream.write_all(b"GET /long HTTP/1.1\r\nHost: h\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut head = [0; 1000];
    stream.read_exact(&mut head).unwrap();
    let head = String::from_utf8_lossy(&head);
    assert!(head.contains(&format!("\r\nContent-Length: {LONG}\r\n")), "{head}");
    stream
}

#[test]
fn request_behind_a_file_waits_until_the_file_is_sent() {
    let trial = trial(|files| files);
    let mut stream = begin(&trial);
    // The head was shorter than what has come of it and the body.
    let mut rest = Vec::new();
    while !rest.ends_with(b"0123456789") {
        let mut piece = vec![0; 65_536];
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "the end behind {} bytes", rest.len());
        rest.extend_from_slice(&piece[..length]);
    }
    let file = rest.iter().take_while(|byte| **byte == 7).count();
    assert!(rest[file..].starts_with(b"HTTP/1.1 200 OK\r\n"), "nothing between");
    assert!((LONG - 1000..LONG).contains(&file), "{file} bytes");
}

#[test]
fn connection_that_is_to_close_closes_behind_the_file() {
    let trial = trial(|files| files);
    for request in [
        "GET /a.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET /a.txt HTTP/1.0\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: h\r\nRange: bytes=0-\r\nConnection: close\r\n\r\n",
    ] {
        let mut stream = trial.server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let all = String::from_utf8(read_to_end(&mut stream)).unwrap();
        assert!(all.contains("\r\nConnection: close\r\n") && all.ends_with("\r\n\r\n0123456789"), "{all}");
    }
}

#[test]
fn file_that_shrinks_while_it_is_sent_ends_the_connection() {
    let trial = trial(|files| files);
    let mut stream = begin(&trial);
    fs::File::options().write(true).open(trial.root().join("long")).unwrap().set_len(1000).unwrap();
    let rest = read_to_end(&mut stream);
    assert!(rest.len() < LONG, "{} bytes", rest.len());
    // No other response, which would pass for the rest of the body. (Linux clears the rest of a page that is cut, also one that is
    // on its way.)
    assert!(rest.iter().skip(1000).all(|byte| matches!(byte, 0 | 7)), "only bytes of the file");
    assert!(trial.served.next().unwrap_err().contains("more were to be sent"));
    trial.served.next().unwrap_err();
    assert_eq!(trial.get("/a.txt").status, 200, "the server goes on");
}

#[test]
fn file_that_grows_while_it_is_sent_has_the_length_that_was_said_and_ends_the_connection() {
    let trial = trial(|files| files);
    let mut stream = begin(&trial);
    fs::File::options().append(true).open(trial.root().join("long")).unwrap().write_all(b"more").unwrap();
    let rest = read_to_end(&mut stream);
    let head = rest.len() + 1000 - LONG;
    assert!(head < 600, "{head} bytes beside those that were said");
    assert!(rest.iter().skip(1000).all(|byte| *byte == 7), "no other byte, and no other response");
}

/// What a handler of parts sends, and a peer that is gone in the middle.
#[test]
fn codec_of_parts_serves_files_too() {
    struct InParts(Files);

    impl Handler for InParts {
        type Codec = HttpParts;

        async fn on_message(&mut self, conn: &mut Conn<HttpParts>, part: Part<'_>) -> Result {
            if let Part::Request { request, .. } = part {
                self.0.serve(conn, &request).await?;
            }
            Ok(())
        }
    }

    let trial = trial(|files| files);
    let files = Files::new(trial.root()).unwrap();
    let server = serve(1, HttpParts::default(), move || InParts(files.clone()));
    let mut stream = server.connect();
    for _ in 0..3 {
        stream.write_all(b"GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\nHEAD /a.txt HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        assert_eq!(Answer::read(&mut stream, false).text(), "0123456789");
        assert_eq!(Answer::read(&mut stream, true).get("Content-Length"), Some("10"));
    }
}

#[test]
fn file_that_a_handler_has_opened_is_sent_with_its_fields() {
    struct Download(std::path::PathBuf);

    impl Handler for Download {
        type Codec = Http;

        async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
            let file = fs::File::open(self.0.join(request.path().trim_start_matches('/')))?;
            let fields = [("Content-Disposition", "attachment"), ("Cache-Control", "private")];
            tiderace::files::send(conn, &request, file, "application/x-own", &fields).await?;
            Ok(())
        }
    }

    let trial = trial(|files| files);
    let root = trial.root();
    let server = serve(1, Http::default(), move || Download(root.clone()));
    let mut stream = server.connect();
    let mut ask = |request: &str, fields: &str| {
        stream.write_all(format!("{request} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes()).unwrap();
        Answer::read(&mut stream, request.starts_with("HEAD"))
    };
    let whole = ask("GET /a.txt", "");
    assert_eq!((whole.status, whole.text(), whole.get("Content-Type")), (200, "0123456789", Some("application/x-own")));
    assert_eq!((whole.get("Content-Disposition"), whole.get("Cache-Control")), (Some("attachment"), Some("private")));
    assert_eq!(ask("GET /a.txt", "Range: bytes=-1\r\n").text(), "9");
    assert_eq!(ask("HEAD /a.txt", "").get("Content-Length"), Some("10"));
    assert_eq!(ask("POST /a.txt", "").get("Allow"), Some("GET, HEAD"));
    let etag = whole.get("ETag").unwrap();
    let known = ask("GET /a.txt", &format!("If-None-Match: {etag}\r\n"));
    assert_eq!(
        (known.status, known.get("Content-Disposition"), known.get("Cache-Control")),
        (304, None, Some("private"))
    );
    // A folder is none, and that is the handler's fault.
    assert_eq!(ask("GET /sub", "").status, 500);
}

/// A page and its sockets have one port, and the page may be a file.
#[cfg(feature = "websocket")]
#[test]
fn codec_of_websockets_serves_files_too() {
    use tiderace::websocket::{Message, WebSocket};

    struct Page(Files);

    impl Handler for Page {
        type Codec = WebSocket;

        async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
            if let Message::Http(request) = message {
                self.0.serve(conn, &request).await?;
            }
            Ok(())
        }
    }

    let trial = trial(|files| files);
    let files = Files::new(trial.root()).unwrap();
    let server = serve(1, WebSocket::default().with_http(), move || Page(files.clone()));
    let mut stream = server.connect();
    for _ in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nHEAD /a.txt HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        assert_eq!(Answer::read(&mut stream, false).text(), "<p>the first page");
        assert_eq!(Answer::read(&mut stream, true).get("Content-Length"), Some("10"));
    }
}

#[test]
fn file_without_permission_is_forbidden() {
    use std::os::unix::fs::PermissionsExt;

    let trial = trial(|files| files);
    put(&trial.root(), "closed", "x");
    let closed = trial.root().join("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    // To the superuser nothing is closed.
    let expected = if fs::File::open(&closed).is_ok() { 200 } else { 403 };
    assert_eq!(trial.get("/closed").status, expected);
}

#[test]
#[ignore = "needs curl"]
fn curl_resumes_a_download_and_asks_whether_it_has_the_file() {
    let trial = trial(|files| files.precompressed(true));
    let content = noise(5, 300_000);
    put(&trial.root(), "noise.bin", &content);
    let url = format!("http://{}/", trial.server.address);
    let target = trial.folder.path().join("download");
    let curl = |arguments: &[&str]| {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "60"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    fs::write(&target, &content[..100_000]).unwrap();
    let file = target.to_str().unwrap();
    assert_eq!(curl(&["-C", "-", "-o", file, "-w", "%{http_code}", &format!("{url}noise.bin")]), "206");
    assert!(fs::read(&target).unwrap() == content);
    let etags = trial.folder.path().join("etags");
    let etags = etags.to_str().unwrap();
    let ask = |url: &str| curl(&["--etag-save", etags, "--etag-compare", etags, "-o", file, "-w", "%{http_code}", url]);
    assert_eq!(ask(&format!("{url}a.txt")), "200");
    assert_eq!(ask(&format!("{url}a.txt")), "304");
    assert_eq!(curl(&["-L", &format!("{url}sub")]), "<p>sub");
    assert_eq!(curl(&["--path-as-is", "-o", file, "-w", "%{http_code}", &format!("{url}../secret.txt")]), "400");
    let parts = curl(&["-r", "0-1,8-9", &format!("{url}a.txt")]);
    assert_eq!(parts, "0123456789", "so near to each other that they are the whole");
}
