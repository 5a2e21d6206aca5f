//! A connected stream that a user reads and writes.

use super::Link;
use super::port::{HandedOver, Limits, Port};
use super::state::Flag;
use crate::io::{Address, FileError, Kind, Socket, SocketOptions, unwatchable};
use crate::runtime::Core;
use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::TcpStream;
use std::ops::RangeBounds;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A connection as a stream of bytes, TCP or Unix, on the core that made it.
///
/// It implements [`AsyncRead`] and [`AsyncWrite`] of `futures-io`, so what is written for those runs on it. With a codec it
/// becomes a [`Framed`](crate::Framed).
pub struct Stream {
    link: Rc<Link<()>>,
}

impl Stream {
    /// Registers a socket with a core.
    pub(crate) fn new(core: &Rc<Core>, socket: Socket, flags: Flag) -> io::Result<Stream> {
        let mut socket = Some(socket);
        let link = core.register(|key| {
            let socket = socket.take().expect("registered once");
            Rc::new(Link::new(Port::new(core.clone(), key, socket, Limits::default(), flags), (), 0))
        })?;
        link.arm();
        Ok(Stream { link })
    }

    /// Registers a descriptor that need not be a socket. To be called on the core's thread.
    pub(crate) fn adopt(core: &Rc<Core>, fd: OwnedFd) -> io::Result<Stream> {
        let (socket, kind) = Socket::adopt(fd)?;
        // Only where it is known to be TCP does a short read mean that there is no more.
        let is_tcp = kind == Kind::Socket && socket.local_address().is_ok_and(|address| !address.is_unix());
        let flags = Flag::NONE.with(Flag::READ_ON, !is_tcp);
        Stream::new(core, socket, flags).map_err(unwatchable)
    }

    /// Takes over a socket that a handler had.
    pub(crate) fn take_over(core: &Rc<Core>, socket: HandedOver) -> io::Result<Stream> {
        let mut socket = Some(socket);
        let link = core.register(|key| {
            let socket = socket.take().expect("registered once");
            Rc::new(Link::new(socket.into_port(core.clone(), key, Flag::NONE), (), 0))
        })?;
        link.arm();
        Ok(Stream { link })
    }

    /// The socket, for a handler.
    pub(crate) fn into_handed_over(self) -> io::Result<HandedOver> {
        self.port().hand_over()
    }

    pub(crate) fn core(&self) -> Rc<Core> {
        self.port().core.clone()
    }

    #[inline]
    pub(crate) fn port(&self) -> &Port {
        &self.link
    }

    /// Takes over a connected socket of the standard library. It becomes non-blocking.
    ///
    /// # Panics
    /// Outside a core.
    #[track_caller]
    pub fn from_std(stream: TcpStream) -> io::Result<Stream> {
        let core = crate::runtime::expect_current("Stream::from_std");
        Stream::new(&core, Socket::from_fd(stream.into())?, Flag::NONE)
    }

    /// Takes over any connected stream socket, such as one of `UnixStream`, or any other descriptor that the system can watch:
    /// an end of a pipe, a terminal, a device. It becomes non-blocking, also for those that have a duplicate of it.
    ///
    /// What is no socket has no addresses. Its write side cannot be shut down by itself: its reader sees the end when the
    /// descriptor closes, that is with the stream. Each read and write costs one more system call than a socket's. On Linux, the
    /// signal SIGPIPE is blocked in this thread from then on, so that to write to a pipe without a reader is an error and
    /// nothing else; elsewhere a program without Rust's runtime must ignore that signal by itself.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for what cannot be watched, such as a regular file or `/dev/null`, and for
    /// a socket that is no stream.
    ///
    /// # Panics
    /// Outside a core.
    #[track_caller]
    pub fn from_fd(socket: OwnedFd) -> io::Result<Stream> {
        let core = crate::runtime::expect_current("Stream::from_fd");
        Stream::adopt(&core, socket)
    }

    /// Gives the socket to the standard library, in blocking mode, with the bytes that have been received and not read. One
    /// that is not TCP is taken by [`into_fd`](Stream::into_fd).
    ///
    /// What is queued is written first.
    pub async fn into_std(self) -> io::Result<(TcpStream, Bytes)> {
        let (socket, unread) = self.into_fd().await?;
        let stream = TcpStream::from(socket);
        stream.set_nonblocking(false)?;
        Ok((stream, unread))
    }

    /// Gives the descriptor away, which stays non-blocking, with the bytes that have been received and not read.
    ///
    /// What is queued is written first.
    pub async fn into_fd(self) -> io::Result<(OwnedFd, Bytes)> {
        poll_fn(|cx| self.port().poll_flushed(cx)).await?;
        let port = self.port();
        let socket = port.socket.give_away()?;
        port.core.deregister(port.key, true);
        let unread = port.take_ring().map_or_else(Bytes::new, |mut ring| {
            let unread = Bytes::copy_from_slice(ring.contiguous(ring.len()));
            ring.consume(unread.len());
            port.put_ring(ring);
            unread
        });
        Ok((socket, unread))
    }

    /// Sends a part of a file as it is, and says how many bytes that was, as [`Conn::send_file`](crate::Conn::send_file) does.
    ///
    /// # Errors
    /// Those of the socket and of the file; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the file ends before the range
    /// does.
    ///
    /// # Cancel safety
    /// Not safe: a part of the range may have been sent.
    pub async fn send_file(&mut self, file: impl AsFd, range: impl RangeBounds<u64>) -> io::Result<u64> {
        self.port().send_file(file.as_fd(), &range).await.map_err(|error| match error {
            FileError::File(error) | FileError::Socket(error) => error,
        })
    }

    /// The options of the socket below.
    pub fn options(&self) -> SocketOptions<'_> {
        self.port().socket.options()
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> io::Result<&Address> {
        self.port().peer()
    }

    /// The address of this end.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.port().socket.local_address()
    }
}

impl AsyncRead for Stream {
    /// Reads what the reactor has received.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        let port = self.port();
        // What was sent is out of step with the peer, and so is what it answers.
        if let Some(error) = port.failure().filter(|_| port.has(Flag::ABORT)) {
            return Poll::Ready(Err(error));
        }
        loop {
            if let Some(mut ring) = port.take_ring() {
                let n = ring.len().min(to.len());
                ring.input().copy_to(&mut to[..n]);
                ring.consume(n);
                port.put_ring(ring);
                return Poll::Ready(Ok(n));
            }
            if port.has(Flag::ENDED) || to.is_empty() {
                return Poll::Ready(Ok(0));
            }
            if let Some(error) = port.read_failure() {
                return Poll::Ready(Err(error));
            }
            ready!(port.poll_news(cx));
        }
    }
}

impl AsyncWrite for Stream {
    /// Hands bytes to the system; nothing is kept back.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let port = self.port();
        ready!(port.poll_flushed(cx))?;
        loop {
            ready!(port.poll_writable(cx));
            if let Some(error) = port.failure() {
                return Poll::Ready(Err(error));
            }
            if let Poll::Ready(sent) = port.send_now(bytes) {
                return Poll::Ready(sent);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.port().poll_flushed(cx)
    }

    /// Tells the peer that nothing more will come. Reading goes on.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.port().poll_flushed(cx))?;
        Poll::Ready(match self.port().shutdown_write() {
            // Who is gone need not be told, and what is no socket can be told by its close only.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotConnected | io::ErrorKind::Unsupported) => Ok(()),
            told => told,
        })
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.port().socket.as_fd()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.port().deregister();
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("peer", &self.peer_addr().ok()).finish_non_exhaustive()
    }
}
