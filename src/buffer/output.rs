//! What an encoder writes to.

use super::Outbound;
use bytes::Bytes;
use std::{fmt, io};

/// A slice of at least this many bytes is offered to the socket at once, behind what is queued: from here on copying it
/// costs more than the system call that it would save.
const DIRECT: usize = 16 * 1024;

/// A socket that takes bytes past the queue.
pub(crate) trait Direct {
    /// Writes the queue and then `bytes`; says how many of `bytes` were taken, and has the queue note all that was.
    fn write_through(&self, queue: &mut Outbound, bytes: &[u8]) -> usize;

    /// Whether the server of this connection stops.
    fn is_stopping(&self) -> bool;
}

/// Where an [`Encoder`](crate::codec::Encoder) puts the bytes of a message.
///
/// Small slices are copied behind each other and leave together in one system call when the connection's task pauses. A
/// large slice (16 KiB) goes to the socket at once, and only what the socket does not take is copied. A large
/// [`Bytes`] is never copied.
pub struct Output<'a> {
    queue: &'a mut Outbound,
    direct: Option<&'a dyn Direct>,
    ending: Ending,
}

/// What becomes of the connection behind a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It goes on.
    None,
    /// It goes on, and its decoder takes frames again.
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    Resume,
    /// It closes when the message is delivered.
    Close,
    /// It is reset.
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    Reset,
}

impl<'a> Output<'a> {
    #[inline]
    pub(crate) fn new(queue: &'a mut Outbound, direct: Option<&'a dyn Direct>) -> Self {
        Output { queue, direct, ending: Ending::None }
    }

    /// This message is the connection's last: it is closed when the message is delivered, as
    /// [`Conn::close`](crate::Conn::close) does it.
    #[inline]
    pub fn finish(&mut self) {
        if self.ending != Ending::Reset {
            self.ending = Ending::Close;
        }
    }

    /// The decoder was [busy](crate::codec::Busy), and is not any more: it is asked for its next frame.
    #[cfg(feature = "http")]
    pub(crate) fn resume(&mut self) {
        if self.ending == Ending::None {
            self.ending = Ending::Resume;
        }
    }

    /// The connection is reset at once, and what is queued is dropped: the peer must not take what it has for the whole of it,
    /// in a protocol where only the end of the connection says so.
    #[cfg(feature = "http")]
    pub(crate) fn reset(&mut self) {
        self.ending = Ending::Reset;
    }

    /// Whether the server of this connection [stops](crate::ServerHandle::stop): no message that comes after those which
    /// have been received is handled. An encoder asks for it where its protocol can say so, as HTTP does by
    /// `Connection: close`, and then [finishes](Output::finish).
    pub fn is_stopping(&self) -> bool {
        self.direct.is_some_and(Direct::is_stopping)
    }

    pub(crate) fn ending(&self) -> Ending {
        self.ending
    }

    /// Appends a copy of `bytes`, or hands them to the socket where that is cheaper.
    #[inline]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        if bytes.len() < DIRECT {
            self.queue.push(bytes);
        } else {
            put_large(self.queue, self.direct, bytes);
        }
    }

    /// Appends a header and a payload; for short payloads this is quicker than one after the other.
    #[inline]
    pub fn put_prefixed<const N: usize>(&mut self, header: [u8; N], payload: &[u8]) {
        self.put_between(header, payload, []);
    }

    /// Appends a header, a payload and what closes it.
    #[inline(always)]
    pub(crate) fn put_between<const N: usize, const M: usize>(
        &mut self,
        header: [u8; N],
        payload: &[u8],
        trailer: [u8; M],
    ) {
        if payload.len() < DIRECT {
            return self.queue.push_between(header, payload, trailer);
        }
        self.queue.push(&header);
        put_large(self.queue, self.direct, payload);
        self.queue.push(&trailer);
    }

    /// Appends one byte.
    #[inline]
    pub fn put_u8(&mut self, byte: u8) {
        self.queue.push(&[byte]);
    }

    /// Appends shared bytes, which are queued as they are unless they are short.
    #[inline]
    pub fn put_bytes(&mut self, bytes: Bytes) {
        self.queue.push_shared(bytes);
    }
}

/// Takes the fields, not the [`Output`], which can so stay in registers.
#[cold]
fn put_large(queue: &mut Outbound, direct: Option<&dyn Direct>, bytes: &[u8]) {
    let written = direct.map_or(0, |direct| direct.write_through(queue, bytes));
    if written < bytes.len() {
        queue.push(&bytes[written..]);
    }
}

impl io::Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for Output<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put_slice(text.as_bytes());
        Ok(())
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("queued", &self.queue.len()).finish_non_exhaustive()
    }
}
