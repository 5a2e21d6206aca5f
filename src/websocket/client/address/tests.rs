//! What is an address, and what is none.

use super::*;

#[test]
fn address_is_read_as_the_rfc_writes_it() {
    for (url, host, endpoint, path) in [
        ("ws://h", "h", "tcp://h:80", "/"),
        ("WS://Example.COM:80/A?b", "example.com", "tcp://example.com:80", "/A?b"),
        ("ws://h:?q=/?:@!$&'()*+,;=", "h", "tcp://h:80", "/?q=/?:@!$&'()*+,;="),
        ("ws://h:0080/", "h", "tcp://h:80", "/"),
        ("ws://h:8080/a%2fb/%C3%BC//", "h:8080", "tcp://h:8080", "/a%2fb/%C3%BC//"),
        ("ws://[::1]/", "[::1]", "tcp://[::1]:80", "/"),
        ("ws://[2001:DB8::0:1]:9/", "[2001:db8::1]:9", "tcp://[2001:db8::1]:9", "/"),
        ("ws://[fe80::1%25eth0]:9", "[fe80::1]:9", "tcp://[fe80::1%eth0]:9", "/"),
        ("ws://[fe80::1%25eth%30.7]", "[fe80::1]", "tcp://[fe80::1%eth0.7]:80", "/"),
        ("ws://%65xample.com/", "example.com", "tcp://example.com:80", "/"),
        ("ws://127.0.0.1:1/", "127.0.0.1:1", "tcp://127.0.0.1:1", "/"),
    ] {
        let target = Target::parse(url).unwrap();
        assert_eq!((&*target.host(), &*target.endpoint(), &*target.path), (host, endpoint, path), "{url}");
    }
}

#[test]
fn address_that_is_none_is_refused_without_its_secrets() {
    for (url, part) in [
        ("", "ws://HOST"),
        ("h", "ws://HOST"),
        ("http://h/", "ws://"),
        ("wss://h/", "no TLS"),
        ("ws://", "a host"),
        ("ws:///path", "a host"),
        ("ws://:80/", "a host"),
        ("ws://user@/", "a host"),
        ("ws://h h/", "percent-encoded"),
        ("ws://h/a b", "percent-encoded"),
        ("ws://h/\r\nX: y", "percent-encoded"),
        ("ws://h/ü", "percent-encoded"),
        ("ws://bücher.example/", "xn--"),
        ("ws://b%C3%BCcher.example/", "xn--"),
        ("ws://h/#a", "fragment"),
        ("ws://h#a", "fragment"),
        ("ws://h/%", "hexadecimal"),
        ("ws://h/%4", "hexadecimal"),
        ("ws://h/%4g", "hexadecimal"),
        ("ws://h%/", "hexadecimal"),
        ("ws://h/<a>", "percent-encoded"),
        ("ws://h?\"", "percent-encoded"),
        ("ws://h\\a", "a host"),
        ("ws://h:0/", "port"),
        ("ws://h:65536/", "port"),
        ("ws://h:80x/", "port"),
        ("ws://h:+80/", "port"),
        ("ws://h:1:2/", "port"),
        ("ws://::1/", "port"),
        ("ws://[::1/", "IPv6"),
        ("ws://[::1]x/", "IPv6"),
        ("ws://[1.2.3.4]/", "IPv6"),
        ("ws://[v1.a]/", "IPv6"),
        ("ws://[fe80::1%eth0]/", "%25"),
        ("ws://[fe80::1%25]/", "%25"),
        ("ws://[fe80::1%25a%2Fb]/", "%25"),
        ("ws://a:b@c@h/", "percent-encoded"),
        ("ws://a[b@h/", "percent-encoded"),
        ("ws://a%3Ab:c@h/", "Basic"),
        ("ws://a:%0D@h/", "Basic"),
        ("ws://a:%zz@h/", "Basic"),
    ] {
        let error = Target::parse(url).expect_err(url);
        assert!(error.expected().contains(part), "{url}: {error}");
    }
    let error = Target::parse("ws://user:secret@h:x/p").unwrap_err();
    assert_eq!(error.url(), "ws://***@h:x/p");
}

#[test]
fn user_and_password_become_basic() {
    for (url, expected) in [
        // RFC 7617, section 2.
        ("ws://Aladdin:open%20sesame@h/", Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),
        ("ws://test:123%C2%A3@h/", Some("Basic dGVzdDoxMjPCow==")),
        ("ws://user@h/", Some("Basic dXNlcjo=")),
        ("ws://u:a:b@h/", Some("Basic dTphOmI=")),
        ("ws://h/a@b", None),
    ] {
        assert_eq!(Target::parse(url).unwrap().basic.as_deref(), expected, "{url}");
    }
}

#[test]
fn location_is_resolved_as_the_rfc_resolves_references() {
    // RFC 3986, section 5.4, as far as it is about paths.
    let base = Target::parse("ws://u:p@a:8/b/c/d;p?q").unwrap();
    for (location, expected) in [
        ("ws://g:9/h", "ws://g:9/h"),
        ("http://g/h", "ws://g/h"),
        ("HTTP://g", "ws://g/"),
        ("//g", "ws://g/"),
        ("g", "ws://a:8/b/c/g"),
        ("./g", "ws://a:8/b/c/g"),
        ("g/", "ws://a:8/b/c/g/"),
        ("/g", "ws://a:8/g"),
        ("?y", "ws://a:8/b/c/d;p?y"),
        ("g?y", "ws://a:8/b/c/g?y"),
        ("#s", "ws://a:8/b/c/d;p?q"),
        ("g#s", "ws://a:8/b/c/g"),
        ("g?y/./x", "ws://a:8/b/c/g?y/./x"),
        (";x", "ws://a:8/b/c/;x"),
        ("", "ws://a:8/b/c/d;p?q"),
        (".", "ws://a:8/b/c/"),
        ("..", "ws://a:8/b/"),
        ("../g", "ws://a:8/b/g"),
        ("../..", "ws://a:8/"),
        ("../../../g", "ws://a:8/g"),
        ("/./g", "ws://a:8/g"),
        ("g.", "ws://a:8/b/c/g."),
        ("..g", "ws://a:8/b/c/..g"),
        ("./g/.", "ws://a:8/b/c/g/"),
        ("g/../h", "ws://a:8/b/c/h"),
        ("g;x=1/../y", "ws://a:8/b/c/y"),
        ("g?u=http://x/", "ws://a:8/b/c/g?u=http://x/"),
    ] {
        assert_eq!(base.resolve(location).unwrap().to_string(), expected, "{location}");
    }
    for wrong in ["wss://a/", "https://a/", "ftp://a/", "mailto:a", "http://", "g\r\nX: y", "http:g"] {
        assert!(base.resolve(wrong).is_err(), "{wrong}");
    }
    // What the address said is for its own host; what another host says is not taken.
    assert!(base.resolve("/x").unwrap().basic.is_some());
    assert!(base.resolve("ws://x:y@a:8/").unwrap().basic.is_none());
}
