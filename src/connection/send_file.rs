//! Files for a connection's peer.

use super::Conn;
use crate::codec::Codec;
use crate::error::{Error, Result};
use crate::io::FileError;
use std::ops::RangeBounds;
use std::os::fd::AsFd;

impl<C: Codec> Conn<C> {
    /// Sends a part of a file as it is, behind what was sent before, and says how many bytes that was. The kernel moves them
    /// (sendfile(2), on Linux): they are never in this process. The codec does not see them, so a protocol with lengths has said
    /// before how many there are. A range without an end goes to the end that the file has at the call.
    ///
    /// What handles and groups send meanwhile leaves behind the file. The write timeout and the write deadline hold: it
    /// is progress when the peer takes bytes of the file. Parts of the file that are not in the system's cache are read from
    /// the disk, and meanwhile this core waits. The file is not to be changed before the peer has it.
    ///
    /// On Linux the signal SIGPIPE is blocked in this thread from then on, because sendfile(2) would raise it; elsewhere a
    /// program without Rust's runtime must ignore it by itself.
    ///
    /// # Errors
    /// [`Error::Closed`] when nothing can be sent any more. [`Error::Io`] when the file cannot be read, and with
    /// [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof) when it ends before the range does, because it has become shorter, say.
    /// What was read before that has been sent: the peer lacks the rest, and most protocols can only be closed.
    ///
    /// # Cancel safety
    /// Not safe: a part of the range may have been sent.
    ///
    /// ```
    /// use std::fs::File;
    /// use tiderace::{Conn, Handler, Result, codec::Lines};
    ///
    /// struct Files;
    ///
    /// impl Handler for Files {
    ///     type Codec = Lines;
    ///
    ///     async fn on_message(&mut self, conn: &mut Conn<Lines>, _: &str) -> Result {
    ///         let file = File::open("Cargo.toml")?;
    ///         let length = file.metadata()?.len();
    ///         conn.send(&length.to_string()).await?;
    ///         conn.send_file(&file, ..length).await?;
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub async fn send_file(&mut self, file: impl AsFd, range: impl RangeBounds<u64>) -> Result<u64> {
        self.link.send_file(file.as_fd(), &range).await.map_err(|error| match error {
            FileError::File(error) => Error::Io(error),
            FileError::Socket(_) => Error::Closed,
        })
    }
}
