//! Responses that are compressed where the peer takes that.

use super::response::{Content, MediaType};
use super::{Request, Response, Status};
use crate::limits;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// Most of what a higher level saves, for a third of its time.
const LEVEL: u32 = 4;

/// Fields that say something of the body as it is: it is left alone (RFC 9110, sections 8.4 and 14.4; RFC 9530).
const BOUND: [&str; 5] = ["content-encoding", "content-range", "content-digest", "repr-digest", "content-md5"];

impl<'a> Response<'a> {
    /// Compresses the body by gzip, if `request` [prefers](Request::prefers_encoding) that and it is worth it. Feature `gzip`.
    ///
    /// Left as they are: bodies below 1 KiB, and those that would not become shorter; types that are compressed already, such as
    /// images; the statuses `204`, `206` and `304`, and those below 200; bodies that come in parts; and what has a
    /// `Content-Encoding`, a `Content-Range`, a digest, or `no-transform` in its `Cache-Control`.
    ///
    /// A response of a type that is compressed for some gets `Vary: Accept-Encoding`, so that caches keep both forms apart (RFC
    /// 9110, section 12.5.5), and a strong `ETag` becomes a weak one, because it does not tell them apart (section 8.8.1). To be
    /// called last, when all fields are set.
    ///
    /// The core compresses, and does nothing else meanwhile: a few milliseconds for a megabyte. A response may be sent to
    /// [`spawn_blocking`](crate::spawn_blocking) instead. Do not compress a secret beside text that a stranger has chosen: the
    /// length gives the secret away, bit by bit.
    ///
    /// ```
    /// use tiderace::http::{Request, Response};
    ///
    /// fn list(request: &Request<'_>, json: String) -> Response<'static> {
    ///     Response::json(json).gzip(request)
    /// }
    /// ```
    pub fn gzip(mut self, request: &Request<'_>) -> Response<'a> {
        // The head of a 304 has what that of the 200 would have (section 15.4.5).
        if !self.may_be_compressed() && self.status != Status::NOT_MODIFIED {
            return self;
        }
        if !self.says("vary", |member| member == "*" || member.eq_ignore_ascii_case("accept-encoding")) {
            self = self.header("Vary", "Accept-Encoding");
        }
        self.weaken_etag();
        if self.status == Status::NOT_MODIFIED || !request.prefers_encoding("gzip") {
            return self;
        }
        let compressed = match &self.content {
            Content::Lent(bytes) => compress(bytes),
            Content::Shared(bytes) => compress(bytes),
            _ => None,
        };
        if let Some(compressed) = compressed {
            // A length that was said was that of the plain body.
            (self.content, self.declared) = (Content::Shared(compressed.into()), None);
            self = self.header("Content-Encoding", "gzip");
        }
        self
    }

    fn may_be_compressed(&self) -> bool {
        let has_whole_body = match &self.content {
            Content::Lent(bytes) => bytes.len() >= limits::HTTP_COMPRESSED,
            Content::Shared(bytes) => bytes.len() >= limits::HTTP_COMPRESSED,
            _ => false,
        };
        has_whole_body
            && self.status != Status::PARTIAL_CONTENT
            && !self.status.has_no_body()
            && self.is_compressible()
            && !self.lines().any(|(name, _)| BOUND.iter().any(|bound| name.eq_ignore_ascii_case(bound)))
            && !self.says("cache-control", |member| member.eq_ignore_ascii_case("no-transform"))
    }

    fn is_compressible(&self) -> bool {
        let media_type: &str = match &self.media_type {
            MediaType::None => return false,
            MediaType::Known(_) => return true,
            MediaType::Other(media_type) => media_type,
        };
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let Some((kind, subtype)) = essence.split_once('/') else { return false };
        match kind {
            // Events are to arrive at once.
            "text" => subtype != "event-stream",
            "application" => {
                matches!(subtype, "json" | "javascript" | "xml" | "wasm" | "x-ndjson" | "openmetrics-text")
                    || subtype.ends_with("+json")
                    || subtype.ends_with("+xml")
            }
            "image" => matches!(subtype, "svg+xml" | "bmp" | "vnd.microsoft.icon" | "x-icon"),
            "font" => matches!(subtype, "ttf" | "otf"),
            _ => false,
        }
    }

    /// The fields that were added, which are text.
    fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = std::str::from_utf8(&self.fields).unwrap_or_default();
        text.split("\r\n").filter_map(|line| line.split_once(": "))
    }

    /// Whether a field that is a list has a member that `is` it.
    fn says(&self, field: &str, is: impl Fn(&str) -> bool) -> bool {
        let mut lists = self.lines().filter(|(name, _)| name.eq_ignore_ascii_case(field));
        lists.any(|(_, list)| list.split(',').any(|member| is(member.trim())))
    }

    fn weaken_etag(&mut self) {
        let is_strong = |(name, value): (&str, &str)| name.eq_ignore_ascii_case("etag") && value.starts_with('"');
        if !self.lines().any(is_strong) {
            return;
        }
        let mut fields = Vec::with_capacity(self.fields.len() + 2);
        for (name, value) in self.lines() {
            let mark = if is_strong((name, value)) { "W/" } else { "" };
            for part in [name, ": ", mark, value, "\r\n"] {
                fields.extend_from_slice(part.as_bytes());
            }
        }
        self.fields = fields;
    }
}

/// `None` if it would be no shorter.
fn compress(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 3), Compression::new(LEVEL));
    // Memory takes all that is written.
    encoder.write_all(body).ok()?;
    encoder.finish().ok().filter(|compressed| compressed.len() < body.len())
}
