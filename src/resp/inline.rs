//! Commands as somebody types them: words between spaces, on a line.

use super::RespError;
use super::command::Place;

/// Splits a line into words, as Redis's `sdssplitargs` does. A quotation may begin anywhere in a word and ends it: between double
/// quotes `\n`, `\r`, `\t`, `\a`, `\b`, `\xFF` are bytes and a backslash before any other byte is left out; between single quotes
/// only `\'` is special. What was escaped is written over the line, which only becomes shorter by it.
pub(super) fn split(line: &mut [u8], places: &mut Vec<Place>) -> Result<(), RespError> {
    // In C a NUL ends the line, so its end would never be found.
    if line.contains(&0) {
        return Err(RespError::Nul);
    }
    let (mut read, mut write) = (0, 0);
    loop {
        while line.get(read).is_some_and(|byte| is_space(*byte)) {
            read += 1;
        }
        if read == line.len() {
            return Ok(());
        }
        let begin = write;
        while let Some(byte) = line.get(read).copied() {
            match byte {
                // Fewer than the spaces between words: form feeds and vertical tabs are parts of words.
                b' ' | b'\t' | b'\r' | b'\n' => break,
                b'"' | b'\'' => {
                    (read, write) = unquote(line, byte, read + 1, write)?;
                    if line.get(read).is_some_and(|byte| !is_space(*byte)) {
                        return Err(RespError::Quotes);
                    }
                    break;
                }
                _ => {
                    line[write] = byte;
                    (read, write) = (read + 1, write + 1);
                }
            }
        }
        places.push((begin as u32, write as u32));
    }
}

/// Copies what is between quotation marks from `read` to `write`; says where both stand behind it.
fn unquote(line: &mut [u8], quote: u8, mut read: usize, mut write: usize) -> Result<(usize, usize), RespError> {
    loop {
        let (byte, used) = match *line.get(read..).unwrap_or_default() {
            [] => return Err(RespError::Quotes),
            [byte, ..] if byte == quote => return Ok((read + 1, write)),
            [b'\\', b'\'', ..] if quote == b'\'' => (b'\'', 2),
            [b'\\', b'x', high, low, ..] if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex(high) << 4 | hex(low), 4)
            }
            [b'\\', byte, ..] if quote == b'"' => (unescape(byte), 2),
            [byte, ..] => (byte, 1),
        };
        line[write] = byte;
        (read, write) = (read + used, write + 1);
    }
}

/// What C's `isspace` says.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// Whether these words are the start of an HTTP request: its method, or the field that browsers send first.
pub(super) fn is_web_request(line: &[u8], places: &[Place]) -> bool {
    let name = places.first().map(|(from, to)| &line[*from as usize..*to as usize]);
    name.is_some_and(|name| {
        name.eq_ignore_ascii_case(b"POST") || name.get(..5).is_some_and(|front| front.eq_ignore_ascii_case(b"Host:"))
    })
}

fn hex(digit: u8) -> u8 {
    (digit as char).to_digit(16).unwrap_or_default() as u8
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Vec<Vec<u8>>, RespError> {
        let (mut line, mut places) = (line.as_bytes().to_vec(), Vec::new());
        split(&mut line, &mut places)?;
        Ok(places.iter().map(|(from, to)| line[*from as usize..*to as usize].to_vec()).collect())
    }

    #[test]
    fn words_are_split_as_redis_splits_them() {
        assert_eq!(words("  set  key value \t").unwrap(), [&b"set"[..], b"key", b"value"]);
        assert_eq!(words(r#"set "a key" 'it\'s \n'"#).unwrap(), [&b"set"[..], b"a key", br"it's \n"]);
        assert_eq!(words(r#""\x41\xff\n\r\t\b\a\"\\\q" """#).unwrap(), [&b"A\xff\n\r\t\x08\x07\"\\q"[..], b""]);
        assert_eq!(words(r#""\x4" "\xg0" '\x41'"#).unwrap(), [&b"x4"[..], b"xg0", br"\x41"]);
        assert_eq!(words("").unwrap(), Vec::<Vec<u8>>::new());
        for wrong in
            [r#""open"#, "'open", r#""a"b"#, r"'a\'", r#""a\"#, r#""\"#, r#"'a''b'"#, r#"""a"""#, "a'", r#"a"b"c"#]
        {
            assert_eq!(words(wrong), Err(RespError::Quotes), "{wrong}");
        }
    }

    #[test]
    fn quotations_begin_anywhere_in_a_word() {
        assert_eq!(words(r#"a"b c" d"#).unwrap(), [&b"ab c"[..], b"d"]);
        assert_eq!(words(r"in'side word'").unwrap(), [&b"inside word"[..]]);
        assert_eq!(words(r#""'" '"'"#).unwrap(), [&b"'"[..], b"\""]);
    }

    #[test]
    fn spaces_around_words_are_more_than_those_between_them() {
        assert_eq!(words("\x0b\x0ca\x0b b\x0c").unwrap(), [&b"a\x0b"[..], b"b\x0c"]);
        assert_eq!(words("\"a\"\x0bb").unwrap(), [&b"a"[..], b"b"]);
        assert_eq!(words("a\0b"), Err(RespError::Nul));
    }
}
