use super::{Codec, Decoder, Input, Raw};
use crate::limits;
use std::convert::Infallible;
use std::ops::Deref;

/// No framing, like [`Raw`], for handlers that find their messages by themselves: each is given everything that has
/// arrived, takes as much of it as it can use, and gets the rest again when more has come. Bytes are sent as they are.
///
/// A [`Decoder`] of one's own does the same with less ado; this is the way of handlers that are brought along from
/// elsewhere.
///
/// What a handler leaves also comes again, with or without more behind it,
///
/// - after [`on_wake`](crate::Handler::on_wake), so that a handler which has waited for something else goes on by
///   [`Handle::wake`](crate::Handle::wake);
/// - when the peer has ended its stream, before [`on_eof`](crate::Handler::on_eof): then [`Unread::is_last`] says that no more
///   will come. What is left even then ends the connection with
///   [`ProtocolError::Truncated`](crate::codec::ProtocolError::Truncated), after `on_eof`.
///
/// ```
/// use tiderace::codec::{Peek, Unread};
/// use tiderace::{Conn, Handler, Result};
///
/// struct Pairs;
///
/// impl Handler for Pairs {
///     type Codec = Peek;
///
///     async fn on_message(&mut self, conn: &mut Conn<Peek>, mut unread: Unread<'_>) -> Result {
///         while let Some(pair) = unread.take(2) {
///             conn.send(pair).await?;
///         }
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Peek {
    max: usize,
}

impl Peek {
    /// A peer that has more than `max` bytes waiting, of which nothing is taken, is closed.
    pub fn with_max(max: usize) -> Peek {
        Peek { max }
    }
}

impl Default for Peek {
    /// At most 64 KiB.
    fn default() -> Peek {
        Peek::with_max(limits::FRAME)
    }
}

impl Codec for Peek {
    type Decoder = PeekDecoder;
    type Encoder = Raw;

    fn halves(&self) -> (PeekDecoder, Raw) {
        (PeekDecoder { max: self.max, untaken: 0, has_ended: false }, Raw)
    }
}

/// The receiving half of [`Peek`].
#[derive(Debug)]
pub struct PeekDecoder {
    max: usize,
    /// What the handler has seen and left.
    untaken: usize,
    /// The stream has ended, and the handler has been told so.
    has_ended: bool,
}

/// Everything that has been received and not taken; it derefs to these bytes.
#[derive(Debug)]
pub struct Unread<'a> {
    bytes: &'a [u8],
    untaken: &'a mut usize,
    is_last: bool,
}

impl<'a> Unread<'a> {
    /// Takes the first `n` bytes, or nothing if there are fewer.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(n)?;
        self.bytes = rest;
        *self.untaken = rest.len();
        Some(taken)
    }

    /// Whether the peer has ended its stream: no more will come.
    pub fn is_last(&self) -> bool {
        self.is_last
    }

    /// Takes all.
    pub fn take_all(&mut self) -> &'a [u8] {
        *self.untaken = 0;
        std::mem::take(&mut self.bytes)
    }
}

impl Deref for Unread<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl Decoder for PeekDecoder {
    type Item<'a> = Unread<'a>;
    type Error = Infallible;

    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, Infallible> {
        Ok((input.len() > self.untaken).then_some(input.len()))
    }

    fn frame_end_at_eof(&mut self, input: Input<'_>) -> Result<Option<usize>, Infallible> {
        // What was left is shown once more, because now it is known to be all.
        let is_news = !std::mem::replace(&mut self.has_ended, true);
        Ok((is_news || input.len() > self.untaken).then_some(input.len()))
    }

    fn woken(&mut self) {
        self.untaken = 0;
    }

    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<Unread<'a>, Infallible> {
        self.untaken = frame.len();
        Ok(Unread { bytes: frame, untaken: &mut self.untaken, is_last: self.has_ended })
    }

    fn unclaimed(&mut self) -> usize {
        self.untaken
    }

    fn max_buffered(&self) -> usize {
        self.max
    }
}
