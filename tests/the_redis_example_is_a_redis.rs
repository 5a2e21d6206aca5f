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
            ("COMMAND COUNT", "63"),
            ("SELECT 0", "OK"),
            ("FLUSHALL", "OK"),
            ("KEYS *", ""),
        ] {
            assert_eq!(answer(connection, command), expected, "{command} {version}");
        }
        for (command, refusal) in [
            ("GET", "wrong number of arguments for 'get' command"),
            ("MSET a 1 b", "wrong number of arguments for 'mset'"),
            ("NONSENSE a", "unknown command 'NONSENSE', with args beginning with: 'a'"),
            ("SET a 1 EX", "syntax error"),
            ("SET a 1 EX x", "not an integer"),
            ("SET a 1 EX 0", "invalid expire time"),
            ("SET a 1 EX 99999999999999999", "invalid expire time"),
            ("SELECT 16", "out of range"),
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
    hears(&mut plain, b"-ERR Can't execute 'get': only ");
    // Who leaves is not counted.
    plain.write_all(b"\r\nQUIT\r\n").unwrap();
    hears(&mut plain, b"+OK\r\n");
    drop(listener);
    drop(old);
    until("both have left", || answer(&mut speaker, "PUBLISH news again") == "0");
}

/// Commands as they are typed, in their order, and what Redis answers to each; those behind `~` are only sent.
const ANSWERS: &str = include_str!("support/redis_answers.txt");

/// Sends every command of the table, and compares what is answered byte by byte. The server begins without keys.
fn answers_as_written(address: &str) {
    let connect = || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let (mut stream, mut compared) = (connect(), 0);
    for line in ANSWERS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (command, expected) = line.split_once('\t').unwrap_or((line, ""));
        let silent = command.strip_prefix('~');
        stream.write_all(format!("{}\r\n", silent.unwrap_or(command)).as_bytes()).unwrap();
        if silent.is_some() {
            // Its end is known by that of the next.
            stream.write_all(b"ECHO over\r\n").unwrap();
            hears(&mut stream, b"$4\r\nover\r\n");
            continue;
        }
        let expected = expected.replace("\\r", "\r").replace("\\n", "\n");
        let mut heard = Vec::new();
        while heard.len() < expected.len() && expected.as_bytes().starts_with(&heard) {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => heard.push(byte[0]),
                end => {
                    panic!("{command}: {end:?} after {:?} instead of {expected:?}", heard.escape_ascii().to_string())
                }
            }
        }
        assert_eq!(heard.escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string(), "{command}");
        if command.starts_with("QUIT") {
            assert_eq!(read_to_end(&mut stream), b"", "{command}");
            stream = connect();
        }
        compared += 1;
    }
    assert!(compared > 300, "{compared}");
}

#[test]
fn answers_are_those_of_redis_byte_by_byte() {
    let (_process, address) = example(&["--cores", "2"]);
    answers_as_written(&address);
}

#[test]
#[ignore = "needs redis-server"]
fn redis_itself_gives_the_same_answers() {
    let (_server, port) = redis_server();
    answers_as_written(&format!("127.0.0.1:{port}"));
}

fn typist(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[track_caller]
fn says(stream: &mut TcpStream, command: &str, expected: &str) {
    stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    hears(stream, expected.as_bytes());
}

#[test]
fn web_page_cannot_write() {
    let (_process, address) = example(&["--cores", "2"]);
    let mut safe = typist(&address);
    for attack in [
        &b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nSET x 1\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nSET x 1\r\n",
        b"*1\r\n$4\r\npost\r\nSET x 1\r\n",
        b"*2\r\n$5\r\nHost:\r\n$1\r\nh\r\nSET x 1\r\n",
    ] {
        let mut attacker = typist(&address);
        attacker.write_all(attack).unwrap();
        let told = String::from_utf8(read_to_end(&mut attacker)).unwrap();
        assert!(!told.contains("OK") && told.lines().count() <= 1, "{told:?}");
    }
    says(&mut safe, "EXISTS x", ":0\r\n");
}

#[test]
fn protocol_is_kept_as_redis_keeps_it() {
    let (_process, address) = example(&["--cores", "1"]);
    let mut stream = typist(&address);
    // What is empty has no answer.
    stream.write_all(b"\r\n*0\r\n*-10\r\n   \r\nPING\r\n").unwrap();
    hears(&mut stream, b"+PONG\r\n");
    // A command of very many arguments, and a transaction that comes with it.
    let pairs: String = (0..20_000).map(|n| format!("$1\r\nk\r\n${}\r\n{n}\r\n", n.to_string().len())).collect();
    stream.write_all(format!("*40001\r\n$4\r\nMSET\r\n{pairs}MULTI\r\nGET k\r\nEXEC\r\n").as_bytes()).unwrap();
    hears(&mut stream, b"+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n$5\r\n19999\r\n");
    // A stream that is out of step is given up.
    for wrong in ["\0", "*\0", "$\0", "*1\r\n$\0", "*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n"] {
        let mut stream = typist(&address);
        stream.write_all(wrong.as_bytes()).unwrap();
        let line = [&[b'A'; 1024][..], b"\n"].concat();
        for _ in 0..1000 {
            if stream.write_all(&line).is_err() {
                break;
            }
        }
        let mut told = [0; 19];
        // The end may have overtaken the words: more was written than the server has read.
        if stream.read_exact(&mut told).is_ok() && wrong != "$\0" {
            assert_eq!(&told, b"-ERR Protocol error", "{wrong:?}");
        }
    }
}

#[test]
fn transaction_is_seen_whole() {
    let (_process, address) = example(&["--cores", "3"]);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut connection = connect(&address, "");
            for n in 0..500 {
                let _: () = redis::pipe().atomic().set("x", n).set("y", n).incr("z", 1).query(&mut connection).unwrap();
            }
        });
        let mut connection = connect(&address, "");
        while !writer.is_finished() {
            let (x, y): (Option<i64>, Option<i64>) = cmd("MGET").arg(&["x", "y"]).query(&mut connection).unwrap();
            assert_eq!(x, y);
        }
    });
    assert_eq!(answer(&mut connect(&address, ""), "GET z"), "500");
}

#[test]
fn watched_key_that_changes_stops_the_transaction() {
    let (_process, address) = example(&["--cores", "2"]);
    let (mut watcher, mut other) = (typist(&address), typist(&address));
    for (change, answer) in [
        ("SET w 1", "+OK\r\n"),
        ("INCR w", ":2\r\n"),
        ("EXPIRE w 100", ":1\r\n"),
        ("PERSIST w", ":1\r\n"),
        ("APPEND w 1", ":2\r\n"),
        ("RENAME w v", "+OK\r\n"),
        ("RENAME v w", "+OK\r\n"),
        ("MSET v 1 w 2", "+OK\r\n"),
        ("GETDEL w", "$1\r\n2\r\n"),
        ("SETNX w 1", ":1\r\n"),
        ("FLUSHDB", "+OK\r\n"),
        ("SETEX w 100 1", "+OK\r\n"),
        ("FLUSHALL", "+OK\r\n"),
    ] {
        says(&mut watcher, "WATCH w", "+OK\r\n");
        says(&mut other, change, answer);
        says(&mut watcher, "MULTI", "+OK\r\n");
        says(&mut watcher, "SET harm 1", "+QUEUED\r\n");
        says(&mut watcher, "EXEC", "*-1\r\n");
        says(&mut other, "EXISTS harm", ":0\r\n");
    }
    for (harmless, answer) in
        [("GET w", "$-1\r\n"), ("SET v 1", "+OK\r\n"), ("DEL w", ":0\r\n"), ("SET w 1 XX", "$-1\r\n")]
    {
        says(&mut watcher, "WATCH w", "+OK\r\n");
        says(&mut other, harmless, answer);
        says(&mut watcher, "MULTI", "+OK\r\n");
        says(&mut watcher, "PING", "+QUEUED\r\n");
        says(&mut watcher, "EXEC", "*1\r\n+PONG\r\n");
    }
    // A key that ends has changed; one that had ended before has not.
    says(&mut other, "SET w 1 PX 20", "+OK\r\n");
    says(&mut watcher, "WATCH w", "+OK\r\n");
    until("the key has ended", || {
        other.write_all(b"EXISTS w\r\n").unwrap();
        let mut heard = [0; 4];
        other.read_exact(&mut heard).unwrap();
        &heard == b":0\r\n"
    });
    says(&mut watcher, "MULTI", "+OK\r\n");
    says(&mut watcher, "PING", "+QUEUED\r\n");
    says(&mut watcher, "EXEC", "*-1\r\n");
    says(&mut other, "SET w 1 EXAT 1", "+OK\r\n");
    says(&mut watcher, "WATCH w", "+OK\r\n");
    says(&mut watcher, "MULTI", "+OK\r\n");
    says(&mut watcher, "PING", "+QUEUED\r\n");
    says(&mut watcher, "EXEC", "*1\r\n+PONG\r\n");
}

#[test]
fn scan_visits_each_key_that_stays_once() {
    let (_process, address) = example(&["--cores", "2"]);
    let connection = &mut connect(&address, "");
    let mut pipe = redis::pipe();
    (0..1000).for_each(|n| {
        pipe.set(format!("stays:{n}"), n).ignore();
    });
    let _: () = pipe.query(connection).unwrap();
    for count in [1, 7, 100, 5000] {
        let (mut cursor, mut visited, mut calls) = (0_u64, Vec::<String>::new(), 0);
        loop {
            let (next, keys): (u64, Vec<String>) =
                cmd("SCAN").arg(cursor).arg("MATCH").arg("stays:*").arg("COUNT").arg(count).query(connection).unwrap();
            visited.extend(keys);
            calls += 1;
            // Others come and go, so that tables grow.
            if calls % 50 == 1 {
                let mut pipe = redis::pipe();
                (0..10).for_each(|n| {
                    pipe.set(format!("goes:{count}:{calls}:{n}"), n).ignore();
                    pipe.del(format!("goes:{count}:{}:{n}", calls - calls.min(50))).ignore();
                });
                let _: () = pipe.query(connection).unwrap();
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        let found = visited.len();
        visited.sort_unstable();
        visited.dedup();
        assert_eq!((found, visited.len()), (1000, 1000), "by {count}");
        assert!(calls >= 1000 / count, "{calls} calls by {count}");
    }
}

#[test]
fn mset_without_room_sets_nothing() {
    let (_process, address) = example(&["--max-memory", "1"]);
    let connection = &mut connect(&address, "");
    let half = "x".repeat(400_000);
    assert_eq!(answer(connection, "SET b small"), "OK");
    for command in ["MSET", "MSETNX"] {
        let keys = if command == "MSET" { ["a", "b", "c"] } else { ["d", "e", "f"] };
        let error = cmd(command)
            .arg(keys[0])
            .arg(&half)
            .arg(keys[1])
            .arg(&half)
            .arg(keys[2])
            .arg(&half)
            .query::<()>(connection)
            .unwrap_err();
        assert_eq!(error.code(), Some("OOM"), "{error}");
    }
    assert_eq!(answer(connection, "MGET a b c d"), "nothing small nothing nothing");
    // The later value of a key counts, and what becomes shorter makes room.
    let _: () = cmd("MSET").arg("a").arg(&half).arg("a").arg(&half).arg("b").arg(&half).query(connection).unwrap();
    let _: () = cmd("MSET").arg("c").arg(&half).arg("a").arg("1").query(connection).unwrap();
    assert_eq!(answer(connection, "STRLEN c"), "400000");
}

#[test]
fn tcp_and_unix_are_served_at_once() {
    let folder = std::env::temp_dir().join(format!("tiderace-redis-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    let unix = format!("unix://{}", path.display());
    let (mut process, address) = example(&["--addr", &unix, "--addr", "127.0.0.1:0"]);
    let second = process.nth_address(2);
    assert_eq!(answer(&mut connect(&address, ""), "SET a 1"), "OK");
    let mut local = redis::Client::open(format!("unix://{}", path.display())).unwrap().get_connection().unwrap();
    assert_eq!(answer(&mut local, "INCR a"), "2");
    assert_eq!(answer(&mut connect(&second, ""), "GET a"), "2");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn settings_are_asked_for_together_and_by_patterns() {
    let (_process, address) = example(&["--max-memory", "7"]);
    let mut stream = typist(&address);
    let both = "*4\r\n$10\r\nappendonly\r\n$2\r\nno\r\n$4\r\nsave\r\n$0\r\n\r\n";
    says(&mut stream, "CONFIG GET save appendonly save nonsense", both);
    says(&mut stream, "config get S?VE append*", both);
    says(&mut stream, "CONFIG GET maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$7\r\n7340032\r\n");
    says(&mut stream, "HELLO 3", "*0\r\n");
    says(&mut stream, "CONFIG GET save appendonly", &both.replace("*4", "%2"));
}

#[test]
fn password_is_wanted_before_anything_else() {
    let (_process, address) = example(&["--password", "open sesame"]);
    let mut stream = typist(&address);
    for command in ["GET a", "SET a 1", "PING", "SUBSCRIBE a", "MULTI", "CLIENT ID", "COMMAND"] {
        says(&mut stream, command, "-NOAUTH Authentication required.\r\n");
    }
    says(&mut stream, "HELLO 3", "-NOAUTH HELLO must be called with the client already authenticated");
    says(&mut stream, "", "at the same time\r\n");
    for wrong in ["AUTH x", "AUTH ''", "AUTH 'open sesame '", "AUTH other 'open sesame'", "HELLO 3 AUTH default x"] {
        says(&mut stream, wrong, "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    }
    says(&mut stream, "PING", "-NOAUTH Authentication required.\r\n");
    says(&mut stream, "AUTH 'open sesame'", "+OK\r\n");
    says(&mut stream, "PING", "+PONG\r\n");
    says(&mut stream, "RESET", "+RESET\r\n");
    says(&mut stream, "PING", "-NOAUTH Authentication required.\r\n");
    says(&mut stream, "HELLO 3 AUTH default 'open sesame' SETNAME me", "$7\r\nmodules\r\n*0\r\n");
    says(&mut stream, "CLIENT GETNAME", "$2\r\nme\r\n");
    let client = redis::Client::open(format!("redis://:open%20sesame@{address}/3")).unwrap();
    assert_eq!(answer(&mut client.get_connection().unwrap(), "PING"), "PONG");
}

#[test]
fn patterns_hear_what_matches_them() {
    let (_process, address) = example(&["--cores", "2"]);
    let (mut old, mut new, mut speaker) = (typist(&address), typist(&address), typist(&address));
    says(&mut old, "PSUBSCRIBE n?ws* other", "*3\r\n$10\r\npsubscribe\r\n$5\r\nother\r\n:2\r\n");
    says(&mut old, "SUBSCRIBE news", ":3\r\n");
    says(&mut new, "HELLO 3", "*0\r\n");
    says(&mut new, "PSUBSCRIBE *", ":1\r\n");
    says(&mut speaker, "PUBSUB NUMPAT", ":3\r\n");
    says(&mut speaker, "PUBSUB CHANNELS", "*1\r\n$4\r\nnews\r\n");
    says(&mut speaker, "PUBSUB CHANNELS x*", "*0\r\n");
    says(&mut speaker, "PUBSUB NUMSUB news none", "*4\r\n$4\r\nnews\r\n:1\r\n$4\r\nnone\r\n:0\r\n");
    says(&mut speaker, "PUBLISH news hi", ":3\r\n");
    says(&mut speaker, "PUBLISH else hi", ":1\r\n");
    hears(&mut new, b">4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$4\r\nnews\r\n$2\r\nhi\r\n>4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$4\r\nelse\r\n$2\r\nhi\r\n");
    hears(&mut old, b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n*4\r\n$8\r\npmessage\r\n$5\r\nn?ws*\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
    says(&mut old, "PUNSUBSCRIBE", ":2\r\n");
    hears(&mut old, b":1\r\n");
    says(&mut speaker, "PUBSUB NUMPAT", ":1\r\n");
    drop(new);
    until("the pattern is forgotten", || {
        speaker.write_all(b"PUBSUB NUMPAT\r\n").unwrap();
        let mut heard = [0; 4];
        speaker.read_exact(&mut heard).unwrap();
        &heard == b":0\r\n"
    });
}

#[test]
fn clients_are_listed_and_killed() {
    let (_process, address) = example(&["--cores", "2"]);
    let (first, mut second) = (&mut connect(&address, ""), typist(&address));
    let id = answer(first, "CLIENT ID");
    assert_eq!(answer(first, "CLIENT SETNAME first"), "OK");
    assert_eq!(answer(first, "CLIENT SETINFO LIB-NAME lib"), "OK");
    assert_eq!(answer(first, "CLIENT SETINFO LIB-VER 1.2"), "OK");
    assert!(answer(first, "CLIENT SETINFO LIB-COLOUR red").contains("Unrecognized option 'LIB-COLOUR'"));
    assert_eq!(answer(first, "SELECT 3"), "OK");
    let own = answer(first, "CLIENT INFO");
    for part in [&format!("id={id} "), "name=first ", "lib-name=lib ", "lib-ver=1.2 ", "db=3 ", "resp=2", "flags=N "] {
        assert!(own.contains(part), "{own}");
    }
    let peer = second.local_addr().unwrap();
    says(&mut second, "SUBSCRIBE a", ":1\r\n");
    let all = answer(first, "CLIENT LIST");
    assert!(all.lines().count() == 2 && all.contains(&format!("addr={peer} ")), "{all}");
    let listening = answer(first, "CLIENT LIST TYPE pubsub");
    assert!(listening.lines().count() == 1 && listening.contains("sub=1 "), "{listening}");
    assert_eq!(answer(first, &format!("CLIENT LIST ID {id}")).lines().count(), 1);
    assert_eq!(answer(first, "CLIENT KILL TYPE normal"), "0");
    assert_eq!(answer(first, &format!("CLIENT KILL ADDR {peer}")), "1");
    assert_eq!(read_to_end(&mut second), b"");
    until("the client is forgotten", || answer(first, "CLIENT LIST").lines().count() == 1);
    assert!(answer(first, &format!("CLIENT KILL {peer}")).contains("No such client"));
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

/// Redis itself, without keys, and its port.
fn redis_server() -> (Process, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]);
    let mut server = Process::start(command);
    server.line_with("Ready to accept connections");
    (server, port)
}

#[test]
#[ignore = "needs redis-server"]
fn our_client_understands_redis_itself() {
    let (_server, port) = redis_server();
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
