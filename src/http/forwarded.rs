//! What proxies say of their clients (RFC 7239).

use super::head::{members, trim};
use super::scan::{is_quoted_byte, is_token_byte};
use super::{Request, host, target};
use crate::io::Address;
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The proxies in front of a server, and the field in which they say for whom they ask. What a request says in it is believed as far
/// as it was written by them, because any peer can send such a field.
///
/// Name the field that your proxies write, and have them write it for each request. A proxy that writes the one passes the other on
/// as its client has sent it, so never believe both.
///
/// ```
/// use tiderace::http::{Http, Proxies, Request, Response};
/// use tiderace::{Conn, Handler, Result};
///
/// struct Hello(Proxies);
///
/// impl Handler for Hello {
///     type Codec = Http;
///
///     async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
///         let client = self.0.client(conn.peer_addr()?, &request);
///         let hello = match client.ip() {
///             Some(ip) => format!("Hello, {ip}!"),
///             None => "Hello!".to_owned(),
///         };
///         conn.send(&Response::text(hello)).await
///     }
/// }
///
/// # fn main() -> Result {
/// let proxies = Proxies::x_forwarded_for().trust("127.0.0.1")?.trust("10.0.0.0/8")?;
/// let hello = move || Hello(proxies.clone());
/// # let _ = hello;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Proxies {
    is_standard: bool,
    /// Each with the bits that matter; those of IPv4 as addresses of IPv6 that stand for them.
    networks: Vec<(u128, u128)>,
    trusts_unix: bool,
}

impl Proxies {
    /// Proxies that write `Forwarded`.
    pub fn forwarded() -> Proxies {
        Proxies { is_standard: true, networks: Vec::new(), trusts_unix: false }
    }

    /// Proxies that write `X-Forwarded-For`, and `X-Forwarded-Proto` and `X-Forwarded-Host` if they are to be believed in these.
    pub fn x_forwarded_for() -> Proxies {
        Proxies { is_standard: false, ..Proxies::forwarded() }
    }

    /// Trusts the proxies of a network, such as `10.0.0.0/8` or `fd00::/8`, or one at an address.
    ///
    /// # Errors
    /// If it is neither.
    pub fn trust(mut self, network: &str) -> Result<Proxies, NetworkError> {
        let parsed = match network.split_once('/') {
            Some((ip, prefix)) => ip.parse().ok().zip(prefix.parse().ok()),
            None => network.parse().ok().map(|ip: IpAddr| (ip, if ip.is_ipv4() { 32 } else { 128 })),
        };
        let error = || NetworkError { found: network.to_owned() };
        let (ip, prefix): (IpAddr, u32) = parsed.ok_or_else(error)?;
        let host_bits = if ip.is_ipv4() { 32_u32 } else { 128 }.checked_sub(prefix).ok_or_else(error)?;
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or_default();
        self.networks.push((bits(ip) & mask, mask));
        Ok(self)
    }

    /// Trusts the peers of Unix sockets.
    pub fn trust_unix(mut self) -> Proxies {
        self.trusts_unix = true;
        self
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        let bits = bits(ip);
        self.networks.iter().any(|(network, mask)| bits & mask == *network)
    }

    /// The client of a request: the peer, or if that is a trusted proxy, the client that the proxy names, and so on through all trusted
    /// proxies.
    ///
    /// What a proxy that is trusted has written wrong, or keeps to itself (`for=unknown`, `for=_hidden`), is an unknown client, and
    /// not the proxy.
    pub fn client<'a>(&self, peer: &Address, request: &Request<'a>) -> ClientInfo<'a> {
        let client =
            ClientInfo { ip: peer.ip().map(|ip| ip.to_canonical()), port: peer.port(), ..ClientInfo::default() };
        let is_trusted = match client.ip {
            Some(ip) => self.trusts(ip),
            None => self.trusts_unix && peer.is_unix(),
        };
        match (is_trusted, self.is_standard) {
            (false, _) => client,
            (true, true) => self.standard(client, request),
            (true, false) => self.usual(client, request),
        }
    }

    /// Goes through the elements of `Forwarded`, of which each proxy has appended one.
    fn standard<'a>(&self, mut client: ClientInfo<'a>, request: &Request<'a>) -> ClientInfo<'a> {
        let elements: Vec<&[u8]> = values(request, "forwarded").flat_map(members).collect();
        for element in elements.into_iter().rev() {
            client = ClientInfo { is_forwarded: true, ..ClientInfo::of_element(element).unwrap_or_default() };
            if !client.ip.is_some_and(|ip| self.trusts(ip)) {
                break;
            }
        }
        client
    }

    /// Goes through the addresses of `X-Forwarded-For`.
    fn usual<'a>(&self, mut client: ClientInfo<'a>, request: &Request<'a>) -> ClientInfo<'a> {
        // It has no quoted strings, so a quotation mark of the peer's hides no comma of a proxy's.
        let split = |value: &'a [u8]| value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let addresses: Vec<&[u8]> =
            values(request, "x-forwarded-for").flat_map(split).filter(|address| !address.is_empty()).collect();
        let mut hops = 0;
        for address in addresses.into_iter().rev() {
            let (ip, port) = std::str::from_utf8(address).ok().and_then(usual_node).unzip();
            client = ClientInfo { ip, port: port.flatten(), is_forwarded: true, ..ClientInfo::default() };
            hops += 1;
            if !ip.is_some_and(|ip| self.trusts(ip)) {
                break;
            }
        }
        if hops > 0 {
            client.scheme = nth_from_end(request, "x-forwarded-proto", hops).filter(|scheme| is_scheme(scheme));
            client.host = nth_from_end(request, "x-forwarded-host", hops).filter(|host| is_host(host));
        }
        client
    }
}

/// The member of a list that the same proxy has written as that of `X-Forwarded-For`; the first, if not all have written one.
fn nth_from_end<'a>(request: &Request<'a>, name: &str, n: usize) -> Option<Cow<'a, str>> {
    let all: Vec<&[u8]> = values(request, name).flat_map(members).collect();
    let member = all.get(all.len().saturating_sub(n))?;
    std::str::from_utf8(member).ok().map(Cow::Borrowed)
}

fn values<'a>(request: &Request<'a>, name: &str) -> impl Iterator<Item = &'a [u8]> {
    request.headers().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The client of a request: see [`Proxies::client`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo<'a> {
    ip: Option<IpAddr>,
    port: Option<u16>,
    scheme: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
    is_forwarded: bool,
}

impl<'a> ClientInfo<'a> {
    /// Its address; an IPv4 address is never written as one of IPv6. `None` of a Unix socket, and where a proxy does not tell.
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// Its port, if it is known.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// How it has asked the first proxy, `http` or `https`, if that has told.
    pub fn scheme(&self) -> Option<&str> {
        self.scheme.as_deref()
    }

    /// The host that it has asked the first proxy for, with its port if it has said one, if that has told. Otherwise
    /// [`Request::authority`] is as good as the proxies pass it on.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Whether it has come through a proxy that is trusted.
    pub fn is_forwarded(&self) -> bool {
        self.is_forwarded
    }

    /// The client of an element of `Forwarded` (RFC 7239, section 4); `None` if it is none.
    fn of_element(element: &'a [u8]) -> Option<ClientInfo<'a>> {
        let (mut client, mut rest, mut has_for) = (ClientInfo::default(), element, false);
        loop {
            rest = trim(rest);
            if let [b';', behind @ ..] = rest {
                rest = behind;
                continue;
            }
            if rest.is_empty() {
                return Some(client);
            }
            let (name, value, behind) = pair(rest)?;
            rest = trim(behind);
            if !matches!(rest, [] | [b';', ..]) {
                return None;
            }
            if name.eq_ignore_ascii_case(b"for") {
                // Each stands there once.
                if std::mem::replace(&mut has_for, true) {
                    return None;
                }
                (client.ip, client.port) = node(&value)?;
            } else if name.eq_ignore_ascii_case(b"proto") {
                let is_first = client.scheme.replace(value).is_none();
                client.scheme.as_ref().filter(|scheme| is_first && is_scheme(scheme))?;
            } else if name.eq_ignore_ascii_case(b"host") {
                let is_first = client.host.replace(value).is_none();
                client.host.as_ref().filter(|host| is_first && is_host(host))?;
            }
        }
    }
}

fn is_scheme(scheme: &str) -> bool {
    target::is_scheme(scheme.as_bytes())
}

fn is_host(host: &str) -> bool {
    host::is_authority(host.as_bytes())
}

/// The first `name=value` of a text, and what is behind it. A value is a token or a quoted string.
fn pair(text: &[u8]) -> Option<(&[u8], Cow<'_, str>, &[u8])> {
    let end = text.iter().position(|byte| !is_token_byte(*byte))?;
    let (name, rest) = text.split_at(end);
    let rest = rest.strip_prefix(b"=").filter(|_| !name.is_empty())?;
    if let Some(quoted) = rest.strip_prefix(b"\"") {
        let (value, behind) = unquote(quoted)?;
        return Some((name, value, behind));
    }
    let end = rest.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(rest.len());
    let (value, behind) = rest.split_at(end);
    let value = std::str::from_utf8(value).ok().filter(|value| !value.is_empty())?;
    Some((name, Cow::Borrowed(value), behind))
}

/// What a quoted string says that began before the text, and what is behind it (RFC 9110, section 5.6.4).
fn unquote(text: &[u8]) -> Option<(Cow<'_, str>, &[u8])> {
    let special = text.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    if text[special] == b'"' {
        return Some((Cow::Borrowed(std::str::from_utf8(&text[..special]).ok()?), &text[special + 1..]));
    }
    let mut value = text[..special].to_vec();
    let mut bytes = text[special..].iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((Cow::Owned(String::from_utf8(value).ok()?), &text[special + at + 1..])),
            b'\\' => value.push(*bytes.next().filter(|(_, byte)| is_quoted_byte(**byte))?.1),
            byte => value.push(*byte),
        }
    }
    None
}

/// The node of a `for` (RFC 7239, section 6): an address with or without a port, or something that tells nothing.
fn node(text: &str) -> Option<(Option<IpAddr>, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let number = match port {
        None => None,
        Some(hidden) if is_hidden(hidden) => None,
        Some(port) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
    };
    if host.eq_ignore_ascii_case("unknown") || is_hidden(host) {
        return Some((None, None));
    }
    let ip = match host.strip_prefix('[') {
        Some(rest) => IpAddr::V6(rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?),
        None => IpAddr::V4(host.parse().ok()?),
    };
    Some((Some(ip.to_canonical()), number))
}

/// A name that a proxy has made up (RFC 7239, section 6.3).
fn is_hidden(text: &str) -> bool {
    let is_right = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.strip_prefix('_').is_some_and(|name| !name.is_empty() && name.bytes().all(is_right))
}

/// An address as it stands in `X-Forwarded-For`: that of IPv6 with or without brackets.
fn usual_node(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some((ip.to_canonical(), None));
    }
    let (ip, port) = node(text)?;
    Some((ip?, port))
}

/// A text that is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkError {
    found: String,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected an address, or a network such as 10.0.0.0/8, found {:?}", self.found)
    }
}

impl std::error::Error for NetworkError {}
