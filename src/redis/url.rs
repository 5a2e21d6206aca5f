//! Where a Redis is, as a URL says it.

use super::RedisError;

/// The parts of a URL that are understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// As an [`Endpoint`](crate::Endpoint) is written.
    pub(super) endpoint: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: u32,
}

/// What stands in the place of something else. It is not shown: it may be a part of a password that should have been
/// percent-encoded.
fn wrong_text(expected: &'static str) -> RedisError {
    wrong(expected, "another text")
}

fn wrong(expected: &'static str, found: &str) -> RedisError {
    RedisError::Url { expected, found: found.to_owned() }
}

/// Reads `redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]` and `unix://[[USER]:PASSWORD@]PATH[?db=DB]`.
pub(super) fn parse(url: &str) -> Result<Parts, RedisError> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    match scheme {
        "redis" => parse_tcp(rest),
        "unix" | "redis+unix" => parse_unix(rest),
        "rediss" => Err(wrong("redis or unix before ://, because there is no TLS", scheme)),
        // What stands there may have a password in it.
        _ => Err(wrong("redis or unix before ://", if scheme.len() <= 16 { scheme } else { "another scheme" })),
    }
}

fn parse_tcp(rest: &str) -> Result<Parts, RedisError> {
    let mut parts = Parts::default();
    let (rest, query) = split_query(rest)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = match authority.rsplit_once('@') {
        Some((credentials, host)) => {
            parts.set_credentials(credentials)?;
            host
        }
        None => authority,
    };
    parts.endpoint = endpoint(host)?;
    if !path.is_empty() {
        parts.database = database(path)?;
    }
    parts.set_options(query, path.is_empty())?;
    Ok(parts)
}

fn parse_unix(rest: &str) -> Result<Parts, RedisError> {
    let mut parts = Parts::default();
    let (rest, query) = split_query(rest)?;
    // An `@` at the front is that of an abstract name; one behind the first slash belongs to the path.
    let authority = rest.split('/').next().unwrap_or_default();
    let path = match authority.rsplit_once('@') {
        Some((credentials, _)) if !credentials.is_empty() => {
            parts.set_credentials(credentials)?;
            &rest[credentials.len() + 1..]
        }
        _ => rest,
    };
    if path.is_empty() {
        return Err(wrong("the path of a socket", path));
    }
    parts.endpoint = format!("unix://{path}");
    parts.set_options(query, true)?;
    Ok(parts)
}

fn split_query(rest: &str) -> Result<(&str, &str), RedisError> {
    match rest.split_once('#') {
        Some((_, fragment)) => Err(wrong("no fragment (a # in a password is %23)", fragment.get(..0).unwrap_or(""))),
        None => Ok(rest.split_once('?').unwrap_or((rest, ""))),
    }
}

impl Parts {
    fn set_credentials(&mut self, credentials: &str) -> Result<(), RedisError> {
        let Some((user, password)) = credentials.split_once(':') else {
            return Err(wrong_text("a colon and a password behind the user"));
        };
        let (user, password) = (decoded(user)?, decoded(password)?);
        let is_empty = user.is_empty() && password.is_empty();
        self.user = Some(user).filter(|user| !user.is_empty());
        self.password = Some(password).filter(|_| !is_empty);
        Ok(())
    }

    fn set_options(&mut self, query: &str, may_select: bool) -> Result<(), RedisError> {
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("db", number)) if may_select => self.database = database(number)?,
                Some(("db", _)) => return Err(wrong_text("one database, in the path or as db")),
                Some(_) => return Err(wrong_text("no option but db")),
                None => return Err(wrong_text("an option and its value, as in db=1")),
            }
        }
        Ok(())
    }
}

fn database(number: &str) -> Result<u32, RedisError> {
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| is_number).ok_or_else(|| wrong_text("the number of a database"))
}

/// Host and port as an endpoint. A host of IPv6 stands in brackets (RFC 3986, section 3.2.2).
fn endpoint(host: &str) -> Result<String, RedisError> {
    const PORT: u16 = 6379;
    let (name, port) = match host.strip_prefix('[') {
        Some(literal) => {
            let Some((literal, port)) = literal.split_once(']') else { return Err(wrong_text("a ] behind the host")) };
            (format!("[{}]", decoded(literal)?), port)
        }
        None => {
            let (name, port) = host.find(':').map_or((host, ""), |colon| host.split_at(colon));
            (decoded(name)?, port)
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => PORT,
        // A colon without a port means the default (section 3.2.3).
        Some("") => PORT,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port > 0).ok_or_else(|| wrong_text("a port from 1 to 65535"))?
        }
        _ => return Err(wrong_text("a port behind the host, and an IPv6 address in brackets")),
    };
    let name = if name.is_empty() { "localhost".to_owned() } else { name };
    if name.contains(['/', '?', '@']) || name.contains(char::is_whitespace) {
        return Err(wrong_text("a host"));
    }
    Ok(format!("tcp://{name}:{port}"))
}

/// A percent sign and two hexadecimal digits stand for a byte (RFC 3986, section 2.1).
fn decoded(text: &str) -> Result<String, RedisError> {
    let malformed = || wrong("two hexadecimal digits behind a %, and UTF-8", "something else");
    let mut bytes = Vec::with_capacity(text.len());
    let mut pieces = text.split('%');
    bytes.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let (digits, rest) = piece.as_bytes().split_at_checked(2).ok_or_else(malformed)?;
        let value = |digit: u8| char::from(digit).to_digit(16).ok_or_else(malformed);
        bytes.push((value(digits[0])? * 16 + value(digits[1])?) as u8);
        bytes.extend_from_slice(rest);
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> (String, Option<String>, Option<String>, u32) {
        let parts = parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        (parts.endpoint, parts.user, parts.password, parts.database)
    }

    fn is(url: &str, endpoint: &str, user: Option<&str>, password: Option<&str>, database: u32) {
        let expected = (endpoint.to_owned(), user.map(str::to_owned), password.map(str::to_owned), database);
        assert_eq!(read(url), expected, "{url}");
    }

    #[test]
    fn redis_url_names_host_port_credentials_and_database() {
        is("redis://h", "tcp://h:6379", None, None, 0);
        is("redis://h:", "tcp://h:6379", None, None, 0);
        is("redis://h/", "tcp://h:6379", None, None, 0);
        is("redis://", "tcp://localhost:6379", None, None, 0);
        is("redis:///3", "tcp://localhost:6379", None, None, 3);
        is("redis://h:1/15", "tcp://h:1", None, None, 15);
        is("redis://h?db=2", "tcp://h:6379", None, None, 2);
        is("redis://:p@h", "tcp://h:6379", None, Some("p"), 0);
        is("redis://u:p@h:7/1", "tcp://h:7", Some("u"), Some("p"), 1);
        is("redis://u:@h", "tcp://h:6379", Some("u"), Some(""), 0);
        is("redis://:@h", "tcp://h:6379", None, None, 0);
        is("redis://u%3A:p%40%2F%25%C3%A4@h", "tcp://h:6379", Some("u:"), Some("p@/%ä"), 0);
        // The last @ ends the credentials, the first colon the user.
        is("redis://u:a@b:c@h", "tcp://h:6379", Some("u"), Some("a@b:c"), 0);
    }

    #[test]
    fn redis_url_has_ipv6_in_brackets() {
        is("redis://[::1]", "tcp://[::1]:6379", None, None, 0);
        is("redis://:p@[::1]:7/2", "tcp://[::1]:7", None, Some("p"), 2);
        is("redis://[fe80::1%25lo]:7", "tcp://[fe80::1%lo]:7", None, None, 0);
    }

    #[test]
    fn unix_url_names_a_path() {
        is("unix:///run/r.sock?db=1", "unix:///run/r.sock", None, None, 1);
        is("unix://r.sock", "unix://r.sock", None, None, 0);
        is("unix://@name", "unix://@name", None, None, 0);
        is("unix:///a@b", "unix:///a@b", None, None, 0);
        is("unix://u:p@/run/r.sock", "unix:///run/r.sock", Some("u"), Some("p"), 0);
        is("redis+unix:///r.sock", "unix:///r.sock", None, None, 0);
    }

    #[test]
    fn redis_url_that_is_wrong_is_refused_without_its_password() {
        for url in [
            "",
            "h:1",
            "http://h",
            "rediss://h",
            "redis://h:0",
            "redis://h:65536",
            "redis://h:+1",
            "redis://h:x",
            "redis://h/x",
            "redis://h/1/",
            "redis://h/-1",
            "redis://h/+1",
            "redis://h/4294967296",
            "redis://::1",
            "redis://[::1",
            "redis://[::1]x",
            "redis://u@h",
            "redis://:secret%@h",
            "redis://:secret%2@h",
            "redis://:secret%zz@h",
            "redis://:secret%ff@h",
            "redis://:secret#x@h",
            "redis://h?x=1",
            "redis://h?db",
            "redis://h/1?db=2",
            "redis://h?db=x",
            "unix://",
            "redis://a b",
            "secret://:secret@h",
            "redis://:secret@h:x",
        ] {
            let error = parse(url).map(|parts| parts.endpoint).expect_err(url).to_string();
            assert!(!error.contains("secret") || url.starts_with("secret"), "{url}: {error}");
        }
    }
}
