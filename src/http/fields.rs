//! Fields of a response that say something of the message as such, and so go out once.

/// A field that the library takes over from the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Connection,
    ContentLength,
    ContentType,
    Date,
    TransferEncoding,
    Upgrade,
}

impl Taken {
    /// Most fields are none of these, and most of those differ in length already.
    #[inline]
    pub(super) fn of(name: &str) -> Option<Taken> {
        let (usual, taken) = match name.len() {
            4 => ("Date", Taken::Date),
            7 => ("Upgrade", Taken::Upgrade),
            10 => ("Connection", Taken::Connection),
            12 => ("Content-Type", Taken::ContentType),
            14 => ("Content-Length", Taken::ContentLength),
            17 => ("Transfer-Encoding", Taken::TransferEncoding),
            _ => return None,
        };
        name.eq_ignore_ascii_case(usual).then_some(taken)
    }
}

/// A length: digits, and nothing else (RFC 9110, section 8.6).
pub(super) fn length(value: &str) -> Option<u64> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten()
}

/// Whether the options of a connection have `close`, and those that are not the library's, behind others.
pub(super) fn options(before: Option<&str>, value: &str) -> (bool, Option<Box<str>>) {
    let (mut closes, mut others) = (false, before.map_or_else(Vec::new, |before| vec![before]));
    for option in value.split(',').map(|option| option.trim_matches([' ', '\t'])) {
        match option {
            _ if option.eq_ignore_ascii_case("close") => closes = true,
            "" => {}
            _ if option.eq_ignore_ascii_case("keep-alive") => {}
            other if others.iter().flat_map(|others| others.split(", ")).any(|it| it.eq_ignore_ascii_case(other)) => {}
            other => others.push(other),
        }
    }
    (closes, (!others.is_empty()).then(|| others.join(", ").into()))
}
