//! An open file, and what of it a request is answered.

use super::found::Answer;
use crate::http::{
    EntityTag, Precondition, Ranges, Request, Response, Status, Validators, content_range, unsatisfied_range,
};
use crate::io::Opened;
use std::fs::{File, Metadata};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// Names and values.
pub(super) type Fields = Vec<(&'static str, String)>;

/// A file that may be sent.
pub(super) struct Offer {
    pub(super) opened: Opened,
    pub(super) media_type: String,
    pub(super) is_gzip: bool,
    /// Fields that a 304 has as well (RFC 9110, section 15.4.5).
    pub(super) kept: Fields,
    pub(super) others: Fields,
}

/// A file, and what of it is to be sent.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: File,
    pub(super) metadata: Metadata,
    pub(super) media_type: String,
    pub(super) status: Status,
    pub(super) current: Validators,
    /// The other fields of its head.
    pub(super) fields: Fields,
    pub(super) parts: Parts,
}

#[derive(Debug)]
pub(super) enum Parts {
    One(Range<u64>),
    /// Each with its own head, as `multipart/byteranges`.
    Several(Vec<Range<u64>>),
}

impl Offer {
    /// What `request`, which is a `GET` or a `HEAD`, is answered: its conditions first, and then its ranges (RFC 9110, section
    /// 13.2.2).
    pub(super) fn answer(self, request: &Request<'_>) -> Answer {
        let etag = etag(&self.opened.metadata, self.is_gzip);
        let mut current = Validators::new().etag(etag.clone());
        if let Ok(time) = self.opened.metadata.modified() {
            current = current.last_modified(time);
        }
        match request.precondition(Some(&current)) {
            Precondition::Met => self.parts(request, current),
            Precondition::NotModified => {
                let response = Response::new(Status::NOT_MODIFIED).header("ETag", &etag.to_string());
                Answer::Head(with_fields(response, &self.kept))
            }
            Precondition::Failed => Answer::Refused(Status::PRECONDITION_FAILED),
        }
    }

    fn parts(self, request: &Request<'_>, current: Validators) -> Answer {
        let Offer { opened: Opened { file, metadata }, media_type, is_gzip, kept: mut fields, others } = self;
        let length = metadata.len();
        let (status, parts) = match request.ranges(&current, length) {
            Ranges::Whole => (Status::OK, Parts::One(0..length)),
            // The coding would be said of the parts together, which have none.
            Ranges::Several(_) if is_gzip => (Status::OK, Parts::One(0..length)),
            Ranges::One(part) => {
                fields.push(("Content-Range", content_range(&part, length)));
                (Status::PARTIAL_CONTENT, Parts::One(part))
            }
            Ranges::Several(parts) => (Status::PARTIAL_CONTENT, Parts::Several(parts)),
            Ranges::Unsatisfiable => {
                let status = Status::RANGE_NOT_SATISFIABLE;
                let response = Response::text(status.reason()).status(status);
                return Answer::Head(response.header("Content-Range", &unsatisfied_range(length)));
            }
        };
        if is_gzip {
            fields.push(("Content-Encoding", "gzip".to_owned()));
        }
        fields.push(("Accept-Ranges", "bytes".to_owned()));
        // A browser is not to guess another type from the bytes.
        fields.push(("X-Content-Type-Options", "nosniff".to_owned()));
        fields.extend(others);
        Answer::File(Found { file, metadata, media_type, status, current, fields, parts })
    }
}

pub(super) fn with_fields<'a>(response: Response<'a>, fields: &Fields) -> Response<'a> {
    fields.iter().fold(response, |response, (name, value)| response.header(name, value))
}

/// A change that follows another as closely as this might bear the same time: the clock of most file systems moves with the
/// kernel's ticks, and that of some in seconds.
const TICK: Duration = Duration::from_millis(20);
const COARSE: Duration = Duration::from_secs(2);

/// Of the length and the time of the last change; weak while another change might have the same (RFC 9110, section 8.8.1).
fn etag(metadata: &Metadata, is_gzip: bool) -> EntityTag {
    let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
    let suffix = if is_gzip { "-gz" } else { "" };
    let etag = EntityTag::new(format!("{:x}-{seconds:x}.{nanos:x}{suffix}", metadata.len()));
    let etag = etag.expect("digits and a few signs");
    let margin = if nanos == 0 { COARSE } else { TICK };
    let age = metadata.modified().ok().and_then(|time| crate::io::wall_time().duration_since(time).ok());
    if age.is_some_and(|age| age > margin) { etag } else { etag.weak() }
}
