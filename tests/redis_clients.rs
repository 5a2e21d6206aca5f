//! The client of Redis: against a peer whose every byte is scripted, against the example server, and against Redis itself, which
//! is ignored unless asked for: `cargo test --features resp --test redis_clients -- --ignored`.
#![cfg(feature = "resp")]

mod support;

use futures_lite::future::poll_once;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;
use support::process::Process;
use support::*;
use tiderace::redis::{Redis, RedisConfig, RedisError};
use tiderace::resp::{Replies, Value, Version};
use tiderace::{Backoff, Error, Server, block_on, sleep, spawn_local, timeout, yield_now};

const SOON: Duration = Duration::from_millis(50);

/// A server that says what its script says.
struct Peer(BufReader<TcpStream>);

impl Peer {
    fn accept(listener: &TcpListener) -> Peer {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer(BufReader::new(stream))
    }

    /// Accepts a client, and agrees on version 3.
    fn greet(listener: &TcpListener) -> Peer {
        let mut peer = Peer::accept(listener);
        assert_eq!(peer.hears().first().map(String::as_str), Some("HELLO"));
        peer.says("%1\r\n$5\r\nproto\r\n:3\r\n");
        peer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next command; none at the end of the stream.
    fn hears(&mut self) -> Vec<String> {
        let head = self.line();
        let count: usize = head.strip_prefix('*').map_or(0, |count| count.parse().unwrap());
        (0..count)
            .map(|_| {
                let length: usize = self.line().strip_prefix('$').unwrap().parse().unwrap();
                let mut bytes = vec![0; length + 2];
                self.0.read_exact(&mut bytes).unwrap();
                String::from_utf8_lossy(&bytes[..length]).into_owned()
            })
            .collect()
    }

    #[track_caller]
    fn expects(&mut self, command: &str) {
        assert_eq!(self.hears().join(" "), command);
    }

    fn says(&mut self, bytes: &str) {
        self.0.get_mut().write_all(bytes.as_bytes()).unwrap();
    }

    /// Nothing more comes.
    fn sees_the_end(mut self) {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = self.0.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{}", rest.escape_ascii());
    }
}

/// Runs a script beside the test; the URL is where it listens.
fn peer(script: impl FnOnce(TcpListener) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    (url, std::thread::spawn(move || script(listener)))
}

fn config(url: &str) -> RedisConfig {
    let backoff = Backoff::default().first(Duration::from_millis(1)).max(Duration::from_millis(5));
    RedisConfig::new(url).unwrap().timeout(Some(PATIENCE)).keep_alive(None).backoff(backoff)
}

/// A URL where connections are refused.
fn refusal() -> String {
    format!("redis://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

/// Runs the client's side of a test, in time.
fn run<T>(test: impl Future<Output = T>) -> T {
    block_on(async { timeout(PATIENCE * 2, test).await.expect("in time") })
}

fn is_lost<T: std::fmt::Debug>(result: Result<T, RedisError>) -> String {
    match result {
        Err(RedisError::Lost(reason)) => reason.to_string(),
        other => panic!("expected a lost connection, found {other:?}"),
    }
}

#[test]
fn commands_of_many_tasks_leave_in_one_write_and_get_their_own_replies() {
    const TASKS: usize = 100;
    let (url, script) = peer(|listener| {
        let mut peer = Peer::greet(&listener);
        let one = "*2\r\n$4\r\nECHO\r\n$2\r\n10\r\n".len();
        // One send is one piece on the loopback: what the first read finds is what one write had.
        let mut bytes = vec![0; 16 * 1024];
        let read = peer.0.read(&mut bytes).unwrap();
        assert_eq!(read, one * TASKS);
        let replies: String = (0..TASKS).map(|i| format!(":{}\r\n", i + 10)).collect();
        peer.says(&replies);
        peer.sees_the_end();
    });
    run(async {
        let redis = config(&url).connect().await.unwrap();
        let tasks: Vec<_> = (0..TASKS)
            .map(|i| {
                let redis = redis.clone();
                let argument = format!("{:02}", i % 90 + 10);
                spawn_local(async move { redis.query::<usize>(&["ECHO", &argument]).await })
            })
            .collect();
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), Ok(i + 10));
        }
    });
    script.join().unwrap();
}

#[test]
fn request_that_is_dropped_still_takes_its_reply() {
    let (url, script) = peer(|listener| {
        let mut peer = Peer::greet(&listener);
        for (command, reply) in [("GET a", "$1\r\na\r\n"), ("GET b", "*2\r\n:1\r\n:2\r\n"), ("GET c", "-ERR c\r\n")] {
            peer.expects(command);
            peer.says(reply);
        }
        for (command, reply) in [("MULTI", "+OK\r\n"), ("GET d", "+QUEUED\r\n"), ("EXEC", "*1\r\n:4\r\n")] {
            peer.expects(command);
            peer.says(reply);
        }
        peer.expects("GET e");
        peer.says("$1\r\ne\r\n");
        peer.sees_the_end();
    });
    run(async {
        let redis = config(&url).connect().await.unwrap();
        // Dropped before it was polled, and after.
        drop(redis.command(&["GET", "a"]));
        let mut polled = redis.command(&["GET", "b"]);
        assert!(poll_once(&mut polled).await.is_none());
        drop(polled);
        drop(redis.get::<String>("c"));
        drop(redis.pipeline().add(&["GET", "d"]).atomic().run());
        assert_eq!(redis.get::<String>("e").await, Ok("e".to_owned()));
    });
    script.join().unwrap();
}

#[test]
fn reply_may_be_cut_anywhere_and_a_connection_that_ends_within_one_is_lost() {
    let reply = "*3\r\n$5\r\nhello\r\n|1\r\n+a\r\n+b\r\n:-7\r\n%1\r\n+k\r\n,1.5\r\n";
    let (url, script) = peer(move |listener| {
        for cut in 0..reply.len() {
            let mut peer = Peer::greet(&listener);
            peer.expects("LRANGE x");
            peer.says(&reply[..cut]);
        }
        let mut peer = Peer::greet(&listener);
        peer.expects("LRANGE x");
        for byte in reply.chars() {
            peer.says(&byte.to_string());
        }
        peer.sees_the_end();
    });
    run(async {
        let redis = config(&url).start();
        for _ in 0..reply.len() {
            is_lost(redis.command(&["LRANGE", "x"]).await);
        }
        let answer = redis.command(&["LRANGE", "x"]).await.unwrap();
        let (text, number, map): (String, i64, HashMap<String, f64>) = answer.to().unwrap();
        assert_eq!((text.as_str(), number, map["k"]), ("hello", -7, 1.5));
    });
    script.join().unwrap();
}

#[test]
fn lost_connection_fails_what_was_sent_and_never_sends_it_again() {
    let (url, script) = peer(|listener| {
        let mut peer = Peer::greet(&listener);
        peer.expects("INCR a");
        peer.expects("INCR b");
        peer.says(":1\r\n");
        drop(peer);
        let mut peer = Peer::greet(&listener);
        peer.expects("INCR c");
        peer.says(":3\r\n");
        peer.sees_the_end();
    });
    run(async {
        let redis = config(&url).connect().await.unwrap();
        let (a, b) = (redis.incr_one("a"), redis.incr_one("b"));
        assert_eq!(a.await, Ok(1));
        let lost = b.await.unwrap_err();
        assert!(lost.may_have_been_executed(), "{lost}");
        assert_eq!(is_lost::<()>(Err(lost)), "end of stream");
        assert_eq!(redis.incr_one("c").await, Ok(3));
    });
    script.join().unwrap();
}

trait IncrOne {
    fn incr_one(&self, key: &str) -> tiderace::redis::Query<i64>;
}

impl IncrOne for Redis {
    fn incr_one(&self, key: &str) -> tiderace::redis::Query<i64> {
        self.query(&["INCR", key])
    }
}

#[test]
fn commands_without_a_connection_wait_in_order_and_within_limits() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let (url, script) = peer(move |listener| {
        gone.recv().unwrap();
        let mut peer = Peer::greet(&listener);
        for command in ["GET a", "GET c", "MULTI", "SET d 1", "EXEC"] {
            peer.expects(command);
        }
        peer.says(":1\r\n:3\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
        peer.sees_the_end();
    });
    run(async {
        let redis = config(&url).max_unsent(4, 1000).start();
        let (a, b, c) = (redis.get::<i64>("a"), redis.get::<i64>("b"), redis.get::<i64>("c"));
        let d = redis.pipeline().add(&["SET", "d", "1"]).atomic().run();
        assert_eq!(redis.get::<i64>("e").await, Err(RedisError::Full));
        // What was not sent and is given up is not sent, and leaves its place.
        drop(b);
        assert_eq!(redis.set("long", "x".repeat(1000)).await, Err(RedisError::Full));
        let mut f = redis.get::<i64>("f");
        assert!(poll_once(&mut f).await.is_none());
        drop(f);
        go.send(()).unwrap();
        assert_eq!((a.await, c.await), (Ok(1), Ok(3)));
        d.await.unwrap().get::<()>(0).unwrap();
    });
    script.join().unwrap();
}

#[test]
fn command_that_finds_no_connection_in_time_says_why_and_was_not_sent() {
    run(async {
        let redis = config(&refusal()).timeout(Some(SOON)).start();
        let error = redis.command(&["PING"]).await.unwrap_err();
        assert!(!error.may_have_been_executed());
        let RedisError::NotConnected { after: SOON, last: Some(last) } = &error else { panic!("{error:?}") };
        assert!(last.starts_with("cannot connect to tcp://127.0.0.1:"), "{last}");

        let redis = config(&refusal()).backoff(Backoff::default().tries(1)).start();
        assert_eq!(redis.command(&["PING"]).await.unwrap_err(), RedisError::Closed);
        assert_eq!(redis.command(&["PING"]).await.unwrap_err(), RedisError::Closed);
        assert!(redis.subscribe("a").await.is_err());
    });
}

#[test]
fn mute_server_is_noticed_and_left() {
    let (url, script) = peer(|listener| {
        let mut mute = Peer::greet(&listener);
        mute.expects("GET a");
        let mut other = Peer::greet(&listener);
        // Too late: the reply belongs to no request any more.
        let _ = mute.0.get_mut().write_all(b"+a\r\n");
        other.expects("GET b");
        other.says("+b\r\n");
        other.sees_the_end();
    });
    run(async {
        let redis = config(&url).timeout(Some(SOON)).connect().await.unwrap();
        let error = redis.command(&["GET", "a"]).await.unwrap_err();
        assert_eq!(error, RedisError::TimedOut { after: SOON });
        assert!(error.may_have_been_executed());
        // The rest of the test needs no hurry of its peer.
        loop {
            match redis.get::<String>("b").await {
                Ok(b) => break assert_eq!(b, "b"),
                Err(RedisError::NotConnected { .. } | RedisError::Full) => {}
                Err(other) => panic!("{other}"),
            }
        }
    });
    script.join().unwrap();
}

#[test]
fn server_that_is_mute_at_the_greeting_is_an_error_in_time() {
    let (url, script) = peer(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.expects("HELLO 3");
        peer.sees_the_end();
    });
    run(async {
        let error = config(&url).timeout(Some(SOON)).connect().await.unwrap_err();
        let Error::Connect { source, .. } = &error else { panic!("{error}") };
        assert_eq!(source.kind(), std::io::ErrorKind::TimedOut);
    });
    script.join().unwrap();
}

#[test]
fn idle_connection_is_asked_for_a_sign_of_life_and_left_without_one() {
    let (url, script) = peer(|listener| {
        let mut peer = Peer::greet(&listener);
        peer.expects("PING");
        peer.says("+PONG\r\n");
        peer.expects("PING");
        // No answer.
        peer.sees_the_end();
        Peer::greet(&listener);
    });
    run(async {
        let limit = Duration::from_millis(300);
        let redis = config(&url).timeout(Some(limit)).keep_alive(Some(Duration::from_millis(20))).connect().await;
        let redis = redis.unwrap();
        // The peer has seen that the client has left, and come again.
        while !script.is_finished() {
            sleep(Duration::from_millis(1)).await;
        }
        drop(redis);
    });
    script.join().unwrap();
}

#[test]
fn old_server_is_spoken_to_in_version_2_with_password_name_and_database() {
    for refusal in ["-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n", "-NOPROTO unsupported\r\n"] {
        let (url, script) = peer(move |listener| {
            let mut peer = Peer::accept(&listener);
            peer.expects("HELLO 3 AUTH a:b p@ss SETNAME me");
            peer.says(refusal);
            peer.expects("AUTH a:b p@ss");
            peer.says("+OK\r\n");
            peer.expects("CLIENT SETNAME me");
            peer.says("-ERR no names here\r\n");
            peer.expects("SELECT 3");
            peer.says("+OK\r\n");
            peer.expects("HGETALL h");
            peer.says("*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n");
            peer.expects("GET none");
            peer.says("$-1\r\n");
            peer.sees_the_end();
        });
        let url = url.replace("redis://", "redis://a%3Ab:p%40ss@") + "/3";
        run(async {
            let redis = config(&url).named("me").unwrap().connect().await.unwrap();
            let map: BTreeMap<String, u16> = redis.query(&["HGETALL", "h"]).await.unwrap();
            assert_eq!(map, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
            assert_eq!(redis.get::<Option<String>>("none").await, Ok(None));
        });
        script.join().unwrap();
    }
}

#[test]
fn greeting_that_is_refused_is_the_servers_error() {
    let (url, script) = peer(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.expects("HELLO 3 AUTH default wrong");
        peer.says("-WRONGPASS invalid username-password pair\r\n");
        peer.sees_the_end();
        let mut peer = Peer::accept(&listener);
        peer.expects("AUTH wrong");
        peer.says("-WRONGPASS invalid username-password pair\r\n");
        peer.sees_the_end();
        let mut peer = Peer::greet(&listener);
        peer.expects("SELECT 99");
        peer.says("-ERR DB index is out of range\r\n");
        peer.sees_the_end();
    });
    let with_password = url.replace("redis://", "redis://:wrong@");
    run(async {
        let code = |error: Error| {
            let error = error.downcast_ref::<RedisError>().and_then(RedisError::server).cloned().unwrap();
            (error.code().to_owned(), error.text().to_owned())
        };
        for version in [Version::Resp3, Version::Resp2] {
            let (word, text) = code(config(&with_password).protocol(version).connect().await.unwrap_err());
            assert_eq!((&*word, &*text), ("WRONGPASS", "invalid username-password pair"));
        }
        let (word, text) = code(config(&format!("{url}/99")).connect().await.unwrap_err());
        assert_eq!((&*word, &*text), ("ERR", "DB index is out of range"));
    });
    script.join().unwrap();
}

#[test]
fn reply_that_breaks_the_protocol_or_answers_nothing_ends_the_connection() {
    let wrong = ["?1\r\n", "$x\r\n", ":one\r\n", "$3\r\nabcde\r\n", "#x\r\n", "$99999999\r\n", "+a\r\n+b\r\n", "+\n"];
    let (url, script) = peer(move |listener| {
        for reply in wrong {
            let mut peer = Peer::greet(&listener);
            peer.expects("GET x");
            peer.says(reply);
            // An unfinished reply keeps the client waiting.
            if !reply.starts_with("$9") {
                let _ = peer.0.read_to_end(&mut Vec::new());
            }
        }
        let mut peer = Peer::greet(&listener);
        peer.expects("GET y");
        peer.says("+y\r\n");
        peer.sees_the_end();
    });
    run(async {
        let redis = config(&url).replies(Replies::default().max_reply(4096)).start();
        for reply in wrong {
            match redis.get::<String>("x").await {
                // The reply is right, and the one behind it is one too many.
                Ok(a) if reply.starts_with("+a") => assert_eq!(a, "a"),
                // Its bytes are counted as they come, so the end of the stream is what shows.
                other if reply.starts_with("$9") => drop(is_lost(other)),
                other => assert!(is_lost(other).contains("expected"), "{reply:?}"),
            }
        }
        loop {
            match redis.get::<String>("y").await {
                Ok(y) => break assert_eq!(y, "y"),
                // It was sent on the connection with one reply too many.
                Err(error) => drop(is_lost::<()>(Err(error))),
            }
        }
    });
    script.join().unwrap();
}

#[test]
fn pipeline_has_its_replies_in_order_and_errors_among_them() {
    let (url, script) = peer(|listener| {
        let mut peer = Peer::greet(&listener);
        for command in ["SET a 1", "LPUSH a 2", "MGET a b"] {
            peer.expects(command);
        }
        peer.says(
            "+OK\r\n-WRONGTYPE Operation against a key\r\n>2\r\n+invalidate\r\n*1\r\n+a\r\n*2\r\n$1\r\n1\r\n_\r\n",
        );
        peer.expects("GET c");
        peer.says("+c\r\n");
        peer.sees_the_end();
    });
    run(async {
        let redis = config(&url).connect().await.unwrap();
        let mut pipeline = redis.pipeline();
        let answers = pipeline.add(&["SET", "a", "1"]).add(&["LPUSH", "a", "2"]).add(&["MGET", "a", "b"]).run();
        let c = redis.get::<String>("c");
        let answers = answers.await.unwrap();
        assert_eq!(answers.len(), 3);
        answers.get::<()>(0).unwrap();
        assert_eq!(answers.get::<i64>(1).unwrap_err().server().unwrap().code(), "WRONGTYPE");
        assert_eq!(answers.get::<Vec<Option<i64>>>(2), Ok(vec![Some(1), None]));
        assert!(matches!(answers.iter().nth(1), Some(Value::Error(_))));
        assert!(answers.all::<Vec<u8>>().is_err());
        assert_eq!(c.await.unwrap(), "c");
        // It is empty again.
        assert!(pipeline.run().await.unwrap().is_empty());
        assert_eq!(
            pipeline.add(&["GET", "a"]).add::<&str>(&[]).run().await.map(|_| ()).unwrap_err().to_string(),
            redis.command::<&str>(&[]).await.unwrap_err().to_string()
        );
    });
    script.join().unwrap();
}

#[test]
fn transaction_is_a_unit_and_has_the_first_error_of_its_commands() {
    let (url, script) = peer(|listener| {
        let mut peer = Peer::greet(&listener);
        for replies in [
            "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n-ERR value is not an integer\r\n",
            "+OK\r\n-ERR wrong number of arguments\r\n+QUEUED\r\n-EXECABORT Transaction discarded\r\n",
            "+OK\r\n+QUEUED\r\n+QUEUED\r\n_\r\n",
        ] {
            for command in ["MULTI", "INCR a", "INCR b", "EXEC"] {
                peer.expects(command);
            }
            peer.says(replies);
        }
        peer.sees_the_end();
    });
    run(async {
        let redis = config(&url).connect().await.unwrap();
        let both = || redis.pipeline().add(&["INCR", "a"]).add(&["INCR", "b"]).atomic().run();
        let done = both().await.unwrap();
        assert_eq!((done.len(), done.get::<i64>(0)), (2, Ok(1)));
        assert_eq!(done.get::<i64>(1).unwrap_err().to_string(), "ERR value is not an integer");
        let each: Vec<Result<i64, RedisError>> = done.all().unwrap();
        assert!(each[0].is_ok() && each[1].is_err());
        assert_eq!(both().await.unwrap_err().to_string(), "ERR wrong number of arguments");
        assert!(matches!(both().await, Err(RedisError::Type { found: "null", .. })));
    });
    script.join().unwrap();
}

#[test]
fn command_that_would_change_the_shared_connection_is_refused() {
    let (url, script) = peer(|listener| Peer::greet(&listener).sees_the_end());
    run(async {
        let redis = config(&url).connect().await.unwrap();
        for command in [&["select", "1"][..], &["MULTI"], &["EXEC"], &["SUBSCRIBE", "a"], &["CLIENT", "REPLY", "OFF"]] {
            let error = redis.command(command).await.unwrap_err();
            assert_eq!(error, RedisError::Shared { command: command[0].to_uppercase() });
            assert!(redis.pipeline().add(command).run().await.is_err());
        }
    });
    script.join().unwrap();
}

#[test]
fn in_flight_commands_are_bounded() {
    let (url, script) = peer(|listener| {
        let mut peer = Peer::greet(&listener);
        peer.expects("GET a");
        peer.expects("GET b");
        peer.says("+a\r\n+b\r\n");
        peer.sees_the_end();
    });
    run(async {
        let redis = config(&url).max_in_flight(2).connect().await.unwrap();
        while redis.command(&["GET", "a"]).refused().await {
            yield_now().await;
        }
        let b = redis.get::<String>("b");
        assert_eq!(redis.get::<String>("c").await, Err(RedisError::Full));
        assert_eq!(b.await.unwrap(), "b");
    });
    script.join().unwrap();
}

trait IsRefused {
    async fn refused(self) -> bool;
}

impl IsRefused for tiderace::redis::Request {
    /// Whether it was not taken, because the client has not seen its connection yet.
    async fn refused(mut self) -> bool {
        matches!(poll_once(&mut self).await, Some(Err(_)))
    }
}

/// What is said to one that listens: version 3 pushes, version 2 has arrays.
fn confirmation(mark: char, kind: &str, name: &str) -> String {
    format!("{mark}3\r\n+{kind}\r\n+{name}\r\n:1\r\n")
}

fn listener_greets(listener: &TcpListener, mark: char) -> Peer {
    if mark == '>' {
        return Peer::greet(listener);
    }
    Peer::accept(listener)
}

#[test]
fn subscription_hears_its_channel_in_both_versions_and_is_renewed() {
    for (mark, version) in [('>', Version::Resp3), ('*', Version::Resp2)] {
        let (url, script) = peer(move |listener| {
            let commands = listener_greets(&listener, mark);
            let mut peer = listener_greets(&listener, mark);
            peer.expects("SUBSCRIBE news");
            peer.says(&confirmation(mark, "subscribe", "news"));
            peer.says(&format!("{mark}3\r\n+message\r\n+news\r\n$3\r\none\r\n"));
            peer.expects("PSUBSCRIBE n*");
            peer.says(&format!("{mark}3\r\n+message\r\n+news\r\n$3\r\ntwo\r\n"));
            peer.says(&confirmation(mark, "psubscribe", "n*"));
            peer.says(&format!("{mark}4\r\n+pmessage\r\n+n*\r\n+news\r\n$3\r\ntwo\r\n"));
            drop(peer);
            let mut peer = listener_greets(&listener, mark);
            peer.expects("SUBSCRIBE news");
            peer.expects("PSUBSCRIBE n*");
            peer.says(&confirmation(mark, "subscribe", "news"));
            peer.says(&confirmation(mark, "psubscribe", "n*"));
            peer.says(&format!("{mark}3\r\n+message\r\n+news\r\n$5\r\nthree\r\n"));
            peer.expects("UNSUBSCRIBE news");
            peer.says(&confirmation(mark, "unsubscribe", "news"));
            peer.says(&format!("{mark}4\r\n+pmessage\r\n+n*\r\n+nine\r\n$4\r\nfour\r\n"));
            peer.expects("PUNSUBSCRIBE n*");
            peer.sees_the_end();
            commands.sees_the_end();
        });
        run(async {
            let redis = config(&url).protocol(version).connect().await.unwrap();
            let mut news = redis.subscribe("news").await.unwrap();
            let mut pattern = redis.psubscribe("n*").await.unwrap();
            drop(redis);
            for expected in ["one", "two", "three"] {
                let message = news.next().await.unwrap();
                assert_eq!((&**message.channel(), &**message.payload()), (&b"news"[..], expected.as_bytes()));
                assert!(message.pattern().is_none());
            }
            assert_eq!((news.gaps(), news.gaps(), news.missed()), (1, 0, 0));
            drop(news);
            for (channel, expected) in [("news", "two"), ("nine", "four")] {
                let message = pattern.next().await.unwrap();
                assert_eq!((&**message.channel(), &**message.payload()), (channel.as_bytes(), expected.as_bytes()));
                assert_eq!(message.pattern().map(|pattern| &**pattern), Some(&b"n*"[..]));
            }
        });
        script.join().unwrap();
    }
}

#[test]
fn slow_subscriber_loses_the_oldest_messages_and_is_told() {
    let (url, script) = peer(|listener| {
        let _commands = Peer::greet(&listener);
        let mut peer = Peer::greet(&listener);
        peer.expects("SUBSCRIBE a");
        peer.says(&confirmation('>', "subscribe", "a"));
        for i in 0..10 {
            peer.says(&format!(">3\r\n+message\r\n+a\r\n:{i}\r\n").replace(':', "+"));
        }
        peer.expects("SUBSCRIBE b");
        peer.says(&confirmation('>', "subscribe", "b"));
        peer.expects("UNSUBSCRIBE b");
        peer.expects("UNSUBSCRIBE a");
        peer.sees_the_end();
    });
    run(async {
        let redis = config(&url).max_messages(3).connect().await.unwrap();
        let mut slow = redis.subscribe("a").await.unwrap();
        // Its confirmation comes behind all messages.
        drop(redis.subscribe("b").await.unwrap());
        assert_eq!(slow.missed(), 7);
        for expected in ["7", "8", "9"] {
            assert_eq!(slow.next().await.unwrap().payload(), expected);
        }
        assert_eq!(slow.missed(), 0);
    });
    script.join().unwrap();
}

#[test]
fn subscription_that_is_refused_is_the_servers_error() {
    let (url, script) = peer(|listener| {
        let _commands = Peer::greet(&listener);
        let mut peer = Peer::greet(&listener);
        peer.expects("SUBSCRIBE secret");
        peer.says("-NOPERM No permissions to access a channel\r\n");
        peer.expects("UNSUBSCRIBE secret");
        peer.sees_the_end();
    });
    run(async {
        let redis = config(&url).connect().await.unwrap();
        assert_eq!(redis.subscribe("secret").await.unwrap_err().server().unwrap().code(), "NOPERM");
    });
    script.join().unwrap();
}

#[test]
fn replies_become_types_and_wrong_ones_are_named() {
    let (url, script) = peer(|listener| {
        let mut peer = Peer::greet(&listener);
        for reply in [
            ":300\r\n",
            "$2\r\n-7\r\n",
            "_\r\n",
            "*-1\r\n",
            ",2.5\r\n",
            "#t\r\n",
            "$2\r\n\u{ff}\r\n",
            "~2\r\n+b\r\n+a\r\n",
            "=6\r\ntxt:hi\r\n",
            "*2\r\n:1\r\n-ERR no\r\n",
        ] {
            peer.hears();
            peer.says(reply);
        }
        peer.sees_the_end();
    });
    run(async {
        let redis = config(&url).connect().await.unwrap();
        let next = || redis.command(&["X"]);
        let number = next().await.unwrap();
        assert_eq!((number.to::<u16>(), number.to::<String>()), (Ok(300), Ok("300".to_owned())));
        let expected = "an integer of the type i8";
        assert_eq!(number.to::<i8>(), Err(RedisError::Type { expected, found: "an integer" }));
        let text = next().await.unwrap();
        assert_eq!((text.to::<i64>(), text.to::<f64>(), text.to::<Vec<u8>>()), (Ok(-7), Ok(-7.0), Ok(b"-7".to_vec())));
        assert!(text.to::<u64>().is_err() && text.to::<Vec<i64>>().is_err() && text.to::<bool>().is_err());
        for null in [next().await.unwrap(), next().await.unwrap()] {
            assert_eq!((null.to::<Option<i64>>(), null.to::<()>()), (Ok(None), Ok(())));
            assert!(null.to::<String>().is_err() && null.to::<Vec<String>>().is_err());
        }
        assert_eq!(next().await.unwrap().to::<f64>(), Ok(2.5));
        let yes = next().await.unwrap();
        assert_eq!((yes.to::<bool>(), yes.to::<u16>()), (Ok(true), Ok(1)));
        assert_eq!(next().await.unwrap().to::<Vec<u8>>(), Ok("\u{ff}".as_bytes().to_vec()));
        let set = next().await.unwrap().to::<std::collections::BTreeSet<String>>().unwrap();
        assert_eq!(set.into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(next().await.unwrap().to::<String>(), Ok("hi".to_owned()));
        let mixed = next().await.unwrap();
        assert!(mixed.to::<Vec<i64>>().unwrap_err().server().is_some());
        let each = mixed.to::<(i64, Result<i64, RedisError>)>().unwrap();
        assert!(each.0 == 1 && each.1.is_err());
    });
    script.join().unwrap();
}

#[test]
fn client_on_a_servers_core_gets_its_replies_before_it_ends_with_the_server() {
    let (told, tell) = std::sync::mpsc::channel::<()>();
    let (url, script) = peer(move |listener| {
        let mut peer = Peer::greet(&listener);
        peer.expects("GET a");
        tell.recv().unwrap();
        peer.says("+a\r\n");
        peer.sees_the_end();
    });
    let (sender, heard) = events();
    let server = Server::new().cores(1).listen("tcp://127.0.0.1:0", tiderace::codec::Raw, || handlers::Echo).unwrap();
    let server = Running::start(server);
    until("it runs", || server.handle.cores() == 1);
    assert!(server.handle.run_on(0, move || {
        spawn_local(async move {
            let redis = config(&url).connect().await.unwrap();
            let a = redis.get::<String>("a");
            sender.send("asked".to_owned()).unwrap();
            sender.send(a.await.unwrap()).unwrap();
        })
        .detach();
    }));
    assert_eq!(heard.next(), "asked");
    let stopping = std::thread::spawn(move || server.stop(PATIENCE));
    told.send(()).unwrap();
    assert_eq!(heard.next(), "a");
    stopping.join().unwrap();
    script.join().unwrap();
}

/// What every Redis does.
async fn every_redis(url: &str) {
    let redis = config(url).named("tester").unwrap().connect().await.unwrap();
    redis.command(&["FLUSHDB"]).await.unwrap();
    redis.set("x", "1").await.unwrap();
    assert_eq!(redis.incr("x", 41).await, Ok(42));
    assert_eq!(redis.get::<i64>("x").await, Ok(42));
    assert_eq!(redis.get::<Option<String>>("none").await, Ok(None));
    let large = "x".repeat(300_000);
    redis.set("large", &large).await.unwrap();
    assert!(redis.get::<String>("large").await.unwrap() == large);
    assert_eq!(redis.del("large").await, Ok(true));
    assert_eq!(redis.query::<String>(&["CLIENT", "GETNAME"]).await.unwrap(), "tester");
    let error = redis.command(&["INCR"]).await.unwrap_err();
    assert_eq!(error.server().unwrap().code(), "ERR");
    let requests: Vec<_> = (0..1000).map(|_| redis.incr("n", 1)).collect();
    for (i, request) in requests.into_iter().enumerate() {
        assert_eq!(request.await, Ok(i as i64 + 1));
    }
    let mut transfer = redis.pipeline();
    let done = transfer.add(&["SET", "y", "no number"]).add(&["INCR", "y"]).add(&["GET", "x"]).atomic().run();
    let done = done.await.unwrap();
    assert!(done.get::<i64>(1).is_err());
    assert_eq!(done.get::<i64>(2), Ok(42));
    assert!(redis.pipeline().add(&["INCR"]).atomic().run().await.is_err());

    let mut news = redis.subscribe("news").await.unwrap();
    let mut all = redis.psubscribe("n?ws").await.unwrap();
    assert_eq!(redis.publish("news", "tide").await, Ok(2));
    assert_eq!(news.next().await.unwrap().payload(), "tide");
    assert_eq!(all.next().await.unwrap().payload(), "tide");
    drop(news);
    let last = redis.psubscribe("confirms that the other has ended").await.unwrap();
    assert_eq!(redis.publish("news", "tide").await, Ok(1));
    drop(last);
}

#[test]
fn example_server_serves_the_client_in_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}/redis.sock", folder.path().display());
    let mut process =
        Process::example("redis", &["--addr", "127.0.0.1:0", "--addr", &socket, "--cores", "2", "--password", "p@ss"]);
    let address = process.address();
    let unix = socket.replace("unix://", "unix://:p%40ss@");
    for url in [format!("redis://:p%40ss@{address}"), unix] {
        run(every_redis(&url));
        run(async {
            let redis = config(&url).protocol(Version::Resp2).connect().await.unwrap();
            let mut news = redis.subscribe("news").await.unwrap();
            assert_eq!(redis.publish("news", "tide").await, Ok(1));
            assert_eq!(news.next().await.unwrap().payload(), "tide");
        });
    }
    run(async {
        let error = config(&format!("redis://:wrong@{address}")).connect().await.unwrap_err();
        assert!(error.to_string().starts_with("WRONGPASS"), "{error}");
    });
}

#[test]
#[ignore = "needs redis-server"]
fn redis_itself_serves_the_client_in_both_versions() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]);
    command.args(["--requirepass", "p@ss"]);
    let mut server = Process::start(command);
    server.line_with("Ready to accept connections");
    let url = format!("redis://:p%40ss@127.0.0.1:{port}/3");
    run(async {
        every_redis(&url).await;
        for version in [Version::Resp2, Version::Resp3] {
            let redis = config(&url).protocol(version).connect().await.unwrap();
            redis.command(&["HSET", "h", "a", "1", "b", "2"]).await.unwrap();
            let map: HashMap<String, i64> = redis.query(&["HGETALL", "h"]).await.unwrap();
            assert_eq!(map, HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
            let mut news = redis.subscribe("news").await.unwrap();
            // The connection is ended by the server: both are made again.
            let admin = config(&url).connect().await.unwrap();
            let _ = redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
            while news.gaps() == 0 {
                sleep(Duration::from_millis(1)).await;
            }
            while admin.publish("news", "tide").await.unwrap() == 0 {
                yield_now().await;
            }
            assert_eq!(news.next().await.unwrap().payload(), "tide");
        }
    });
}
