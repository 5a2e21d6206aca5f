//! The file that the path of a request names.

use super::Files;
use super::offer::{Fields, Found, Offer};
use super::path::Wanted;
use crate::http::{Request, Response, Status};
use crate::io::Opened;
use crate::runtime::spawn_blocking;
use std::io;
use std::os::unix::fs::MetadataExt;

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

impl Files {
    /// Finds out how a request for a path is answered. What can be wrong with it is looked at before its conditions (RFC 9110,
    /// section 13.2.1).
    pub(super) async fn answer(&self, request: &Request<'_>, path: &str) -> Answer {
        if let Some(refused) = not_allowed(request) {
            return refused;
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
        let offer =
            |opened: Opened| Offer { opened, media_type, is_gzip: false, kept: self.kept(), others: Vec::new() };
        if self.settings.precompressed && request.prefers_encoding("gzip") {
            name.extend_from_slice(b".gz");
            if let Some(compressed) = self.open(&name).await.ok().filter(|other| is_no_older(other, &opened)) {
                return Ok(Offer { is_gzip: true, ..offer(compressed) }.answer(request));
            }
        }
        Ok(offer(opened).answer(request))
    }

    /// The fields of the settings.
    fn kept(&self) -> Fields {
        let vary = self.settings.precompressed.then(|| ("Vary", "Accept-Encoding".to_owned()));
        let cache_control = self.settings.cache_control.clone().map(|value| ("Cache-Control", value));
        vary.into_iter().chain(cache_control).collect()
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

pub(super) fn not_allowed(request: &Request<'_>) -> Option<Answer> {
    if matches!(request.method(), "GET" | "HEAD") {
        return None;
    }
    let status = Status::METHOD_NOT_ALLOWED;
    Some(Answer::Head(Response::text(status.reason()).status(status).header("Allow", "GET, HEAD")))
}

fn is_no_older(compressed: &Opened, plain: &Opened) -> bool {
    let changed = |opened: &Opened| (opened.metadata.mtime(), opened.metadata.mtime_nsec());
    compressed.metadata.is_file() && changed(compressed) >= changed(plain)
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
