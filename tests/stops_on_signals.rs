//! Signals: this test starts itself as a server in another process, and sends that signals.
#![cfg(feature = "signal")]

mod support;

use rustix::process::{Pid, Signal as Number, kill_process};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;
use support::process::Process;
use support::*;
use tiderace::codec::Lines;
use tiderace::{Conn, Handler, Result, Server, Signal, Signals, block_on, sleep, timeout};

const CHILD: &str = "TIDERACE_TEST_SERVER";

/// Answers late to what asks for that.
struct Late;

impl Handler for Late {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        println!("asked");
        sleep(line.parse::<u64>().map(Duration::from_millis)?).await;
        conn.send("answer").await
    }
}

/// Not a test but the server of those below, where the environment says so.
#[test]
fn server_of_the_other_tests() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let server = Server::new().cores(2).stop_on_signal(PATIENCE);
    let server = server.listen("tcp://127.0.0.1:0", Lines::default(), || Late).unwrap();
    println!("listening on {}", server.local_addrs()[0]);
    let started = server.on_start(|_| async { println!("started") });
    started.run().unwrap();
    println!("ended well");
}

/// That one, when it listens to signals: the hook for that was begun before the one that tells of the start.
fn server() -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "server_of_the_other_tests", "--nocapture"]).env(CHILD, "1");
    let mut process = Process::start(command);
    process.address();
    process.line_with("started");
    process
}

fn signal_to(process: &Process, signal: Number) {
    kill_process(Pid::from_child(process.child()), signal).unwrap();
}

#[test]
fn a_signal_ends_the_server_when_its_answers_are_given() {
    for signal in [Number::TERM, Number::INT] {
        let mut process = server();
        let mut stream = TcpStream::connect(process.address()).unwrap();
        stream.write_all(b"50\n").unwrap();
        process.line_with("asked");
        signal_to(&process, signal);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer\n");
        drop(stream);
        process.line_with("ended well");
        assert!(process.wait().success());
    }
}

#[test]
fn a_second_signal_ends_the_process() {
    let mut process = server();
    let mut stream = TcpStream::connect(process.address()).unwrap();
    stream.write_all(b"3600000\n").unwrap();
    process.line_with("asked");
    signal_to(&process, Number::TERM);
    // It stops when it no longer listens; before that, a second signal may be one with the first.
    let address = process.address();
    until("it accepts nothing more", || TcpStream::connect(&address).is_err());
    signal_to(&process, Number::TERM);
    assert_eq!(process.wait().signal(), Some(Number::TERM.as_raw()));
}

#[test]
fn signals_are_heard_by_all_who_listen_for_as_long_as_they_do() {
    let send = || kill_process(rustix::process::getpid(), Number::USR1).unwrap();
    block_on(async {
        let mut both = Signals::new([Signal::User1, Signal::User2]).unwrap();
        let mut one = Signals::new([Signal::User1]).unwrap();
        assert!(timeout(Duration::from_millis(1), both.next()).await.is_err());
        send();
        assert_eq!(both.next().await, Signal::User1);
        assert_eq!(one.next().await, Signal::User1);
        drop(both);
        // This process is still there, because somebody still listens.
        send();
        assert_eq!(one.next().await, Signal::User1);
        assert!(timeout(Duration::from_millis(1), one.next()).await.is_err(), "there were two and no more");
    });
}
