//! The files of Unix sockets: made by a bind, and left behind by a process that did not end well.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use socket2::{SockAddr, Type};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How often a folder is tried that another process has locked, and the pause between: a second in all.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(5);

/// A folder that is locked (flock(2)) while a socket's file in it is looked at and replaced: else two servers that begin at once
/// over a stale file would both remove it, the second one that of the first.
pub(super) struct FolderLock {
    _folder: File,
}

impl FolderLock {
    /// Of the folder that a file is in. `None`: it cannot be read, or its file system has no locks; a bind says what is wrong.
    pub(super) fn of(path: &Path) -> io::Result<Option<FolderLock>> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let Ok(folder) = File::open(parent.unwrap_or(Path::new("."))) else { return Ok(None) };
        for _ in 0..TRIES {
            match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(FolderLock { _folder: folder })),
                Err(Errno::WOULDBLOCK) => thread::sleep(PAUSE),
                Err(Errno::INTR) => {}
                Err(_) => return Ok(None),
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process keeps the folder of the socket locked"))
    }
}

/// Removes the file of a Unix socket on which nobody listens any more. What else stands there stays, and makes the bind
/// fail.
pub(super) fn remove_if_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    let probe = socket2::Socket::new(socket2::Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        // Somebody listens, or it cannot be known: the bind says what is the case.
        _ => Ok(()),
    }
}

/// The file of a Unix socket, which is removed with this, unless another has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// Device, number and time of the bind. The number alone may be that of a file that has come after this one.
type Identity = (u64, u64, i64, i64);

impl SocketFile {
    /// Of a listener's address; `None` if it has no file.
    pub(crate) fn of(address: &SockAddr) -> Option<SocketFile> {
        // A path that is not absolute would mean another file once the process has gone elsewhere.
        let path = std::path::absolute(address.as_pathname()?).ok()?;
        let identity = identity(&path)?;
        Some(SocketFile { path, identity })
    }

    /// It stays.
    pub(crate) fn leave(mut self) {
        // An empty path names no file.
        self.path.clear();
    }
}

fn identity(path: &Path) -> Option<Identity> {
    let file = std::fs::symlink_metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        // Another server may be about to replace the file between the look and the removal. If the folder cannot be had, the file
        // is left, for the next server to replace.
        let Ok(_lock) = FolderLock::of(&self.path) else { return };
        if identity(&self.path) == Some(self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn file_that_has_come_after_the_own_one_stays_also_under_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.sock");
        let first = UnixListener::bind(&path).unwrap();
        let file = SocketFile::of(&SockAddr::unix(&path).unwrap()).unwrap();
        drop(first);
        let before = identity(&path);
        let began = std::time::Instant::now();
        // File systems give a number to the next file at once; their clocks are coarse.
        while identity(&path).is_none_or(|now| before.is_some_and(|before| now.3 == before.3)) {
            let _ = std::fs::remove_file(&path);
            drop(UnixListener::bind(&path).unwrap());
            assert!(began.elapsed() < Duration::from_secs(10));
        }
        drop(file);
        assert!(path.exists());
    }
}
