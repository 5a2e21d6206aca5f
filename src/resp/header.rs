//! The lines that stand before everything: a byte for the type, a number, CR LF.

use super::RespError;
use crate::buffer::decimal;
use crate::codec::{Input, Output};

/// The longest number is that of `i64`, with its sign.
const LONGEST_NUMBER: usize = 20;

/// A number that has been read, and what is behind its line.
pub(super) struct Number {
    pub(super) value: i64,
    pub(super) end: usize,
}

/// Reads the number that starts at `at`, behind the type, in the only form in which it may be written: digits, perhaps behind a
/// minus, without a plus or zeros in front. `None` if its line has not all come.
#[inline]
pub(super) fn number(input: Input<'_>, at: usize) -> Result<Option<Number>, RespError> {
    // Most have one digit or two: counts of arguments, lengths of names.
    match input.array::<4>(at) {
        Some([a @ b'0'..=b'9', b'\r', b'\n', _]) => Ok(Some(Number { value: i64::from(a - b'0'), end: at + 3 })),
        Some([a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n']) => {
            Ok(Some(Number { value: i64::from(a - b'0') * 10 + i64::from(b - b'0'), end: at + 4 }))
        }
        _ => any_number(input, at),
    }
}

/// It is read byte by byte, because it is short: to search for its end would take longer.
fn any_number(input: Input<'_>, mut at: usize) -> Result<Option<Number>, RespError> {
    let mut byte = match input.get(at) {
        Some(byte) => byte,
        None => return Ok(None),
    };
    let negative = byte == b'-';
    if negative {
        at += 1;
        byte = match input.get(at) {
            Some(byte) => byte,
            None => return Ok(None),
        };
    }
    let (first, mut value) = (at, 0_i64);
    while byte != b'\r' {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        // One number has one form: a zero is only a zero that stands alone, and has no sign.
        let is_zero_in_front = at > first && value == 0 || negative && at == first && digit == 0;
        if digit > 9 || is_zero_in_front || at - first >= LONGEST_NUMBER {
            return Err(RespError::Length);
        }
        // Towards the sign, because the least number has no positive one.
        let signed = if negative { -digit } else { digit };
        value = value.checked_mul(10).and_then(|value| value.checked_add(signed)).ok_or(RespError::Length)?;
        at += 1;
        byte = match input.get(at) {
            Some(byte) => byte,
            None => return Ok(None),
        };
    }
    if at == first {
        return Err(RespError::Length);
    }
    match input.get(at + 1) {
        Some(b'\n') => Ok(Some(Number { value, end: at + 2 })),
        Some(_) => Err(RespError::LineEnd),
        None => Ok(None),
    }
}

/// Where a string of `length` bytes ends that starts at `at`, with its CR LF. `None` if it has not all come.
#[inline]
pub(super) fn string_end(input: Input<'_>, at: usize, length: usize) -> Result<Option<usize>, RespError> {
    match input.array::<2>(at + length) {
        Some([b'\r', b'\n']) => Ok(Some(at + length + 2)),
        Some(_) => Err(RespError::LineEnd),
        None => Ok(None),
    }
}

/// Writes a type and a number as a line.
#[inline]
pub(super) fn put(kind: u8, number: i64, output: &mut Output<'_>) {
    // A type, a sign, digits, CR LF.
    let mut line = [0; 2 + decimal::LONGEST + 2];
    let end = line.len() - 2;
    line[end..].copy_from_slice(b"\r\n");
    let mut at = decimal::write_at_end(number.unsigned_abs(), &mut line[..end]);
    if number < 0 {
        at -= 1;
        line[at] = b'-';
    }
    at -= 1;
    line[at] = kind;
    output.put_slice(&line[at..]);
}

/// Writes a string with its length.
#[inline]
pub(super) fn put_bulk(bytes: &[u8], output: &mut Output<'_>) {
    let digit = |of: usize| b'0' + (of % 10) as u8;
    match bytes.len() {
        // Headers of a known length leave with what is behind them.
        n @ 0..=9 => output.put_between([b'$', digit(n), b'\r', b'\n'], bytes, *b"\r\n"),
        n @ 10..=99 => output.put_between([b'$', digit(n / 10), digit(n), b'\r', b'\n'], bytes, *b"\r\n"),
        n => {
            put(b'$', n as i64, output);
            output.put_between([], bytes, *b"\r\n");
        }
    }
}
