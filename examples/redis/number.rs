//! Whole numbers as Redis takes them.

/// A whole number in the one form that it has: no plus, no zeros in front, no spaces.
pub fn integer(bytes: &[u8]) -> Option<i64> {
    match bytes {
        b"0" => Some(0),
        [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..] => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    }
}
