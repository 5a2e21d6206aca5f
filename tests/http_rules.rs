//! HTTP/1.1: the rules of reading a request, one row a rule, with its section. Each row holds however the bytes arrive.
//!
//! Sections are those of RFC 9112 unless another RFC is named.
#![cfg(feature = "http")]

mod support;

use std::convert::Infallible;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::*;
use tiderace::codec::{Codec, Decoder, Encoder, Input, Output, encode_to_vec};
use tiderace::http::{Http, HttpError, HttpParts, Part, Proxies, Request, Response};
use tiderace::{Address, Conn, Handler, Result, Server};

/// What becomes of a stream.
#[derive(Clone, Copy, Debug)]
enum Is {
    /// These requests, each as [`show`] shows it, and nothing is left.
    Taken(&'static [&'static str]),
    /// It is refused with this status, behind so many requests.
    Refused(u16, usize),
    /// More must come.
    Awaited,
}
use Is::*;

/// A section, a rule, a stream, and what becomes of it.
type Row = (&'static str, &'static str, &'static str, Is);

const NO: Is = Refused(400, 0);
/// The usual request, and what it is shown as.
const GET: Is = Taken(&["GET / h"]);
const HELLO: Is = Taken(&["POST / h hello"]);

const LINES: &[Row] = &[
    ("2.2", "lines end with CR LF", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", GET),
    ("2.2", "a bare LF ends no request line", "GET / HTTP/1.1\nHost: h\r\n\r\n", NO),
    ("2.2", "a bare LF ends no field line", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", NO),
    ("2.2", "a bare LF is no empty line", "GET / HTTP/1.1\r\nHost: h\r\n\n", NO),
    ("2.2", "LF LF ends no head", "GET / HTTP/1.1\nHost: h\n\n", NO),
    ("2.2", "a bare CR ends no request line", "GET / HTTP/1.1\rHost: h\r\n\r\n", NO),
    ("2.2", "a bare CR ends no field line", "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", NO),
    ("2.2", "CR alone ends no head", "GET / HTTP/1.1\rHost: h\r\r", NO),
    ("2.2", "a CR before CR LF is bare", "GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", NO),
    ("2.2", "a bare CR is in no method", "G\rET / HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("2.2", "a bare CR is in no target", "GET /\ra HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("2.2", "a bare CR is in no version", "GET / HTTP\r/1.1\r\nHost: h\r\n\r\n", NO),
    ("2.2", "a bare CR is in no field name", "GET / HTTP/1.1\r\nHost: h\r\nX\rY: a\r\n\r\n", NO),
    ("2.2", "a bare CR is not before a colon", "GET / HTTP/1.1\r\nHost: h\r\nX\r: a\r\n\r\n", NO),
    ("2.2", "a bare CR does not begin a value", "GET / HTTP/1.1\r\nHost: h\r\nX:\ra\r\n\r\n", NO),
    ("2.2", "an empty line before a request is passed over", "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", GET),
    ("2.2", "several empty lines are, too", "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", GET),
    (
        "2.2",
        "an empty line between requests is passed over",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        Taken(&["GET / h", "GET / h"]),
    ),
    ("2.2", "a bare LF before a request is none", "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("2.2", "a bare CR before a request is none", "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("2.2", "white space before a request is none", " GET / HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("2.2", "a line of white space before a request is none", "  \r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("2.2", "white space before the first field", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", NO),
    ("2.2", "a tab before the first field", "GET / HTTP/1.1\r\n\tHost: h\r\n\r\n", NO),
    ("2.2", "a byte order mark is none", "\u{feff}GET / HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("2.2", "TLS is answered although no line ends", "\x16\x03\x01\x02", NO),
    ("2.2", "garbage without a line end is answered", "\0\0\0\0", NO),
    ("2.2", "garbage in a target is answered", "GET /\x01", NO),
    ("2.2", "garbage in a version is answered", "GET / HTTX", NO),
    ("2.2", "garbage in a field name is answered", "GET / HTTP/1.1\r\nHo\x02", NO),
    ("2.2", "garbage in a value is answered", "GET / HTTP/1.1\r\nHost: h\r\nX: \0", NO),
    ("2.2", "what may yet be a head is awaited", "GET / HTTP/1.1\r\nHost: h\r\n\r", Awaited),
    ("2.2", "what may yet be a version is awaited", "GET / HTTP/1.", Awaited),
    ("2.2", "what may yet be a method is awaited", "GE", Awaited),
    ("2.2", "empty lines alone are awaited", "\r\n\r\n\r", Awaited),
];

const REQUEST_LINES: &[Row] = &[
    ("3", "one space behind the method", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3", "one space behind the target", "GET /  HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3", "no tab behind the method", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3", "no tab behind the target", "GET /\tHTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3", "nothing behind the version", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", NO),
    ("3", "no word behind the version", "GET / HTTP/1.1 x\r\nHost: h\r\n\r\n", NO),
    ("3", "no space in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3", "a target", "GET HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3", "an empty target is none", "GET  HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3", "a version: HTTP/0.9 is not spoken", "GET /\r\n", NO),
    ("3", "a method", " / HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.1", "a method is a token", "G(T / HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.1", "a method has no colon", "GET: / HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.1", "a method has no NUL", "GE\0T / HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.1", "a method is ASCII", "GÉT / HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.1", "methods are told apart by case", "get / HTTP/1.1\r\nHost: h\r\n\r\n", Taken(&["get / h"])),
    (
        "3.1",
        "a method may be any token",
        "M-SEARCH!#$%&'*+.^_`|~9 / HTTP/1.1\r\nHost: h\r\n\r\n",
        Taken(&["M-SEARCH!#$%&'*+.^_`|~9 / h"]),
    ),
    ("3.2", "a target has no fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2", "a query has no fragment", "GET /?a#b HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2", "a target is ASCII", "GET /é HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2", "a query is ASCII", "GET /?é HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2", "a target has no NUL", "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2", "a target has no DEL", "GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2", "a path has no backslash", "GET /..\\a HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2", "a path has no quotation mark", "GET /\"a\" HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2", "a path has no angle bracket", "GET /<a> HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2", "a query has no angle bracket", "GET /?<a> HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    (
        "3.2",
        "a target has what browsers do not escape",
        "GET /a|b^c?d={e}&f=`[g]`\\|^ HTTP/1.1\r\nHost: h\r\n\r\n",
        Taken(&["GET /a|b^c?d={e}&f=`[g]`\\|^ h"]),
    ),
    (
        "3.2",
        "escapes are left as they are",
        "GET /%00%2e%2E/%zz%c0%af HTTP/1.1\r\nHost: h\r\n\r\n",
        Taken(&["GET /%00%2e%2E/%zz%c0%af h"]),
    ),
    ("3.2.1", "the origin form", "GET /a/b;c=d?e=f?/g HTTP/1.1\r\nHost: h\r\n\r\n", Taken(&["GET /a/b;c=d?e=f?/g h"])),
    (
        "3.2.1",
        "a path that begins with two slashes is a path",
        "GET //other/a HTTP/1.1\r\nHost: h\r\n\r\n",
        Taken(&["GET //other/a h"]),
    ),
    ("3.2.1", "a path has a slash before it", "GET foo HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2.1", "a query alone is no target", "GET ?a=b HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2.1", "a relative path is no target", "GET ../a HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2.2", "the absolute form", "GET http://h/a?b HTTP/1.1\r\nHost: h\r\n\r\n", Taken(&["GET http://h/a?b h"])),
    (
        "3.2.2",
        "its host goes before Host",
        "GET http://other:81/ HTTP/1.1\r\nHost: h\r\n\r\n",
        Taken(&["GET http://other:81/ other:81"]),
    ),
    (
        "3.2.2",
        "its scheme's case does not matter",
        "GET HTTP://other HTTP/1.1\r\nHost: h\r\n\r\n",
        Taken(&["GET HTTP://other other"]),
    ),
    ("3.2.2", "Host is checked all the same", "GET http://other/ HTTP/1.1\r\nHost: a b\r\n\r\n", NO),
    ("3.2.2", "Host is there all the same", "GET http://other/ HTTP/1.1\r\n\r\n", NO),
    (
        "3.2.2",
        "a query may follow its host",
        "GET http://other?a HTTP/1.1\r\nHost: h\r\n\r\n",
        Taken(&["GET http://other?a other"]),
    ),
    ("3.2.2", "it has a host", "GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2.2", "it has slashes", "GET http:a HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2.2", "its scheme is one", "GET 1http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2.2", "its scheme is there", "GET ://h/ HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2.2", "its port is one", "GET http://h:80x/ HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    (
        "3.2.2",
        "HTTP/1.0 may have it without a Host",
        "GET http://other/ HTTP/1.0\r\n\r\n",
        Taken(&["GET http://other/ other closes"]),
    ),
    ("RFC 9110, 4.2.4", "it has no user", "GET http://user@h/ HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("RFC 9110, 4.2.4", "it has no password", "GET http://user:80@h/ HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    (
        "3.2.3",
        "the authority form",
        "CONNECT other:443 HTTP/1.1\r\nHost: h\r\n\r\n",
        Taken(&["CONNECT other:443 other:443"]),
    ),
    ("3.2.3", "it is for CONNECT alone", "GET other:443 HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2.3", "CONNECT has no other: a path", "CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2.3", "CONNECT has no other: absolute", "CONNECT http://h:80/ HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2.3", "CONNECT has no other: an asterisk", "CONNECT * HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2.3", "it has a port", "CONNECT other HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2.3", "its port has digits", "CONNECT other: HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2.3", "its brackets have a port behind them", "CONNECT [::1] HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    (
        "3.2.3",
        "its host may be an IPv6 address",
        "CONNECT [::1]:443 HTTP/1.1\r\nHost: h\r\n\r\n",
        Taken(&["CONNECT [::1]:443 [::1]:443"]),
    ),
    ("3.2.4", "the asterisk form", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", Taken(&["OPTIONS * h"])),
    ("3.2.4", "it is for OPTIONS alone", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2.4", "case tells OPTIONS apart, too", "options * HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("3.2.4", "nothing follows the asterisk", "OPTIONS *?a HTTP/1.1\r\nHost: h\r\n\r\n", NO),
];

const VERSIONS: &[Row] = &[
    ("2.3", "HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", Taken(&["GET / - closes"])),
    ("RFC 9110, 2.5", "HTTP/1.2 is read as HTTP/1.1", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", GET),
    (
        "RFC 9110, 2.5",
        "HTTP/1.9 is, too",
        "\r\nPOST / HTTP/1.9\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        HELLO,
    ),
    ("RFC 9110, 2.5", "and it needs a Host", "GET / HTTP/1.2\r\nX: HTTP/1.3\r\n\r\n", NO),
    ("RFC 9110, 15.6.6", "HTTP/2.0 is refused", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", Refused(505, 0)),
    ("RFC 9110, 15.6.6", "HTTP/0.9 is, too", "GET / HTTP/0.9\r\nHost: h\r\n\r\n", Refused(505, 0)),
    ("RFC 9113, 3.4", "the preface of HTTP/2 is", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refused(505, 0)),
    ("2.3", "a version is written in capitals", "GET / http/1.1\r\nHost: h\r\n\r\n", NO),
    ("2.3", "a version has one digit before the dot", "GET / HTTP/11.1\r\nHost: h\r\n\r\n", NO),
    ("2.3", "a version has one digit behind the dot", "GET / HTTP/1.10\r\nHost: h\r\n\r\n", NO),
    ("2.3", "a version has no zeros before it", "GET / HTTP/1.01\r\nHost: h\r\n\r\n", NO),
    ("2.3", "a version has a dot", "GET / HTTP/1,1\r\nHost: h\r\n\r\n", NO),
    ("2.3", "a version has a minor number", "GET / HTTP/1\r\nHost: h\r\n\r\n", NO),
    ("2.3", "a version has a digit behind the dot", "GET / HTTP/1.\r\nHost: h\r\n\r\n", NO),
    ("2.3", "a version has a number", "GET / HTTP/\r\nHost: h\r\n\r\n", NO),
    ("2.3", "a version has no space", "GET / HTTP/ 1.1\r\nHost: h\r\n\r\n", NO),
    ("2.3", "a version has its own name", "GET / HTTPS/1.1\r\nHost: h\r\n\r\n", NO),
    ("2.3", "a version has digits of ASCII", "GET / HTTP/1.¹\r\nHost: h\r\n\r\n", NO),
];

const FIELDS: &[Row] = &[
    ("5", "a value has no white space around it", "GET / HTTP/1.1\r\nHost: \t h \t\r\nX:\r\n\r\n", GET),
    ("5", "white space before a value is optional", "GET / HTTP/1.1\r\nHost:h\r\n\r\n", GET),
    ("5", "an empty value is one", "GET / HTTP/1.1\r\nHost: h\r\nX:\r\nY: \r\n\r\n", GET),
    ("5.1", "no space before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", NO),
    ("5.1", "no tab before the colon", "GET / HTTP/1.1\r\nHost\t: h\r\n\r\n", NO),
    ("5.1", "no space in a name", "GET / HTTP/1.1\r\nHost: h\r\nX y: a\r\n\r\n", NO),
    ("5.1", "a line has a colon", "GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", NO),
    ("5.1", "a name is not empty", "GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n", NO),
    ("RFC 9110, 5.1", "a name has no brackets", "GET / HTTP/1.1\r\nHost: h\r\nX[1]: a\r\n\r\n", NO),
    ("RFC 9110, 5.1", "a name is ASCII", "GET / HTTP/1.1\r\nHost: h\r\nXé: a\r\n\r\n", NO),
    ("RFC 9110, 5.1", "a name has no NUL", "GET / HTTP/1.1\r\nHost: h\r\nX\0: a\r\n\r\n", NO),
    (
        "RFC 9110, 5.1",
        "names are the same in any case",
        "POST / HTTP/1.1\r\nhOST: h\r\ncontent-LENGTH: 5\r\n\r\nhello",
        HELLO,
    ),
    (
        "RFC 9110, 5.1",
        "an underscore is no hyphen",
        "GET / HTTP/1.1\r\nHost: h\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n\r\n",
        GET,
    ),
    ("5.2", "a line does not go on in the next", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", NO),
    ("5.2", "nor behind a tab", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb\r\n\r\n", NO),
    ("5.2", "nor with nothing in it", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n \r\n\r\n", NO),
    ("5.2", "nor behind a name", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", NO),
    ("RFC 9110, 5.5", "a value has no NUL", "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", NO),
    ("RFC 9110, 5.5", "a value has no control character", "GET / HTTP/1.1\r\nHost: h\r\nX: a\x0bb\r\n\r\n", NO),
    ("RFC 9110, 5.5", "a value has no escape character", "GET / HTTP/1.1\r\nHost: h\r\nX: \x1b[31m\r\n\r\n", NO),
    ("RFC 9110, 5.5", "a value has no DEL", "GET / HTTP/1.1\r\nHost: h\r\nX: \x7f\r\n\r\n", NO),
    ("RFC 9110, 5.5", "a value may have tabs and other bytes", "GET / HTTP/1.1\r\nHost: h\r\nX: a\tb é\r\n\r\n", GET),
];

const HOSTS: &[Row] = &[
    ("3.2", "HTTP/1.1 has a Host", "GET / HTTP/1.1\r\n\r\n", NO),
    ("3.2", "it has one Host", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", NO),
    ("3.2", "it has not two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", NO),
    ("3.2", "HTTP/1.0 has not two either", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", NO),
    ("3.2", "HTTP/1.0 has a right one", "GET / HTTP/1.0\r\nHost: a b\r\n\r\n", NO),
    ("3.2", "HTTP/1.0 may have one", "GET / HTTP/1.0\r\nHost: h\r\n\r\n", Taken(&["GET / h closes"])),
    ("RFC 9110, 4.2.1", "a host is not empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n", NO),
    ("RFC 9110, 4.2.1", "a host before a port is not empty", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", NO),
    ("RFC 9110, 7.2", "a port", "GET / HTTP/1.1\r\nHost: h:8080\r\n\r\n", Taken(&["GET / h:8080"])),
    ("RFC 9110, 7.2", "a port may be empty", "GET / HTTP/1.1\r\nHost: h:\r\n\r\n", Taken(&["GET / h:"])),
    ("RFC 9110, 7.2", "a port has digits alone", "GET / HTTP/1.1\r\nHost: h:80x\r\n\r\n", NO),
    ("RFC 9110, 7.2", "a port has no sign", "GET / HTTP/1.1\r\nHost: h:+80\r\n\r\n", NO),
    ("RFC 9110, 7.2", "a port has 16 bits", "GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n", NO),
    (
        "RFC 9110, 7.2",
        "a port has zeros before it",
        "GET / HTTP/1.1\r\nHost: h:00000080\r\n\r\n",
        Taken(&["GET / h:00000080"]),
    ),
    ("RFC 9110, 7.2", "there is one port", "GET / HTTP/1.1\r\nHost: h:80:80\r\n\r\n", NO),
    ("RFC 9110, 7.2", "no space in a host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", NO),
    ("RFC 9110, 7.2", "no path in a host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", NO),
    ("RFC 9110, 7.2", "no query in a host", "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", NO),
    ("RFC 9110, 7.2", "no fragment in a host", "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", NO),
    ("RFC 9110, 7.2", "no user in a host", "GET / HTTP/1.1\r\nHost: user@h\r\n\r\n", NO),
    ("RFC 9110, 7.2", "no scheme in a host", "GET / HTTP/1.1\r\nHost: http://h\r\n\r\n", NO),
    ("RFC 9110, 7.2", "no list of hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", NO),
    ("RFC 9110, 7.2", "no list of hosts without a space", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", NO),
    ("RFC 9110, 7.2", "no backslash in a host", "GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", NO),
    ("RFC 9110, 7.2", "no quotation mark in a host", "GET / HTTP/1.1\r\nHost: \"a\"\r\n\r\n", NO),
    ("RFC 9110, 7.2", "a host is ASCII", "GET / HTTP/1.1\r\nHost: é\r\n\r\n", NO),
    (
        "RFC 3986, 3.2.2",
        "a name may have these",
        "GET / HTTP/1.1\r\nHost: a-b_c.~!$&'()*+;=\r\n\r\n",
        Taken(&["GET / a-b_c.~!$&'()*+;="]),
    ),
    (
        "RFC 3986, 3.2.2",
        "a name may have escapes",
        "GET / HTTP/1.1\r\nHost: a%C3%a9:80\r\n\r\n",
        Taken(&["GET / a%C3%a9:80"]),
    ),
    ("RFC 3986, 3.2.2", "an escape has two digits", "GET / HTTP/1.1\r\nHost: a%C\r\n\r\n", NO),
    ("RFC 3986, 3.2.2", "an escape has hexadecimal digits", "GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n", NO),
    (
        "RFC 3986, 3.2.2",
        "an IPv4 address",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n",
        Taken(&["GET / 127.0.0.1:80"]),
    ),
    ("RFC 3986, 3.2.2", "an IPv6 address", "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", Taken(&["GET / [::1]"])),
    (
        "RFC 3986, 3.2.2",
        "an IPv6 address with a port",
        "GET / HTTP/1.1\r\nHost: [fe80::1:2]:80\r\n\r\n",
        Taken(&["GET / [fe80::1:2]:80"]),
    ),
    (
        "RFC 3986, 3.2.2",
        "an address of a later version",
        "GET / HTTP/1.1\r\nHost: [v1F.a:b]\r\n\r\n",
        Taken(&["GET / [v1F.a:b]"]),
    ),
    ("RFC 9110, 7.2", "no list of hosts in brackets", "GET / HTTP/1.1\r\nHost: [v1.a,b]\r\n\r\n", NO),
    ("RFC 3986, 3.2.2", "a version has an address", "GET / HTTP/1.1\r\nHost: [v1.]\r\n\r\n", NO),
    ("RFC 3986, 3.2.2", "a version has digits", "GET / HTTP/1.1\r\nHost: [v.a]\r\n\r\n", NO),
    ("RFC 3986, 3.2.2", "a bracket is closed", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", NO),
    ("RFC 3986, 3.2.2", "a bracket is opened", "GET / HTTP/1.1\r\nHost: ::1]\r\n\r\n", NO),
    ("RFC 3986, 3.2.2", "an IPv6 address has brackets", "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", NO),
    ("RFC 3986, 3.2.2", "brackets have an address", "GET / HTTP/1.1\r\nHost: []\r\n\r\n", NO),
    ("RFC 3986, 3.2.2", "brackets have an address of IPv6", "GET / HTTP/1.1\r\nHost: [127.0.0.1]\r\n\r\n", NO),
    ("RFC 3986, 3.2.2", "an IPv6 address has eight groups", "GET / HTTP/1.1\r\nHost: [1:2:3]\r\n\r\n", NO),
    ("RFC 3986, 3.2.2", "an IPv6 address has no zone", "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n", NO),
    ("RFC 3986, 3.2.2", "a port alone follows brackets", "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", NO),
    ("RFC 3986, 3.2.2", "a right port follows brackets", "GET / HTTP/1.1\r\nHost: [::1]:a\r\n\r\n", NO),
];

/// Heads of requests with bodies. The start of each is that of a POST with a Host.
const LENGTHS: &[Row] = &[
    ("6.2", "a length", "Content-Length: 5\r\n\r\nhello", HELLO),
    ("6.2", "a length may have zeros before it", "Content-Length: 005\r\n\r\nhello", HELLO),
    ("6.2", "a length of zero", "Content-Length: 0\r\n\r\n", Taken(&["POST / h"])),
    ("6.2", "zero has one more zero", "Content-Length: 00\r\n\r\n", Taken(&["POST / h"])),
    ("6.3", "no length is no body", "\r\n", Taken(&["POST / h"])),
    ("6.3", "a body that has not come is awaited", "Content-Length: 6\r\n\r\nhello", Awaited),
    ("6.3", "a length is a number", "Content-Length: five\r\n\r\nhello", NO),
    ("6.3", "a length is not empty", "Content-Length: \r\n\r\nhello", NO),
    ("6.3", "a length has no plus", "Content-Length: +5\r\n\r\nhello", NO),
    ("6.3", "a length has no minus", "Content-Length: -5\r\n\r\nhello", NO),
    ("6.3", "a length has no minus before a zero", "Content-Length: -0\r\n\r\n", NO),
    ("6.3", "a length is decimal", "Content-Length: 0x5\r\n\r\nhello", NO),
    ("6.3", "a length is decimal, not octal", "Content-Length: 0o5\r\n\r\nhello", NO),
    ("6.3", "a length has no space in it", "Content-Length: 5 5\r\n\r\nhello", NO),
    ("6.3", "a length has no underscore", "Content-Length: 1_0\r\n\r\nhello", NO),
    ("6.3", "a length has no dot", "Content-Length: 5.0\r\n\r\nhello", NO),
    ("6.3", "a length has no semicolon", "Content-Length: 5;a\r\n\r\nhello", NO),
    ("6.3", "a length has digits of ASCII", "Content-Length: ５\r\n\r\nhello", NO),
    ("6.3", "a length fits", "Content-Length: 18446744073709551616\r\n\r\nhello", NO),
    ("6.3", "a length is not too long", "Content-Length: 18446744073709551615\r\n\r\nhello", Refused(413, 0)),
    ("6.3", "a length is said once", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", NO),
    ("6.3", "not two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", NO),
    ("6.3", "not two, one of them empty", "Content-Length: 5\r\nContent-Length:\r\n\r\nhello", NO),
    ("6.3", "no list of lengths", "Content-Length: 5, 5\r\n\r\nhello", NO),
    ("6.3", "no list of different lengths", "Content-Length: 5, 6\r\n\r\nhello!", NO),
    ("6.3", "no list that ends with a comma", "Content-Length: 5,\r\n\r\nhello", NO),
    ("5.1", "no space before the colon of a length", "Content-Length : 5\r\n\r\nhello", NO),
    (
        "6.3",
        "what follows a body is a request",
        "Content-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        Taken(&["POST / h hello", "GET / h"]),
    ),
    ("6.3", "and is refused as one", "Content-Length: 5\r\n\r\nhello!\r\n", Refused(400, 1)),
    ("6.1", "a length and chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NO),
    ("6.1", "chunks and a length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", NO),
    ("6.1", "a length and another coding", "Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\nhello", NO),
    ("6.1", "a length of zero and chunks", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NO),
    ("6.1", "a length and an empty coding", "Content-Length: 5\r\nTransfer-Encoding:\r\n\r\nhello", NO),
    ("6.1", "chunks", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", HELLO),
    (
        "RFC 9110, 5.6.1",
        "a coding may have any case",
        "Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        HELLO,
    ),
    (
        "RFC 9110, 5.6.1",
        "a list may have empty members",
        "Transfer-Encoding: , chunked ,\t,\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        HELLO,
    ),
    (
        "RFC 9110, 5.6.3",
        "white space around a coding is none",
        "Transfer-Encoding:\tchunked \r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        HELLO,
    ),
    ("6.1", "chunked once", "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", NO),
    (
        "6.1",
        "chunked once in all lines",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        NO,
    ),
    (
        "6.1",
        "another coding before it is not known here",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Refused(501, 0),
    ),
    (
        "6.1",
        "nor in a line before it",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(501, 0),
    ),
    ("6.3", "chunked is the last coding", "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", NO),
    (
        "6.3",
        "it is the last of all lines",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        NO,
    ),
    ("6.3", "it is there", "Transfer-Encoding: gzip\r\n\r\nhello", NO),
    ("6.3", "identity is none", "Transfer-Encoding: identity\r\n\r\nhello", NO),
    ("6.3", "identity is not behind it", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", NO),
    ("6.3", "something like it is not it", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", NO),
    ("6.3", "nor is its beginning", "Transfer-Encoding: chunke\r\n\r\n0\r\n\r\n", NO),
    ("6.3", "nor is it in quotes", "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", NO),
    ("6.3", "a space ends no member", "Transfer-Encoding: x chunked\r\n\r\n0\r\n\r\n", NO),
    ("6.3", "an empty coding", "Transfer-Encoding:\r\n\r\n", NO),
    ("6.3", "a coding of commas", "Transfer-Encoding: ,,\r\n\r\n", NO),
    ("7.1", "chunked has no parameters", "Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", NO),
    ("5.1", "no space before the colon of a coding", "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", NO),
    ("RFC 9110, 5.5", "no control character before a coding", "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", NO),
    ("RFC 9110, 5.5", "no form feed behind a coding", "Transfer-Encoding: chunked\x0c\r\n\r\n0\r\n\r\n", NO),
    ("RFC 9110, 5.5", "no NUL behind a coding", "Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n", NO),
];

/// Bodies in chunks. Each is that of a POST with a Host.
const CHUNKS: &[Row] = &[
    ("7.1", "several chunks", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", HELLO),
    ("7.1", "no chunk", "0\r\n\r\n", Taken(&["POST / h"])),
    (
        "7.1",
        "a size has hexadecimal digits of any case",
        "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        Taken(&["POST / h 01234567890123456789"]),
    ),
    ("7.1", "a size may have zeros before it", "0005\r\nhello\r\n000\r\n\r\n", HELLO),
    ("7.1", "the last chunk is awaited", "5\r\nhello\r\n", Awaited),
    ("7.1", "the end of the trailer section is awaited", "5\r\nhello\r\n0\r\n", Awaited),
    ("7.1", "data may be anything", "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", Taken(&["POST / h \r\n0\r\n\r\n"])),
    (
        "7.1",
        "what follows the last chunk is a request",
        "0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        Taken(&["POST / h", "GET / h"]),
    ),
    ("7.1", "a size is there", "\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1", "a size is a number", "x\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1", "a size that is none is answered at once", "zz", NO),
    ("7.1", "a size has no prefix", "0x5\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1", "a size has no plus", "+5\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1", "a size has no minus", "-5\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1", "a size has no underscore", "0_5\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1", "a size has no space before it", " 5\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1", "a size has no space behind it", "5 \r\nhello\r\n0\r\n\r\n", NO),
    ("7.1", "a size has no tab behind it", "5\t\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1", "a size has no dot", "5.0\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1", "a size has no NUL", "5\0\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1", "a size fits", "10000000000000005\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1", "a size is not cut", "fffffffffffffffff5\r\nhello", NO),
    ("7.1", "a size's line ends with CR LF", "5\nhello\r\n0\r\n\r\n", NO),
    ("7.1", "a size's line ends with CR and LF", "5\rhello\r\n0\r\n\r\n", NO),
    ("7.1", "a chunk's data ends with CR LF", "5\r\nhello\n0\r\n\r\n", NO),
    ("7.1", "a chunk's data ends with CR and LF", "5\r\nhello\rx0\r\n\r\n", NO),
    ("7.1", "a chunk's data ends with a line end", "5\r\nhello0\r\n\r\n", NO),
    ("7.1", "a chunk has no more than its size", "5\r\nhello!\r\n0\r\n\r\n", NO),
    ("7.1", "a chunk has no less than its size", "5\r\nhell\r\n0\r\n\r\n", NO),
    ("7.1", "the last chunk's line ends with CR LF", "0\n\r\n", NO),
    ("7.1", "the body ends with CR LF", "0\r\n\n", NO),
    ("7.1", "the body ends with CR and LF", "0\r\n\rx", NO),
    ("7.1.1", "an extension", "5;a\r\nhello\r\n0\r\n\r\n", HELLO),
    ("7.1.1", "an extension of the last chunk", "5\r\nhello\r\n0;a=b\r\n\r\n", HELLO),
    ("7.1.1", "an extension with a value", "5;a=b\r\nhello\r\n0\r\n\r\n", HELLO),
    ("7.1.1", "an extension behind a space", "5 ;a=b\r\nhello\r\n0\r\n\r\n", HELLO),
    (
        "7.1.1",
        "white space in every place that may have it",
        "5 \t; a\t=\tb ; c = \"d\" ;e\r\nhello\r\n0\r\n\r\n",
        HELLO,
    ),
    ("7.1.1", "a value in quotes", "5;a=\";\\\"\\\\,= \té\"\r\nhello\r\n0\r\n\r\n", HELLO),
    ("7.1.1", "a value in quotes may be empty", "5;a=\"\"\r\nhello\r\n0\r\n\r\n", HELLO),
    ("7.1.1", "an extension has a name", "5;\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "an extension has a name before its value", "5;=b\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "a second extension has a name", "5;a;\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "a name is a token", "5;a@b\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "a name is one token", "5;a b\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "a value is there", "5;a=\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "a value is a token", "5;a=b/c\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "a value is one token", "5;a=b c\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "quotes are closed", "5;a=\"b\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "nothing follows quotes", "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "quotes have no line end", "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "an escape has no line end", "5;a=\"\\\r\n\"\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "an extension begins with a semicolon", "5 a=b\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "an extension has no bare CR", "5;a\rb\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "an extension has no bare LF", "5;a\nb\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "an extension has no NUL", "5;a=\"\0\"\r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "no white space ends a line", "5;a \r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.1", "no white space behind a value ends a line", "5;a=b \r\nhello\r\n0\r\n\r\n", NO),
    ("7.1.2", "a trailer", "5\r\nhello\r\n0\r\nX: y\r\n\r\n", Taken(&["POST / h hello X=y"])),
    (
        "7.1.2",
        "several trailers",
        "5\r\nhello\r\n0\r\nX:y \r\nDigest: a, b\r\nZ:\r\n\r\n",
        Taken(&["POST / h hello X=y Digest=a, b Z="]),
    ),
    ("7.1.2", "a trailer is no request", "0\r\nGET /admin HTTP/1.1\r\nHost: h\r\n\r\n", NO),
    ("7.1.2", "a trailer is no request with a colon", "0\r\nGET http://h/ HTTP/1.1\r\nX: h\r\n\r\n", NO),
    ("7.1.2", "a trailer has a colon", "0\r\nX\r\n\r\n", NO),
    ("7.1.2", "a trailer has a name", "0\r\n: x\r\n\r\n", NO),
    ("7.1.2", "a trailer has no space before the colon", "0\r\nX : y\r\n\r\n", NO),
    ("7.1.2", "a trailer does not go on in the next line", "0\r\nX: y\r\n z\r\n\r\n", NO),
    ("7.1.2", "no white space before a trailer", "0\r\n X: y\r\n\r\n", NO),
    ("7.1.2", "a trailer has no bare CR", "0\r\nX: y\rz\r\n\r\n", NO),
    ("7.1.2", "a trailer has no bare LF", "0\r\nX: y\nZ: z\r\n\r\n", NO),
    ("7.1.2", "a trailer section has no bare LF at its end", "0\r\nX: y\r\n\n", NO),
    ("7.1.2", "a trailer has no NUL", "0\r\nX: \0\r\n\r\n", NO),
    ("7.1.2", "a wrong trailer is answered at once", "0\r\n\0", NO),
    ("RFC 9110, 6.5.1", "a trailer is no length", "0\r\nContent-Length: 5\r\n\r\nhello", NO),
    ("RFC 9110, 6.5.1", "a trailer is no coding", "0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", NO),
    ("RFC 9110, 6.5.1", "a trailer is no Host", "0\r\nHost: other\r\n\r\n", NO),
    (
        "RFC 9110, 6.5.1",
        "a trailer does not authenticate",
        "0\r\nAuthorization: x\r\nX: y\r\nCookie: a=b\r\n\r\n",
        Taken(&["POST / h X=y"]),
    ),
    (
        "RFC 9110, 6.5.1",
        "a trailer does not say what the body is",
        "0\r\ncontent-type: x\r\nContent-Encoding: gzip\r\n\r\n",
        Taken(&["POST / h"]),
    ),
    (
        "RFC 9110, 6.5.1",
        "a trailer does not close",
        "0\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        Taken(&["POST / h", "GET / h"]),
    ),
    (
        "RFC 9110, 6.5.1",
        "a trailer is of its own request alone",
        "0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        Taken(&["POST / h X=y", "GET / h"]),
    ),
];

const CONNECTIONS: &[Row] = &[
    ("9.3", "HTTP/1.1 stays", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", GET),
    ("9.3", "close ends", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", Taken(&["GET / h closes"])),
    (
        "9.3",
        "close ends in any case",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: CLOSE\r\n\r\n",
        Taken(&["GET / h closes"]),
    ),
    (
        "9.3",
        "close ends from within a list",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: ,upgrade ,\tclose ,x\r\n\r\n",
        Taken(&["GET / h closes"]),
    ),
    (
        "9.3",
        "close ends from a second line",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: x\r\nConnection: close\r\n\r\n",
        Taken(&["GET / h closes"]),
    ),
    (
        "9.3",
        "close goes before keep-alive",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close, keep-alive\r\n\r\n",
        Taken(&["GET / h closes"]),
    ),
    (
        "9.3",
        "it does in HTTP/1.0",
        "GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n",
        Taken(&["GET / - closes"]),
    ),
    (
        "9.3",
        "it does in HTTP/1.0 the other way round",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
        Taken(&["GET / - closes"]),
    ),
    ("9.3", "HTTP/1.0 stays if asked to", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", Taken(&["GET / -"])),
    (
        "9.3",
        "something like close does not end",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: closed, not-close\r\n\r\n",
        GET,
    ),
    ("9.3", "close in quotes does not end", "GET / HTTP/1.1\r\nHost: h\r\nConnection: x=\"a, close\"\r\n\r\n", GET),
    (
        "9.6",
        "nothing is read behind the last request",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n",
        Awaited,
    ),
    ("6.1", "HTTP/1.0 has no chunks", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NO),
    ("6.1", "HTTP/1.0 has no other coding", "POST / HTTP/1.0\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", NO),
    (
        "RFC 9110, 10.1.1",
        "another expectation is refused",
        "GET / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n",
        Refused(417, 0),
    ),
    (
        "RFC 9110, 10.1.1",
        "another one beside it is refused",
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue, x=y\r\nContent-Length: 5\r\n\r\nhello",
        Refused(417, 0),
    ),
    (
        "RFC 9110, 10.1.1",
        "another one in a second line is refused",
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nExpect: x\r\nContent-Length: 5\r\n\r\nhello",
        Refused(417, 0),
    ),
    (
        "RFC 9110, 10.1.1",
        "HTTP/1.0 expects nothing",
        "POST / HTTP/1.0\r\nExpect: x\r\nContent-Length: 5\r\n\r\nhello",
        Taken(&["POST / - hello closes"]),
    ),
    (
        "RFC 9110, 10.1.1",
        "a peer that has sent its body waits for nothing",
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello",
        HELLO,
    ),
    (
        "RFC 9110, 9.3.1",
        "a GET may have a body",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        Taken(&["GET / h hello", "GET / h"]),
    ),
    (
        "RFC 9110, 9.3.2",
        "a HEAD may have a body",
        "HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        Taken(&["HEAD / h hello"]),
    ),
];

/// A request on a line: method, target, authority, and what else is to be said.
fn show(request: Request<'_>) -> String {
    let mut shown = format!("{} {} {}", request.method(), request.target(), request.authority().unwrap_or("-"));
    if !request.body().is_empty() {
        shown += &format!(" {}", String::from_utf8_lossy(request.body()));
    }
    for (name, value) in request.trailers().iter() {
        shown += &format!(" {name}={}", String::from_utf8_lossy(value));
    }
    if !request.keeps_alive() {
        shown += " closes";
    }
    shown
}

/// What a decoder has made of a stream so far.
#[derive(Debug, Default, PartialEq)]
struct Made {
    requests: Vec<String>,
    refused: Option<HttpError>,
    left: usize,
}

/// Gives a decoder a stream that arrives in pieces, which end at the cuts, and wraps at the seam.
fn decode<C: Codec>(
    codec: &C,
    stream: &[u8],
    cuts: &[usize],
    seam: usize,
    mut take: impl FnMut(<C::Decoder as Decoder>::Item<'_>, &mut Vec<String>),
) -> Made
where
    C::Decoder: Decoder<Error = HttpError>,
{
    let (mut decoder, _) = codec.halves();
    let (mut from, mut made) = (0, Made::default());
    for end in cuts.iter().copied().chain([stream.len()]) {
        while from < end {
            let pending = &stream[from..end];
            let (first, second) = pending.split_at(seam.min(pending.len()));
            let length = match decoder.frame_end(Input::new(first, second)) {
                Ok(Some(length)) => length,
                Ok(None) => break,
                Err(error) => {
                    made.refused = Some(error);
                    return made;
                }
            };
            assert!(length > 0 && length <= pending.len(), "a frame of {length} bytes in {}", pending.len());
            let mut frame = pending[..length].to_vec();
            from += length;
            if decoder.is_message(&mut frame).expect("a frame whose end was found is right") {
                take(decoder.decode(&mut frame).expect("a frame whose end was found is right"), &mut made.requests);
            }
        }
    }
    made.left = stream.len() - from;
    made
}

fn whole(stream: &[u8], cuts: &[usize], seam: usize) -> Made {
    decode(&Http::default(), stream, cuts, seam, |request, made| made.push(show(request)))
}

/// The same, of a body that comes in parts.
fn in_parts(stream: &[u8], cuts: &[usize], seam: usize) -> Made {
    let (mut head, mut closes, mut all) = (String::new(), "", Vec::new());
    decode(&HttpParts::default(), stream, cuts, seam, |part, made| match part {
        Part::Request { request, has_body } => {
            head = format!("{} {} {}", request.method(), request.target(), request.authority().unwrap_or("-"));
            closes = if request.keeps_alive() { "" } else { " closes" };
            all.clear();
            if !has_body {
                made.push(format!("{head}{closes}"));
            }
        }
        Part::Body { bytes, is_last, trailers } => {
            all.extend_from_slice(bytes);
            assert!(is_last || trailers.is_empty());
            if is_last {
                let body = if all.is_empty() { "" } else { &format!(" {}", String::from_utf8_lossy(&all)) };
                let show = |(name, value): (&str, &[u8])| format!(" {name}={}", String::from_utf8_lossy(value));
                let trailers: String = trailers.iter().map(show).collect();
                made.push(format!("{head}{body}{trailers}{closes}"));
            }
        }
    })
}

/// Every way that a stream may arrive: whole, in two, byte by byte, and wrapped anywhere.
fn every_way(length: usize) -> Vec<(Vec<usize>, usize)> {
    let each: Vec<usize> = (0..length).collect();
    let mut ways = vec![(Vec::new(), usize::MAX), (each.clone(), usize::MAX)];
    for at in 0..length {
        ways.extend([(vec![at], usize::MAX), (Vec::new(), at), (each.clone(), at)]);
    }
    ways
}

#[track_caller]
fn hold(rows: &[Row], before: &str) {
    let mut wrong = Vec::new();
    for (section, rule, stream, is) in rows {
        let stream = format!("{before}{stream}");
        for (cuts, seam) in every_way(stream.len()) {
            for (made, mode) in [
                (whole(stream.as_bytes(), &cuts, seam), "whole"),
                (in_parts(stream.as_bytes(), &cuts, seam), "in parts"),
            ] {
                let is_right = match (is, &made.refused) {
                    (Taken(requests), None) => made.requests == *requests && made.left == 0,
                    // A body that is too long is none where it comes in parts.
                    (Refused(413, _), None) => mode == "in parts",
                    // A part of the request that is refused may have been handed over.
                    (Refused(status, before), Some(error)) => {
                        error.status().0 == *status && made.requests.len() == *before
                    }
                    (Awaited, None) => mode == "in parts" || made.left > 0,
                    _ => false,
                };
                if !is_right {
                    wrong.push(format!(
                        "{section}: {rule}: {stream:?} {mode}, cut {cuts:?}, wrapped at {seam} -> {made:?}"
                    ));
                    break;
                }
            }
        }
    }
    wrong.dedup_by_key(|line| line.split("cut").next().map(str::to_owned));
    assert!(wrong.is_empty(), "{} rules are broken:\n{}", wrong.len(), wrong.join("\n"));
}

const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

/// All rows, with what stands before their streams.
const TABLE: [(&str, &[Row], &str); 8] = [
    ("lines", LINES, ""),
    ("request lines", REQUEST_LINES, ""),
    ("versions", VERSIONS, ""),
    ("fields", FIELDS, ""),
    ("hosts", HOSTS, ""),
    ("lengths", LENGTHS, POST),
    ("chunks", CHUNKS, CHUNKED),
    ("connections", CONNECTIONS, ""),
];

#[test]
fn each_rule_holds_at_every_cut() {
    for (name, rows, before) in TABLE {
        println!("{name}: {} rules", rows.len());
        hold(rows, before);
    }
}

/// Answers each request with how it is shown.
struct Mirror;

impl Handler for Mirror {
    type Codec = Http;

    async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
        conn.send(&Response::text(show(request))).await
    }
}

#[test]
fn each_refusal_is_answered_and_closes() {
    let server = serve(2, Http::default(), || Mirror);
    for (_, rows, before) in TABLE {
        for (section, rule, stream, is) in rows {
            let Refused(status, requests) = is else { continue };
            let stream = format!("{before}{stream}");
            let mut peer = server.connect();
            // What comes behind the wrong byte may find the connection closed.
            let _ = peer.write_all(stream.as_bytes());
            let all = String::from_utf8(read_to_end(&mut peer)).unwrap();
            let answers: Vec<&str> = all.split_inclusive("HTTP/1.1 ").skip(1).collect();
            assert_eq!(answers.len(), requests + 1, "{section}: {rule}: {stream:?} -> {all}");
            let last = answers.last().unwrap();
            assert!(last.starts_with(&status.to_string()), "{section}: {rule}: {stream:?} -> {all}");
            assert!(last.contains("\r\nConnection: close\r\n"), "{section}: {rule}: {stream:?} -> {all}");
        }
    }
}

/// A stream that is too long for a row, and what becomes of it with limits of 400 bytes for heads, 5 fields and 100 bytes for bodies.
#[test]
fn each_limit_holds_at_every_cut() {
    let codec = Http::default().max_head(400).max_fields(5).max_body(100);
    let head = |line: &str, fields: &str| format!("{line}\r\nHost: h\r\n{fields}\r\n");
    let get = |fields: &str| head("GET / HTTP/1.1", fields);
    let chunked = |body: &str| head("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n") + body;
    let fill = |length: usize| "x".repeat(length);
    // What the rest of a head leaves for a value, a target and a trailer's value.
    let (value, target, trailer) = (400 - get("X: \r\n").len(), 400 - head("GET / HTTP/1.1", "").len(), 400 - 7);
    for (section, rule, stream, status) in [
        ("RFC 6585, 5", "a head as long as it may be", get(&format!("X: {}\r\n", fill(value))), None),
        ("RFC 6585, 5", "a head of one byte more", get(&format!("X: {}\r\n", fill(value + 1))), Some(431)),
        (
            "RFC 6585, 5",
            "a value that does not end",
            format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", fill(400)),
            Some(431),
        ),
        ("RFC 6585, 5", "a name that does not end", format!("GET / HTTP/1.1\r\nHost: h\r\n{}", fill(400)), Some(431)),
        ("RFC 6585, 5", "as many fields as there may be", get(&"a: b\r\n".repeat(4)), None),
        ("RFC 6585, 5", "one field more", get(&"a: b\r\n".repeat(5)), Some(431)),
        ("2.2", "empty lines that do not end", "\r\n".repeat(201), Some(431)),
        ("3", "a target as long as it may be", head(&format!("GET /{} HTTP/1.1", fill(target)), ""), None),
        ("3", "a longer target", head(&format!("GET /{} HTTP/1.1", fill(target + 1)), ""), Some(431)),
        ("3", "a target that is a head too long", format!("GET /{} HTTP/1.1\r\n", fill(400)), Some(414)),
        ("3", "a target that does not end", format!("GET /{}", fill(400)), Some(414)),
        ("3", "a query that does not end", format!("GET /?{}", fill(400)), Some(414)),
        ("3", "a method that does not end", fill(401), Some(400)),
        (
            "3",
            "a wrong byte before the limit is what is wrong",
            format!("GET /{}\0{}", fill(300), fill(300)),
            Some(400),
        ),
        ("3", "a wrong byte behind it is not", format!("GET /{}\0", fill(400)), Some(414)),
        ("6.3", "a body as long as it may be", head("PUT / HTTP/1.1", "Content-Length: 100\r\n") + &fill(100), None),
        ("6.3", "a longer body", head("PUT / HTTP/1.1", "Content-Length: 101\r\n"), Some(413)),
        ("7.1", "chunks as long as a body may be", chunked(&format!("64\r\n{}\r\n0\r\n\r\n", fill(100))), None),
        ("7.1", "a longer chunk", chunked("65\r\n"), Some(413)),
        ("7.1", "longer chunks", chunked(&format!("32\r\n{}\r\n33\r\n", fill(50))), Some(413)),
        ("7.1", "chunks of one byte", chunked(&("1\r\nx\r\n".repeat(96) + "0\r\n\r\n")), None),
        ("7.1", "more around chunks than in them", chunked(&("0001\r\nx\r\n".repeat(96) + "0\r\n\r\n")), Some(413)),
        ("7.1", "a size's line that does not end", chunked(&"0".repeat(257)), Some(400)),
        ("7.1.1", "an extension that does not end", chunked(&format!("5;{}", fill(255))), Some(400)),
        (
            "7.1.1",
            "extensions as long as they may be",
            chunked(&(format!("1;{}\r\nx\r\n", fill(199)).repeat(2) + "0\r\n\r\n")),
            None,
        ),
        (
            "7.1.1",
            "longer extensions",
            chunked(&(format!("1;{}\r\nx\r\n", fill(200)).repeat(2) + "0\r\n\r\n")),
            Some(413),
        ),
        ("7.1.2", "trailers as long as they may be", chunked(&format!("0\r\nX: {}\r\n\r\n", fill(trailer))), None),
        ("7.1.2", "longer trailers", chunked(&format!("0\r\nX: {}\r\n\r\n", fill(trailer + 1))), Some(431)),
        ("7.1.2", "as many trailers as there may be", chunked(&format!("0\r\n{}\r\n", "a: b\r\n".repeat(5))), None),
        ("7.1.2", "one trailer more", chunked(&format!("0\r\n{}\r\n", "a: b\r\n".repeat(6))), Some(431)),
    ] {
        // Every way would be thousands; a stride that shares no divisor with the lines' lengths finds all places by and by.
        for (cuts, seam) in every_way(stream.len()).into_iter().step_by(7) {
            let made = decode(&codec, stream.as_bytes(), &cuts, seam, |request, made| made.push(show(request)));
            let found = made.refused.map(|error| error.status().0);
            assert_eq!(found, status, "{section}: {rule}, cut {cuts:?}, wrapped at {seam} -> {made:?}");
            assert_eq!(
                (made.requests.len(), made.left),
                (usize::from(status.is_none()), if status.is_none() { 0 } else { made.left }),
                "{rule}"
            );
            // Bodies that come in parts have no limit, but what is around them has.
            if stream.contains("chunked") && status != Some(413) || rule.contains("extensions") {
                let parts = decode(&HttpParts::new(codec), stream.as_bytes(), &cuts, seam, |_, _| {});
                let found = parts.refused.map(|error| error.status().0);
                assert_eq!(found, status, "{section}: {rule} in parts, cut {cuts:?}, wrapped at {seam}");
            }
        }
    }
}

/// What a request says of which there is one in a stream.
#[track_caller]
fn with_request<T>(stream: &[u8], say: impl FnOnce(Request<'_>) -> T) -> T {
    let (mut decoder, _) = Http::default().halves();
    let end = decoder.frame_end(Input::from(stream)).unwrap();
    assert_eq!(end, Some(stream.len()));
    say(decoder.decode(&mut stream.to_vec()).unwrap())
}

#[track_caller]
fn with_fields<T>(fields: &str, say: impl FnOnce(Request<'_>) -> T) -> T {
    with_request(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes(), say)
}

/// RFC 9112, sections 3.2 and 3.3.
#[test]
fn authority_and_path_are_those_of_the_target_and_then_of_host() {
    for (line, host, said) in [
        ("GET /a?b", "h", (Some("h"), Some("h"), None, "/a", Some("b"))),
        ("GET /", "H.example:8080", (Some("H.example:8080"), Some("H.example"), Some(8080), "/", None)),
        ("GET /", "h:", (Some("h:"), Some("h"), None, "/", None)),
        ("GET /", "[::1]", (Some("[::1]"), Some("[::1]"), None, "/", None)),
        ("GET /", "[::1]:80", (Some("[::1]:80"), Some("[::1]"), Some(80), "/", None)),
        ("GET http://a:81/b?c=/d", "h", (Some("a:81"), Some("a"), Some(81), "/b", Some("c=/d"))),
        ("GET http://a", "h", (Some("a"), Some("a"), None, "/", None)),
        ("GET http://a?b/c", "h", (Some("a"), Some("a"), None, "/", Some("b/c"))),
        ("GET http://[::1]:81/b", "h", (Some("[::1]:81"), Some("[::1]"), Some(81), "/b", None)),
        ("GET //a/b", "h", (Some("h"), Some("h"), None, "//a/b", None)),
        ("GET /http://a/b", "h", (Some("h"), Some("h"), None, "/http://a/b", None)),
        ("OPTIONS *", "h", (Some("h"), Some("h"), None, "*", None)),
        ("OPTIONS http://a", "h", (Some("a"), Some("a"), None, "*", None)),
        ("OPTIONS http://a/", "h", (Some("a"), Some("a"), None, "/", None)),
        ("CONNECT a:443", "h", (Some("a:443"), Some("a"), Some(443), "", None)),
    ] {
        let stream = format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        with_request(stream.as_bytes(), |request| {
            let (authority, name, port) = (request.authority(), request.host(), request.port());
            assert_eq!((authority, name, port, request.path(), request.query()), said, "{line}");
        });
    }
    with_request(b"GET /a HTTP/1.0\r\n\r\n", |request| assert_eq!((request.authority(), request.host()), (None, None)));
}

/// RFC 3986, section 2.1.
#[test]
fn paths_are_decoded_once_and_never_into_something_else() {
    for (path, decoded, segments) in [
        ("/", Some("/"), &[Some("")][..]),
        ("/a/b", Some("/a/b"), &[Some("a"), Some("b")]),
        ("/a%2Fb/c/", Some("/a/b/c/"), &[Some("a/b"), Some("c"), Some("")]),
        ("/%C3%a4+b", Some("/ä+b"), &[Some("ä+b")]),
        ("/%252e%2e", Some("/%2e."), &[Some("%2e.")]),
        ("/a%00b", Some("/a\0b"), &[Some("a\0b")]),
        ("/a/%", None, &[Some("a"), None]),
        ("/%4/a", None, &[None, Some("a")]),
        ("/%zz", None, &[None]),
        ("/%c0%af", None, &[None]),
        ("/%ff/a", None, &[None, Some("a")]),
        // Together they would be one character.
        ("/%c3/%a4", None, &[None, None]),
    ] {
        let stream = format!("GET {path}?%zz HTTP/1.1\r\nHost: h\r\n\r\n");
        with_request(stream.as_bytes(), |request| {
            assert_eq!(request.decoded_path().as_deref(), decoded, "{path}");
            let found: Vec<_> = request.segments().collect();
            assert_eq!(found.iter().map(|segment| segment.as_deref()).collect::<Vec<_>>(), segments, "{path}");
        });
    }
    with_request(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", |request| assert_eq!(request.segments().count(), 0));
}

#[test]
fn queries_and_forms_are_decoded_as_browsers_write_them() {
    let pairs = "a=1&b=x+y%21&&c&=d&e=f=g&%C3%A4=%e2%82%ac&h=%ff&i=%";
    let said =
        [("a", "1"), ("b", "x y!"), ("c", ""), ("", "d"), ("e", "f=g"), ("ä", "€"), ("h", "\u{fffd}"), ("i", "%")];
    let stream = format!("POST /?{pairs} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{pairs}", pairs.len());
    with_request(stream.as_bytes(), |request| {
        let (query, form): (Vec<_>, Vec<_>) = (request.query_pairs().collect(), request.form().collect());
        assert_eq!(query, said.map(|(name, value)| (name.into(), value.into())));
        assert_eq!(form, query);
    });
    with_fields("", |request| assert_eq!(request.query_pairs().count() + request.form().count(), 0));
}

/// RFC 9110, sections 5.3 and 5.6.1.
#[test]
fn fields_of_several_lines_are_one() {
    with_fields("Accept: a;q=\"1,2\", ,b\r\nX: y\r\naccept:\r\nACCEPT: c\t,\r\n", |request| {
        assert_eq!(request.joined("Accept").as_deref(), Some("a;q=\"1,2\", ,b, , c\t,"));
        assert_eq!(request.members("accept").collect::<Vec<_>>(), ["a;q=\"1,2\"", "b", "c"]);
        assert_eq!(request.header("accept"), Some("a;q=\"1,2\", ,b"));
        assert!(matches!(request.joined("x"), Some(std::borrow::Cow::Borrowed("y"))));
        assert_eq!((request.joined("z"), request.members("z").count()), (None, 0));
        assert!(request.has("accept", "B") && request.has("accept", "c") && !request.has("accept", "2\""));
    });
    // A quoted string that is not closed, or has escapes.
    with_fields("X: \"a, b\r\nX: \"\\\", c\", d\r\n", |request| {
        assert_eq!(request.members("x").collect::<Vec<_>>(), ["\"a, b", "\"\\\", c\"", "d"]);
    });
    // Bytes that are no text spoil their own member alone.
    let stream = b"GET / HTTP/1.1\r\nHost: h\r\nX: a, \xff, b\r\nX: c\r\n\r\n";
    with_request(stream, |request| {
        assert_eq!((request.joined("x"), request.header("x")), (None, None));
        assert_eq!(request.members("x").collect::<Vec<_>>(), ["a", "b", "c"]);
    });
}

/// RFC 6265, section 5.4.
#[test]
fn an_odd_byte_spoils_its_own_cookie_alone() {
    let stream = b"GET / HTTP/1.1\r\nHost: h\r\nCookie: a=1; b=\xe9; c=x=y;d; e=\r\nCookie: f=2;\xff=3;a=4\r\n\r\n";
    with_request(stream, |request| {
        let cookies: Vec<_> = request.cookies().collect();
        assert_eq!(cookies, [("a", "1"), ("c", "x=y"), ("e", ""), ("f", "2"), ("a", "4")]);
        assert_eq!((request.cookie("a"), request.cookie("c"), request.cookie("b")), (Some("1"), Some("x=y"), None));
    });
    with_fields("Cookie: a=1\r\nCookie: b=2\r\n", |request| {
        assert_eq!(request.joined("cookie").as_deref(), Some("a=1; b=2"));
    });
}

/// RFC 9110, section 7.8.
#[test]
fn an_upgrade_in_http_1_0_is_ignored() {
    with_request(b"GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", |request| {
        assert!(!request.has("Upgrade", "websocket") && request.has("connection", "upgrade"));
    });
    with_fields("Upgrade: x, websocket\r\n", |request| assert!(request.has("upgrade", "WebSocket")));
}

/// Section 2.2: an empty line is no beginning of a request, so no request is late.
#[test]
fn an_empty_line_behind_a_request_is_not_answered() {
    let server = Server::new().cores(1).idle_timeout(Duration::from_millis(50));
    let server = Running::start(server.listen("tcp://127.0.0.1:0", Http::default(), || Mirror).unwrap());
    for (behind, answers) in [("", 1), ("\r\n", 1), ("\r\n\r\n\r", 1), ("\r\nG", 2)] {
        let mut peer = server.connect();
        peer.write_all(format!("GET / HTTP/1.1\r\nHost: h\r\n\r\n{behind}").as_bytes()).unwrap();
        let all = String::from_utf8(read_to_end(&mut peer)).unwrap();
        assert_eq!(all.matches("HTTP/1.1 ").count(), answers, "{behind:?} -> {all}");
    }
}

#[cfg(feature = "websocket")]
#[test]
fn an_upgrade_to_websocket_in_http_1_0_is_a_request_like_any_other() {
    use tiderace::websocket::{Message, WebSocket};

    struct Page;

    impl Handler for Page {
        type Codec = WebSocket;

        async fn on_message(&mut self, conn: &mut Conn<WebSocket>, message: Message<'_>) -> Result {
            let Message::Http(request) = message else { panic!("{message:?}") };
            conn.send(&Response::text(show(request))).await
        }
    }

    let server = serve(1, WebSocket::default().with_http(), || Page);
    let mut peer = server.connect();
    let fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    peer.write_all(format!("GET / HTTP/1.0\r\nHost: h\r\n{fields}\r\n").as_bytes()).unwrap();
    let all = String::from_utf8(read_to_end(&mut peer)).unwrap();
    assert!(all.starts_with("HTTP/1.1 200 ") && all.ends_with("\r\n\r\nGET / h closes"), "{all}");
}

/// RFC 9110, section 9.3.2.
#[cfg(feature = "websocket")]
#[test]
fn a_head_that_is_no_handshake_is_refused_without_a_body() {
    use tiderace::websocket::{Message, WebSocket};

    struct Page;

    impl Handler for Page {
        type Codec = WebSocket;

        async fn on_message(&mut self, conn: &mut Conn<WebSocket>, _: Message<'_>) -> Result {
            conn.send(&Response::text("page")).await
        }
    }

    let server = serve(1, WebSocket::default(), || Page);
    let mut peer = server.connect();
    peer.write_all(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let all = String::from_utf8(read_to_end(&mut peer)).unwrap();
    assert!(all.starts_with("HTTP/1.1 426 ") && all.ends_with("\r\n\r\n"), "{all}");
    // It is the refused request that counts, not the one before.
    let server = serve(1, WebSocket::default().with_http(), || Page);
    let mut peer = server.connect();
    let refused = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n";
    peer.write_all(format!("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n{refused}").as_bytes()).unwrap();
    let all = String::from_utf8(read_to_end(&mut peer)).unwrap();
    let (_, refusal) = all.split_once("HTTP/1.1 400 ").expect("a refusal");
    assert!(!refusal.ends_with("\r\n\r\n"), "{all}");
}

/// RFC 9110, section 9.3.2: the response to a `HEAD` has no body, and a refusal is one.
#[test]
fn a_refused_head_is_answered_without_a_body() {
    let server = serve(1, Http::default(), || Mirror);
    for (stream, status, has_body) in [
        ("HEAD / HTTP/1.1\r\n\r\n", 400, false),
        ("\r\nHEAD /# HTTP/1.1\r\n", 400, false),
        ("HEAD / HTTP/2.0\r\n\r\n", 505, false),
        ("HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\n", 413, false),
        ("HEAD / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx", 400, false),
        ("HEADER / HTTP/1.1\r\n\r\n", 400, true),
        ("head / HTTP/1.1\r\n\r\n", 400, true),
    ] {
        let mut peer = server.connect();
        peer.write_all(stream.as_bytes()).unwrap();
        let all = String::from_utf8(read_to_end(&mut peer)).unwrap();
        assert!(all.starts_with(&format!("HTTP/1.1 {status} ")), "{stream:?} -> {all}");
        assert_eq!(!all.ends_with("\r\n\r\n"), has_body, "{stream:?} -> {all}");
    }
    // It is the refused request that counts, not the one before.
    let mut peer = server.connect();
    peer.write_all(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET /# HTTP/1.1\r\n").unwrap();
    let all = String::from_utf8(read_to_end(&mut peer)).unwrap();
    assert!(all.ends_with("\r\n\r\nBad Request"), "{all}");
}

/// What a decoder answers by itself.
struct Answers<'a, D>(&'a mut D);

impl<D: Decoder> Encoder<()> for Answers<'_, D> {
    type Error = Infallible;

    fn encode(&mut self, _: &(), output: &mut Output<'_>) -> std::result::Result<(), Infallible> {
        self.0.answer(output);
        Ok(())
    }
}

fn tells_to_go_on(decoder: &mut impl Decoder) -> bool {
    decoder.has_answer()
        && encode_to_vec(&mut Answers(decoder), &()).unwrap().starts_with(b"HTTP/1.1 100 Continue\r\n\r\n")
}

/// RFC 9110, section 10.1.1.
#[test]
fn only_a_peer_that_waits_with_a_body_is_told_to_go_on() {
    for (fields, is_told) in [
        ("Expect: 100-continue\r\nContent-Length: 2\r\n", true),
        ("Expect: 100-CONTINUE\r\nTransfer-Encoding: chunked\r\n", true),
        ("Expect: , 100-continue,\r\nContent-Length: 2\r\n", true),
        ("Expect: 100-continue\r\n", false),
        ("Expect: 100-continue\r\nContent-Length: 0\r\n", false),
        ("Expect:\r\nContent-Length: 2\r\n", false),
        ("Content-Length: 2\r\n", false),
    ] {
        for version in ["1.0", "1.1"] {
            // HTTP/1.0 has no chunks.
            if version == "1.0" && fields.contains("chunked") {
                continue;
            }
            let stream = format!("POST / HTTP/{version}\r\nHost: h\r\n{fields}\r\n");
            let is_told = is_told && version == "1.1";
            let (mut whole, _) = Http::default().halves();
            if whole.frame_end(Input::from(stream.as_bytes())).unwrap().is_none() {
                assert_eq!(tells_to_go_on(&mut whole), is_told, "{stream:?}");
            }
            let (mut parts, _) = HttpParts::default().halves();
            assert_eq!(parts.frame_end(Input::from(stream.as_bytes())).unwrap(), Some(stream.len()));
            parts.decode(&mut stream.clone().into_bytes()).unwrap();
            assert_eq!(tells_to_go_on(&mut parts), is_told, "{stream:?} in parts");
        }
    }
}

/// RFC 7239: the client is told by proxies that are trusted, and by no others.
#[test]
fn clients_are_known_from_trusted_proxies_alone() {
    let trust =
        |proxies: Proxies| proxies.trust("10.0.0.0/8").unwrap().trust("2001:db8:1::/48").unwrap().trust("::1").unwrap();
    let (standard, usual) = (trust(Proxies::forwarded()), trust(Proxies::x_forwarded_for()));
    // What is told: an address and a port, a scheme, a host.
    type Told = (Option<&'static str>, Option<u16>, Option<&'static str>, Option<&'static str>);
    const PROXY: Told = (Some("10.0.0.1"), Some(1234), None, None);
    const UNKNOWN: Told = (None, None, None, None);
    let rows: [(&Proxies, &str, &str, Told); 43] = [
        // A peer that is no proxy is the client, whatever it says.
        (&standard, "192.0.2.1:99", "Forwarded: for=1.1.1.1\r\n", (Some("192.0.2.1"), Some(99), None, None)),
        (&usual, "192.0.2.1:99", "X-Forwarded-For: 1.1.1.1\r\n", (Some("192.0.2.1"), Some(99), None, None)),
        (&usual, "[2001:db8:2::1]:99", "X-Forwarded-For: 1.1.1.1\r\n", (Some("2001:db8:2::1"), Some(99), None, None)),
        // A proxy that says nothing asks for itself, and the field that it does not write counts for nothing.
        (&standard, "10.0.0.1:1234", "", PROXY),
        (&usual, "10.0.0.1:1234", "", PROXY),
        (&standard, "10.0.0.1:1234", "X-Forwarded-For: 1.1.1.1\r\n", PROXY),
        (&usual, "10.0.0.1:1234", "Forwarded: for=1.1.1.1\r\nX-Forwarded-Host: a\r\n", PROXY),
        // One proxy.
        (&standard, "10.0.0.1:1234", "Forwarded: for=1.1.1.1\r\n", (Some("1.1.1.1"), None, None, None)),
        (
            &standard,
            "10.0.0.1:1234",
            "Forwarded: FOR=\"1.1.1.1:80\";Proto=https;host=\"a:81\";by=_x;new=y\r\n",
            (Some("1.1.1.1"), Some(80), Some("https"), Some("a:81")),
        ),
        (
            &standard,
            "10.0.0.1:1234",
            "Forwarded: ; proto=http ;; for=1.1.1.1 ;\r\n",
            (Some("1.1.1.1"), None, Some("http"), None),
        ),
        (
            &standard,
            "10.0.0.1:1234",
            "Forwarded: for=\"[2001:db8::1]:80\"\r\n",
            (Some("2001:db8::1"), Some(80), None, None),
        ),
        (&standard, "10.0.0.1:1234", "Forwarded: for=\"[2001:db8::1]\"\r\n", (Some("2001:db8::1"), None, None, None)),
        (&standard, "10.0.0.1:1234", "Forwarded: for=\"[::ffff:1.1.1.1]\"\r\n", (Some("1.1.1.1"), None, None, None)),
        (&standard, "10.0.0.1:1234", "Forwarded: for=\"\\1.1.1.\\1\"\r\n", (Some("1.1.1.1"), None, None, None)),
        (&standard, "10.0.0.1:1234", "Forwarded: for=\"1.1.1.1:_a.b-c\"\r\n", (Some("1.1.1.1"), None, None, None)),
        (&standard, "[::1]:1234", "Forwarded: for=1.1.1.1\r\n", (Some("1.1.1.1"), None, None, None)),
        (&standard, "[::ffff:10.0.0.1]:1234", "Forwarded: for=1.1.1.1\r\n", (Some("1.1.1.1"), None, None, None)),
        // What the client had sent stands before it.
        (
            &standard,
            "10.0.0.1:1234",
            "Forwarded: for=9.9.9.9;host=evil, for=1.1.1.1\r\n",
            (Some("1.1.1.1"), None, None, None),
        ),
        (
            &standard,
            "10.0.0.1:1234",
            "Forwarded: for=9.9.9.9\r\nForwarded: for=1.1.1.1\r\n",
            (Some("1.1.1.1"), None, None, None),
        ),
        (
            &standard,
            "10.0.0.1:1234",
            "Forwarded: for=10.9.9.9\r\nForwarded: for=1.1.1.1\r\n",
            (Some("1.1.1.1"), None, None, None),
        ),
        // Several proxies, each of which has appended its own.
        (
            &standard,
            "10.0.0.1:1234",
            "Forwarded: for=9.9.9.9, for=1.1.1.1;proto=https, for=\"[2001:db8:1::2]\";proto=http, for=10.0.0.2\r\n",
            (Some("1.1.1.1"), None, Some("https"), None),
        ),
        // All are proxies: the first of them asks.
        (
            &standard,
            "10.0.0.1:1234",
            "Forwarded: for=10.0.0.3;host=a, for=10.0.0.2\r\n",
            (Some("10.0.0.3"), None, None, Some("a")),
        ),
        // What a proxy does not tell, or writes wrong, is not known, and what stands before it is not believed.
        (&standard, "10.0.0.1:1234", "Forwarded: for=9.9.9.9, for=unknown\r\n", UNKNOWN),
        (
            &standard,
            "10.0.0.1:1234",
            "Forwarded: for=9.9.9.9, for=_hidden;proto=https\r\n",
            (None, None, Some("https"), None),
        ),
        (&standard, "10.0.0.1:1234", "Forwarded: for=9.9.9.9, proto=http\r\n", (None, None, Some("http"), None)),
        (&standard, "10.0.0.1:1234", "Forwarded: for=9.9.9.9, for=2001:db8::1\r\n", UNKNOWN),
        (&standard, "10.0.0.1:1234", "Forwarded: for=9.9.9.9, for=1.1.1.1:80\r\n", UNKNOWN),
        (&standard, "10.0.0.1:1234", "Forwarded: for=9.9.9.9, for=1.1.1.1;for=1.1.1.2\r\n", UNKNOWN),
        (&standard, "10.0.0.1:1234", "Forwarded: for=9.9.9.9, for=\"1.1.1.1:99999\"\r\n", UNKNOWN),
        (&standard, "10.0.0.1:1234", "Forwarded: for=9.9.9.9, for = 1.1.1.1\r\n", UNKNOWN),
        (&standard, "10.0.0.1:1234", "Forwarded: for=9.9.9.9, for=1.1.1.1;host=\"a b\"\r\n", UNKNOWN),
        (&standard, "10.0.0.1:1234", "Forwarded: for=9.9.9.9, for=\"1.1.1.1\"x\r\n", UNKNOWN),
        // A quotation mark that a client has left open makes the rest of the line its own, which is then not believed.
        (&standard, "10.0.0.1:1234", "Forwarded: for=\"9.9.9.9, for=1.1.1.1\r\n", UNKNOWN),
        (&standard, "10.0.0.1:1234", "Forwarded: for=9.9.9.9;by=\", for=\"[2001:db8::1]\"\r\n", UNKNOWN),
        // The usual fields.
        (
            &usual,
            "10.0.0.1:1234",
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a:81\r\n",
            (Some("1.1.1.1"), None, Some("https"), Some("a:81")),
        ),
        (
            &usual,
            "10.0.0.1:1234",
            "X-Forwarded-For: 9.9.9.9,1.1.1.1:80 , 10.0.0.2\r\n",
            (Some("1.1.1.1"), Some(80), None, None),
        ),
        (
            &usual,
            "10.0.0.1:1234",
            "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 2001:db8::1\r\n",
            (Some("2001:db8::1"), None, None, None),
        ),
        (
            &usual,
            "10.0.0.1:1234",
            "X-Forwarded-For: 9.9.9.9, [2001:db8::1]:80\r\n",
            (Some("2001:db8::1"), Some(80), None, None),
        ),
        (&usual, "10.0.0.1:1234", "X-Forwarded-For: 9.9.9.9, nonsense\r\n", UNKNOWN),
        (&usual, "10.0.0.1:1234", "X-Forwarded-For: 9.9.9.9, unknown\r\n", UNKNOWN),
        (
            &usual,
            "10.0.0.1:1234",
            "X-Forwarded-For: 1.1.1.1, 10.0.0.2\r\nX-Forwarded-Proto: evil, https, http\r\n",
            (Some("1.1.1.1"), None, Some("https"), None),
        ),
        (
            &usual,
            "10.0.0.1:1234",
            "X-Forwarded-For: 1.1.1.1, 10.0.0.2\r\nX-Forwarded-Proto: https\r\n",
            (Some("1.1.1.1"), None, Some("https"), None),
        ),
        (
            &usual,
            "10.0.0.1:1234",
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: a b\r\nX-Forwarded-Host: a/b\r\n",
            (Some("1.1.1.1"), None, None, None),
        ),
    ];
    for (proxies, peer, fields, told) in rows {
        let peer = Address::from(peer.parse::<std::net::SocketAddr>().unwrap());
        with_fields(fields, |request| {
            let client = proxies.client(&peer, &request);
            let ip = client.ip().map(|ip| ip.to_string());
            assert_eq!((ip.as_deref(), client.port(), client.scheme(), client.host()), told, "{fields:?} from {peer}");
            assert_eq!(client.is_forwarded(), told.0 != peer.ip().map(|ip| ip.to_canonical().to_string()).as_deref());
        });
    }
}

#[test]
fn a_network_is_an_address_and_how_many_bits_of_it_count() {
    for wrong in ["", "a", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "::/129", "10.0.0.0/-1", "10.0.0.1:80", "[::1]"] {
        let error = Proxies::forwarded().trust(wrong).unwrap_err();
        assert_eq!(error.to_string(), format!("expected an address, or a network such as 10.0.0.0/8, found {wrong:?}"));
    }
    for (network, inside, outside) in [
        ("10.0.0.7/31", "10.0.0.6", "10.0.0.8"),
        ("10.0.0.0/32", "10.0.0.0", "10.0.0.1"),
        ("0.0.0.0/0", "1.2.3.4", "::2"),
        ("::/0", "::2", "-"),
        ("::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.0"),
        ("2001:db8::/127", "2001:db8::1", "2001:db8::2"),
    ] {
        let proxies = Proxies::x_forwarded_for().trust(network).unwrap();
        with_fields("X-Forwarded-For: 9.9.9.9\r\n", |request| {
            for (ip, is_inside) in [(inside, true), (outside, false)] {
                let Ok(ip) = ip.parse::<std::net::IpAddr>() else { continue };
                let peer = Address::from(std::net::SocketAddr::new(ip, 1));
                assert_eq!(proxies.client(&peer, &request).is_forwarded(), is_inside, "{ip} in {network}");
            }
        });
    }
}

#[test]
fn a_proxy_on_a_unix_socket_is_trusted_if_it_is_said() {
    struct Told(Proxies);

    impl Handler for Told {
        type Codec = Http;

        async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
            let client = self.0.client(conn.peer_addr()?, &request);
            conn.send(&Response::text(format!("{:?} {}", client.ip(), client.is_forwarded())).close()).await
        }
    }

    let folder = tempfile::tempdir().unwrap();
    for (proxies, said) in [
        (Proxies::x_forwarded_for().trust("0.0.0.0/0").unwrap(), "None false"),
        (Proxies::x_forwarded_for().trust_unix(), "Some(1.1.1.1) true"),
    ] {
        let path = folder.path().join(said);
        let on = format!("unix://{}", path.display());
        let server = Server::new().cores(1).listen(&on, Http::default(), move || Told(proxies.clone())).unwrap();
        let _server = Running::start(server);
        let mut peer = UnixStream::connect(&path).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        peer.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n").unwrap();
        let mut all = String::new();
        peer.read_to_string(&mut all).unwrap();
        assert!(all.ends_with(&format!("\r\n\r\n{said}")), "{all}");
    }
}

/// Requests and responses of the crate `http`.
#[cfg(feature = "http-types")]
mod types {
    use super::*;
    use bytes::Bytes;
    use tiderace::http::{Status, Version};

    #[test]
    fn a_request_becomes_one_of_the_crate_http() {
        let stream =
            b"POST http://a:81/b?c=%20|\\ HTTP/1.1\r\nHost: h\r\nX: 1\r\nx: \xff\r\nContent-Length: 5\r\n\r\nhello";
        let request = with_request(stream, |request| http::Request::<Bytes>::try_from(request).unwrap());
        assert_eq!((request.method().as_str(), request.version()), ("POST", http::Version::HTTP_11));
        assert_eq!(request.uri().authority().unwrap().as_str(), "a:81");
        assert_eq!((request.uri().path(), request.uri().query()), ("/b", Some("c=%20|\\")));
        let values: Vec<_> = request.headers().get_all("X").iter().map(|value| value.as_bytes()).collect();
        assert_eq!(values, [&b"1"[..], b"\xff"]);
        assert_eq!((request.headers().len(), &request.body()[..]), (4, &b"hello"[..]));
        let stream = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\nx: \xff\r\n\r\n";
        let (head, trailers) = with_request(stream, |request| {
            (http::Request::<()>::try_from(request).unwrap(), http::HeaderMap::try_from(request.trailers()).unwrap())
        });
        assert_eq!((head.method().as_str(), head.headers().len(), trailers.len()), ("POST", 2, 2));
        let values: Vec<_> = trailers.get_all("x").iter().map(|value| value.as_bytes()).collect();
        assert_eq!(values, [&b"1"[..], b"\xff"]);
        for line in ["OPTIONS *", "CONNECT a:443", "M-SEARCH /a", "GET /"] {
            let stream = format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n");
            let request = with_request(stream.as_bytes(), |request| http::Request::<Bytes>::try_from(request).unwrap());
            assert_eq!(format!("{} {}", request.method(), request.uri()), line);
        }
    }

    /// Answers with what it is given.
    struct Answers(fn() -> http::Response<Vec<u8>>);

    impl Handler for Answers {
        type Codec = Http;

        async fn on_message(&mut self, conn: &mut Conn<Http>, _: Request<'_>) -> Result {
            conn.send(&Response::try_from(&self.0())?).await
        }
    }

    #[test]
    fn a_response_of_the_crate_http_can_be_sent() {
        let server = serve(1, Http::default(), || {
            Answers(|| {
                let response = http::Response::builder().status(404).header("Content-Type", "text/x").header("X", "a");
                let response = response.header("X", "b").header("Content-Length", "99").header("Date", "never");
                response.header("Connection", "x, Close").body(b"hello".to_vec()).unwrap()
            })
        });
        let mut peer = server.connect();
        peer.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let all = String::from_utf8(read_to_end(&mut peer)).unwrap();
        assert!(all.starts_with("HTTP/1.1 404 Not Found\r\n") && all.ends_with("\r\n\r\nhello"), "{all}");
        for line in ["content-type: text/x", "x: a", "x: b", "content-length: 5", "connection: close"] {
            let found = all.lines().filter(|other| other.to_ascii_lowercase() == line).count();
            assert_eq!(found, 1, "{line} in {all}");
        }
        assert!(!all.contains("never"), "{all}");
    }

    #[test]
    fn statuses_and_versions_are_converted() {
        assert_eq!(http::StatusCode::try_from(Status::NOT_FOUND).unwrap(), http::StatusCode::NOT_FOUND);
        assert_eq!(Status::from(http::StatusCode::IM_A_TEAPOT), Status(418));
        assert!(http::StatusCode::try_from(Status(7)).is_err());
        assert_eq!(http::Version::from(Version::Http10), http::Version::HTTP_10);
    }

    #[test]
    fn a_response_with_a_value_that_is_no_text_is_refused() {
        let value = http::HeaderValue::from_bytes(b"\xff").unwrap();
        let response = http::Response::builder().header("X", value).body("").unwrap();
        let error = Response::try_from(&response).unwrap_err();
        assert_eq!(error.to_string(), "expected a value in UTF-8 for the field x, found another");
    }
}
