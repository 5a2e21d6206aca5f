//! The path of a request, as one below a folder.

use crate::http::Status;
use percent_encoding::percent_decode_str;

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// From the folder on, decoded, without slashes around it. Each of its segments is a name.
    pub(super) path: Vec<u8>,
    /// There was a slash at its end.
    pub(super) is_folder: bool,
}

impl Wanted {
    /// Reads the path of a request. The error is what it is answered.
    pub(super) fn read(path: &str, dotfiles: bool) -> Result<Wanted, Status> {
        let Some(path) = path.strip_prefix('/') else { return Err(Status::BAD_REQUEST) };
        if path.is_empty() {
            return Ok(Wanted { path: Vec::new(), is_folder: true });
        }
        let (path, is_folder) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        let mut wanted = Wanted { path: Vec::with_capacity(path.len()), is_folder };
        let mut verdict = Ok(());
        for (at, segment) in path.split('/').enumerate() {
            if at > 0 {
                wanted.path.push(b'/');
            }
            let from = wanted.path.len();
            // What is wrong with a later segment does not hide that an earlier one is no path at all.
            match wanted.add(segment).and_then(|()| check(&wanted.path[from..], at, dotfiles)) {
                Err(Status::BAD_REQUEST) => return Err(Status::BAD_REQUEST),
                Err(status) => verdict = Err(status),
                Ok(()) => {}
            }
        }
        verdict.map(|()| wanted)
    }

    /// Decodes a segment (RFC 3986, section 2.1).
    fn add(&mut self, segment: &str) -> Result<(), Status> {
        let escapes = memchr::memchr_iter(b'%', segment.as_bytes());
        for at in escapes {
            let digits = segment.as_bytes().get(at + 1..at + 3);
            if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                return Err(Status::BAD_REQUEST);
            }
        }
        self.path.extend(percent_decode_str(segment));
        Ok(())
    }
}

/// Whether a decoded segment is the name of a file that may be served.
fn check(name: &[u8], at: usize, dotfiles: bool) -> Result<(), Status> {
    match name {
        b"." | b".." => Err(Status::BAD_REQUEST),
        _ if name.contains(&0) => Err(Status::BAD_REQUEST),
        _ if name.is_empty() || name.contains(&b'/') => Err(Status::NOT_FOUND),
        // Meant for strangers (RFC 8615).
        b".well-known" if at == 0 => Ok(()),
        [b'.', ..] if !dotfiles => Err(Status::NOT_FOUND),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Result<(String, bool), u16> {
        let wanted = Wanted::read(path, false).map_err(|status| status.0)?;
        Ok((String::from_utf8(wanted.path).unwrap(), wanted.is_folder))
    }

    #[test]
    fn paths_are_decoded_segment_by_segment() {
        for (path, expected, is_folder) in [
            ("/", "", true),
            ("/a", "a", false),
            ("/a/", "a", true),
            ("/a/b.html", "a/b.html", false),
            ("/%61%2Eb", "a.b", false),
            ("/gr%C3%BCn", "grün", false),
            ("/a%20b+c", "a b+c", false),
            ("/%2561", "%61", false),
            ("/a..b/c..", "a..b/c..", false),
            ("/a\\..\\b", "a\\..\\b", false),
            ("/.well-known/security.txt", ".well-known/security.txt", false),
            ("/a;b=c", "a;b=c", false),
        ] {
            assert_eq!(read(path), Ok((expected.to_owned(), is_folder)), "{path}");
        }
    }

    #[test]
    fn paths_that_name_no_file_are_refused() {
        for path in [
            "",
            "*",
            "a",
            "/..",
            "/../a",
            "/a/../b",
            "/%2e%2e/a",
            "/.%2E/a",
            "/%2e",
            "/./a",
            "/a/.",
            "/a/..",
            "/a/../",
            "/a%00",
            "/%",
            "/%2",
            "/%zz",
            "/a%2",
            "/a/%00/b",
            "/x%2fy/..",
            "/.git/../a",
        ] {
            assert_eq!(read(path), Err(400), "{path}");
        }
        for path in [
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/a%2Fb",
            "/..%2fetc",
            "/%2f..%2fetc",
            "/%2e%2e%2fa",
            "/.git",
            "/a/.env",
            "/%2egit/x",
            "/.well-known/.x",
            "/a/.well-known",
            "/...",
        ] {
            assert_eq!(read(path), Err(404), "{path}");
        }
        assert!(Wanted::read("/.git/config", true).is_ok());
        assert!(Wanted::read("/..", true).is_err() && Wanted::read("/.", true).is_err());
    }

    proptest::proptest! {
        /// Whatever is asked for: each segment of what is opened is the name of a file that is not hidden.
        #[test]
        fn segments_are_names(path in "(/|//|%2[eEfF5]|%00|%|\\.|\\.\\.|a|%C3%BC|%5c|[ -~]){0,12}") {
            let Ok(wanted) = Wanted::read(&format!("/{path}"), false) else { return Ok(()) };
            if wanted.path.is_empty() {
                return Ok(());
            }
            for (at, name) in wanted.path.split(|byte| *byte == b'/').enumerate() {
                assert!(!name.is_empty() && !name.contains(&0));
                assert!(name[0] != b'.' || at == 0 && name == b".well-known");
            }
            assert_eq!(wanted.path.iter().filter(|byte| **byte == b'/').count() + 1, path.trim_end_matches('/').split('/').count());
        }
    }
}
