//! The file that a request is for, and the head of its response.

use super::path::Wanted;
use super::{Files, Settings};
use crate::http::{
    EntityTag, Precondition, Ranges, Request, Response, Status, Validators, content_range, unsatisfied_range,
};
use crate::io::Opened;
use crate::runtime::spawn_blocking;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// How a request is answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// With a status, and its words.
    Refused(Status),
    /// With a head that says all.
    Head(Response<'static>),
    /// With parts of a file.
    File(Found),
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
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) parts: Parts,
}

#[derive(Debug)]
pub(super) enum Parts {
    One(Range<u64>),
    /// Each with its own head, as `multipart/byteranges`.
    Several(Vec<Range<u64>>),
}

impl Files {
    /// Finds out how a request for a path is answered. What can be wrong with it is looked at before its conditions (RFC 9110,
    /// section 13.2.1).
    pub(super) async fn answer(&self, request: &Request<'_>, path: &str) -> Answer {
        if !matches!(request.method(), "GET" | "HEAD") {
            let status = Status::METHOD_NOT_ALLOWED;
            return Answer::Head(Response::text(status.reason()).status(status).header("Allow", "GET, HEAD"));
        }
        match self.find(request, path).await {
            Ok(answer) => answer,
            Err(status) => Answer::Refused(status),
        }
    }

    async fn find(&self, request: &Request<'_>, path: &str) -> Result<Answer, Status> {
        let Wanted { path: mut name, is_folder } = Wanted::read(path, self.settings.dotfiles)?;
        if is_folder {
            let index = self.settings.index.as_ref().ok_or(Status::NOT_FOUND)?;
            if !name.is_empty() {
                name.push(b'/');
            }
            name.extend_from_slice(index.as_bytes());
        }
        let opened = self.open(&name).await.map_err(|error| status_of(&error, &name))?;
        let kind = opened.metadata.file_type();
        if kind.is_dir() && !is_folder && self.settings.index.is_some() {
            return Ok(Answer::Head(redirect(request, path)));
        }
        if !kind.is_file() {
            return Err(Status::NOT_FOUND);
        }
        let media_type = media_type(&name);
        if self.settings.precompressed && request.prefers_encoding("gzip") {
            name.extend_from_slice(b".gz");
            if let Some(compressed) = self.open(&name).await.ok().filter(|other| is_no_older(other, &opened)) {
                return Ok(self.settings.respond(request, compressed, media_type, true));
            }
        }
        Ok(self.settings.respond(request, opened, media_type, false))
    }

    /// On this core if that is at once, and on another thread if it is not.
    async fn open(&self, name: &[u8]) -> io::Result<Opened> {
        if let Some(opened) = self.folder.open_at_once(name) {
            return opened;
        }
        let (folder, name) = (self.folder.clone(), name.to_vec());
        match spawn_blocking(move || folder.open_file(&name)).await {
            Ok(opened) => opened,
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

fn is_no_older(compressed: &Opened, plain: &Opened) -> bool {
    let changed = |opened: &Opened| (opened.metadata.mtime(), opened.metadata.mtime_nsec());
    compressed.metadata.is_file() && changed(compressed) >= changed(plain)
}

impl Settings {
    fn respond(&self, request: &Request<'_>, opened: Opened, media_type: String, is_gzip: bool) -> Answer {
        let Opened { file, metadata } = opened;
        let length = metadata.len();
        let etag = etag(&metadata, is_gzip);
        let mut current = Validators::new().etag(etag.clone());
        if let Ok(time) = metadata.modified() {
            current = current.last_modified(time);
        }
        let mut fields = Vec::new();
        if let Some(value) = &self.cache_control {
            fields.push(("Cache-Control", value.clone()));
        }
        if self.precompressed {
            fields.push(("Vary", "Accept-Encoding".to_owned()));
        }
        match request.precondition(Some(&current)) {
            Precondition::Met => {}
            // It has what the 200 would have of certain fields, and no others (RFC 9110, section 15.4.5).
            Precondition::NotModified => {
                fields.push(("ETag", etag.to_string()));
                return Answer::Head(with_fields(Response::new(Status::NOT_MODIFIED), &fields));
            }
            Precondition::Failed => return Answer::Refused(Status::PRECONDITION_FAILED),
        }
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
        Answer::File(Found { file, metadata, media_type, status, current, fields, parts })
    }
}

pub(super) fn with_fields<'a>(response: Response<'a>, fields: &[(&'static str, String)]) -> Response<'a> {
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

/// To the same path with a slash at its end, so that links of the page are relative to the folder.
fn redirect(request: &Request<'_>, path: &str) -> Response<'static> {
    // The path that was served may be what is left of the request's behind a prefix.
    let path = if request.path().ends_with(path) { request.path() } else { path };
    let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
    // Two slashes at the front would make the path another host's (RFC 3986, section 4.2). A backslash is one to browsers.
    let path = path.trim_start_matches(['/', '\\']);
    let status = Status::MOVED_PERMANENTLY;
    Response::text(status.reason()).status(status).header("Location", &format!("/{path}/{query}"))
}

/// The type that the name's ending stands for. Text is taken for UTF-8.
fn media_type(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let found = mime_guess::from_path(&*name).first_raw().unwrap_or("application/octet-stream");
    match found {
        text if text.starts_with("text/") || text == "application/javascript" => format!("{text}; charset=utf-8"),
        other => other.to_owned(),
    }
}

/// What a peer is told of a file that could not be opened.
fn status_of(error: &io::Error, name: &[u8]) -> Status {
    use rustix::io::Errno;

    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG | Errno::INVAL) => {
            Status::NOT_FOUND
        }
        // Of what cannot be opened at all: a socket, or a device that is not there.
        Some(Errno::NXIO | Errno::NODEV) => Status::NOT_FOUND,
        Some(Errno::ACCESS | Errno::PERM) => Status::FORBIDDEN,
        errno => {
            tracing::error!(file = %String::from_utf8_lossy(name), %error, "a file cannot be opened");
            match errno {
                Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN) => Status::SERVICE_UNAVAILABLE,
                _ => Status::INTERNAL_SERVER_ERROR,
            }
        }
    }
}
