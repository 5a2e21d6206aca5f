//! Lists of extensions: RFC 6455, section 9.1.

use crate::http::is_token;
use std::borrow::Cow;

/// One extension of a list, with its parameters in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extension<'a> {
    pub(super) name: &'a str,
    pub(super) parameters: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

/// A list that is not as the RFC writes it. A handshake with one fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The extensions that the value of a field lists. Elements may be empty (RFC 9110, section 5.6.1). The iterator ends behind the
/// first element that is malformed.
pub(super) fn extensions(list: &str) -> impl Iterator<Item = Result<Extension<'_>, Malformed>> {
    let mut parser = Parser { rest: list };
    let mut is_first = true;
    std::iter::from_fn(move || {
        let is_delimited = std::mem::take(&mut is_first) || parser.rest.is_empty() || parser.eats(',');
        while is_delimited && parser.eats(',') {}
        if parser.rest.is_empty() {
            return None;
        }
        let extension = if is_delimited { parser.extension() } else { Err(Malformed) };
        if extension.is_err() {
            parser.rest = "";
        }
        Some(extension)
    })
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn extension(&mut self) -> Result<Extension<'a>, Malformed> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        while self.eats(';') {
            let name = self.token()?;
            let value = if self.eats('=') { Some(self.value()?) } else { None };
            parameters.push((name, value));
        }
        Ok(Extension { name, parameters })
    }

    fn skip_whitespace(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// Whether `delimiter` is what comes next, with any whitespace around it.
    fn eats(&mut self, delimiter: char) -> bool {
        self.skip_whitespace();
        let Some(rest) = self.rest.strip_prefix(delimiter) else { return false };
        self.rest = rest;
        self.skip_whitespace();
        true
    }

    fn token(&mut self) -> Result<&'a str, Malformed> {
        self.skip_whitespace();
        let end = self.rest.find([' ', '\t', ',', ';', '=', '"']).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        if is_token(token) { Ok(token) } else { Err(Malformed) }
    }

    /// A token, or a quoted string (RFC 9110, section 5.6.4) that is a token when its quotes and backslashes are gone.
    fn value(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let Some(quoted) = self.rest.strip_prefix('"') else { return self.token().map(Cow::Borrowed) };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return if is_token(&value) { Ok(Cow::Owned(value)) } else { Err(Malformed) };
                }
                '\\' => value.push(characters.next().ok_or(Malformed)?.1),
                other => value.push(other),
            }
        }
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(list: &str) -> Result<String, Malformed> {
        let extensions: Vec<_> = extensions(list).collect::<Result<_, _>>()?;
        let written = extensions.iter().map(|extension| {
            let parameters = extension.parameters.iter().map(|(name, value)| match value {
                Some(value) => format!(";{name}={value}"),
                None => format!(";{name}"),
            });
            format!("{}{}", extension.name, parameters.collect::<String>())
        });
        Ok(written.collect::<Vec<_>>().join(","))
    }

    #[test]
    fn extension_lists_are_read_as_the_rfcs_write_them() {
        for (list, expected) in [
            ("", ""),
            (" , ,\t", ""),
            ("a", "a"),
            ("a,b", "a,b"),
            (" ,a ,, b;c , ", "a,b;c"),
            ("a; b ;c=d; e=\"f\"", "a;b;c=d;e=f"),
            ("a;b = c", "a;b=c"),
            (r#"a;b="1\0";c"#, "a;b=10;c"),
            (r#"a;b="\c\d" ,e"#, "a;b=cd,e"),
        ] {
            assert_eq!(parsed(list).as_deref(), Ok(expected), "{list}");
        }
    }

    #[test]
    fn extension_lists_that_are_malformed_are_refused() {
        for list in [
            ";a",
            "a;",
            "a;;b",
            "a;=b",
            "a=b",
            "a b",
            "a;b c",
            "a;b=",
            "a;b=,c",
            "a;b=\"",
            "a;b=\"c",
            "a;b=\"\"",
            "ü",
            "a;b=ü",
            r#"a;b="c\"#,
            r#"a;b="c d""#,
            r#"a;b="c,d""#,
            r#"a;b="\"""#,
            r#"a;b="c"d"#,
            r#"a;b="c""d""#,
            r#""a""#,
            r#"a;"b"=c"#,
            "a,b;",
            "a,b c",
            "(a)",
            "a;b=c/d",
        ] {
            assert_eq!(parsed(list), Err(Malformed), "{list}");
        }
    }
}
