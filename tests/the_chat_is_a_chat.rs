//! The example `chat`: as programs see it, as people see it, and on several servers. What needs a browser or a Redis is ignored
//! unless asked for: `cargo test --all-features -- --ignored chat`.
#![cfg(all(feature = "websocket", feature = "resp"))]

mod support;

/// The example's rules for names, to be asked without a server.
#[path = "../examples/chat/names.rs"]
#[allow(dead_code)]
mod names;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Instant;
use support::browser::{Browser, Page};
use support::process::Process;
use support::websocket::{ask, frame};
use support::*;
use tungstenite::{Message, WebSocket};

fn chat(address: &str, args: &[&str]) -> (Process, String) {
    let mut process = Process::example("chat", &[&["--addr", address, "--cores", "2"], args].concat());
    let address = process.address();
    (process, address)
}

/// An address where nobody listens now.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Somebody who is no browser.
struct Guest(WebSocket<TcpStream>);

impl Guest {
    fn new(address: &str) -> Guest {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Guest(tungstenite::client(format!("ws://{address}/socket"), stream).unwrap().0)
    }

    fn entered(address: &str, room: &str, nick: &str) -> Guest {
        let mut guest = Guest::new(address);
        guest.tell(json!({ "type": "join", "room": room, "nick": nick }));
        guest
    }

    fn tell(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    fn say(&mut self, text: &str) {
        self.tell(json!({ "type": "say", "text": text }));
    }

    /// The next message that is as it is wanted; there must be one.
    fn hear(&mut self, mut is_wanted: impl FnMut(&Value) -> bool) -> Value {
        // Figures come all the time, so that a read alone does not fail.
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "the message has not come");
            let text = match self.0.read().unwrap() {
                Message::Text(text) => text,
                // It is answered with the next read.
                Message::Ping(_) => continue,
                message => panic!("{message:?}"),
            };
            let value: Value = serde_json::from_str(&text).unwrap();
            if is_wanted(&value) {
                return value;
            }
        }
    }

    /// Enters one more room; says under which name.
    fn enter(&mut self, room: &str, nick: &str) -> Value {
        self.tell(json!({ "type": "join", "room": room, "nick": nick }));
        self.hear(|message| message["type"] == "joined" || message["type"] == "refused")
    }

    /// The code with which the server closes.
    fn closed(&mut self) -> u16 {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "it is not closed");
            if let Message::Close(close) = self.0.read().unwrap() {
                return close.unwrap().code.into();
            }
        }
    }

    fn hear_type(&mut self, name: &str) -> Value {
        self.hear(|message| message["type"] == name)
    }

    fn sees(&mut self, nicks: &[&str]) {
        self.hear(|message| message["type"] == "present" && message["nicks"] == json!(nicks));
    }
}

#[test]
fn what_one_says_all_in_the_room_hear() {
    let (_process, address) = chat("127.0.0.1:0", &[]);
    let mut ada = Guest::entered(&address, "harbour", "Ada");
    assert_eq!(ada.hear_type("joined")["lines"], json!([]));
    let mut other = Guest::entered(&address, "harbour", "Ada");
    assert_eq!(other.hear_type("joined")["nick"], "Ada 2", "a name is somebody's");
    let mut far = Guest::entered(&address, "elsewhere", "Bob");
    far.hear_type("joined");
    ada.sees(&["Ada", "Ada 2"]);
    ada.say("  <i>ahoy</i> \u{1f30a} ");
    for guest in [&mut ada, &mut other] {
        let said = guest.hear_type("said");
        assert_eq!((&said["nick"], &said["text"]), (&json!("Ada"), &json!("<i>ahoy</i> \u{1f30a}")));
    }
    assert_eq!(far.hear_type("figures")["connections"], 3);
    // Who comes later is shown what was said, and who goes is not shown any more.
    let mut late = Guest::entered(&address, "harbour", "Eve \"\\");
    assert_eq!(late.hear_type("joined")["lines"][0]["text"], "<i>ahoy</i> \u{1f30a}");
    drop(other);
    ada.sees(&["Ada", "Eve \"\\"]);
    late.tell(json!({ "type": "leave" }));
    ada.sees(&["Ada"]);
    late.say("is anybody there?");
    assert_eq!(late.hear_type("refused")["why"], "Enter a room first.");
    far.say("only here");
    assert_eq!(far.hear_type("said")["text"], "only here");
}

#[test]
fn who_misbehaves_is_refused_or_closed() {
    let (_process, address) = chat("127.0.0.1:0", &[]);
    let mut ada = Guest::entered(&address, "harbour", "Ada");
    ada.hear_type("joined");
    ada.say(" ");
    assert!(ada.hear_type("refused")["why"].as_str().unwrap().starts_with("A line has"));
    ada.tell(json!({ "type": "join", "room": "x".repeat(25), "nick": "Ada" }));
    assert!(ada.hear_type("refused")["why"].as_str().unwrap().starts_with("Names have"));
    for _ in 0..30 {
        ada.say("spam");
    }
    assert_eq!(ada.hear_type("refused")["why"], "Slowly, please.");
    for (message, code) in [
        (Message::text("{}"), 1007),
        (Message::text("{\"type\":\"say\",\"text\":\"x\",\"y\":1}"), 1007),
        (Message::binary([1].as_slice()), 1003),
        (Message::text("x".repeat(20_000)), 1009),
    ] {
        let mut guest = Guest::new(&address);
        guest.0.send(message).unwrap();
        assert_eq!(guest.closed(), code);
    }
    let mut flood = Guest::new(&address);
    for _ in 0..300 {
        // It might be closed in the middle of that.
        let _ = flood.0.send(Message::text("{\"type\":\"typing\"}"));
    }
    assert_eq!(flood.closed(), 1008);
}

#[test]
fn page_is_in_several_rooms_and_says_in_which() {
    let (_process, address) = chat("127.0.0.1:0", &[]);
    let mut ada = Guest::entered(&address, "harbour", "Ada");
    ada.hear_type("joined");
    let joined = ada.enter("attic", "Ada");
    assert_eq!((&joined["room"], &joined["nick"]), (&json!("attic"), &json!("Ada")));
    let mut bob = Guest::entered(&address, "harbour", "Bob");
    bob.hear_type("joined");
    bob.say("below");
    let said = ada.hear_type("said");
    assert_eq!((&said["room"], &said["text"]), (&json!("harbour"), &json!("below")));
    ada.say("above");
    assert_eq!(ada.hear_type("said")["room"], "attic", "the room that was entered last");
    ada.tell(json!({ "type": "say", "text": "and below", "room": "harbour" }));
    bob.hear(|message| message["text"] == "and below");
    ada.tell(json!({ "type": "leave", "room": "harbour" }));
    bob.sees(&["Bob"]);
    ada.tell(json!({ "type": "say", "text": "gone", "room": "harbour" }));
    assert_eq!(ada.hear_type("refused")["why"], "Enter a room first.");
    // Eight are enough.
    for room in 1..8 {
        assert_eq!(ada.enter(&format!("room {room}"), "Ada")["type"], "joined");
    }
    let refused = ada.enter("one more", "Ada");
    assert_eq!((&refused["type"], &refused["room"]), (&json!("refused"), &json!("one more")));
    // To enter again is to enter anew, under another name.
    assert_eq!(ada.enter("room 1", "Eve")["nick"], "Eve");
}

#[test]
fn history_of_a_room_is_shown_on_entering_up_to_a_limit() {
    let (_process, address) = chat("127.0.0.1:0", &[]);
    let mut said = Vec::new();
    for guest in 0..7 {
        let mut guest = Guest::entered(&address, "harbour", &format!("Guest {guest}"));
        guest.hear_type("joined");
        for line in 0..9 {
            let text = format!("line {line} of {}", said.len());
            guest.say(&text);
            assert_eq!(guest.hear_type("said")["text"], text.as_str());
            said.push(text);
        }
        // It stays, because the room is dropped with the last one.
        std::mem::forget(guest);
    }
    let mut late = Guest::new(&address);
    let joined = late.enter("harbour", "Late");
    let lines: Vec<&str> =
        joined["lines"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap()).collect();
    assert_eq!(lines, said[said.len() - 50..]);
    assert_eq!(joined["lines"][49]["nick"], "Guest 6");
    for guest in 0..3 {
        let mut guest = Guest::entered(&address, "harbour", &format!("Long {guest}"));
        guest.hear_type("joined");
        for _ in 0..8 {
            guest.say(&"x".repeat(2000));
            guest.hear_type("said");
        }
        std::mem::forget(guest);
    }
    let joined = Guest::new(&address).enter("harbour", "Later");
    assert_eq!(joined["lines"].as_array().unwrap().len(), 16, "32 KiB of them");
}

#[test]
fn typing_is_shown_to_the_others_and_not_too_often() {
    let (_process, address) = chat("127.0.0.1:0", &[]);
    let mut ada = Guest::entered(&address, "harbour", "Ada");
    let mut bob = Guest::entered(&address, "harbour", "Bob");
    ada.sees(&["Ada", "Bob"]);
    bob.hear_type("joined");
    for _ in 0..60 {
        ada.tell(json!({ "type": "typing" }));
    }
    ada.say("at last");
    assert_eq!(bob.hear_type("typing"), json!({ "type": "typing", "room": "harbour", "nick": "Ada" }));
    let mut marks = 1;
    bob.hear(|message| {
        marks += usize::from(message["type"] == "typing");
        message["type"] == "said"
    });
    // Two at once, and one in a second: not sixty, however slowly this machine sends them.
    assert!(marks < 40, "{marks}");
    ada.hear(|message| {
        assert_ne!(message["type"], "typing", "one that types knows it");
        message["type"] == "said"
    });
    // In no room, there are no marks, and no complaints.
    let mut none = Guest::new(&address);
    none.tell(json!({ "type": "typing", "room": "harbour" }));
    none.say("nothing");
    assert_eq!(none.hear(|message| message["type"] != "figures")["why"], "Enter a room first.");
}

#[test]
fn names_are_found_with_a_limited_number_of_questions() {
    let mut asked = Vec::new();
    let found = names::free("Ada", |name| {
        asked.push(name.to_owned());
        true
    });
    assert_eq!(found, None);
    assert!(asked.len() <= 20, "{asked:?}");
    assert_eq!(asked[..3], ["Ada", "Ada 2", "Ada 3"]);
    assert_eq!(names::free("Ada", |name| name == "Ada").unwrap(), "Ada 2");
}

#[test]
fn many_of_one_name_get_names_of_their_own() {
    let (_process, address) = chat("127.0.0.1:0", &[]);
    let mut guests: Vec<Guest> = (0..200).map(|_| Guest::entered(&address, "harbour", "Ada")).collect();
    let nicks = guests.iter_mut().map(|guest| guest.hear_type("joined")["nick"].as_str().unwrap().to_owned());
    let nicks: std::collections::BTreeSet<String> = nicks.collect();
    assert_eq!(nicks.len(), 200);
    assert!(nicks.iter().all(|nick| nick.starts_with("Ada")), "{nicks:?}");
    assert_eq!(Guest::new(&address).enter("elsewhere", "Ada")["nick"], "Ada");
    guests.last_mut().unwrap().hear(|message| message["type"] == "present" && message["count"] == 200);
}

#[test]
fn names_have_one_form_and_only_what_can_be_seen() {
    for (name, expected) in [
        (" Ada  Lovelace\u{a0}", Some("Ada Lovelace")),
        ("Ame\u{301}lie", Some("Am\u{e9}lie")),
        ("\u{ff21}\u{ff44}\u{ff41}", Some("Ada")),
        ("\u{5d0}\u{5d3}\u{5d4}", Some("\u{5d0}\u{5d3}\u{5d4}")),
        ("\u{1f30a} tide", Some("\u{1f30a} tide")),
        ("<b>\"\\&", Some("<b>\"\\&")),
        ("", None),
        (" \u{3000} ", None),
        // Nothing that turns the direction, or joins, or is not seen.
        ("\u{202e}adA", None),
        ("A\u{2066}da\u{2069}", None),
        ("Ada\u{200e}", None),
        ("Ada\u{61c}", None),
        ("Ada\u{200b}", None),
        ("A\u{200c}da", None),
        ("A\u{200d}da", None),
        ("\u{feff}Ada", None),
        ("A\u{ad}da", None),
        ("A\u{34f}da", None),
        ("Ada\u{fe0f}", None),
        ("\u{3164}", None),
        ("\u{ffa0}\u{ffa0}", None),
        ("\u{2800}", None),
        ("Ada\u{e0041}", None),
        ("A\u{0}da", None),
        ("A\nda", None),
        ("A\u{85}da", None),
        ("A\u{2028}da", None),
        ("A\u{e000}da", None),
        ("A\u{378}da", None),
        // Marks need something to stand on, and do not make towers.
        ("\u{301}", None),
        ("A\u{315}\u{315}\u{315}\u{315}da", Some("A\u{315}\u{315}\u{315}\u{315}da")),
        ("A\u{315}\u{315}\u{315}\u{315}\u{315}da", None),
    ] {
        assert_eq!(names::name(name).as_deref(), expected, "{name:?}");
    }
    assert_eq!(names::name(&"\u{e9}".repeat(24)).unwrap().chars().count(), 24);
    assert_eq!(names::name(&"e\u{301}".repeat(24)).unwrap().chars().count(), 24);
    assert_eq!(names::name(&"\u{e9}".repeat(25)), None);
    assert_eq!(names::name("\u{fdfa}\u{fdfa}"), None, "one character that is eighteen in its plain form");
    assert_eq!(names::name(&"x".repeat(1 << 20)), None);
}

#[test]
fn names_that_look_alike_are_told_apart() {
    let (_process, address) = chat("127.0.0.1:0", &[]);
    let mut guests = Vec::new();
    // Each beside the one before it.
    for (room, name, alike) in [
        ("same", "Ada", "Ada"),
        ("case", "Ada", "aDA"),
        ("script", "Ada", "\u{410}d\u{430}"),
        ("wide", "Ada", "\u{ff21}da"),
        ("greek", "BOB", "\u{392}\u{39f}\u{392}"),
        ("letters", "Bill", "Bi1l"),
    ] {
        for (name, expected) in [(name, name.to_owned()), (alike, format!("{} 2", names::name(alike).unwrap()))] {
            let mut guest = Guest::entered(&address, room, name);
            assert_eq!(guest.hear_type("joined")["nick"], expected.as_str());
            guests.push(guest);
        }
    }
    // A name is free again when it was given up.
    let mut ada = Guest::entered(&address, "free", "Ada");
    ada.hear_type("joined");
    assert_eq!(ada.enter("free", "ada")["nick"], "ada");
    // Rooms have one form, too.
    assert_eq!(ada.enter("\u{ff53}ame", "Eve")["room"], "same");
    assert_eq!(ada.enter("sa\u{200b}me", "Eve")["type"], "refused");
}

#[test]
fn lines_are_without_controls_and_do_not_turn_the_page() {
    for (text, expected) in [
        (" ahoy ", Some("ahoy")),
        ("a\u{202e}b\u{2067}c\u{2069}", Some("abc")),
        ("a\nb\u{2028}c\u{7}d", Some("a b c d")),
        // Families, and what Persian is written with, stay together.
        ("\u{1f468}\u{200d}\u{1f469}", Some("\u{1f468}\u{200d}\u{1f469}")),
        ("\u{645}\u{6cc}\u{200c}\u{634}", Some("\u{645}\u{6cc}\u{200c}\u{634}")),
        ("\u{200b}\u{202e} \u{2069}", None),
        ("\n", None),
    ] {
        assert_eq!(names::text(text).as_deref(), expected, "{text:?}");
    }
    assert_eq!(names::text(&"\u{1f30a}".repeat(2000)).unwrap().chars().count(), 2000);
    assert_eq!(names::text(&"\u{1f30a}".repeat(2001)), None);
}

#[test]
fn rooms_of_one_address_are_limited_and_empty_ones_are_dropped() {
    let (_process, address) = chat("127.0.0.1:0", &[]);
    let mut guests: Vec<Guest> = (0..4).map(|_| Guest::new(&address)).collect();
    let mut opened = 0;
    let mut refused = None;
    for (n, guest) in guests.iter_mut().enumerate() {
        for seat in 0..6 {
            let answer = guest.enter(&format!("room {n}.{seat}"), "Ada");
            match answer["type"].as_str().unwrap() {
                "joined" => opened += 1,
                _ => refused = Some(answer["why"].clone()),
            }
        }
    }
    assert_eq!(opened, 20);
    assert_eq!(refused.unwrap(), "Too many rooms were opened from your address.");
    // A room that is there may be entered all the same.
    assert_eq!(guests[3].enter("room 0.0", "Eve")["type"], "joined");
    // An empty one makes place at once.
    guests[1].tell(json!({ "type": "leave", "room": "room 1.0" }));
    assert_eq!(guests[1].enter("another", "Ada")["type"], "joined");
    // And so do those of a connection that has ended.
    guests.remove(0);
    until("there is place again", || Guest::new(&address).enter("one more", "Ada")["type"] == "joined");
}

fn handshake(address: &str, path: &str, fields: &str) -> (TcpStream, String) {
    ask(
        TcpStream::connect(address).unwrap(),
        &format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{fields}\r\n"
        ),
    )
}

#[test]
fn connections_of_one_address_are_limited() {
    let (_process, address) = chat("127.0.0.1:0", &["--per-address", "3"]);
    let mut open: Vec<TcpStream> = Vec::new();
    for _ in 0..3 {
        let (stream, head) = handshake(&address, "/socket", "");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        open.push(stream);
    }
    let (_, head) = handshake(&address, "/socket", "");
    assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
    // It makes no difference what the connection is for.
    let (_, head) = ask(TcpStream::connect(&address).unwrap(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
    open.pop();
    until("there is place again", || handshake(&address, "/socket", "").1.starts_with("HTTP/1.1 101 "));
}

#[test]
fn pages_of_other_sites_may_not_connect() {
    let (_process, address) = chat("127.0.0.1:0", &[]);
    let port = address.rsplit_once(':').unwrap().1;
    let (_strict, listed) = chat("127.0.0.1:0", &["--origins", "https://chat.example, https://Other.example:8443"]);
    for (to, origin, is_right) in [
        (&address, format!("Origin: http://{address}\r\n"), true),
        // As it is where a proxy in front speaks TLS.
        (&address, format!("Origin: https://{address}\r\n"), true),
        (&address, format!("Origin: HTTP://{address}\r\n"), true),
        (&address, String::new(), true),
        (&address, "Origin: http://evil.example\r\n".into(), false),
        (&address, format!("Origin: http://evil.example:{port}\r\n"), false),
        (&address, "Origin: http://127.0.0.1\r\n".into(), false),
        (&address, format!("Origin: http://{address}.evil.example\r\n"), false),
        (&address, format!("Origin: http://evil.example/{address}\r\n"), false),
        (&address, format!("Origin: ftp://{address}\r\n"), false),
        (&address, format!("Origin: {address}\r\n"), false),
        (&address, "Origin: null\r\n".into(), false),
        (&address, "Origin:\r\n".into(), false),
        (&address, format!("Origin: http://{address}\r\nOrigin: http://{address}\r\n"), false),
        (&listed, "Origin: https://chat.example\r\n".into(), true),
        (&listed, "Origin: https://other.example:8443\r\n".into(), true),
        (&listed, "Origin: http://chat.example\r\n".into(), false),
        (&listed, "Origin: https://chat.example:8443\r\n".into(), false),
        (&listed, format!("Origin: http://{listed}\r\n"), false),
        (&listed, String::new(), true),
    ] {
        let (_, head) = handshake(to, "/socket", &origin);
        let expected = if is_right { "HTTP/1.1 101 " } else { "HTTP/1.1 403 " };
        assert!(head.starts_with(expected), "{origin}: {head}");
    }
    let (_, head) = handshake(&address, "/", "");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
}

#[test]
fn peers_that_keep_others_waiting_are_closed() {
    let (_process, address) = chat("127.0.0.1:0", &["--patience", "1"]);
    let connect = || {
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    // They wait beside each other. The last one reads, and is told how the server does, but answers no ping.
    let silent = connect();
    let mut slow = connect();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n").unwrap();
    let (mut half, _) = handshake(&address, "/socket", "");
    half.write_all(&frame(0x81, b"{\"type\":\"leave\"}")[..9]).unwrap();
    let (mut begun, _) = handshake(&address, "/socket", "");
    begun.write_all(&frame(0x01, b"{\"type\":")).unwrap();
    let (gone, _) = handshake(&address, "/socket", "");
    let mut alive = Guest::entered(&address, "harbour", "Ada");
    // One that answers pings, as browsers do, stays: for longer than the others, since a figure is told once in a second.
    let alive = std::thread::spawn(move || {
        (0..9).for_each(|_| drop(alive.hear_type("figures")));
        alive
    });
    for (mut stream, what) in [(silent, "silent"), (slow, "slow"), (half, "half"), (begun, "begun"), (gone, "gone")] {
        let mut all = Vec::new();
        let ended = stream.read_to_end(&mut all);
        let is_timeout = ended.is_err_and(|error| error.kind() != std::io::ErrorKind::ConnectionReset);
        assert!(!is_timeout, "{what} is closed");
    }
    let mut alive = alive.join().unwrap();
    alive.say("still here");
    assert_eq!(alive.hear_type("said")["text"], "still here");
}

#[test]
fn the_page_comes_from_the_same_port() {
    let (_process, address) = chat("127.0.0.1:0", &[]);
    let request = |method: &str, path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: chat\r\nConnection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    };
    let page = request("GET", "/");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    for (method, path, status) in [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/chat.css", 200),
        ("GET", "/chat.js", 200),
        ("GET", "/other", 404),
        ("POST", "/", 405),
    ] {
        let response = request(method, path);
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert_eq!(body.is_empty(), method == "HEAD", "{head}");
        let policy = head.split("Content-Security-Policy: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let policy: Vec<&str> = policy.split("; ").collect();
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ] {
            assert!(policy.contains(&directive), "{directive} on {path}: {policy:?}");
        }
        assert!(head.contains("\r\nX-Content-Type-Options: nosniff"), "{head}");
    }
    // All of it comes from here.
    for part in ["/", "/chat.css", "/chat.js"] {
        let text = request("GET", part).replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("//cdn"), "{part}");
        assert!(part == "/" || page.contains(part), "{part}");
    }
}

/// WCAG 2.2, sections 1.4.3 and 1.4.11: the contrast of text is 4.5 at least, that of edges and marks 3.
#[test]
fn colours_of_the_page_can_be_told_apart_in_light_and_dark() {
    let css = include_str!("../examples/chat/page/chat.css");
    let (light, dark) = css.split_once("@media (prefers-color-scheme: dark)").unwrap();
    for (scheme, css) in [("light", light), ("dark", dark)] {
        let luminance = |name: &str| {
            let colour = css.split(&format!("--{name}: #")).nth(1).unwrap_or_else(|| panic!("--{name} in {scheme}"));
            let channel = |at: usize| {
                let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
        };
        for (front, backs, least) in [
            ("text", &["back", "card", "mine"][..], 4.5),
            ("soft", &["back", "card", "mine"], 4.5),
            ("tide", &["back", "card"], 4.5),
            ("on-tide", &["tide"], 4.5),
            ("alert", &["back", "card"], 4.5),
            ("edge", &["back", "card"], 3.0),
            ("good", &["back", "card"], 3.0),
            ("bad", &["card"], 3.0),
        ] {
            for back in backs {
                let (a, b) = (luminance(front), luminance(back));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= least, "{scheme}: {front} on {back} is {contrast:.2}");
            }
        }
    }
}

/// Two servers of the chat that share a Redis, which may go away for a while.
fn share_their_rooms(mut start_redis: impl FnMut() -> Process, url: &str) {
    let mut redis = start_redis();
    let (_first, at_first) = chat("127.0.0.1:0", &["--redis", url]);
    let (second, at_second) = chat("127.0.0.1:0", &["--redis", url]);
    let mut ada = Guest::entered(&at_first, "harbour", "Ada");
    let mut bob = Guest::entered(&at_second, "harbour", "Bob");
    ada.sees(&["Ada", "Bob"]);
    bob.sees(&["Ada", "Bob"]);
    assert_eq!(bob.hear(|message| message["nodes"] == 2)["type"], "figures");
    ada.say("from afar");
    assert_eq!(bob.hear_type("said")["text"], "from afar");
    assert_eq!(ada.hear_type("said")["text"], "from afar", "and not twice");
    bob.tell(json!({ "type": "typing" }));
    assert_eq!(ada.hear_type("typing")["nick"], "Bob");
    let mut other = Guest::new(&at_second);
    assert_eq!(other.enter("harbour", "ADA")["nick"], "ADA 2", "a name of another server is taken, too");
    ada.sees(&["ADA 2", "Ada", "Bob"]);
    drop(other);
    ada.sees(&["Ada", "Bob"]);

    drop(redis);
    ada.sees(&["Ada"]);
    redis = start_redis();
    ada.sees(&["Ada", "Bob"]);
    bob.say("back again");
    let heard = ada.hear_type("said");
    assert_eq!((&heard["nick"], &heard["text"]), (&json!("Bob"), &json!("back again")));

    // A server that is gone takes its guests with it.
    drop(second);
    ada.sees(&["Ada"]);
    drop(redis);
}

#[test]
fn redis_that_says_nothing_is_given_up() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", mute.local_addr().unwrap());
    let (sender, accepted) = events();
    std::thread::spawn(move || {
        // Taken, and never answered.
        let mut taken = Vec::new();
        while let Ok((stream, _)) = mute.accept() {
            taken.push(stream);
            let _ = sender.send(());
        }
    });
    let (_process, address) = chat("127.0.0.1:0", &["--redis", &url]);
    accepted.next();
    // Another try, although nothing was closed. Pages are served in the meantime.
    assert_eq!(Guest::new(&address).enter("harbour", "Ada")["type"], "joined");
    accepted.next();
}

#[test]
fn servers_share_their_rooms_through_the_redis_example() {
    let address = free_address();
    share_their_rooms(
        || {
            let mut redis = Process::example("redis", &["--addr", &address]);
            redis.address();
            redis
        },
        &format!("redis://{address}"),
    );
}

#[test]
#[ignore = "needs redis-server"]
fn chat_servers_share_their_rooms_through_redis() {
    let address = free_address();
    let (_, port) = address.rsplit_once(':').unwrap();
    share_their_rooms(
        || {
            let mut command = Command::new("redis-server");
            command.args(["--port", port, "--save", "", "--appendonly", "no", "--requirepass", "secret"]);
            let mut redis = Process::start(command);
            redis.line_with("Ready to accept connections");
            redis
        },
        &format!("redis://:secret@{address}"),
    );
}

async fn enter(browser: &mut Browser, address: &str, nick: &str) -> Page {
    let page = browser.open(&format!("http://{address}/")).await;
    browser.focus(&page).await;
    browser.until(&page, "document.getElementById('state').dataset.state === 'connected'").await;
    let form =
        format!("document.getElementById('nick').value = '{nick}'; document.querySelector('#enter button').click()");
    browser.evaluate(&page, &form).await;
    browser.until(&page, "!document.getElementById('chat').hidden").await;
    page
}

async fn say(browser: &mut Browser, page: &Page, text: &str) {
    let form =
        format!("document.getElementById('text').value = '{text}'; document.querySelector('#say button').click()");
    browser.evaluate(page, &form).await;
}

async fn enter_another(browser: &mut Browser, page: &Page, room: &str) {
    let form =
        format!("document.getElementById('another').value = '{room}'; document.querySelector('#add button').click()");
    browser.evaluate(page, &form).await;
    browser.until(page, &format!("document.getElementById('room').textContent === '{room}'")).await;
}

fn shows(text: &str) -> String {
    format!("document.getElementById('lines').innerText.includes('{text}')")
}

/// Whether the list of rooms says so: rooms in their order, each with what is unread.
fn lists(rooms: &str) -> String {
    format!(
        "[...document.querySelectorAll('#rooms button')].map((room) => room.innerText.trim().split(/\\s*\\n\\s*/).join(' ')).join() === '{rooms}'"
    )
}

const BOTH: &str = "document.getElementById('present').innerText.split('\\n').join() === 'Ada,Bob'";

/// A picture for people, where they ask for one.
async fn picture(browser: &mut Browser, page: &Page, name: &str) {
    if let Ok(folder) = std::env::var("TIDERACE_PICTURES") {
        let picture = browser.picture(page).await;
        std::fs::write(format!("{folder}/{name}.png.base64"), picture).unwrap();
    }
}

#[test]
#[ignore = "needs chromium"]
fn chat_pages_talk_and_come_back() {
    let address = free_address();
    let (mut server, _) = chat(&address, &[]);
    tiderace::block_on(async move {
        let mut browser = Browser::start().await;
        let browser = &mut browser;
        let ada = enter(browser, &address, "Ada").await;
        let bob = enter(browser, &address, "Bob").await;
        for page in [&ada, &bob] {
            browser.until(page, BOTH).await;
        }
        say(browser, &ada, "<b>ahoy</b>").await;
        browser.until(&bob, &shows("<b>ahoy</b>")).await;
        say(browser, &bob, "and back").await;
        browser.until(&ada, &shows("and back")).await;
        browser.until(&ada, "document.getElementById('figures').textContent.startsWith('2 online')").await;
        // On a phone, nothing sticks out, and the line that is being written can be seen.
        browser.resize(&bob, 360, 640).await;
        browser.until(&bob, "document.documentElement.scrollWidth <= 360").await;
        browser.until(&bob, "document.getElementById('text').getBoundingClientRect().bottom <= innerHeight").await;
        browser.until(&bob, "document.getElementById('lines').getBoundingClientRect().height > 200").await;

        browser.reload(&bob).await;
        browser.until(&bob, &shows("<b>ahoy</b>")).await;
        browser.until(&bob, BOTH).await;

        drop(server);
        for page in [&ada, &bob] {
            browser.until(page, "document.getElementById('state').dataset.state === 'connecting'").await;
            browser.until(page, "document.getElementById('state').innerText.includes('connection lost')").await;
        }
        // What is written meanwhile is not lost.
        say(browser, &ada, "still there").await;
        server = chat(&address, &[]).0;
        for page in [&ada, &bob] {
            // They have entered again, where nobody had said anything.
            browser.until(page, "document.getElementById('lines').childElementCount === 0").await;
            browser.until(page, BOTH).await;
        }
        browser.until(&ada, "document.getElementById('text').value === 'still there'").await;
        browser.evaluate(&ada, "document.querySelector('#say button').click()").await;
        browser.until(&bob, &shows("still there")).await;
        drop(server);
    });
}

#[test]
#[ignore = "needs chromium"]
fn chat_pages_count_what_is_unread_and_show_who_types() {
    let (_server, address) = chat("127.0.0.1:0", &[]);
    tiderace::block_on(async move {
        let mut browser = Browser::start().await;
        let browser = &mut browser;
        let ada = enter(browser, &address, "Ada").await;
        let bob = enter(browser, &address, "Bob").await;
        browser.until(&ada, BOTH).await;
        // In another room of hers; what is said in the first is counted, and in the title.
        enter_another(browser, &ada, "engine room").await;
        say(browser, &bob, "tide is turning").await;
        browser.until(&ada, &lists("harbour 1,engine room")).await;
        say(browser, &bob, "at nine").await;
        browser.until(&ada, &lists("harbour 2,engine room")).await;
        browser.until(&ada, "document.title === '(2) engine room · tiderace chat'").await;
        assert_eq!(browser.evaluate(&ada, &shows("tide")).await, false, "it is shown where it was said");
        browser.evaluate(&ada, "document.querySelector('#rooms button').click()").await;
        browser.until(&ada, &shows("at nine")).await;
        browser.until(&ada, &lists("harbour,engine room")).await;
        browser.until(&ada, "document.title === 'harbour · tiderace chat'").await;
        // One's own lines are not news.
        say(browser, &ada, "aye").await;
        browser.until(&ada, &shows("aye")).await;
        browser.until(&ada, &lists("harbour,engine room")).await;

        // A mark comes while the other writes, and goes when that is said.
        browser.evaluate(&ada, "document.getElementById('text').focus()").await;
        browser.write(&ada, "I bring").await;
        browser.until(&bob, "document.getElementById('typing').textContent.includes('Ada')").await;
        browser.press(&ada, "Enter").await;
        browser.until(&bob, &shows("I bring")).await;
        browser.until(&bob, "document.getElementById('typing').textContent === ''").await;
        // Or after some seconds, when it is not.
        browser.write(&ada, "the").await;
        browser.until(&bob, "document.getElementById('typing').textContent.includes('Ada')").await;
        browser.until(&bob, "document.getElementById('typing').textContent === ''").await;

        // A reload is in the same rooms.
        browser.reload(&ada).await;
        browser.until(&ada, &lists("engine room,harbour")).await;
        browser.until(&ada, &shows("I bring")).await;
        // A room is listed once, however its name is written.
        enter_another(browser, &ada, "engine room").await;
        let form = "document.getElementById('another').value = ' \u{ff48}arbour '; document.querySelector('#add button').click()";
        browser.evaluate(&ada, form).await;
        browser.until(&ada, "document.getElementById('room').textContent === 'harbour'").await;
        browser.until(&ada, &lists("engine room,harbour")).await;
        // A name that is none is refused in words, and does not stay in the list.
        let form = "document.getElementById('another').maxLength = 99; document.getElementById('another').value = 'x'.repeat(30); \
             document.querySelector('#add button').click()";
        browser.evaluate(&ada, form).await;
        browser.until(&ada, "document.getElementById('notice').textContent.startsWith('Names have')").await;
        browser.until(&ada, &lists("engine room,harbour")).await;
        browser.evaluate(&ada, "document.getElementById('leave').click()").await;
        browser.until(&ada, &lists("engine room")).await;
        browser.evaluate(&ada, "document.getElementById('leave').click()").await;
        browser
            .until(&ada, "!document.getElementById('entrance').hidden && document.getElementById('chat').hidden")
            .await;
        browser.until(&bob, "document.getElementById('present').innerText === 'Bob'").await;
    });
}

const FOCUSED: &str =
    "document.activeElement.id || document.activeElement.dataset.room || document.activeElement.tagName";

#[test]
#[ignore = "needs chromium"]
fn chat_page_can_be_used_by_keyboard_and_screen_reader() {
    let (_server, address) = chat("127.0.0.1:0", &[]);
    tiderace::block_on(async move {
        let mut browser = Browser::start().await;
        let browser = &mut browser;
        let page = browser.open(&format!("http://{address}/")).await;
        browser.focus(&page).await;
        browser.until(&page, "document.getElementById('state').dataset.state === 'connected'").await;
        // In by keys alone.
        browser.press(&page, "Tab").await;
        assert_eq!(browser.evaluate(&page, FOCUSED).await, "nick");
        browser.write(&page, "Ada").await;
        browser.press(&page, "Enter").await;
        browser.until(&page, "!document.getElementById('chat').hidden").await;
        assert_eq!(browser.evaluate(&page, FOCUSED).await, "text", "one may write at once");
        browser.write(&page, "ahoy").await;
        browser.press(&page, "Enter").await;
        browser.until(&page, &shows("ahoy")).await;
        assert_eq!(browser.evaluate(&page, FOCUSED).await, "text", "and again");
        // Everything is reached, in the order in which it is seen, and seen to be.
        browser.evaluate(&page, "document.getElementById('text').focus()").await;
        let mut reached = Vec::new();
        for _ in 0..12 {
            browser.press(&page, "Tab").await;
            let style = "getComputedStyle(document.activeElement).outlineStyle";
            let focused = browser.evaluate(&page, FOCUSED).await.as_str().unwrap().to_owned();
            if focused != "BODY" {
                assert_eq!(browser.evaluate(&page, style).await, "solid", "{focused} has a ring");
            }
            reached.push(focused);
        }
        let all = ["skip", "harbour", "another", "BUTTON", "present", "leave", "lines", "text", "BUTTON"];
        let from = reached.iter().position(|id| id == "skip").expect("the first is reached");
        let order: Vec<&str> = reached.iter().cycle().skip(from).take(all.len()).map(String::as_str).collect();
        assert!(
            reached[from..].len() >= all.len() && order == all || all.iter().all(|id| reached.iter().any(|r| r == id)),
            "{reached:?}"
        );

        // What can be used has a name, and what changes is announced.
        let spoken = browser.spoken(&page).await;
        for (role, name) in &spoken {
            let is_control = ["button", "textbox", "link", "log", "navigation", "list"].contains(&role.as_str());
            assert!(!is_control || !name.is_empty() || role == "list", "a {role} without a name: {spoken:?}");
        }
        for expected in [("textbox", "Your line"), ("button", "Send"), ("log", "What is said"), ("navigation", "Rooms")]
        {
            let has = spoken.iter().any(|(role, name)| (role.as_str(), name.as_str()) == expected);
            assert!(has, "{expected:?} in {spoken:?}");
        }
        let live = "[...document.querySelectorAll('[role=log],[role=status],[role=alert]')].map((e) => e.id).join()";
        assert_eq!(browser.evaluate(&page, live).await, "state,refusal,lines,notice");
    });
}

#[test]
#[ignore = "needs chromium"]
fn chat_page_is_dark_where_that_is_preferred() {
    let (_server, address) = chat("127.0.0.1:0", &[]);
    tiderace::block_on(async move {
        let mut browser = Browser::start().await;
        let browser = &mut browser;
        let ada = enter(browser, &address, "Ada").await;
        let bob = enter(browser, &address, "Bob").await;
        let mut eve = Guest::entered(&address, "harbour", "Eve");
        eve.hear_type("joined");
        browser.until(&ada, &BOTH.replace("Ada,Bob", "Ada,Bob,Eve")).await;
        for (page, text) in [
            (&ada, "Is that the light of the pier?"),
            (&bob, "Two points off the bow."),
            (&ada, "Aye, and the harbour behind it."),
        ] {
            say(browser, page, text).await;
            browser.until(&ada, &shows(text)).await;
        }
        enter_another(browser, &bob, "engine room").await;
        eve.say("The tide turns at nine.");
        browser.until(&bob, &lists("harbour 1,engine room")).await;
        say(browser, &bob, "Who has the watch?").await;
        browser.until(&bob, &shows("the watch")).await;
        say(browser, &bob, "Half ahead.").await;
        browser.until(&bob, &shows("Half ahead.")).await;
        eve.tell(json!({ "type": "typing" }));
        browser.until(&ada, "document.getElementById('typing').textContent.includes('Eve')").await;

        let back = "getComputedStyle(document.body).backgroundColor";
        browser.resize(&ada, 860, 520).await;
        browser.prefer(&ada, "light").await;
        assert_eq!(browser.evaluate(&ada, back).await, "rgb(238, 243, 245)");
        picture(browser, &ada, "chat-light").await;
        browser.prefer(&bob, "dark").await;
        assert_eq!(browser.evaluate(&bob, back).await, "rgb(13, 20, 23)");
        browser.resize(&bob, 860, 520).await;
        picture(browser, &bob, "chat-dark").await;
        browser.resize(&bob, 360, 640).await;
        browser.until(&bob, "document.documentElement.scrollWidth <= 360").await;
        picture(browser, &bob, "chat-phone").await;
    });
}
