//! What the library tells `tracing`: each end of a connection, with its number, its peer and the reason, at a level that
//! fits; and nothing for a message.

mod support;

use std::fmt::Write as _;
use std::io::Write;
use std::sync::{Mutex, Once};
use std::time::Duration;
use support::handlers::EchoLines;
use support::*;
use tiderace::Server;
use tiderace::codec::Lines;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

static LINES: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());

/// Writes down what is told.
struct Scribe;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

impl Subscriber for Scribe {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if event.metadata().target().starts_with("tiderace") {
            let mut line = Line(String::new());
            event.record(&mut line);
            LINES.lock().unwrap().push((*event.metadata().level(), line.0));
        }
    }
}

fn write_down_what_is_told() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Scribe).unwrap());
}

#[test]
fn of_each_connection_but_not_of_each_message() {
    write_down_what_is_told();
    let (tell, ended) = events();
    let server = serve(1, Lines::default(), move || EchoLines(tell.clone()));
    let mut stream = server.connect();
    let peer = stream.local_addr().unwrap();
    for _ in 0..100 {
        echoes(&mut stream, b"a message\n");
    }
    drop(stream);
    ended.next();
    let mut stream = server.connect();
    let bad = stream.local_addr().unwrap();
    stream.write_all(b"\xff\n").unwrap();
    ended.next();

    let lines = LINES.lock().unwrap();
    let told = |level: Level, words: [&str; 3]| {
        lines.iter().any(|(at, line)| *at == level && words.iter().all(|word| line.contains(word)))
    };
    let of = |peer: std::net::SocketAddr| format!("peer=Some({peer})");
    assert!(told(Level::DEBUG, ["connection=0:1", &of(peer), "open"]), "{lines:?}");
    assert!(told(Level::DEBUG, ["connection=0:1", &of(peer), "reason=end of stream"]), "{lines:?}");
    assert!(told(Level::WARN, ["connection=0:2", &of(bad), "reason=protocol error: expected UTF-8"]), "{lines:?}");
    let about_connections = lines.iter().filter(|(_, line)| line.contains("connection=")).count();
    assert_eq!(about_connections, 4, "an open and a close each: {lines:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn of_a_listener_that_fails_once_and_not_at_every_try() {
    write_down_what_is_told();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let duplicate = listener.try_clone().unwrap();
    let (sender, _) = events();
    let server = Server::new().cores(1).listen(listener, Lines::default(), move || EchoLines(sender.clone())).unwrap();
    let server = Running::start(server);
    drop(server.connect());
    rustix::net::shutdown(&duplicate, rustix::net::Shutdown::Both).unwrap();
    let told = |words: &str| LINES.lock().unwrap().iter().filter(|(_, line)| line.contains(words)).count();
    until("it is told", || told("a listener accepts nothing any more") > 0);
    // It is tried again a few times.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(told("a listener accepts nothing any more"), 1);
    rustix::net::listen(&duplicate, 16).unwrap();
    until("it is told", || told("connections are accepted again") > 0);
    // It may have got another port.
    let mut stream = std::net::TcpStream::connect(duplicate.local_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    echoes(&mut stream, b"here again\n");
}
