//! Parts of a representation: RFC 9110, section 14.

use super::{Request, Validators};
use crate::limits;
use std::ops::Range;

/// Which bytes of a representation a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// All of them: `200`. No range is asked for, or what is asked for is to be ignored.
    Whole,
    /// One part: `206` with [`content_range`].
    One(Range<u64>),
    /// Several parts, which neither overlap nor touch: `206` of the type `multipart/byteranges`.
    Several(Vec<Range<u64>>),
    /// None of it: `416` with [`unsatisfied_range`].
    Unsatisfiable,
}

/// The value of `Content-Range` (RFC 9110, section 14.4) for a part of a representation of so many bytes: `bytes 0-499/1234`.
///
/// # Panics
/// If the part is empty.
pub fn content_range(part: &Range<u64>, length: u64) -> String {
    assert!(!part.is_empty(), "a part has at least one byte");
    format!("bytes {}-{}/{length}", part.start, part.end - 1)
}

/// The value of `Content-Range` for a `416`: `bytes */1234`.
pub fn unsatisfied_range(length: u64) -> String {
    format!("bytes */{length}")
}

impl Request<'_> {
    /// Which part is asked for of a representation of `length` bytes, whose version `current` tells. To be asked when the
    /// [precondition](Request::precondition) is met, as the last step of RFC 9110, section 13.2.2.
    ///
    /// The whole, for any method but `GET`; if `If-Range` names another version; and, as section 14.2 lets a server do, for a field
    /// `Range` that is wrong, asks for more than 16 parts, or for no less than the whole. Parts that overlap, or that lie closer
    /// than what stands between two parts is long, become one.
    pub fn ranges(&self, current: &Validators, length: u64) -> Ranges {
        if self.method() != "GET" {
            return Ranges::Whole;
        }
        let mut lines = self.field("range");
        match (lines.next(), lines.next()) {
            (Some(value), None) if self.may_be_partial(current, crate::io::wall_time()) => read(value, length),
            _ => Ranges::Whole,
        }
    }
}

/// What a value of `Range` asks for. A wrong one is ignored.
fn read(value: &[u8], length: u64) -> Ranges {
    let Some((specs, is_one)) = parts(value, length) else { return Ranges::Whole };
    if specs.is_empty() {
        return Ranges::Unsatisfiable;
    }
    // A suffix of nothing is nothing, and nothing has no first byte that could be named.
    if specs.iter().any(Range::is_empty) {
        return Ranges::Whole;
    }
    let mut parts = if is_one { specs } else { join(specs) };
    match parts.len() {
        1 => Ranges::One(parts.remove(0)),
        _ if sum(&parts) >= length => Ranges::Whole,
        _ => Ranges::Several(parts),
    }
}

/// The parts that can be had, and whether only one was asked for. `None`: the value is wrong, of another unit, or has too many.
fn parts(value: &[u8], length: u64) -> Option<(Vec<Range<u64>>, bool)> {
    let value = std::str::from_utf8(value).ok()?;
    let (unit, set) = value.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let is_space = |c| c == ' ' || c == '\t';
    let (mut parts, mut specs) = (Vec::new(), 0);
    // Empty members of a list are passed over (section 5.6.1.2).
    for spec in set.split(',').map(|spec| spec.trim_matches(is_space)).filter(|spec| !spec.is_empty()) {
        specs += 1;
        if specs > limits::HTTP_RANGES {
            return None;
        }
        parts.extend(part(spec, length)?);
    }
    (specs > 0).then_some((parts, specs == 1))
}

/// One member of a set (section 14.1.1). Outer `None`: it is wrong. Inner `None`: it cannot be satisfied (section 14.1.2).
fn part(spec: &str, length: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let suffix = position(last)?;
        return Some((suffix > 0).then(|| length.saturating_sub(suffix)..length));
    }
    let first = position(first)?;
    let end = match last {
        "" => length,
        last => {
            let last = position(last)?;
            if last < first {
                return None;
            }
            last.saturating_add(1).min(length)
        }
    };
    Some((first < length).then_some(first..end))
}

/// Digits. A number beyond all lengths is one that is too large, and not wrong.
fn position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// About what stands before each part but its bytes; a gap that is shorter is sent (section 15.3.7.2).
const BETWEEN: u64 = 100;

/// Parts in the order that was asked for, unless some lie so close that they are better sent as one.
fn join(parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted = parts.clone();
    sorted.sort_by_key(|part| part.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for part in sorted {
        match joined.last_mut() {
            Some(last) if part.start <= last.end.saturating_add(BETWEEN) => last.end = last.end.max(part.end),
            _ => joined.push(part),
        }
    }
    if joined.len() == parts.len() { parts } else { joined }
}

fn sum(parts: &[Range<u64>]) -> u64 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(part.end - part.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str, length: u64) -> Ranges {
        read(value.as_bytes(), length)
    }

    /// RFC 9110, sections 14.1.2 and 14.2; the examples are those of the section.
    #[test]
    fn one_range_is_read() {
        for (value, part) in [
            ("bytes=0-499", 0..500),
            ("bytes=500-999", 500..1000),
            ("bytes=-500", 9500..10000),
            ("bytes=9500-", 9500..10000),
            ("bytes=0-0", 0..1),
            ("bytes=9999-9999", 9999..10000),
            ("BYTES=1-2", 1..3),
            ("bytes=00000001-2", 1..3),
            ("bytes=9000-99999999999999999999999999", 9000..10000),
            ("bytes=-99999999999999999999999999", 0..10000),
            ("bytes=0-18446744073709551615", 0..10000),
            ("bytes= ,, 5-6 ,", 5..7),
        ] {
            assert_eq!(of(value, 10000), Ranges::One(part), "{value}");
        }
    }

    #[test]
    fn range_beyond_the_end_is_not_satisfied() {
        for value in ["bytes=10000-", "bytes=10000-10001", "bytes=-0", "bytes=99999999999999999999-", "bytes=-0,-00"] {
            assert_eq!(of(value, 10000), Ranges::Unsatisfiable, "{value}");
        }
        assert_eq!(of("bytes=0-", 0), Ranges::Unsatisfiable);
        // A suffix can be satisfied, but nothing has no first byte.
        assert_eq!(of("bytes=-5", 0), Ranges::Whole);
    }

    #[test]
    fn wrong_range_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes= , ",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=2-1",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes=0x1-2",
            "bytes =0-1",
            "lines=0-1",
            "bytes:0-1",
            "bytes=0-1;2-3",
            "bytes=0-1, x",
            "bytes=--5",
        ] {
            assert_eq!(of(value, 10000), Ranges::Whole, "{value}");
        }
    }

    #[test]
    fn several_ranges_are_kept_apart_joined_or_refused() {
        assert_eq!(of("bytes=0-0,-1", 10000), Ranges::Several(vec![0..1, 9999..10000]));
        assert_eq!(of("bytes=5000-5999, 0-9", 10000), Ranges::Several(vec![5000..6000, 0..10]), "in their order");
        assert_eq!(of("bytes=500-600,601-999", 10000), Ranges::One(500..1000));
        assert_eq!(of("bytes=500-700,601-999", 10000), Ranges::One(500..1000));
        assert_eq!(of("bytes=0-9,20-29,5000-5009", 10000), Ranges::Several(vec![0..30, 5000..5010]));
        assert_eq!(of("bytes=0-9,20000-20001", 10000), Ranges::One(0..10), "one that can be had");
        assert_eq!(of("bytes=10000-,20000-", 10000), Ranges::Unsatisfiable);
        let many =
            |count: usize| format!("bytes={}", (0..count).map(|i| format!("{0}-{0},", i * 500)).collect::<String>());
        assert!(matches!(of(&many(16), 10000), Ranges::Several(parts) if parts.len() == 16));
        assert_eq!(of(&many(17), 10000), Ranges::Whole, "too many");
        assert_eq!(of(&format!("bytes={}", "0-,".repeat(16)), 10000), Ranges::One(0..10000), "overlaps are joined");
    }

    proptest::proptest! {
        /// Whatever is asked for, what is sent lies within the representation, once, and is no more than it.
        #[test]
        fn parts_lie_within(
            specs in proptest::collection::vec((0..300_u64, 0..300_u64, 0..4), 1..20),
            length in 0..300_u64,
        ) {
            let specs: Vec<String> = specs.into_iter().map(|(a, b, kind)| match kind {
                0 => format!("-{a}"),
                1 => format!("{a}-"),
                _ => format!("{}-{}", a.min(b), a.max(b)),
            }).collect();
            let parts = match of(&format!("bytes={}", specs.join(",")), length) {
                Ranges::One(part) => vec![part],
                Ranges::Several(parts) => parts,
                Ranges::Whole | Ranges::Unsatisfiable => return Ok(()),
            };
            let mut seen = vec![false; length as usize];
            for part in parts {
                assert!(!part.is_empty() && part.end <= length);
                assert!(seen[part.start as usize..part.end as usize].iter().all(|seen| !seen));
                seen[part.start as usize..part.end as usize].fill(true);
            }
        }
    }
}
