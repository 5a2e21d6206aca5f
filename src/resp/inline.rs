//! Commands as somebody types them: words between spaces, on a line.

use super::RespError;
use super::command::Place;

/// Splits a line into words, as Redis does: words between quotation marks may hold spaces, and those between double ones
/// may hold `\n`, `\r`, `\t`, `\a`, `\b`, `\"`, `\\` and `\xFF`. What was escaped is written over the line, which only becomes
/// shorter by it.
pub(super) fn split(line: &mut [u8], places: &mut Vec<Place>) -> Result<(), RespError> {
    let (mut read, mut write) = (0, 0);
    loop {
        while line.get(read).is_some_and(u8::is_ascii_whitespace) {
            read += 1;
        }
        let Some(first) = line.get(read) else { return Ok(()) };
        let quote = Some(*first).filter(|byte| matches!(byte, b'"' | b'\''));
        let begin = write;
        match quote {
            Some(quote) => {
                read += 1;
                loop {
                    let (byte, used) = match *line.get(read..).unwrap_or_default() {
                        [] => return Err(RespError::Quotes),
                        [byte, ..] if byte == quote => break,
                        [b'\\', b'\'', ..] if quote == b'\'' => (b'\'', 2),
                        [b'\\', b'x', high, low, ..]
                            if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
                        {
                            (hex(high) << 4 | hex(low), 4)
                        }
                        [b'\\', byte, ..] if quote == b'"' => (unescape(byte), 2),
                        [byte, ..] => (byte, 1),
                    };
                    line[write] = byte;
                    write += 1;
                    read += used;
                }
                read += 1;
                if line.get(read).is_some_and(|byte| !byte.is_ascii_whitespace()) {
                    return Err(RespError::Quotes);
                }
            }
            None => {
                while let Some(byte) = line.get(read).copied().filter(|byte| !byte.is_ascii_whitespace()) {
                    line[write] = byte;
                    write += 1;
                    read += 1;
                }
            }
        }
        places.push((begin as u32, write as u32));
    }
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
        assert_eq!(words(r#"in"side wo'rd"#).unwrap(), [&b"in\"side"[..], b"wo'rd"]);
        assert_eq!(words("").unwrap(), Vec::<Vec<u8>>::new());
        for wrong in [r#""open"#, "'open", r#""a"b"#, r"'a\'", r#""a\"#, r#""\"#] {
            assert_eq!(words(wrong), Err(RespError::Quotes), "{wrong}");
        }
    }
}
