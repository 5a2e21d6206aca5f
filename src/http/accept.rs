//! Which coding of a response a peer takes: RFC 9110, section 12.5.3.

use super::Request;

impl Request<'_> {
    /// Whether `Accept-Encoding` asks for a content coding such as `gzip`, and does not like a response without one better (RFC
    /// 9110, section 12.5.3). `x-gzip` is the same as `gzip` (section 8.4.1.3), and `*` any that is not named.
    ///
    /// A request without the field would take any; but most that come without it are of programs that decode none, so this is
    /// `false` then.
    pub fn prefers_encoding(&self, coding: &str) -> bool {
        let (mut named, mut any, mut identity) = (None, None, None);
        for (name, weight) in self.field("accept-encoding").flat_map(members) {
            let place = match name {
                _ if is_same(name, coding) => &mut named,
                b"*" => &mut any,
                _ if name.eq_ignore_ascii_case(b"identity") => &mut identity,
                _ => continue,
            };
            // What is said twice holds as it was said first.
            place.get_or_insert(weight);
        }
        let weight = named.or(any).unwrap_or(0);
        weight > 0 && weight >= identity.unwrap_or(0)
    }
}

fn is_same(name: &[u8], coding: &str) -> bool {
    let plain = if name.len() > 2 && name[..2].eq_ignore_ascii_case(b"x-") { &name[2..] } else { name };
    plain.eq_ignore_ascii_case(coding.as_bytes())
}

/// The codings of a list, with their weights in thousandths. A member with a wrong weight is left out.
fn members(list: &[u8]) -> impl Iterator<Item = (&[u8], u16)> {
    list.split(|byte| *byte == b',').filter_map(|member| {
        let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let weight = match (parts.next(), parts.next()) {
            (None, _) => 1000,
            (Some(parameter), None) => weight(parameter)?,
            (Some(_), Some(_)) => return None,
        };
        Some((name, weight))
    })
}

/// `q=0.5` (RFC 9110, section 12.4.2).
fn weight(parameter: &[u8]) -> Option<u16> {
    let (b'q' | b'Q', value) = parameter.split_first()? else { return None };
    let value = value.strip_prefix(b"=")?;
    let (whole, decimals) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    if !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let thousandths = decimals.iter().zip([100, 10, 1]).map(|(digit, unit)| u16::from(digit - b'0') * unit).sum();
    match (whole, thousandths) {
        (b'0', thousandths) => Some(thousandths),
        (b'1', 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_as_the_rfc_writes_them() {
        for (text, expected) in [
            ("q=1", Some(1000)),
            ("q=0", Some(0)),
            ("Q=0.5", Some(500)),
            ("q=0.25", Some(250)),
            ("q=0.001", Some(1)),
            ("q=1.", Some(1000)),
            ("q=1.000", Some(1000)),
            ("q=0.", Some(0)),
            ("q=1.001", None),
            ("q=2", None),
            ("q=0.0001", None),
            ("q=-1", None),
            ("q=.5", None),
            ("q=", None),
            ("q", None),
            ("", None),
            ("q =1", None),
            ("q=0,5", None),
            ("level=1", None),
            ("q=0.5x", None),
        ] {
            assert_eq!(weight(text.as_bytes()), expected, "{text}");
        }
    }
}
