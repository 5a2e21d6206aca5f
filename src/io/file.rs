//! A part of a file, on its way into a socket.

use super::Socket;
use super::descriptor::hold_sigpipe_back;
use super::socket::uninterrupted;
use rustix::io::Errno;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::os::fd::BorrowedFd;
use std::task::Poll;

/// Bytes that one system call moves, at most: others are to have their turns, too.
const CHUNK: u64 = 256 * 1024;
/// Bytes that are copied at once where sendfile(2) cannot be used.
const COPY: usize = 64 * 1024;

/// What is left to send.
pub(crate) struct FilePart<'a> {
    file: BorrowedFd<'a>,
    offset: u64,
    end: u64,
    /// Used once sendfile(2) has refused.
    copy: Option<Box<[u8]>>,
}

/// What failed.
#[derive(Debug)]
pub(crate) enum FileError {
    File(io::Error),
    Socket(io::Error),
}

impl<'a> FilePart<'a> {
    /// A range without an end goes to the end that the file has now.
    pub(crate) fn new(file: BorrowedFd<'a>, range: &impl RangeBounds<u64>) -> io::Result<FilePart<'a>> {
        // sendfile(2) has no MSG_NOSIGNAL.
        hold_sigpipe_back()?;
        let offset = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0),
        };
        let copy = if cfg!(target_os = "linux") { None } else { Some(vec![0; COPY].into()) };
        Ok(FilePart { file, offset, end, copy })
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> u64 {
        self.end.saturating_sub(self.offset)
    }

    /// Sends as much as the socket takes at once, and says how many bytes that was. `Pending` when it takes none.
    pub(crate) fn send(&mut self, socket: &Socket) -> Poll<Result<usize, FileError>> {
        if self.copy.is_none() {
            let count = self.left().min(CHUNK) as usize;
            match socket.send_file(self.file, &mut self.offset, count) {
                Ok(0) => return Poll::Ready(Err(self.ended())),
                Ok(sent) => return Poll::Ready(Ok(sent)),
                Err(Errno::AGAIN) => return Poll::Pending,
                Err(error @ (Errno::PIPE | Errno::CONNRESET | Errno::TIMEDOUT | Errno::NOTCONN)) => {
                    return Poll::Ready(Err(FileError::Socket(error.into())));
                }
                // Whatever it is, a copy shows which of the two it belongs to, or does not have it.
                Err(_) => self.copy = Some(vec![0; COPY].into()),
            }
        }
        self.send_copy(socket)
    }

    fn send_copy(&mut self, socket: &Socket) -> Poll<Result<usize, FileError>> {
        let left = self.left().min(COPY as u64) as usize;
        let (file, offset) = (self.file, self.offset);
        let buffer = &mut self.copy.get_or_insert_with(|| vec![0; COPY].into())[..left];
        let sent = match uninterrupted(|| rustix::io::pread(file, &mut *buffer, offset)) {
            Ok(0) => return Poll::Ready(Err(self.ended())),
            Ok(read) => socket.send(&buffer[..read]),
            Err(error) => return Poll::Ready(Err(FileError::File(error.into()))),
        };
        sent.map(|sent| match sent {
            Ok(sent) => {
                self.offset += sent as u64;
                Ok(sent)
            }
            Err(error) => Err(FileError::Socket(error)),
        })
    }

    fn ended(&self) -> FileError {
        let (end, left) = (self.offset, self.left());
        let what = format!("the file ends at byte {end} by now, and {left} more were to be sent");
        FileError::File(io::Error::new(io::ErrorKind::UnexpectedEof, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    /// What arrives of a part of a file, and how sending it ended.
    fn sent(content: &[u8], range: impl RangeBounds<u64>, copies: bool) -> (Vec<u8>, Result<(), FileError>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let (socket, mut peer) = UnixStream::pair().unwrap();
        let socket = Socket::from_fd(socket.into()).unwrap();
        let mut part = FilePart::new(file.as_fd(), &range).unwrap();
        if copies {
            part.copy = Some(vec![0; COPY].into());
        }
        let (mut arrived, mut ended) = (Vec::new(), Ok(()));
        while part.left() > 0 {
            match part.send(&socket) {
                Poll::Ready(Ok(bytes)) => {
                    let before = arrived.len();
                    arrived.resize(before + bytes, 0);
                    peer.read_exact(&mut arrived[before..]).unwrap();
                }
                Poll::Ready(Err(error)) => {
                    ended = Err(error);
                    break;
                }
                Poll::Pending => unreachable!("everything is read at once"),
            }
        }
        assert_eq!(part.copy.is_some(), copies || cfg!(not(target_os = "linux")));
        (arrived, ended)
    }

    #[test]
    fn a_part_is_sent_by_the_kernel_and_by_copies() {
        let content: Vec<u8> = (0..1_000_000_u32).map(|i| (i / 7) as u8).collect();
        for copies in [false, true] {
            assert!(sent(&content, .., copies).0 == content);
            assert!(sent(&content, 1000..999_999, copies).0 == content[1000..999_999]);
            assert!(sent(&content, ..=9, copies).0 == content[..10]);
            assert!(sent(&content, 10..10, copies).0.is_empty());
            let (arrived, ended) = sent(&content, 999_990..2_000_000, copies);
            assert_eq!(arrived, content[999_990..]);
            let Err(FileError::File(error)) = ended else { panic!("{ended:?}") };
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
