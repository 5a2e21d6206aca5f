//! A protocol driven by hand.

use crate::buffer::Ring;
use crate::codec::{Codec, Decoder, Encoder, Item, ProtocolError, frame_end};
use crate::error::{Error, Result};
use crate::limits;
use crate::net::{Flag, Stream, Unsent};
use crate::runtime::timeout;
use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::task::{Context, Poll};

/// A stream that speaks a protocol: what a [`Handler`](crate::Handler) is for a server, without the handler.
///
/// ```no_run
/// use tiderace::{Result, codec::Lines, connect};
///
/// fn main() -> Result {
///     tiderace::block_on(async {
///         let mut lines = connect("tcp://127.0.0.1:1833").await?.framed(Lines::default());
///         lines.send("hello").await?;
///         while let Some(line) = lines.next().await? {
///             println!("{line}");
///         }
///         Ok(())
///     })
/// }
/// ```
pub struct Framed<C: Codec> {
    stream: Held,
    decoder: C::Decoder,
    encoder: C::Encoder,
    /// Held while a frame of it is lent to the user. Nothing is read meanwhile.
    ring: Option<Box<Ring>>,
    /// The length of that frame, which the next call consumes.
    lent: usize,
}

/// A stream that can be taken out of what wants to see its own end.
struct Held(Option<Stream>);

impl Deref for Held {
    type Target = Stream;

    #[inline]
    fn deref(&self) -> &Stream {
        self.0.as_ref().expect("it is taken out last")
    }
}

impl Stream {
    /// Speaks a protocol over this stream.
    pub fn framed<C: Codec>(self, codec: C) -> Framed<C> {
        Framed::new(self, &codec)
    }
}

impl<C: Codec> Framed<C> {
    fn new(stream: Stream, codec: &C) -> Self {
        let (decoder, encoder) = codec.halves();
        Framed { stream: Held(Some(stream)), decoder, encoder, ring: None, lent: 0 }
    }

    /// The next message, or `None` at the end of the stream. It is lent from the buffer until the next call. Where the protocol leaves
    /// it to the peer to close the connection, as it does to a server of WebSockets, `None` comes when the peer has done so, or
    /// five seconds after it should have.
    ///
    /// # Errors
    /// [`Error::Protocol`] when the peer breaks the protocol, [`Error::Io`] when the connection breaks. What a protocol says to
    /// a peer that has broken it is sent before this returns or, if a message could not be decoded, with the next call or when
    /// the stream is dropped.
    ///
    /// # Cancel safety
    /// Safe: what was received of an unfinished message stays in the connection.
    pub async fn next(&mut self) -> Result<Option<Item<'_, C>>> {
        let Some(end) = poll_fn(|cx| self.poll_frame(cx)).await? else {
            if self.decoder.is_finished() && self.decoder.closes_last() {
                Box::pin(self.peers_end()).await;
            }
            return Ok(None);
        };
        let Some(ring) = &mut self.ring else { return Ok(None) };
        self.decoder.decode(&mut ring.contiguous(end)[..end]).map(Some).map_err(undecodable)
    }

    /// Waits until the peer has closed the stream, and no longer than a close may take. What the peer still sends is thrown away.
    #[cold]
    async fn peers_end(&self) {
        let port = self.stream.port();
        port.discard_input();
        let ended = poll_fn(|cx| {
            while port.poll_news(cx).is_ready() {}
            if port.has(Flag::ENDED) || port.is_failed() { Poll::Ready(()) } else { Poll::Pending }
        });
        let _ = timeout(limits::CLOSE, ended).await;
    }

    /// Ready with the length of the frame at the ring's front.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<usize>>> {
        self.give_back();
        loop {
            let port = self.stream.port();
            // Out of step with the peer: what was received before is of no use any more, either.
            if let Some(error) = port.failure().filter(|_| port.has(Flag::ABORT)) {
                return Poll::Ready(Err(Error::Io(error)));
            }
            let ended = port.has(Flag::ENDED);
            if let Some(mut ring) = port.take_ring() {
                let found = self.find_message(&mut ring, ended);
                self.answer();
                if let Ok(Some(end)) = found {
                    self.stream.port().core.meter.message_in();
                    (self.ring, self.lent) = (Some(ring), end);
                    return Poll::Ready(Ok(Some(end)));
                }
                self.stream.port().put_ring(ring);
                if let Err(error) = found {
                    return Poll::Ready(Err(error));
                }
            }
            let port = self.stream.port();
            if self.decoder.is_finished() {
                return Poll::Ready(Ok(None));
            }
            if ended && !self.decoder.may_end() {
                return Poll::Ready(Err(Error::Protocol(ProtocolError::Truncated { received: 0 })));
            }
            if ended {
                return Poll::Ready(Ok(None));
            }
            if let Some(error) = port.read_failure() {
                return Poll::Ready(Err(Error::Io(error)));
            }
            std::task::ready!(port.poll_news(cx));
        }
    }

    /// Sends what the protocol answers by itself. Not to who does not take what was sent before: then it waits, and what there
    /// is to be answered next may take its place.
    fn answer(&mut self) {
        let port = self.stream.port();
        if self.decoder.has_answer() && !port.is_above_high_water() {
            port.send_answer(&mut self.decoder);
            port.flush();
        }
    }

    /// Passes over frames that are no messages.
    fn find_message(&mut self, ring: &mut Ring, ended: bool) -> Result<Option<usize>> {
        while let Some(end) = frame_end(&mut self.decoder, ring, ended).map_err(Error::Protocol)? {
            let is_message = self.decoder.is_message(&mut ring.contiguous(end)[..end]);
            if let Ok(true) = is_message {
                return Ok(Some(end));
            }
            // One that is wrong is passed over, too: the decoder has changed it, and is not to meet it again.
            ring.consume(end);
            is_message.map_err(undecodable)?;
            self.answer();
        }
        Ok(None)
    }

    /// Ends the loan of the last message. What the protocol answers to one that could not be decoded is sent here, because the
    /// decoder is lent with each that can.
    fn give_back(&mut self) {
        if let Some(mut ring) = self.ring.take() {
            let unclaimed = self.decoder.unclaimed().min(self.lent);
            if unclaimed > 0 {
                ring.rewrap();
            }
            ring.consume(self.lent - unclaimed);
            self.stream.port().put_ring(ring);
            self.answer();
        }
    }

    /// Sends a message and waits until it has been handed to the system, with whatever was fed before.
    ///
    /// # Errors
    /// [`Error::Encode`] when the codec cannot send this message, [`Error::Io`] when the connection is broken.
    ///
    /// Nothing of a message that the codec cannot send arrives. If a large part of it is on its way already, because the codec
    /// found that out too late, the connection is out of step: from then on all methods fail with
    /// [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted), and the peer sees a reset when this is dropped.
    ///
    /// # Cancel safety
    /// Safe in that the message is queued as a whole or not at all, and a queued one leaves with the next
    /// [`flush`](Framed::flush). Whether it was queued cannot be told.
    pub async fn send<M: ?Sized>(&mut self, message: &M) -> Result
    where
        C::Encoder: Encoder<M>,
    {
        self.feed(message).await?;
        self.flush().await
    }

    /// Queues a message; it leaves with the next [`flush`](Framed::flush) or [`send`](Framed::send). Waits, and writes,
    /// while more than 256 KiB are queued.
    ///
    /// # Cancel safety
    /// Safe: the message is queued as a whole, or not at all while this waits.
    pub async fn feed<M: ?Sized>(&mut self, message: &M) -> Result
    where
        C::Encoder: Encoder<M>,
    {
        let port = self.stream.port();
        loop {
            match port.with_output(port.high_water(), |output| self.encoder.encode(message, output)) {
                Ok(()) => {
                    port.core.meter.message_out();
                    return Ok(());
                }
                Err(Unsent::Full) => poll_fn(|cx| port.poll_room(cx)).await.map_err(Error::Io)?,
                Err(Unsent::Closed) => return Err(port.failure().map_or(Error::Closed, Error::Io)),
                Err(Unsent::Refused(error)) => return Err(Error::Encode(error.into())),
            }
        }
    }

    /// Waits until everything queued has been handed to the system.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn flush(&mut self) -> Result {
        poll_fn(|cx| self.stream.port().poll_flushed(cx)).await.map_err(Error::Io)
    }

    /// Sends what is queued and tells the peer that nothing more will come. Its answers can still be received.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn finish(&mut self) -> Result {
        self.give_back();
        self.flush().await?;
        self.stream.port().shutdown_write().map_err(Error::Io)
    }

    /// The stream below.
    pub fn get_ref(&self) -> &Stream {
        &self.stream
    }

    /// The stream below, with the bytes that no message has claimed. What is queued leaves with the stream's next write
    /// or flush.
    pub fn into_stream(mut self) -> Stream {
        self.give_back();
        self.stream.0.take().expect("it was not taken out before")
    }
}

impl<C: Codec> Drop for Framed<C> {
    /// Tells the peer, if it has not been told, why this is the end.
    fn drop(&mut self) {
        if self.stream.0.is_some() && self.decoder.has_answer() {
            self.give_back();
        }
    }
}

fn undecodable<E: std::error::Error + Send + Sync + 'static>(error: E) -> Error {
    Error::Protocol(ProtocolError::Decode(error.into()))
}

impl<C: Codec> fmt::Debug for Framed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framed").field("stream", &*self.stream).finish_non_exhaustive()
    }
}
