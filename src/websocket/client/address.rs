//! The address of a WebSocket: RFC 6455, section 3, written as RFC 3986 has it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::fmt;
use std::net::Ipv6Addr;

/// Why a text is not the address of a WebSocket that can be connected to.
///
/// Its [`url`](UrlError::url) does not have the password, so it can be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError {
    url: String,
    expected: &'static str,
}

impl UrlError {
    /// The text, with `***` in place of a user and a password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What was expected.
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {:?}", self.expected, self.url)
    }
}

/// A text that may be logged: without what stands before its last `@`, wherever that is. A password may have a slash that should
/// have been percent-encoded.
pub(super) fn without_secrets(url: &str) -> String {
    let start = url.find("//").map_or(0, |at| at + 2);
    match url[start..].rfind('@') {
        Some(at) => format!("{}***{}", &url[..start], &url[start + at..]),
        None => url.to_owned(),
    }
}

/// Where to connect to, and what to ask for there.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Target {
    host: Host,
    port: u16,
    /// The path, and the query.
    pub(super) path: String,
    /// What the user and the password are as the value of `Authorization` (RFC 7617).
    pub(super) basic: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
enum Host {
    /// In lower case, because names have none (RFC 3986, section 6.2.2.1). IPv4, too.
    Name(String),
    V6 {
        ip: Ipv6Addr,
        /// The interface on which the address means something (RFC 6874). It is of no use to the peer.
        zone: Option<String>,
    },
}

/// RFC 6455, section 3.
const PORT: u16 = 80;
const NO_V6: &str = "an address of IPv6 in brackets";

impl Target {
    /// Parses `ws://[USER[:PASSWORD]@]HOST[:PORT][/PATH][?QUERY]`.
    pub(super) fn parse(url: &str) -> Result<Target, UrlError> {
        Target::read(url).map_err(|expected| UrlError { url: without_secrets(url), expected })
    }

    fn read(url: &str) -> Result<Target, &'static str> {
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            // The names of hosts first, because they are not percent-encoded.
            let (authority, _) = split_authority(url.split_once("://").map_or(url, |(_, rest)| rest));
            return Err(match authority.is_ascii() {
                true => "ASCII, with other characters percent-encoded (RFC 3986, section 2.1)",
                false => "a host in ASCII, an internationalized name in the form xn--.. (RFC 5891, section 4.4)",
            });
        }
        let (scheme, rest) = url.split_once("://").ok_or("ws://HOST[:PORT][/PATH][?QUERY]")?;
        match scheme.to_ascii_lowercase().as_str() {
            "ws" => {}
            "wss" | "https" => return Err("ws:// (this client has no TLS)"),
            _ => return Err("ws:// as the scheme"),
        }
        if rest.contains('#') {
            return Err("no fragment, and # as %23 (RFC 6455, section 3)");
        }
        let (authority, path) = split_authority(rest);
        let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
        let (host, port) = split_port(place)?;
        let basic = user.map(basic).transpose()?;
        Ok(Target { host: Host::parse(host)?, port, path: path_of(path)?, basic })
    }

    /// Resolves what `Location` says (RFC 3986, section 5.2). What stands behind a `#` is for the one that is redirected, and is
    /// left out. A user and a password in it are not taken: another host has chosen them.
    pub(super) fn resolve(&self, location: &str) -> Result<Target, UrlError> {
        let location = location.split('#').next().unwrap_or_default();
        let has_scheme = location.find([':', '/', '?']).is_some_and(|at| {
            location[at..].starts_with(':') && location.starts_with(|first: char| first.is_ascii_alphabetic())
        });
        if has_scheme {
            // A handshake is a request of HTTP, and servers say so; what is not safe stays what it is.
            let url = match location.get(..5) {
                Some(http) if http.eq_ignore_ascii_case("http:") => format!("ws:{}", &location[5..]),
                _ => location.to_owned(),
            };
            return Target::parse(&url).map(|target| Target { basic: None, ..target });
        }
        if location.starts_with("//") {
            return Target::parse(&format!("ws:{location}")).map(|target| Target { basic: None, ..target });
        }
        let (own_path, own_query) = split_query(&self.path);
        let (path, query) = split_query(location);
        let path = match path {
            "" => own_path.to_owned() + query.or(own_query).map_or("", |query| query),
            _ => {
                let folder = if path.starts_with('/') { "" } else { &own_path[..=own_path.rfind('/').unwrap_or(0)] };
                without_dots(&format!("{folder}{path}")) + query.unwrap_or_default()
            }
        };
        let path = path_of(&path).map_err(|expected| UrlError { url: location.to_owned(), expected })?;
        Ok(Target { path, ..self.clone() })
    }

    /// The value of `Host`: without the default port (RFC 6455, section 4.1) and without a zone (RFC 6874, section 4).
    pub(super) fn host(&self) -> String {
        let port = if self.port == PORT { String::new() } else { format!(":{}", self.port) };
        match &self.host {
            Host::Name(name) => format!("{name}{port}"),
            Host::V6 { ip, .. } => format!("[{ip}]{port}"),
        }
    }

    /// As a [`Connector`](crate::Connector) takes it.
    pub(super) fn endpoint(&self) -> String {
        let port = self.port;
        match &self.host {
            Host::Name(name) => format!("tcp://{name}:{port}"),
            Host::V6 { ip, zone: None } => format!("tcp://[{ip}]:{port}"),
            Host::V6 { ip, zone: Some(zone) } => format!("tcp://[{ip}%{zone}]:{port}"),
        }
    }

    /// Whether both are served by the same host, at the same port.
    pub(super) fn is_at(&self, other: &Target) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }
}

/// Without the user and the password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ws://{}{}", self.host(), self.path)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Host {
    fn parse(host: &str) -> Result<Host, &'static str> {
        let Some(literal) = host.strip_prefix('[') else {
            let name = decoded(host).ok_or("a % with two hexadecimal digits behind it")?;
            if !name.iter().all(u8::is_ascii) {
                return Err("a host in ASCII, an internationalized name in the form xn--.. (RFC 5891, section 4.4)");
            }
            let is_right = !name.is_empty() && name.iter().all(|byte| is_unreserved(*byte) || is_sub_delim(*byte));
            let name = String::from_utf8(name).unwrap_or_default().to_ascii_lowercase();
            return if is_right { Ok(Host::Name(name)) } else { Err("a host, or an address, behind ws://") };
        };
        let literal = literal.strip_suffix(']').ok_or(NO_V6)?;
        let (ip, zone) = literal.split_once('%').map_or((literal, None), |(ip, zone)| (ip, Some(zone)));
        let ip = ip.parse().map_err(|_| NO_V6)?;
        let zone = zone.map(|zone| {
            let zone = zone.strip_prefix("25").and_then(decoded)?;
            let is_right = !zone.is_empty() && zone.iter().all(|byte| is_unreserved(*byte));
            String::from_utf8(zone).ok().filter(|_| is_right)
        });
        match zone {
            None => Ok(Host::V6 { ip, zone: None }),
            Some(Some(zone)) => Ok(Host::V6 { ip, zone: Some(zone) }),
            Some(None) => Err("the name of an interface behind %25 (RFC 6874, section 2)"),
        }
    }
}

/// The authority, and what stands behind it (RFC 3986, section 3.2).
fn split_authority(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// The query has its question mark.
fn split_query(path: &str) -> (&str, Option<&str>) {
    path.find('?').map_or((path, None), |at| (&path[..at], Some(&path[at..])))
}

/// Host and port. An empty port is the default one (RFC 3986, section 3.2.3).
fn split_port(place: &str) -> Result<(&str, u16), &'static str> {
    let behind_host = match place.starts_with('[') {
        true => place.find(']').ok_or(NO_V6)? + 1,
        false => 0,
    };
    let Some(colon) = place[behind_host..].find(':') else { return Ok((place, PORT)) };
    let (host, port) = (&place[..behind_host + colon], &place[behind_host + colon + 1..]);
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(port) if is_number && port > 0 => Ok((host, port)),
        Err(_) if port.is_empty() => Ok((host, PORT)),
        _ => Err("a port from 1 to 65535 behind the host"),
    }
}

/// What is asked for: it begins with a slash, and stays percent-encoded as it is (RFC 3986, sections 3.3 and 3.4).
fn path_of(path: &str) -> Result<String, &'static str> {
    let bytes = path.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'%' if !is_encoded(&bytes[at..]) => return Err("a % with two hexadecimal digits behind it"),
            b'/' | b'?' | b':' | b'@' | b'%' => {}
            byte if is_unreserved(*byte) || is_sub_delim(*byte) => {}
            _ => return Err("a path and a query with other characters percent-encoded (RFC 3986, section 2.1)"),
        }
    }
    Ok(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
}

/// `.` and `..` are done (RFC 3986, section 5.2.4). `path` begins with a slash.
fn without_dots(path: &str) -> String {
    let mut done: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if segment == ".." {
            done.pop();
        }
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." if is_last => done.push(""),
            "." | ".." => {}
            segment => done.push(segment),
        }
    }
    format!("/{}", done.join("/"))
}

/// RFC 7617, section 2: the user may have no colon, and neither of them control characters.
fn basic(user: &str) -> Result<String, &'static str> {
    let is_right = |byte: u8| is_unreserved(byte) || is_sub_delim(byte) || matches!(byte, b'%' | b':');
    if !user.bytes().all(is_right) {
        return Err("a user and a password with other characters percent-encoded (RFC 3986, section 3.2.1)");
    }
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let wrong = "a user and a password that Basic can say (RFC 7617, section 2)";
    let (user, password) = (decoded(user).ok_or(wrong)?, decoded(password).ok_or(wrong)?);
    if user.contains(&b':') || user.iter().chain(&password).any(u8::is_ascii_control) {
        return Err(wrong);
    }
    Ok(format!("Basic {}", BASE64.encode([&user[..], b":", &password].concat())))
}

/// Without percent-encoding; `None` where that is wrong.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let (byte, behind) = match (first, behind) {
            (b'%', [high, low, behind @ ..]) if is_encoded(rest) => {
                let digit = |digit: &u8| char::from(*digit).to_digit(16).unwrap_or_default() as u8;
                (digit(high) << 4 | digit(low), behind)
            }
            (b'%', _) => return None,
            (byte, behind) => (*byte, behind),
        };
        decoded.push(byte);
        rest = behind;
    }
    Some(decoded)
}

fn is_encoded(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// RFC 3986, section 2.2.
fn is_sub_delim(byte: u8) -> bool {
    b"!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests;
