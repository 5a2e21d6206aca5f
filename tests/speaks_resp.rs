//! RESP: what is sent is received, wherever the stream is cut; what is wrong is refused, and its peer is told why.
#![cfg(feature = "resp")]

mod support;

use proptest::prelude::*;
use std::fmt::Write as _;
use std::io::Write;
use support::stream::{always, decode};
use support::*;
use tiderace::codec::{Codec, Decoder, Encoder, Input, encode_to_vec};
use tiderace::resp::{Attributed, Command, Commands, Replies, Reply, RespError, Value, Version};
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
        Value::Attributed(both) => format!("|{{{}}}{}", all(both.attributes()), show_value(both.value())),
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
        Reply::BlobError(bytes) => format!("{:?}", Value::Error(bytes)),
        Reply::Verbatim(format, text) => format!("{:?}", Value::Verbatim(*format, text.as_bytes())),
        Reply::BigNumber(digits) => format!("{:?}", Value::BigNumber(digits.as_bytes())),
        Reply::Null | Reply::NullArray => format!("{:?}", Value::Null),
        Reply::Attributed(both) => {
            let flat: Vec<Reply<'_>> = both.attributes.iter().flat_map(|(key, value)| [*key, *value]).collect();
            format!("|{{{}}}{}", all(&flat), show_reply(&both.reply))
        }
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
fn types_of_version_3_survive_every_cut() {
    let popular =
        Attributed { attributes: &[(Reply::Simple("key-popularity"), Reply::Double(0.5))], reply: Reply::Bulk(b"v") };
    let inner = [Reply::Attributed(&popular), Reply::NullArray, Reply::BigNumber("-12345678901234567890123")];
    let about = Attributed {
        attributes: &[(Reply::Verbatim(*b"txt", "ttl"), Reply::Array(&inner))],
        reply: Reply::Set(&inner),
    };
    let replies = [
        Reply::Verbatim(*b"mkd", "# a\r\n\u{e4}"),
        Reply::Verbatim(*b"txt", ""),
        Reply::BlobError(b"ERR two\r\nlines"),
        Reply::BlobError(b""),
        Reply::Attributed(&about),
        Reply::BigNumber("7"),
        Reply::Push(&inner),
    ];
    let (_, mut encoder) = Commands::default().version(Version::Resp3).halves();
    let stream: Vec<u8> = replies.iter().flat_map(|reply| encode_to_vec(&mut encoder, reply).unwrap()).collect();
    let shown: Vec<String> = replies.iter().map(show_reply).collect();
    assert!(shown[4].starts_with("|{Verbatim"), "{}", shown[4]);
    always(&Replies::default().show_attributes(), &stream, &shown, show_value);
    // A client that has not asked for attributes gets the values without them.
    let without: Vec<String> = shown
        .iter()
        .map(|shown| {
            let value = shown.strip_prefix("|{").and_then(|_| shown.find("}~[")).map_or(0, |at| at + 1);
            shown[value..].replace(&format!("|{{{:?},Double(0.5)}}", Value::Simple(b"key-popularity")), "")
        })
        .collect();
    always(&Replies::default(), &stream, &without, show_value);
    assert_eq!(
        without[4],
        format!("~[{:?},Null,{:?}]", Value::Bulk(b"v"), Value::BigNumber(b"-12345678901234567890123"))
    );
    // Several attributes in a row are about the same value.
    let row = b"|1\r\n+a\r\n:1\r\n|1\r\n+b\r\n:2\r\n#f\r\n:3\r\n";
    let last = format!("|{{{:?},Integer(2)}}Boolean(false)", Value::Simple(b"b"));
    always(&Replies::default().show_attributes(), row, &[last, "Integer(3)".to_owned()], show_value);
}

#[test]
fn types_of_version_3_have_a_form_in_version_2() {
    let (_, mut encoder) = Commands::default().halves();
    let mut old = |reply: &Reply<'_>| encode_to_vec(&mut encoder, reply).map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(old(&Reply::NullArray).unwrap(), "*-1\r\n");
    assert_eq!(old(&Reply::Verbatim(*b"txt", "a\nb")).unwrap(), "$3\r\na\nb\r\n");
    assert_eq!(old(&Reply::BigNumber("+12")).unwrap(), "$3\r\n+12\r\n");
    assert_eq!(old(&Reply::BlobError(b"ERR two\r\nlines")).unwrap(), "-ERR two  lines\r\n");
    let both = Attributed { attributes: &[(Reply::Null, Reply::Null)], reply: Reply::Integer(1) };
    assert_eq!(old(&Reply::Attributed(&both)).unwrap(), ":1\r\n");
    for wrong in ["", "-", "1.5", "1 ", "x", "+-1", "1\r\n"] {
        assert_eq!(old(&Reply::BigNumber(wrong)), Err(RespError::Malformed { kind: b'(' }), "{wrong:?}");
    }
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

#[test]
fn inline_quotations_begin_anywhere_and_end_words() {
    let stream = b"PING a\"b c\"\r\nSET 'it\\'s' \"\\x41\\n\\r\\t\\b\\a\\q\\x4\"\nPING\r\r\n\x0b\x0cGET a\x0c\x0b\n\"\" \"'\"\r\n";
    let expected = ["PING|ab c", "SET|it\\'s|A\\n\\r\\t\\x08\\x07qx4", "PING", "GET|a\\x0c\\x0b", "|\\'"];
    always(&Commands::default(), stream, &expected.map(str::to_owned), show_command);
}

#[test]
fn inline_http_request_closes_without_a_word() {
    let (sender, closed) = events();
    let server = serve(1, Commands::default(), move || Listener(sender.clone()));
    for (request, before) in [
        (&b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET x 1\r\n"[..], &b""[..]),
        (b"post\r\nSET x 1\r\n", b""),
        (b"\r\n \"POST\" /\r\nSET x 1\r\n", b""),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nSET x 1\r\n", b"$3\r\nGET\r\n"),
        (b"PUT / HTTP/1.1\r\nhost:localhost\r\n\r\nSET x 1\r\n", b"$3\r\nPUT\r\n"),
    ] {
        let mut stream = server.connect();
        stream.write_all(request).unwrap();
        assert_eq!(read_to_end(&mut stream), before, "{:?}", request.escape_ascii().to_string());
        let reason = closed.next();
        assert!(reason.contains("HTTP request") && reason.contains("web page"), "{reason}");
    }
    // Names that only resemble them are commands, and an array is not what a web page sends.
    let stream = b"POSTS\r\nHost\r\n*1\r\n$4\r\nPOST\r\n";
    always(&Commands::default(), stream, &["POSTS", "Host", "POST"].map(str::to_owned), show_command);
}

#[test]
fn inline_commands_are_refused_where_only_arrays_are_taken() {
    let codec = Commands::default().no_inline();
    for line in [&b"PING\r\n"[..], b"\r\n", b"POST / HTTP/1.1\r\n", b" "] {
        let refused = decode(&codec, line, &[], usize::MAX, show_command).unwrap_err();
        assert_eq!(refused, RespError::Type { expected: Some(b'*'), found: line[0] });
    }
    always(&codec, b"*0\r\n*1\r\n$4\r\nPING\r\n*-1\r\n", &["PING".to_owned()], show_command);
}

#[test]
fn limit_on_a_command_is_exact_however_it_arrives() {
    let short = b"*2\r\n$4\r\nECHO\r\n$2\r\nab\r\n".to_vec();
    let long = [&b"*2\r\n$4\r\nECHO\r\n$200\r\n"[..], &[b'x'; 200], b"\r\n"].concat();
    let empty = b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n".to_vec();
    for command in [short, long, empty, b"ECHO 'a b'\r\n".to_vec(), b"*0\r\n".to_vec()] {
        let shown = command.escape_ascii().to_string();
        let run = |max: usize, cuts: &[usize], seam: usize| {
            decode(&Commands::default().max_command(max), &command, cuts, seam, show_command).map(|taken| taken.len())
        };
        let each: Vec<usize> = (0..command.len()).collect();
        let expected = usize::from(command != b"*0\r\n");
        for cut in 0..command.len() {
            for (cuts, seam) in [(&[cut][..], usize::MAX), (&[], cut), (&each, cut)] {
                assert_eq!(run(command.len(), cuts, seam), Ok(expected), "{shown} {cut}");
                let refused = run(command.len() - 1, cuts, seam);
                assert!(
                    matches!(refused, Err(RespError::TooLong { .. } | RespError::LineTooLong { .. })),
                    "{shown} {cut}: {refused:?}"
                );
            }
        }
    }
}

#[test]
fn empty_command_is_not_sent() {
    let mut client = Replies::default();
    assert_eq!(encode_to_vec(&mut client, &[] as &[&str]), Err(RespError::Empty));
    assert_eq!(encode_to_vec(&mut client, &[""; 0]), Err(RespError::Empty));
    // A name may be empty, because a server answers that.
    assert_eq!(encode_to_vec(&mut client, &[""]).unwrap(), b"*1\r\n$0\r\n\r\n");
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
fn breach_of_the_protocol_is_told_in_the_words_of_redis() {
    let (sender, closed) = events();
    let codec = Commands::default().max_command(1024).max_arguments(8);
    let server = serve(1, codec, move || Listener(sender.clone()));
    let mut other = server.connect();
    let count = ("invalid multibulk length", "a count of arguments");
    let length = ("invalid bulk length", "a length");
    let quotes = ("unbalanced quotes in request", "balanced quotes");
    let many = "1".repeat(1100);
    for (wrong, (told, logged)) in [
        ("*1\r\n$99999999999\r\n", (length.0, "at most 1024 bytes, found 99999999999")),
        ("*1\r\n$99999999999999999999\r\n", length),
        ("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$-10\r\n", length),
        ("*1\r\n$-1\r\n", length),
        ("*1\r\n$-0\r\n", length),
        ("*1\r\n$+4\r\nPING\r\n", length),
        ("*1\r\n$04\r\nPING\r\n", length),
        ("*1\r\n$004\r\nPING\r\n", length),
        ("*1\r\n$00\r\n\r\n", length),
        ("*1\r\n$ 4\r\nPING\r\n", length),
        ("*1\r\n$4 \r\nPING\r\n", length),
        ("*1\r\n$\r\n", length),
        ("*1\r\n$words\r\n", length),
        ("*9\r\n", (count.0, "at most 8 arguments, found 9")),
        ("*3000000000\r\n", count),
        ("*99999999999999999999\r\n", count),
        ("*+1\r\n$4\r\nPING\r\n", count),
        ("*01\r\n$4\r\nPING\r\n", count),
        ("*-0\r\n", count),
        ("*-01\r\n", count),
        ("*--1\r\n", count),
        ("*x\r\n", count),
        ("*\r\n", count),
        ("*1\n$4\r\nPING\r\n", count),
        (&format!("*{many}"), ("too big mbulk count string", "the end of a line within 1024 bytes")),
        (&format!("*1\r\n${many}"), ("too big bulk count string", "the end of a line within 1024 bytes")),
        (&many, ("too big inline request", "the end of a line within 1024 bytes")),
        ("*1\r\n:4\r\n", ("expected '$', got ':'", "expected '$', found ':'")),
        ("*1\r\nfoo\r\n", ("expected '$', got 'f'", "expected '$', found 'f'")),
        ("*2\r\n$3\r\nGET\r\nx\r\n", ("expected '$', got 'x'", "expected '$', found 'x'")),
        ("*1\r\n\r\n", ("expected '$', got ' '", "expected '$', found '\\r'")),
        ("GET \"x\n", quotes),
        ("GET 'x\r\n", quotes),
        ("GET \"x\"y\r\n", quotes),
        ("set \"\"\"key\"\"\" value\r\n", quotes),
        // What Redis does not check.
        ("*1\r\n$4\rPING\r\n", ("a carriage return", "a carriage return")),
        ("*1\r\n$3\r\nPING\r\n", ("a carriage return", "a carriage return")),
        ("\0AAAA\r\n", ("a NUL byte", "a NUL byte")),
    ] {
        let mut stream = server.connect();
        stream.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
        stream.write_all(wrong.as_bytes()).unwrap();
        let heard = String::from_utf8(read_to_end(&mut stream)).unwrap();
        assert!(
            heard.starts_with("$4\r\nPING\r\n-ERR Protocol error: ") && heard.contains(told),
            "{wrong:?}: {heard:?}"
        );
        assert!(heard.ends_with("\r\n") && heard.lines().count() == 3, "{heard:?}");
        assert!(closed.next().contains(logged), "{wrong:?}");
    }
    // Any byte may be found, even one that is no text.
    let mut stream = server.connect();
    stream.write_all(b"*1\r\n\xff").unwrap();
    assert_eq!(read_to_end(&mut stream), b"-ERR Protocol error: expected '$', got '\xff'\r\n");
    closed.next();
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
    assert_eq!(refused(codec, b"_x\r\n"), RespError::Malformed { kind: b'_' });
    for wrong in ["(\r\n", "(-\r\n", "(1.0\r\n", "(1a\r\n"] {
        assert_eq!(refused(codec, wrong.as_bytes()), RespError::Malformed { kind: b'(' });
    }
    for wrong in ["$+1\r\na\r\n", "$01\r\na\r\n", "$-0\r\n", "*+1\r\n:1\r\n", "*01\r\n:1\r\n", "$-2\r\n", "%-1\r\n"] {
        assert_eq!(refused(codec, wrong.as_bytes()), RespError::Length, "{wrong:?}");
    }
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
