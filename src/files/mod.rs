//! A folder of files over HTTP. Feature `files`.
//!
//! ```no_run
//! use tiderace::files::Files;
//! use tiderace::http::{Http, Request};
//! use tiderace::{Conn, Handler, Result, Server};
//!
//! struct Site(Files);
//!
//! impl Handler for Site {
//!     type Codec = Http;
//!
//!     async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
//!         self.0.serve(conn, &request).await?;
//!         Ok(())
//!     }
//! }
//!
//! fn main() -> Result {
//!     let files = Files::new("public")?.cache_control("max-age=3600");
//!     Server::new().listen("tcp://127.0.0.1:8080", Http::default(), move || Site(files.clone()))?.run()
//! }
//! ```

mod found;
mod offer;
mod path;
mod send;

use crate::codec::{Codec, Encoder};
use crate::http::{Chunk, Request, Response, Status};
use crate::io::{Folder, Opened};
use crate::{Conn, Result};
use found::Answer;
use offer::Offer;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The files of a folder, which are sent by the kernel (see [`Conn::send_file`]). Cheap to clone: the folder is shared.
///
/// `GET` and `HEAD` are answered, and others with `405`. [Conditions](Request::precondition) and [ranges](Request::ranges) are
/// minded. A file has the media type of its name's ending, `Last-Modified`, and an `ETag` made of its length and the time of its
/// last change; the tag is weak while that time is so close that another change might not show in it. A folder is its
/// `index.html`; without a slash at its end it is a redirect to the path that has one.
///
/// # Paths
/// Each segment of a path is decoded for itself. `400` is the answer to one that is `.` or `..`, has a NUL, or an escape that is
/// none; `404` to an escaped slash, to an empty segment, and to names that begin with a dot (but for `/.well-known`, RFC 8615).
/// What is opened lies beneath the folder: symbolic links that lead out of it, and absolute ones, are `404`. The kernel sees to
/// that (openat2(2)); where it has no such call, every link is `404`. What is no regular file is `404`, and what may not be read
/// `403`.
///
/// The folder is opened once: if another takes its name later, this stays with the first.
///
/// # What waits
/// A file is opened by the core itself if all that it takes is in memory (`RESOLVE_CACHED`, Linux 5.12), and on a thread of
/// [`spawn_blocking`](crate::spawn_blocking) otherwise. Its bytes are read while they are sent, and a core waits for those that are
/// not in memory: put what is rarely read and large onto fast disks, or into a server of its own.
///
/// # Files that change
/// The length that a response says is that of the open file. A file that becomes shorter while it is sent ends the connection
/// before its time, with [`UnexpectedEof`](io::ErrorKind::UnexpectedEof), because the peer cannot be told otherwise. One that
/// changes in another way closes the connection behind the response, and a line in the log says so. To replace a file, write
/// another and rename it.
#[derive(Clone, Debug)]
pub struct Files {
    folder: Arc<Folder>,
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    index: Option<String>,
    dotfiles: bool,
    precompressed: bool,
    cache_control: Option<String>,
}

/// What a request for a file was answered, for an access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The status.
    pub status: Status,
    /// Bytes of the body that were sent.
    pub bytes: u64,
}

impl Files {
    /// The files of a folder.
    ///
    /// # Errors
    /// If there is no such folder, or it cannot be read.
    pub fn new(folder: impl AsRef<Path>) -> io::Result<Files> {
        let settings =
            Settings { index: Some("index.html".into()), dotfiles: false, precompressed: false, cache_control: None };
        let folder = folder.as_ref();
        let opened = Folder::open(folder).map_err(|error| {
            io::Error::new(error.kind(), format!("expected a folder at {}: {error}", folder.display()))
        })?;
        Ok(Files { folder: Arc::new(opened), settings: Arc::new(settings) })
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Files {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// The name of the file that stands for its folder; `None`: none does. Default: `index.html`.
    pub fn index(self, name: Option<&str>) -> Files {
        self.set(|settings| settings.index = name.map(str::to_owned))
    }

    /// Also serves names that begin with a dot. Default: no, because `.git`, `.env` and `.htpasswd` are such names.
    pub fn dotfiles(self, yes: bool) -> Files {
        self.set(|settings| settings.dotfiles = yes)
    }

    /// Follows symbolic links wherever they lead. Default: only within the folder.
    ///
    /// # Errors
    /// If the folder cannot be held open twice.
    pub fn follow_links(mut self, yes: bool) -> io::Result<Files> {
        self.folder = Arc::new(self.folder.with_links(yes)?);
        Ok(self)
    }

    /// Sends `page.html.gz` in place of `page.html`, with `Content-Encoding: gzip`, where it is there and no older, and the peer
    /// [prefers](Request::prefers_encoding) that. All responses vary by `Accept-Encoding` then. Default: no.
    pub fn precompressed(self, yes: bool) -> Files {
        self.set(|settings| settings.precompressed = yes)
    }

    /// What `Cache-Control` says with each file: `max-age=3600`, `no-cache`. Default: nothing, so that a cache may guess (RFC 9111,
    /// section 4.2.2).
    ///
    /// # Panics
    /// If it has a character that a field may not have.
    pub fn cache_control(self, value: &str) -> Files {
        assert!(
            value.bytes().all(|byte| (b' '..0x7f).contains(&byte)),
            "expected the value of a field, found {value:?}"
        );
        self.set(|settings| settings.cache_control = Some(value.to_owned()))
    }

    /// Answers a request with the file that its path names.
    ///
    /// # Errors
    /// Those of [`Conn::send`] and [`Conn::send_file`]. The connection is to be closed then, as it is when a handler returns them.
    ///
    /// # Cancel safety
    /// Not safe: a part of the response may have been sent.
    pub async fn serve<C>(&self, conn: &mut Conn<C>, request: &Request<'_>) -> Result<Served>
    where
        C: Codec,
        C::Encoder: for<'a> Encoder<Response<'a>> + for<'a> Encoder<Chunk<'a>>,
    {
        self.serve_path(conn, request, request.path()).await
    }

    /// Answers a request with the file that another path names than its own: what is left behind a prefix, say. It is escaped as
    /// that of a request is, and begins with a slash.
    ///
    /// # Errors
    /// As [`serve`](Files::serve).
    ///
    /// # Cancel safety
    /// As [`serve`](Files::serve).
    pub async fn serve_path<C>(&self, conn: &mut Conn<C>, request: &Request<'_>, path: &str) -> Result<Served>
    where
        C: Codec,
        C::Encoder: for<'a> Encoder<Response<'a>> + for<'a> Encoder<Chunk<'a>>,
    {
        // Boxed: its future would be a part of every handler's, and so of every idle connection.
        Box::pin(async {
            let answer = self.answer(request, path).await;
            send::send(conn, request, answer).await
        })
        .await
    }

    /// Like [`serve_path`](Files::serve_path), but sends nothing and returns `None` where the answer would be `404`: it is for the
    /// caller to give.
    ///
    /// # Errors
    /// As [`serve`](Files::serve).
    ///
    /// # Cancel safety
    /// As [`serve`](Files::serve).
    pub async fn serve_if_found<C>(
        &self,
        conn: &mut Conn<C>,
        request: &Request<'_>,
        path: &str,
    ) -> Result<Option<Served>>
    where
        C: Codec,
        C::Encoder: for<'a> Encoder<Response<'a>> + for<'a> Encoder<Chunk<'a>>,
    {
        Box::pin(async {
            match self.answer(request, path).await {
                Answer::Refused(Status::NOT_FOUND) => Ok(None),
                answer => send::send(conn, request, answer).await.map(Some),
            }
        })
        .await
    }
}

/// What the head of a 304 has of that of the 200, besides `Date` and `ETag` (RFC 9110, section 15.4.5).
const KEPT: [&str; 4] = ["cache-control", "content-location", "expires", "vary"];

/// Answers a request with a file that the caller has opened: a download that was paid for, or what was made for this peer.
/// Methods, [conditions](Request::precondition) and [ranges](Request::ranges) are minded as [`Files`] does. `fields` are added to the
/// head; to that of a `304`, those of them that it is to have. Text of the type should say its `charset`.
///
/// # Errors
/// Those of [`Conn::send`] and [`Conn::send_file`], and [`InvalidInput`](io::ErrorKind::InvalidInput) for what is no regular file. The
/// connection is to be closed then, as it is when a handler returns them.
///
/// # Cancel safety
/// Not safe: a part of the response may have been sent.
///
/// ```
/// use std::fs::File;
/// use tiderace::files::send;
/// use tiderace::http::{Http, Request};
/// use tiderace::{Conn, Result};
///
/// async fn invoice(conn: &mut Conn<Http>, request: &Request<'_>, path: &str) -> Result {
///     let fields = [("Content-Disposition", "attachment; filename=\"invoice.pdf\""), ("Cache-Control", "private")];
///     send(conn, request, File::open(path)?, "application/pdf", &fields).await?;
///     Ok(())
/// }
/// ```
pub async fn send<C>(
    conn: &mut Conn<C>,
    request: &Request<'_>,
    file: File,
    media_type: &str,
    fields: &[(&'static str, &str)],
) -> Result<Served>
where
    C: Codec,
    C::Encoder: for<'a> Encoder<Response<'a>> + for<'a> Encoder<Chunk<'a>>,
{
    Box::pin(async {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(
                io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file, found another kind").into()
            );
        }
        let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let (kept, others) = fields.partition(|(name, _)| KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept)));
        let (opened, media_type) = (Opened { file, metadata }, media_type.to_owned());
        let offer = Offer { opened, media_type, is_gzip: false, kept, others };
        let answer = found::not_allowed(request).unwrap_or_else(|| offer.answer(request));
        send::send(conn, request, answer).await
    })
    .await
}
