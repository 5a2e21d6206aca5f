//! Files below a folder, and no others.

use super::socket::uninterrupted;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A FIFO would wait for its writer, and a terminal become that of this process.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
/// How often a look-up is tried again that a concurrent rename has made unsure.
#[cfg(target_os = "linux")]
const TRIES: u32 = 16;

/// A folder that is held open.
#[derive(Debug)]
pub(crate) struct Folder {
    descriptor: OwnedFd,
    /// Symbolic links lead anywhere.
    follows_links: bool,
}

/// A file that was opened, and what it was then.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) metadata: Metadata,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Folder { descriptor: openat(CWD, path, flags, Mode::empty())?, follows_links: false })
    }

    /// The same folder, with or without links that lead anywhere.
    pub(crate) fn with_links(&self, follows_links: bool) -> io::Result<Folder> {
        Ok(Folder { descriptor: self.descriptor.try_clone()?, follows_links })
    }

    /// Opens a file by its path from the folder, which is not empty and has neither `.` nor `..` in it, if all that is needed for
    /// that is in memory. `None`: it could take a disk's time, or the system cannot tell.
    #[cfg(target_os = "linux")]
    pub(crate) fn open_at_once(&self, path: &[u8]) -> Option<io::Result<Opened>> {
        use rustix::fs::ResolveFlags;

        match self.resolve(path, ResolveFlags::CACHED) {
            // EINVAL: before Linux 5.12.
            Err(Errno::AGAIN | Errno::INVAL | Errno::NOSYS | Errno::PERM) => None,
            opened => Some(look(opened)),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn open_at_once(&self, _: &[u8]) -> Option<io::Result<Opened>> {
        None
    }

    /// Opens a file, however long it takes.
    pub(crate) fn open_file(&self, path: &[u8]) -> io::Result<Opened> {
        look(self.open_slowly(path))
    }

    #[cfg(target_os = "linux")]
    fn open_slowly(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        use rustix::fs::ResolveFlags;

        for _ in 0..TRIES {
            match self.resolve(path, ResolveFlags::empty()) {
                Err(Errno::AGAIN) => {}
                // Before Linux 5.6, or kept away by a filter of system calls.
                Err(Errno::NOSYS | Errno::PERM) => return self.walk(path),
                opened => return opened,
            }
        }
        Err(Errno::AGAIN)
    }

    #[cfg(not(target_os = "linux"))]
    fn open_slowly(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        self.walk(path)
    }

    /// The kernel resolves the whole path, and sees to it that no step leaves the folder.
    #[cfg(target_os = "linux")]
    fn resolve(&self, path: &[u8], how: rustix::fs::ResolveFlags) -> rustix::io::Result<OwnedFd> {
        use rustix::fs::{ResolveFlags, openat2};

        let how = match self.follows_links {
            true => how,
            false => how | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        };
        uninterrupted(|| openat2(&self.descriptor, OsStr::from_bytes(path), FLAGS, Mode::empty(), how))
    }

    /// Step by step. A link is none of the steps, because what it leads to could not be held.
    fn walk(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        if self.follows_links {
            return openat(&self.descriptor, OsStr::from_bytes(path), FLAGS, Mode::empty());
        }
        let mut at: Option<OwnedFd> = None;
        let mut steps = path.split(|byte| *byte == b'/').peekable();
        while let Some(step) = steps.next() {
            if step == b".." {
                return Err(Errno::XDEV);
            }
            let kind = if steps.peek().is_some() { OFlags::DIRECTORY } else { OFlags::empty() };
            let from = at.as_ref().map_or(self.descriptor.as_fd(), AsFd::as_fd);
            let next = uninterrupted(|| {
                openat(from, OsStr::from_bytes(step), FLAGS | kind | OFlags::NOFOLLOW, Mode::empty())
            })?;
            at = Some(next);
        }
        at.ok_or(Errno::NOENT)
    }
}

/// The file's data are in memory once it is open, or a look at them costs one more trip of a network's file system.
fn look(opened: rustix::io::Result<OwnedFd>) -> io::Result<Opened> {
    let file = File::from(opened?);
    let metadata = file.metadata()?;
    Ok(Opened { file, metadata })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    /// Both ways to open, the portable one of which refuses every link.
    #[test]
    fn only_files_below_the_folder_are_opened() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "inside").unwrap();
        fs::write(outer.path().join("secret"), "outside").unwrap();
        symlink("b/file", root.join("a/within")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(outer.path().join("secret"), root.join("absolute")).unwrap();
        symlink("..", root.join("up")).unwrap();
        let mut folder = Folder::open(&root).unwrap();
        let read = |opened: rustix::io::Result<OwnedFd>| {
            let mut text = String::new();
            opened.map(|opened| File::from(opened).read_to_string(&mut text)).ok()?.ok()?;
            Some(text)
        };
        for leaves in ["out", "absolute", "up/secret", "../secret", "/etc/passwd", "none", "a/b/file/x"] {
            assert_eq!(read(folder.open_slowly(leaves.as_bytes())), None, "{leaves}");
            assert_eq!(read(folder.walk(leaves.as_bytes())), None, "{leaves}");
            assert!(folder.open_at_once(leaves.as_bytes()).is_none_or(|opened| opened.is_err()), "{leaves}");
        }
        assert_eq!(read(folder.open_slowly(b"a/b/file")).as_deref(), Some("inside"));
        assert_eq!(read(folder.walk(b"a/b/file")).as_deref(), Some("inside"));
        assert_eq!(read(folder.walk(b"a/within")), None);
        if cfg!(target_os = "linux") {
            assert_eq!(read(folder.open_slowly(b"a/within")).as_deref(), Some("inside"));
        }
        folder.follows_links = true;
        assert_eq!(read(folder.open_slowly(b"out")).as_deref(), Some("outside"));
        assert_eq!(read(folder.walk(b"absolute")).as_deref(), Some("outside"));
    }
}
