//! The programs of the book and of the README run, and do what is said there.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use support::*;
use tiderace::codec::Lines;

mod sum {
    #![allow(dead_code)]
    include!("../examples/sum.rs");

    pub(super) fn new() -> impl tiderace::Handler<Codec = Lines> {
        Sum { total: 0 }
    }
}

mod greeter {
    #![allow(dead_code)]
    include!("../examples/greeter.rs");

    pub(super) fn new() -> impl tiderace::Handler<Codec = Lines> {
        Greeter { name: None }
    }
}

#[track_caller]
fn says(client: &mut BufReader<std::net::TcpStream>, sent: &str, expected: &str) {
    client.get_mut().write_all(sent.as_bytes()).unwrap();
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    assert_eq!(line, expected);
}

#[test]
fn the_sum_is_kept_for_each_connection() {
    let server = serve(2, Lines::default(), sum::new);
    let mut client = BufReader::new(server.connect());
    says(&mut client, "5\n", "5\n");
    says(&mut client, " 37 \n", "42\n");
    says(&mut BufReader::new(server.connect()), "1\n", "1\n");
    says(&mut client, "no number\n", "");
}

#[test]
fn the_greeter_talks_as_in_the_book() {
    let server = serve(1, Lines::default(), greeter::new);
    let mut client = BufReader::new(server.connect());
    says(&mut client, "", "Who are you?\n");
    says(&mut client, "Ada\n", "Hello, Ada.\n");
    says(&mut client, "Is it true?\n", "I have thought about it.\n");
    says(&mut client, "bye\n", "Goodbye, Ada.\n");
    says(&mut client, "", "");
}

#[test]
fn the_protocol_is_shouted_back() {
    let mut example = std::env::current_exe().unwrap();
    example.pop();
    example.pop();
    let output = Command::new(example.join("examples/protocol")).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "Some(Note { kind: 7, text: \"IS ANYBODY THERE?\" })\n");
}

/// The program that stands in the README is the one of the example.
#[test]
fn the_readme_shows_the_sum() {
    let words = |text: &str| text.split_whitespace().collect::<String>().replace(',', "");
    let example = include_str!("../examples/sum.rs");
    let example = example.split("// ANCHOR: all\n").nth(1).unwrap().split("// ANCHOR_END").next().unwrap();
    let readme = include_str!("../README.md").split("```rust\n").nth(1).unwrap().split("```").next().unwrap();
    // The README keeps to the order of names of a hand, the example to that of rustfmt.
    let readme = readme
        .replace("{codec::Lines, Conn, Handler, Result, Server}", "{Conn, Handler, Result, Server, codec::Lines}");
    assert_eq!(words(&readme), words(example));
}
