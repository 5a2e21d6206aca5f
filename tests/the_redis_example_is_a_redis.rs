//! The example `redis`, as clients of Redis see it; and our client, as Redis sees it. What needs Redis's own programs is
//! ignored unless asked for: `cargo test --features resp -- --ignored redis`.
#![cfg(feature = "resp")]

mod support;

use redis::{Commands as _, Connection, Value as Answer, cmd};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use support::process::Process;
use support::*;
use tiderace::resp::{Replies, Value};

fn example(args: &[&str]) -> (Process, String) {
    let mut process = Process::example("redis", &[&["--addr", "127.0.0.1:0"], args].concat());
    let address = process.address();
    (process, address)
}

fn connect(address: &str, version: &str) -> Connection {
    redis::Client::open(format!("redis://{address}/{version}")).unwrap().get_connection().unwrap()
}

/// What is printed to who types it.
fn answer(connection: &mut Connection, line: &str) -> String {
    let mut words = line.split(' ');
    let mut command = cmd(words.next().unwrap());
    words.for_each(|word| {
        command.arg(word);
    });
    match command.query::<Answer>(connection) {
        Ok(value) => show(&value),
        Err(error) => format!("{error}"),
    }
}

fn show(value: &Answer) -> String {
    match value {
        Answer::Nil => "nothing".to_owned(),
        Answer::Int(number) => number.to_string(),
        Answer::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Answer::Array(values) => values.iter().map(show).collect::<Vec<_>>().join(" "),
        Answer::SimpleString(text) => text.clone(),
        Answer::Okay => "OK".to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn every_command_does_what_it_says() {
    for version in ["?protocol=resp2", "?protocol=resp3"] {
        let (_process, address) = example(&["--cores", "2"]);
        let connection = &mut connect(&address, version);
        for (command, expected) in [
            ("PING", "PONG"),
            ("ping hello", "hello"),
            ("ECHO twice", "twice"),
            ("GET a", "nothing"),
            ("SET a 1", "OK"),
            ("GET a", "1"),
            ("SET a 2 NX", "nothing"),
            ("SET a 2 XX", "OK"),
            ("SET z 2 XX", "nothing"),
            ("INCR a", "3"),
            ("INCRBY a -5", "-2"),
            ("DECR a", "-3"),
            ("INCR counter", "1"),
            ("MSET b two c three", "OK"),
            ("MGET a b none c", "-3 two nothing three"),
            ("EXISTS a b none a", "3"),
            ("DEL b c none", "2"),
            ("TTL a", "-1"),
            ("TTL none", "-2"),
            ("EXPIRE a 100", "1"),
            ("TTL a", "100"),
            ("EXPIRE none 100", "0"),
            ("SET d 4 EX 50", "OK"),
            ("TTL d", "50"),
            ("INCR d", "5"),
            ("TTL d", "50"),
            ("SET d 4", "OK"),
            ("TTL d", "-1"),
            ("EXPIRE d -1", "1"),
            ("EXISTS d", "0"),
            ("SET abc 1", "OK"),
            ("SET adc 1", "OK"),
            ("KEYS a[^b]c", "adc"),
            ("KEYS ab?", "abc"),
            ("DBSIZE", "4"),
            ("COMMAND COUNT", "27"),
            ("SELECT 0", "OK"),
            ("FLUSHALL", "OK"),
            ("KEYS *", ""),
        ] {
            assert_eq!(answer(connection, command), expected, "{command} {version}");
        }
        for (command, refusal) in [
            ("GET", "wrong number of arguments for 'get' command"),
            ("MSET a 1 b", "wrong arguments for 'mset'"),
            ("NONSENSE a", "unknown command 'nonsense'"),
            ("SET a 1 EX", "syntax error"),
            ("SET a 1 EX x", "not an integer"),
            ("SET a 1 EX 0", "invalid expire time"),
            ("SET a 1 EX 99999999999999999", "invalid expire time"),
            ("SELECT 1", "out of range"),
        ] {
            let answer = answer(connection, command);
            assert!(answer.contains(refusal), "{command} {version}: {answer}");
        }
        let _: () = connection.set("max", i64::MAX).unwrap();
        assert!(answer(connection, "INCR max").contains("overflow"));
        let _: () = connection.set("text", "x").unwrap();
        assert!(answer(connection, "INCR text").contains("not an integer"));
        // A value that is longer than any buffer, and bytes that are no text.
        let value: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        let _: () = connection.set("long", &value).unwrap();
        assert!(connection.get::<_, Vec<u8>>("long").unwrap() == value);
        // Several at once.
        let both: (i64, Vec<String>) =
            redis::pipe().incr("n", 5).cmd("MGET").arg("n").arg("text").query(connection).unwrap();
        assert_eq!(both, (5, vec!["5".to_owned(), "x".to_owned()]));
        let info: String = cmd("INFO").query(connection).unwrap();
        assert!(info.contains("redis_version:") && info.contains("db0:keys=4"), "{info}");
    }
}

#[test]
fn keys_end_in_their_time_and_memory_has_an_end() {
    let (_process, address) = example(&["--max-memory", "1"]);
    let connection = &mut connect(&address, "");
    assert_eq!(answer(connection, "SET a 1 PX 30"), "OK");
    assert_eq!(answer(connection, "SET b 1"), "OK");
    until("the key has ended", || answer(connection, "GET a") == "nothing");
    until("the key is removed", || answer(connection, "DBSIZE") == "1");
    let half = vec![b'x'; 600_000];
    let _: () = connection.set("first", &half).unwrap();
    let error = connection.set::<_, _, ()>("second", &half).unwrap_err();
    assert_eq!(error.code(), Some("OOM"), "{error}");
    assert_eq!(answer(connection, "DEL first"), "1");
    let _: () = connection.set("second", &half).unwrap();
}

#[test]
fn what_is_published_is_heard() {
    let (_process, address) = example(&["--cores", "2"]);
    let mut old = connect(&address, "");
    let mut plain = TcpStream::connect(&address).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut listener = old.as_pubsub();
    listener.set_read_timeout(Some(PATIENCE)).unwrap();
    listener.subscribe(&["news", "more"]).unwrap();
    plain.write_all(b"HELLO 3\r\nSUBSCRIBE news\r\n").unwrap();
    hears(&mut plain, b">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");

    let mut speaker = connect(&address, "");
    assert_eq!(answer(&mut speaker, "PUBLISH news hello"), "2");
    assert_eq!(answer(&mut speaker, "PUBLISH more only-one"), "1");
    assert_eq!(answer(&mut speaker, "PUBLISH silence nobody"), "0");
    for expected in ["hello", "only-one"] {
        assert_eq!(listener.get_message().unwrap().get_payload::<String>().unwrap(), expected);
    }
    hears(&mut plain, b">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
    // Who goes back to version 2 hears in that.
    let mut back = TcpStream::connect(&address).unwrap();
    back.set_read_timeout(Some(PATIENCE)).unwrap();
    back.write_all(b"HELLO 3\r\nSUBSCRIBE rare\r\nHELLO 2\r\n").unwrap();
    hears(&mut back, b"modules\r\n*0\r\n");
    assert_eq!(answer(&mut speaker, "PUBLISH rare old"), "1");
    hears(&mut back, b"*3\r\n$7\r\nmessage\r\n$4\r\nrare\r\n$3\r\nold\r\n");
    // A listener of version 3 may say anything else, and one of version 2 may not.
    plain.write_all(b"PING\r\nUNSUBSCRIBE\r\n").unwrap();
    hears(&mut plain, b">3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n");
    plain.write_all(b"HELLO 2\r\nSUBSCRIBE news\r\nGET a\r\n").unwrap();
    hears(&mut plain, b"-ERR only ");
    // Who leaves is not counted.
    plain.write_all(b"\r\nQUIT\r\n").unwrap();
    hears(&mut plain, b"+OK\r\n");
    drop(listener);
    drop(old);
    until("both have left", || answer(&mut speaker, "PUBLISH news again") == "0");
}

/// Reads until this has come.
#[track_caller]
fn hears(stream: &mut TcpStream, expected: &[u8]) {
    let mut heard = Vec::new();
    while !heard.ends_with(expected) {
        let mut byte = [0];
        assert!(stream.read(&mut byte).unwrap() == 1, "the end after {:?}", heard.escape_ascii().to_string());
        heard.push(byte[0]);
    }
}

#[test]
fn many_at_once_miss_no_increment() {
    let (_process, address) = example(&["--cores", "4"]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut connection = connect(&address, "");
                for _ in 0..500 {
                    let _: i64 = connection.incr("n", 1).unwrap();
                    // In the opposite order of others, so that locks taken one by one would wait for each other.
                    let _: () = cmd("MSET").arg(&["x", "1", "y", "2", "z", "3"]).query(&mut connection).unwrap();
                    let _: Vec<i64> = cmd("MGET").arg(&["z", "y", "x"]).query(&mut connection).unwrap();
                }
            });
        }
    });
    assert_eq!(answer(&mut connect(&address, ""), "GET n"), "4000");
}

#[test]
#[ignore = "needs redis-cli and redis-benchmark"]
fn the_tools_of_redis_are_served() {
    let (_process, address) = example(&["--cores", "2"]);
    let (_, port) = address.rsplit_once(':').unwrap();
    let cli = |args: &[&str]| {
        let output = Command::new("redis-cli").args(["-p", port]).args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(cli(&["SET", "greeting", "hello"]), "OK\n");
    assert_eq!(cli(&["GET", "greeting"]), "hello\n");
    assert_eq!(cli(&["-3", "MGET", "greeting", "none"]), "hello\n\n");
    assert!(cli(&["-3", "HELLO", "3"]).contains("proto 3\n"));
    assert!(cli(&["INFO"]).contains("redis_version"));
    let output = Command::new("redis-benchmark")
        .args(["-p", port, "-t", "ping,set,get,incr,mset", "-n", "20000", "-P", "16", "--csv"])
        .output()
        .unwrap();
    let (table, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && table.lines().count() == 7, "{table}{complaints}");
    assert!(!complaints.to_lowercase().contains("error"), "{complaints}");
}

#[test]
#[ignore = "needs redis-server"]
fn our_client_understands_redis_itself() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]);
    let mut server = Process::start(command);
    server.line_with("Ready to accept connections");
    tiderace::block_on(async move {
        let mut redis = tiderace::connect(format!("tcp://127.0.0.1:{port}")).await?.framed(Replies::default());
        redis.send(&["HELLO", "3"]).await?;
        let hello = redis.next().await?.and_then(|value| value.values()).unwrap();
        let proto = hello.into_iter().skip_while(|key| key.as_str() != Some("proto")).nth(1);
        assert_eq!(proto, Some(Value::Integer(3)));
        for (command, expected) in [
            (vec!["SET", "a", "1"], "Simple"),
            (vec!["GET", "a"], "Bulk"),
            (vec!["GET", "none"], "Null"),
            (vec!["INCR", "a"], "Integer"),
            (vec!["SADD", "s", "x", "y"], "Integer"),
            (vec!["SMEMBERS", "s"], "Set"),
            (vec!["ZADD", "z", "1.5", "x"], "Integer"),
            (vec!["ZSCORE", "z", "x"], "Double"),
            (vec!["CONFIG", "GET", "save"], "Map"),
            (vec!["DEBUG", "NONSENSE"], "Error"),
            (vec!["COMMAND"], "Array"),
            (vec!["INFO"], "Verbatim"),
        ] {
            redis.send(&command[..]).await?;
            let reply = redis.next().await?.unwrap();
            assert!(format!("{reply:?}").starts_with(expected), "{command:?}: {reply:?}");
        }
        redis.send(&["SUBSCRIBE", "news"]).await?;
        assert!(matches!(redis.next().await?, Some(Value::Push(_))));
        tiderace::Result::<()>::Ok(())
    })
    .unwrap();
}
