//! Which format a scraper gets.

/// The formats of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus's text format, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

/// How well the best range of an `Accept` field fits a format. The order of the fields is the order of comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Precedence {
    /// 0 for `*/*`, 1 for `type/*`, 2 for `type/subtype`.
    kind: u8,
    parameters: usize,
}

/// A media range and its weight in thousandths.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    parameters: Vec<(&'a str, String)>,
    weight: u16,
}

impl Format {
    /// The first one is the default.
    const ALL: [Format; 2] = [Format::Text, Format::OpenMetrics];

    /// The value of `Content-Type`.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format that the values of `Accept` fields prefer (RFC 9110, section 12.5.1): that of the greatest weight, among
    /// equals that of the most specific range, and else the text format.
    ///
    /// It is the text format, too, when neither is acceptable: the field is disregarded then, as the section permits, because
    /// Prometheus's own client libraries do so and scrapers have come to rely on it.
    pub(super) fn negotiate<'a>(values: impl Iterator<Item = &'a [u8]>) -> Format {
        let mut found: [Option<(Precedence, u16)>; 2] = [None; 2];
        for range in values.filter_map(|value| std::str::from_utf8(value).ok()).flat_map(ranges) {
            for (format, best) in Format::ALL.iter().zip(&mut found) {
                if let Some(precedence) = format.fits(&range) {
                    // The most specific range decides the weight. Of two that say the same, the greater weight counts.
                    *best = (*best).max(Some((precedence, range.weight)));
                }
            }
        }
        let weights = found.map(|best| best.map_or((0, None), |(precedence, weight)| (weight, Some(precedence))));
        match weights {
            [text, open_metrics] if open_metrics.0 > 0 && open_metrics > text => Format::OpenMetrics,
            _ => Format::Text,
        }
    }

    fn fits(self, range: &Range<'_>) -> Option<Precedence> {
        let (own, _) = self.media_type().split_once(';')?;
        let (kind, subtype) = own.split_once('/')?;
        let precedence = match (range.kind, range.subtype) {
            ("*", "*") => 0,
            (asked, "*") if asked.eq_ignore_ascii_case(kind) => 1,
            (asked, of) if asked.eq_ignore_ascii_case(kind) && of.eq_ignore_ascii_case(subtype) => 2,
            _ => return None,
        };
        let has = |name: &str, value: &str| {
            let own = self.media_type().split("; ").skip(1).filter_map(|parameter| parameter.split_once('='));
            own.into_iter().any(|own| name.eq_ignore_ascii_case(own.0) && value.eq_ignore_ascii_case(own.1))
                // How names beyond ASCII letters are to be written. Ours have none, so any way is right.
                || name.eq_ignore_ascii_case("escaping")
        };
        let fits = range.parameters.iter().all(|(name, value)| has(name, value));
        fits.then_some(Precedence { kind: precedence, parameters: range.parameters.len() })
    }
}

/// The ranges of a list. Members that are not written as the section has it are left out.
fn ranges(list: &str) -> impl Iterator<Item = Range<'_>> {
    split(list, ',').filter_map(|member| {
        let mut parts = split(member, ';').map(str::trim_ascii);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let is_range = is_token(kind) && is_token(subtype) && (kind != "*" || subtype == "*");
        let (mut parameters, mut weight) = (Vec::new(), 1000);
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=')?;
            if name.eq_ignore_ascii_case("q") {
                weight = thousandths(value)?;
            } else if is_token(name) {
                parameters.push((name, unquoted(value)?));
            } else {
                return None;
            }
        }
        is_range.then_some(Range { kind, subtype, parameters, weight })
    })
}

/// Splits at separators that do not stand in a quoted string (RFC 9110, section 5.6.4).
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut in_quotes, mut is_escaped) = (false, false);
    text.split(move |c| {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if in_quotes => is_escaped = true,
            '"' => in_quotes = !in_quotes,
            _ => return c == separator && !in_quotes,
        }
        false
    })
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

/// A token, or what stands in a quoted string.
fn unquoted(value: &str) -> Option<String> {
    let Some(quoted) = value.strip_prefix('"') else { return is_token(value).then(|| value.to_owned()) };
    let (mut text, mut chars) = (String::new(), quoted.chars());
    loop {
        match chars.next()? {
            '"' => return chars.next().is_none().then_some(text),
            '\\' => text.push(chars.next()?),
            c => text.push(c),
        }
    }
}

/// A weight (RFC 9110, section 12.4.2): from 0 to 1, with at most three digits behind the point.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, digits) = weight.split_once('.').unwrap_or((weight, ""));
    if digits.len() > 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{digits:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}
