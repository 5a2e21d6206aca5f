//! Metrics: what is counted is what has happened, and the page can be read by whoever reads OpenMetrics.
#![cfg(feature = "metrics")]

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};
use support::handlers::EchoLines;
use support::*;
use tiderace::codec::{Lines, Raw};
use tiderace::{Address, Balance, Bind, Conn, Group, Handler, Result, Server, block_on, connect};

fn echo_lines(server: Server) -> (Running, Events<String>) {
    let (sender, closed) = events();
    let server = server.listen("tcp://127.0.0.1:0", Lines::default(), move || EchoLines(sender.clone())).unwrap();
    (Running::start(server), closed)
}

#[test]
fn every_connection_message_and_byte_is_counted() {
    for cores in CORES {
        let (server, closed) = echo_lines(Server::new().cores(cores).balance(Balance::RoundRobin));
        let total = |of: fn(&tiderace::CoreMetrics) -> u64| server.handle.metrics().total(of);
        let mut streams: Vec<_> = (0..4).map(|_| server.connect()).collect();
        for stream in &mut streams {
            echoes(stream, b"hello\n");
            echoes(stream, b"1\n2\n3\n");
        }
        // An answer may be here before it is counted there.
        until("all is counted", || total(|core| core.bytes_sent) == 48);
        assert_eq!(total(|core| core.connections_accepted), 4);
        assert_eq!(total(|core| core.connections_opened), 4);
        assert_eq!(total(|core| core.connections_active), 4);
        assert_eq!(total(|core| core.messages_received), 16);
        assert_eq!(total(|core| core.messages_sent), 16);
        assert_eq!(total(|core| core.bytes_received), 48);
        assert_eq!(total(|core| core.bytes_queued), 0);
        assert_eq!(server.handle.metrics().cores.len(), cores);
        if cores == 4 {
            assert!(server.handle.metrics().cores.iter().all(|core| core.connections_opened == 1));
        }

        // An unfinished line waits.
        streams[0].write_all(b"unfinished").unwrap();
        until("ten bytes wait", || total(|core| core.bytes_buffered) == 10);

        streams[0].shutdown(Shutdown::Write).unwrap();
        streams[1].write_all(b"not UTF-8: \xff\n").unwrap();
        drop(streams);
        (0..4).for_each(|_| drop(closed.next()));
        until("none is open", || total(|core| core.connections_active) == 0);
        until("nothing waits", || total(|core| core.bytes_buffered) == 0);
        let by_reason = |name: &str| {
            let of = |core: &tiderace::CoreMetrics| core.connections_closed.iter().find(|(n, _)| *n == name).unwrap().1;
            server.handle.metrics().total(of)
        };
        assert_eq!((by_reason("end_of_stream"), by_reason("protocol"), by_reason("panic")), (3, 1, 0));
    }
}

#[test]
fn turns_are_counted_and_the_longest_is_known() {
    let (server, _closed) = echo_lines(Server::new().cores(1));
    until("it runs", || server.handle.cores() == 1);
    server.handle.run_on(0, || std::thread::sleep(Duration::from_millis(20)));
    echoes(&mut server.connect(), b"hello\n");
    // A turn is counted when it is over, and its answers leave before.
    until("the turns are over", || server.handle.metrics().cores[0].events.sum >= 2.0);
    let metrics = server.handle.metrics();
    let core = &metrics.cores[0];
    assert!(core.longest_turn >= Duration::from_millis(20), "{:?}", core.longest_turn);
    assert!(core.busy() >= core.longest_turn);
    assert_eq!(core.events.count(), core.turns());
    // The events are the listener's, and the connection's.
    assert!(core.turns() >= 2 && core.mailbox_messages >= 1 && core.task_polls >= 1);
    let slow: u64 = core.turns.buckets.iter().filter(|(bound, _)| *bound > 0.02).map(|(_, count)| count).sum();
    assert!(slow >= 1);
}

/// Sums up what it receives.
struct Sink;

impl Handler for Sink {
    type Codec = Raw;

    async fn on_message(&mut self, _: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        std::hint::black_box(bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        Ok(())
    }
}

/// Also while there is so much to read that turns go on without a wait.
#[test]
fn a_core_is_not_busy_for_longer_than_it_runs() {
    let began = Instant::now();
    let server = serve(1, Raw, || Sink);
    let much = vec![1; 1 << 20];
    std::thread::scope(|threads| {
        for _ in 0..32 {
            threads.spawn(|| (0..6).for_each(|_| server.connect().write_all(&much).unwrap()));
        }
    });
    until("all is read", || server.handle.metrics().total(|core| core.bytes_received) == (32 * 6) << 20);
    let metrics = server.handle.metrics();
    let (busy, ran) = (metrics.cores[0].busy(), began.elapsed());
    assert!(busy <= ran, "busy for {busy:?} of {ran:?}");
}

#[test]
fn what_a_slow_member_misses_was_not_sent() {
    let (tell, _closed) = events();
    let server = Server::new().cores(1).write_marks(1000, 500);
    let server = server.listen("tcp://127.0.0.1:0", Lines::default(), move || EchoLines(tell.clone())).unwrap();
    let server = Running::start(server);
    let _member = server.connect();
    until("it is open", || server.handle.connections() == 1);
    let room = Group::new(Lines::default());
    let joining = room.clone();
    block_on(server.handle.for_each(move |handle| joining.join_handle(&handle)));
    let text = "x".repeat(60_000);
    let said: u64 = (0..400).map(|_| block_on(room.send(&*text)).unwrap() as u64).sum();
    assert!(room.skipped() > 0, "it has room for all");
    assert_eq!(said + room.skipped() as u64, 400);
    assert_eq!(server.handle.metrics().total(|core| core.messages_sent), said);
}

#[test]
fn what_a_peer_does_not_take_is_seen_to_wait() {
    let (server, _closed) = echo_lines(Server::new().cores(1));
    let total = |of: fn(&tiderace::CoreMetrics) -> u64| server.handle.metrics().total(of);
    let mut stream = server.connect();
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let line = [&vec![b'x'; 60_000][..], b"\n"].concat();
    let mut sent = 0;
    while stream.write_all(&line).is_ok() {
        sent += 1;
    }
    until("its answers wait", || total(|core| core.bytes_queued) > 100_000);
    stream.shutdown(Shutdown::Write).unwrap();
    let back = read_to_end(&mut stream);
    assert!(back.len() >= sent * line.len() - line.len());
    until("nothing waits", || total(|core| core.bytes_queued) == 0);
    until("all is counted", || total(|core| core.bytes_sent) == back.len() as u64);
}

#[test]
fn clients_count_on_the_core_that_they_are_on() {
    let (server, _closed) = echo_lines(Server::new().cores(1));
    let address = server.address.to_string();
    let (sender, done) = events();
    until("it runs", || server.handle.cores() == 1);
    server.handle.run_on(0, move || {
        tiderace::spawn_local(async move {
            let mut lines = connect(&*address).await.unwrap().framed(Lines::default());
            lines.send("hello").await.unwrap();
            assert_eq!(lines.next().await.unwrap(), Some("hello"));
            sender.send(()).unwrap();
        })
        .detach();
    });
    done.next();
    let metrics = server.handle.metrics();
    // Each of both ends has sent one and received one; only one end is a handler's.
    assert_eq!(metrics.total(|core| core.messages_received), 2);
    assert_eq!(metrics.total(|core| core.messages_sent), 2);
    assert_eq!(metrics.total(|core| core.connections_opened), 1);
}

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a page says.
fn get(address: &Address, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

/// A sample's name, labels, and value. By the ABNF of OpenMetrics 1.0, as far as it is used.
type Sample = (String, BTreeMap<String, String>, f64);

fn parse(text: &str) -> (BTreeMap<String, String>, Vec<Sample>) {
    let (mut types, mut samples, mut helped) = (BTreeMap::new(), Vec::new(), Vec::new());
    let text = text.strip_suffix("# EOF\n").expect("the end, and nothing behind it");
    for line in text.lines() {
        if let Some(unit) = line.strip_prefix("# UNIT ") {
            let (name, unit) = unit.split_once(' ').unwrap();
            assert!(name.ends_with(&format!("_{unit}")) && ["bytes", "seconds"].contains(&unit), "{line}");
            continue;
        }
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                assert!(!help.is_empty());
                helped.push(name.to_owned());
            }
            ["#", "TYPE", name, kind] => {
                assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
            }
            ["#", ..] => panic!("{line}"),
            _ => {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let labels = labels.strip_suffix('}').unwrap().split(',').filter(|label| !label.is_empty());
                let labels = labels.map(|label| {
                    let (key, value) = label.split_once('=').unwrap();
                    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
                    (key.to_owned(), value.unwrap().to_owned())
                });
                assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{name}");
                samples.push((name.to_owned(), labels.collect(), value.parse().unwrap()));
            }
        }
    }
    assert!(types.keys().eq(helped.iter().collect::<std::collections::BTreeSet<_>>()), "each has a help");
    (types, samples)
}

#[test]
fn the_page_can_be_parsed_and_says_what_the_handle_says() {
    let (sender, _closed) = events();
    let server = Server::new().cores(2).max_connections(1);
    let server = server.listen("tcp://127.0.0.1:0", Lines::default(), move || EchoLines(sender.clone())).unwrap();
    let server = server.metrics_at(Bind::to("tcp://127.0.0.1:0").unwrap()).unwrap();
    let page = server.local_addrs()[1].clone();
    let server = Running::start(server);
    let mut stream = server.connect();
    echoes(&mut stream, b"hello\n");
    until("it is counted", || server.handle.metrics().total(|core| core.bytes_sent) == 6);
    // Full as it is, the server still gives its page, and says that it is.
    assert!(read_to_end(&mut server.connect()).is_empty());

    let (head, body) = get(&page, &format!("GET /metrics?all HTTP/1.1\r\nHost: here\r\nAccept: {OPENMETRICS}\r\n\r\n"));
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Type: {OPENMETRICS}\r\n")), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");

    let (types, samples) = parse(&body);
    let sum = |name: &str| samples.iter().filter(|(n, ..)| n == name).map(|(.., value)| value).sum::<f64>();
    assert_eq!(sum("tiderace_connections_refused_total"), 1.0);
    // The page's own request was a message, too.
    assert_eq!(sum("tiderace_received_messages_total"), 2.0);
    assert_eq!(sum("tiderace_sent_messages_total"), 1.0);
    assert_eq!(sum("tiderace_sent_bytes_total"), 6.0);
    assert_eq!(sum("tiderace_connections_active"), 2.0);
    assert_eq!(types["tiderace_connections_active"], "gauge");
    assert_eq!(types["tiderace_received_messages"], "counter");
    assert_eq!(types["tiderace_event_loop_iteration_duration_seconds"], "histogram");
    for core in ["0", "1"] {
        let of_core = |name: &str| {
            let named = samples.iter().filter(move |(n, labels, _)| *n == name && labels["core"] == core);
            named.map(|(_, labels, value)| (labels.clone(), *value)).collect::<Vec<_>>()
        };
        assert_eq!(of_core("tiderace_connections_closed_total").len(), 11, "one for each reason");
        for histogram in ["tiderace_event_loop_iteration_duration_seconds", "tiderace_event_loop_iteration_events"] {
            let buckets = of_core(&format!("{histogram}_bucket"));
            let bounds = buckets.iter().map(|(labels, _)| labels["le"].parse::<f64>().unwrap());
            assert!(bounds.clone().is_sorted(), "{:?}", bounds.collect::<Vec<_>>());
            assert!(buckets.last().unwrap().0["le"] == "+Inf", "{buckets:?}");
            assert!(buckets.iter().map(|(_, count)| *count).is_sorted(), "{buckets:?} add up");
            assert_eq!(of_core(&format!("{histogram}_count"))[0].1, buckets.last().unwrap().1);
        }
    }
}

#[test]
fn the_page_answers_other_requests_as_http_asks_it_to() {
    let server = Server::new().cores(1).metrics_at("tcp://127.0.0.1:0").unwrap();
    let server = Running::start(server);
    let (head, body) = get(&server.address, "HEAD /metrics HTTP/1.0\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && body.is_empty(), "{head}");
    assert!(head.contains(&format!("\r\nContent-Type: {TEXT}\r\n")), "{head}");
    let length = head.split_once("\r\nContent-Length: ").expect("the length of the page").1;
    assert!(length.split("\r\n").next().unwrap().parse::<usize>().unwrap() > 1000, "{head}");
    let asked = "HEAD /metrics HTTP/1.1\r\nHost: here\r\nAccept: application/openmetrics-text\r\n\r\n";
    let (head, body) = get(&server.address, asked);
    assert!(head.contains(&format!("\r\nContent-Type: {OPENMETRICS}\r\n")) && body.is_empty(), "{head}");
    let (head, body) = get(&server.address, "GET / HTTP/1.1\r\nHost: here\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 404 Not Found\r\n") && body.contains("/metrics"), "{head}");
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
        let (head, _) = get(&server.address, &format!("{method} /metrics HTTP/1.1\r\nHost: here\r\n\r\n"));
        let allows = head.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n");
        assert!(head.starts_with("HTTP/1.1 405 ") && allows, "{method}: {head}");
    }
    for target in ["/metrics", "*"] {
        let (head, body) = get(&server.address, &format!("OPTIONS {target} HTTP/1.1\r\nHost: here\r\n\r\n"));
        let allows = head.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n");
        assert!(head.starts_with("HTTP/1.1 204 ") && allows && body.is_empty(), "{target}: {head}");
    }
    // Methods are told apart by case (RFC 9110, section 9.1).
    for method in ["BREW", "get"] {
        let (head, _) = get(&server.address, &format!("{method} /metrics HTTP/1.1\r\nHost: here\r\n\r\n"));
        assert!(head.starts_with("HTTP/1.1 501 "), "{method}: {head}");
    }
    let (head, _) = get(&server.address, "no request\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    // Endless heads end.
    let mut stream = server.connect();
    let _ = stream.write_all(&vec![b'x'; 100_000]);
    assert!(read_to_end(&mut stream).starts_with(b"HTTP/1.1 400 "));
}

/// RFC 9110, sections 12.4.2 and 12.5.1. What Prometheus and its relatives send is among these.
#[test]
fn page_is_in_the_format_that_is_accepted() {
    let server = Running::start(Server::new().cores(1).metrics_at("tcp://127.0.0.1:0").unwrap());
    for (accept, expected) in [
        // Nothing, and anything.
        ("", TEXT),
        ("Accept:", TEXT),
        ("Accept: */*", TEXT),
        ("Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", TEXT),
        // What scrapers send.
        (
            "Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OPENMETRICS,
        ),
        (
            "Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
             text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            OPENMETRICS,
        ),
        (
            "Accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.4",
            TEXT,
        ),
        // The one or the other.
        ("Accept: text/plain", TEXT),
        ("Accept: text/*", TEXT),
        ("Accept: application/openmetrics-text", OPENMETRICS),
        ("Accept: application/*", OPENMETRICS),
        ("Accept: application/openmetrics-text; version=1.0.0; charset=utf-8", OPENMETRICS),
        ("Accept: APPLICATION/OpenMetrics-Text; Version=\"1.0.0\"; Charset=\"UTF-\\8\"", OPENMETRICS),
        // Other versions and other parameters are other media types.
        ("Accept: application/openmetrics-text; version=0.0.1", TEXT),
        ("Accept: application/openmetrics-text; version=2.0.0, text/plain; q=0.1", TEXT),
        ("Accept: text/plain; version=1.0.0, application/openmetrics-text; q=0.1", OPENMETRICS),
        ("Accept: application/openmetrics-text; charset=latin-1", TEXT),
        // Weights.
        ("Accept: text/plain;q=0.5, application/openmetrics-text;q=0.501", OPENMETRICS),
        ("Accept: text/plain;q=0.501, application/openmetrics-text;q=0.5", TEXT),
        ("Accept: text/plain;q=0.5, application/openmetrics-text ; Q=1.000", OPENMETRICS),
        ("Accept: text/plain;q=0., application/openmetrics-text;q=0.001", OPENMETRICS),
        ("Accept: text/plain, application/openmetrics-text", TEXT),
        // The more specific range says how much a type is wanted, wherever it stands.
        ("Accept: application/openmetrics-text;q=0.1, application/*, text/plain;q=0.5", TEXT),
        ("Accept: */*, application/openmetrics-text;q=0", TEXT),
        ("Accept: text/plain;q=0, */*;q=0.1", OPENMETRICS),
        (
            "Accept: application/openmetrics-text;version=1.0.0;q=0.9, application/openmetrics-text;q=0.1, */*;q=0.5",
            OPENMETRICS,
        ),
        ("Accept: text/plain;version=0.0.4;q=0.1, text/plain, application/openmetrics-text;q=0.2", OPENMETRICS),
        ("Accept: */*, application/openmetrics-text", OPENMETRICS),
        // Several lines are one list, and empty members are none.
        ("Accept: text/plain;q=0.1\r\naccept: , application/openmetrics-text,,", OPENMETRICS),
        // Separators in quoted strings separate nothing.
        ("Accept: text/plain; x=\"a,application/openmetrics-text\"", TEXT),
        ("Accept: text/plain; x=\";q=0.9\\\"\"; q=1, application/openmetrics-text;q=0.1", OPENMETRICS),
        // Members that are not written as they should be are none.
        ("Accept: application/openmetrics-text;q=2", TEXT),
        ("Accept: application/openmetrics-text;q=0.1234", TEXT),
        ("Accept: application/openmetrics-text;q=1.001", TEXT),
        ("Accept: application/openmetrics-text;q=-1", TEXT),
        ("Accept: application/openmetrics-text;q=+0", TEXT),
        ("Accept: application/openmetrics-text;q", TEXT),
        ("Accept: application/openmetrics-text; version=\"1.0.0", TEXT),
        ("Accept: */openmetrics-text", TEXT),
        ("Accept: openmetrics-text", TEXT),
        ("Accept: \u{b5}/\u{b5}, application/openmetrics-text", OPENMETRICS),
        // Neither is acceptable: as if nothing had been asked.
        ("Accept: application/json", TEXT),
        ("Accept: */*;q=0", TEXT),
    ] {
        let line = if accept.is_empty() { String::new() } else { format!("{accept}\r\n") };
        let (head, body) = get(&server.address, &format!("GET /metrics HTTP/1.1\r\nHost: here\r\n{line}\r\n"));
        assert!(head.contains(&format!("\r\nContent-Type: {expected}\r\n")), "{accept}: {head}");
        assert!(head.contains("\r\nVary: Accept\r\n"), "{head}");
        assert_eq!(body.ends_with("# EOF\n"), expected == OPENMETRICS, "{accept}");
    }
}

/// The exposition formats of Prometheus, text format; and how Prometheus names metrics.
#[test]
fn text_format_has_the_same_numbers_under_the_names_of_their_samples() {
    let (server, _closed) = echo_lines(Server::new().cores(2));
    echoes(&mut server.connect(), b"hello\n");
    let metrics = server.handle.metrics();
    let (text, open_metrics) = (metrics.to_prometheus_text(), metrics.to_openmetrics());
    let samples =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(samples(&text), samples(&open_metrics));
    let (mut family, mut kind, mut helped) = ("", "", "");
    for line in text.lines() {
        match line.splitn(4, ' ').collect::<Vec<_>>()[..] {
            ["#", "HELP", name, _] => helped = name,
            ["#", "TYPE", name, of] => {
                (family, kind) = (name, of);
                assert_eq!(helped, name, "the help stands before the type, and has the same name");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
                assert!(name.starts_with("tiderace_"), "{line}");
            }
            _ => {
                let name = line.split(['{', ' ']).next().unwrap();
                let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} belongs to {family}"));
                let is_right = match kind {
                    "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
                    _ => suffix.is_empty(),
                };
                assert!(is_right, "{line}");
            }
        }
    }
    for name in ["connections_accepted_total", "received_bytes_total", "sent_bytes_total", "connections_active"] {
        assert!(text.contains(&format!("\ntiderace_{name}{{core=\"1\"}} ")), "{name}");
    }
}
