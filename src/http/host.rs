//! The authority of a request: a host, and perhaps a port (RFC 3986, section 3.2; RFC 9112, section 3.2).

use super::scan::is_host_byte;
use std::net::Ipv6Addr;

/// Whether this is `uri-host [ ":" port ]` with a host. There is no user in it: RFC 9110, section 4.2.4, has it treated as an error.
pub(super) fn is_authority(text: &[u8]) -> bool {
    let name = text.iter().take_while(|byte| is_host_byte(**byte)).count();
    match text.get(name) {
        None => name > 0,
        Some(b':') => name > 0 && is_port(&text[name + 1..]),
        Some(_) => is_rare_authority(text),
    }
}

/// An authority with an address in brackets, or with escapes.
#[cold]
fn is_rare_authority(text: &[u8]) -> bool {
    if let Some(rest) = text.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
        let is_end = match &rest[end + 1..] {
            [] => true,
            [b':', port @ ..] => is_port(port),
            _ => false,
        };
        return is_end && is_ip_literal(&rest[..end]);
    }
    let mut at = 0;
    loop {
        match text.get(at) {
            Some(b'%') => {
                let escape = text.get(at + 1..at + 3).unwrap_or_default();
                if escape.len() != 2 || !escape.iter().all(u8::is_ascii_hexdigit) {
                    return false;
                }
                at += 3;
            }
            Some(byte) if is_host_byte(*byte) => at += 1,
            None => return at > 0,
            Some(b':') => return at > 0 && is_port(&text[at + 1..]),
            Some(_) => return false,
        }
    }
}

/// What stands between brackets: an address of IPv6, or one of a kind that is yet to come.
fn is_ip_literal(text: &[u8]) -> bool {
    if let [b'v' | b'V', rest @ ..] = text {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let is_other = |byte: &u8| is_host_byte(*byte) || *byte == b':';
        return match rest.get(digits..) {
            Some([b'.', address @ ..]) => digits > 0 && !address.is_empty() && address.iter().all(is_other),
            _ => false,
        };
    }
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// Digits, or none, of a number that a port can have.
fn is_port(digits: &[u8]) -> bool {
    let is_short = digits.len() < "65536".len();
    digits.iter().all(u8::is_ascii_digit) && (is_short || digits.iter().try_fold(0, shift_in).is_some())
}

fn shift_in(port: u16, digit: &u8) -> Option<u16> {
    port.checked_mul(10)?.checked_add(u16::from(digit - b'0'))
}

/// Host and port of an authority that is one.
pub(super) fn split(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        // The colon of an address in brackets is none before a port.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_split_at_its_last_colon() {
        for (authority, host, port) in [
            ("h", "h", None),
            ("h:80", "h", Some(80)),
            ("h:", "h", None),
            ("[::1]", "[::1]", None),
            ("[::1]:8080", "[::1]", Some(8080)),
        ] {
            assert!(is_authority(authority.as_bytes()), "{authority}");
            assert_eq!(split(authority), (host, port));
        }
    }
}
