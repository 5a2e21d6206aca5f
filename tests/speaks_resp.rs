//! RESP: what is sent is received, wherever the stream is cut; what is wrong is refused, and its peer is told why.
#![cfg(feature = "resp")]

mod support;

use proptest::prelude::*;
use std::fmt::Write as _;
use std::io::Write;
use support::stream::{always, decode};
use support::*;
use tiderace::codec::{Codec, Decoder, Encoder, Input, encode_to_vec};
use tiderace::resp::{Command, Commands, Replies, Reply, RespError, Value, Version};
use tiderace::{CloseReason, Conn, Handler, Result};

fn show_command(command: Command<'_>) -> String {
    let mut words = vec![command.name().escape_ascii().to_string()];
    words.extend(command.arguments().map(|argument| argument.escape_ascii().to_string()));
    assert_eq!(words.len(), command.len());
    words.join("|")
}

/// A value in a notation of our own, from the value itself.
fn show_value(value: Value<'_>) -> String {
    let all = |values: tiderace::resp::Values<'_>| {
        let shown: Vec<String> = values.into_iter().map(show_value).collect();
        assert_eq!(shown.len(), values.len());
        shown.join(",")
    };
    match value {
        Value::Array(values) => format!("[{}]", all(values)),
        Value::Set(values) => format!("~[{}]", all(values)),
        Value::Push(values) => format!(">[{}]", all(values)),
        Value::Map(values) => format!("{{{}}}", all(values)),
        other => format!("{other:?}"),
    }
}

fn show_reply(reply: &Reply<'_>) -> String {
    let all = |replies: &[Reply<'_>]| replies.iter().map(show_reply).collect::<Vec<_>>().join(",");
    match reply {
        Reply::Simple(text) => format!("{:?}", Value::Simple(text.as_bytes())),
        Reply::Error(text) => format!("{:?}", Value::Error(text.as_bytes())),
        Reply::Integer(number) => format!("{:?}", Value::Integer(*number)),
        Reply::Bulk(bytes) => format!("{:?}", Value::Bulk(bytes)),
        Reply::Null => format!("{:?}", Value::Null),
        Reply::Boolean(yes) => format!("{:?}", Value::Boolean(*yes)),
        Reply::Double(number) => format!("{:?}", Value::Double(*number)),
        Reply::Array(replies) => format!("[{}]", all(replies)),
        Reply::Set(replies) => format!("~[{}]", all(replies)),
        Reply::Push(replies) => format!(">[{}]", all(replies)),
        Reply::Map(pairs) => {
            let flat: Vec<Reply<'_>> = pairs.iter().flat_map(|(key, value)| [*key, *value]).collect();
            format!("{{{}}}", all(&flat))
        }
    }
}

proptest! {
    #[test]
    fn commands_survive_every_cut(commands in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 1..5), 0..5)) {
        let mut encoder = Replies::default();
        let stream: Vec<u8> = commands.iter().flat_map(|command| encode_to_vec(&mut encoder, &command[..]).unwrap()).collect();
        let shown: Vec<String> = commands
            .iter()
            .map(|command| command.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join("|"))
            .collect();
        always(&Commands::default(), &stream, &shown, show_command);
    }

    /// Whatever comes, a decoder says something and does not panic, and says the same to it in one piece and in many.
    #[test]
    fn noise_is_a_command_or_an_error(noise in prop::collection::vec(prop::sample::select(&b"*$+-:_,#(!=%~>|0123456789\r\n\r\n ax\"'\\"[..]), 0..60)) {
        same_in_pieces(&Commands::default(), &noise, show_command);
        same_in_pieces(&Replies::default(), &noise, show_value);
    }
}

fn same_in_pieces<C: Codec>(codec: &C, noise: &[u8], show: impl Fn(<C::Decoder as Decoder>::Item<'_>) -> String) {
    let run = |pieces: &[usize]| {
        let (mut decoder, _) = codec.halves();
        let (mut from, mut said) = (0, String::new());
        for end in pieces {
            loop {
                match decoder.frame_end(Input::from(&noise[from..*end])) {
                    Ok(Some(length)) => {
                        let mut frame = noise[from..from + length].to_vec();
                        from += length;
                        match decoder.is_message(&mut frame) {
                            Ok(true) => {}
                            Ok(false) => continue,
                            Err(error) => return format!("{said} {error:?}"),
                        }
                        match decoder.decode(&mut frame) {
                            Ok(item) => write!(said, " {}", show(item)).unwrap(),
                            Err(error) => return format!("{said} {error:?}"),
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return format!("{said} {error:?}"),
                }
            }
        }
        format!("{said} {from}")
    };
    let whole = run(&[noise.len()]);
    assert_eq!(run(&(0..=noise.len()).collect::<Vec<_>>()), whole);
}

#[test]
fn replies_survive_every_cut_in_both_versions() {
    let map =
        [(Reply::Bulk(b"k"), Reply::Array(&[Reply::Null, Reply::Boolean(true)])), (Reply::Simple(""), Reply::Set(&[]))];
    let inner = [Reply::Integer(i64::MIN), Reply::Map(&map), Reply::Double(-0.5), Reply::Double(f64::INFINITY)];
    let replies = [
        Reply::Simple("OK"),
        Reply::Error("ERR no"),
        Reply::Array(&inner),
        Reply::Push(&[Reply::Bulk(b"message"), Reply::Bulk(b"\r\n\0")]),
        Reply::Integer(-1),
        Reply::Boolean(false),
        Reply::Bulk(&[b'x'; 120]),
        Reply::Null,
    ];
    let (_, mut encoder) = Commands::default().version(Version::Resp3).halves();
    let stream: Vec<u8> = replies.iter().flat_map(|reply| encode_to_vec(&mut encoder, reply).unwrap()).collect();
    let expected: Vec<String> = replies.iter().map(show_reply).collect();
    always(&Replies::default(), &stream, &expected, show_value);

    // Version 2, which has fewer types, byte for byte.
    let (_, mut encoder) = Commands::default().halves();
    let mut old = |reply: &Reply<'_>| String::from_utf8(encode_to_vec(&mut encoder, reply).unwrap()).unwrap();
    assert_eq!(old(&Reply::Null), "$-1\r\n");
    assert_eq!(old(&Reply::Map(&[(Reply::Simple("a"), Reply::Boolean(true))])), "*2\r\n+a\r\n:1\r\n");
    assert_eq!(old(&Reply::Push(&[Reply::Double(1.5)])), "*1\r\n$3\r\n1.5\r\n");
    // And it is left when the connection says so.
    let (_, mut encoder) = Commands::default().halves();
    assert_eq!(encode_to_vec(&mut encoder, &Version::Resp3).unwrap(), b"");
    assert_eq!(encode_to_vec(&mut encoder, &Reply::Null).unwrap(), b"_\r\n");
    assert_eq!(encode_to_vec(&mut encoder, &Reply::Simple("a\nb")), Err(RespError::LineBreak { at: 1 }));
}

#[test]
fn what_only_servers_say_is_understood() {
    let stream = b"(123456789012345678901234567890\r\n=8\r\ntxt:word\r\n!5\r\nERR x\r\n*-1\r\n$-1\r\n|1\r\n+ttl\r\n:3\r\n*2\r\n|1\r\n+a\r\n*1\r\n:1\r\n:7\r\n#t\r\n";
    let expected = [
        format!("{:?}", Value::BigNumber(b"123456789012345678901234567890")),
        format!("{:?}", Value::Verbatim(*b"txt", b"word")),
        format!("{:?}", Value::Error(b"ERR x")),
        "Null".to_owned(),
        "Null".to_owned(),
        "[Integer(7),Boolean(true)]".to_owned(),
    ];
    always(&Replies::default(), stream, &expected, show_value);
}

#[test]
fn commands_are_typed_as_well() {
    let stream = b"PING\r\nset \"a key\" 'it''s'\n".to_vec();
    assert_eq!(decode(&Commands::default(), &stream, &[], usize::MAX, show_command), Err(RespError::Quotes));
    let stream = b"\r\nPING\r\n*0\r\n*-1\r\n   \nset \"a key\" '\\x41' \"\\x41\"\n*1\r\n$4\r\nQUIT\r\n";
    let expected = ["PING", "set|a key|\\\\x41|A", "QUIT"].map(str::to_owned);
    always(&Commands::default(), stream, &expected, show_command);
}

struct Listener(std::sync::mpsc::Sender<String>);

impl Handler for Listener {
    type Codec = Commands;

    async fn on_message(&mut self, conn: &mut Conn<Commands>, command: Command<'_>) -> Result {
        conn.send(&Reply::Bulk(command.name())).await
    }

    async fn on_close(&mut self, _: &mut Conn<Commands>, reason: &CloseReason) {
        let _ = self.0.send(reason.to_string());
    }
}

#[test]
fn who_breaks_the_protocol_is_told_and_closed_and_nobody_else() {
    let (sender, closed) = events();
    let codec = Commands::default().max_command(1024).max_arguments(8);
    let server = serve(1, codec, move || Listener(sender.clone()));
    let mut other = server.connect();
    for (wrong, why) in [
        ("*1\r\n$99999999999\r\n", "at most 1024 bytes, found 99999999999"),
        ("*1\r\n$99999999999999999999\r\n", "a length"),
        ("*9\r\n", "at most 8 arguments, found 9"),
        ("*1\r\n:4\r\n", "expected '$', found ':'"),
        ("*1\r\n$-2\r\n", "a length"),
        ("*x\r\n", "a length"),
        ("*\r\n", "a length"),
        ("*00000000000000000000000000000001\r\n", "a length"),
        ("*1\r\n$4\rPING\r\n", "a carriage return"),
        ("*1\r\n$3\r\nPING\r\n", "a carriage return"),
        ("GET \"x\n", "balanced quotes"),
    ] {
        let mut stream = server.connect();
        stream.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
        stream.write_all(wrong.as_bytes()).unwrap();
        let told = String::from_utf8(read_to_end(&mut stream)).unwrap();
        assert!(told.starts_with("$4\r\nPING\r\n-ERR Protocol error: ") && told.contains(why), "{wrong:?}: {told:?}");
        assert!(told.ends_with("\r\n"), "{told:?}");
        assert!(closed.next().contains(why), "{wrong:?}");
    }
    // One that never ends, of either shape.
    for endless in [&b"x"[..], b"*1\r\n$1000\r\n"] {
        let mut stream = server.connect();
        stream.write_all(endless).unwrap();
        let _ = stream.write_all(&[b'y'; 4096]);
        assert!(String::from_utf8_lossy(&read_to_end(&mut stream)).contains("Protocol error"), "{endless:?}");
        closed.next();
    }
    other.write_all(b"*1\r\n$2\r\nHI\r\n").unwrap();
    let mut heard = [0; 8];
    std::io::Read::read_exact(&mut other, &mut heard).unwrap();
    assert_eq!(&heard, b"$2\r\nHI\r\n");
}

#[test]
fn clients_refuse_what_is_no_reply() {
    let refused = |codec: Replies, stream: &[u8]| decode(&codec, stream, &[], usize::MAX, show_value).unwrap_err();
    let codec = Replies::default();
    assert_eq!(refused(codec, b"?1\r\n"), RespError::Type { expected: None, found: b'?' });
    assert_eq!(refused(codec, b"*1\r\n:x\r\n"), RespError::Malformed { kind: b':' });
    assert_eq!(refused(codec, b"#x\r\n"), RespError::Malformed { kind: b'#' });
    assert_eq!(refused(codec, b"=2\r\nab\r\n"), RespError::Malformed { kind: b'=' });
    assert_eq!(refused(codec, b"+a\n"), RespError::LineEnd);
    assert_eq!(refused(codec, b"$1\r\nab\r\n"), RespError::LineEnd);
    assert_eq!(refused(codec, b"*4294967296\r\n"), RespError::Length);
    assert_eq!(refused(codec.max_depth(3), &b"*1\r\n".repeat(5)), RespError::TooDeep { max: 3 });
    assert_eq!(
        decode(&codec.max_depth(3), b"*1\r\n*1\r\n*1\r\n:1\r\n", &[], 99, show_value).unwrap(),
        ["[[[Integer(1)]]]"]
    );
    assert!(matches!(
        refused(codec.max_reply(10), b"$20\r\n01234567890123456789\r\n"),
        RespError::TooLong { max: 10, .. }
    ));
}

#[test]
fn both_sides_talk_to_each_other() {
    let (sender, _closed) = events();
    let server = serve(1, Commands::default(), move || Listener(sender.clone()));
    let address = server.address.clone();
    tiderace::block_on(async move {
        let mut redis = tiderace::connect(address).await?.framed(Replies::default());
        redis.send(&["HELLO", "you"]).await?;
        let owned: Vec<Vec<u8>> = vec![vec![0; 100_000], vec![1]];
        redis.send(&owned[..]).await?;
        assert_eq!(redis.next().await?, Some(Value::Bulk(b"HELLO")));
        assert_eq!(redis.next().await?.and_then(|value| value.as_bytes()).map(<[u8]>::len), Some(100_000));
        tiderace::Result::<()>::Ok(())
    })
    .unwrap();
}

/// Encoders are chosen by what they are given; this is the shape that is documented.
const _: fn() = || {
    fn takes<E: Encoder<[&'static str; 2]>>() {}
    takes::<Replies>();
};
