//! The example `chat`: as programs see it, as people see it, and on several servers. What needs a browser or a Redis is ignored
//! unless asked for: `cargo test --all-features -- --ignored chat`.
#![cfg(all(feature = "websocket", feature = "resp"))]

mod support;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use support::browser::{Browser, Page};
use support::process::Process;
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
    fn hear(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.0.read().unwrap();
            let Message::Text(text) = message else { panic!("{message:?}") };
            let value: Value = serde_json::from_str(&text).unwrap();
            if is_wanted(&value) {
                return value;
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
        let closed = loop {
            match guest.0.read().unwrap() {
                Message::Close(close) => break close.unwrap(),
                _ => continue,
            }
        };
        assert_eq!(u16::from(closed.code), code, "{closed:?}");
    }
}

#[test]
fn the_page_comes_from_the_same_port() {
    let (_process, address) = chat("127.0.0.1:0", &[]);
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: chat\r\nConnection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    };
    let page = get("/");
    assert!(
        page.starts_with("HTTP/1.1 200 ") && page.contains("Content-Security-Policy: default-src 'none'"),
        "{page}"
    );
    for part in ["/chat.css", "/chat.js"] {
        assert!(page.contains(part) && get(part).starts_with("HTTP/1.1 200 "), "{part}");
    }
    assert!(get("/other").starts_with("HTTP/1.1 404 "));
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

fn shows(text: &str) -> String {
    format!("document.getElementById('lines').innerText.includes('{text}')")
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
        picture(browser, &ada, "wide").await;
        // On a phone, nothing sticks out, and what one writes in can be seen.
        browser.resize(&bob, 360, 640).await;
        browser.until(&bob, "document.documentElement.scrollWidth <= 360").await;
        browser.until(&bob, "document.getElementById('text').getBoundingClientRect().bottom <= innerHeight").await;
        picture(browser, &bob, "phone").await;

        browser.reload(&bob).await;
        browser.until(&bob, &shows("<b>ahoy</b>")).await;
        browser.until(&bob, BOTH).await;

        drop(server);
        for page in [&ada, &bob] {
            browser.until(page, "document.getElementById('state').dataset.state === 'connecting'").await;
        }
        server = chat(&address, &[]).0;
        for page in [&ada, &bob] {
            // They have entered again, where nobody had said anything.
            browser.until(page, "document.getElementById('lines').childElementCount === 0").await;
            browser.until(page, BOTH).await;
        }
        say(browser, &ada, "still there").await;
        browser.until(&bob, &shows("still there")).await;
        drop(server);
    });
}
