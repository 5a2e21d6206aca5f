//! Protocols: how bytes become messages and messages become bytes.
//!
//! A protocol is a [`Decoder`] and an [`Encoder`]; a value that is both and can be cloned is a [`Codec`], and each
//! connection gets a decoding and an encoding half of its own. The stock codecs are [`Raw`], [`Lines`], [`Delimiter`],
//! [`LengthDelimited`], [`Fixed`] and [`Peek`].
//!
//! # The contract of a decoder
//!
//! The library asks two questions, in this order and for each frame:
//!
//! 1. [`frame_end`](Decoder::frame_end): *where does the next frame end?* `Ok(Some(n))` means that the first `n` bytes
//!    of the input are a frame, `Ok(None)` that more bytes must come first, `Err` that this can never become a frame. The
//!    input is only looked at; it may lie in two pieces. It is asked again, with more input, when more has arrived: a
//!    decoder that remembers how far it has looked never looks at a byte twice.
//! 2. [`decode`](Decoder::decode): *what does the frame say?* The frame now lies in one piece. The item may borrow from
//!    it, which costs nothing, and the decoder may change it in place (unmask, decrypt).
//!
//! A protocol whose frames are not all messages (keep-alives, parts of a whole) tells them apart in
//! [`is_message`](Decoder::is_message), which is asked in between.
//!
//! An error from any of them ends the connection with [`CloseReason::Protocol`](crate::CloseReason::Protocol).
//!
//! At the end of the stream [`frame_end_at_eof`](Decoder::frame_end_at_eof) is asked instead; bytes that it does not
//! claim are an error, because the peer has broken off inside a frame.
//!
//! ```
//! use tiderace::codec::{Decoder, Encoder, Input, Output};
//! use std::convert::Infallible;
//!
//! /// Frames of one length byte and that many bytes of payload.
//! #[derive(Clone)]
//! struct Short;
//!
//! impl Decoder for Short {
//!     type Item<'a> = &'a [u8];
//!     type Error = Infallible;
//!
//!     fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, Infallible> {
//!         Ok(input.get(0).map(|n| 1 + usize::from(n)).filter(|end| *end <= input.len()))
//!     }
//!
//!     fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<&'a [u8], Infallible> {
//!         Ok(&frame[1..])
//!     }
//! }
//!
//! impl Encoder<[u8]> for Short {
//!     type Error = std::num::TryFromIntError;
//!
//!     fn encode(&mut self, payload: &[u8], output: &mut Output<'_>) -> Result<(), Self::Error> {
//!         output.put_u8(payload.len().try_into()?);
//!         output.put_slice(payload);
//!         Ok(())
//!     }
//! }
//! # fn is_codec<C: tiderace::codec::Codec>(_: C) {}
//! # is_codec(Short);
//! ```

mod delimiter;
mod encoded;
mod error;
mod fixed;
mod frames;
mod length_delimited;
mod lines;
mod owned;
mod patience;
mod peek;
mod raw;

pub use crate::buffer::{Input, Output};
pub use delimiter::Delimiter;
pub use error::Error;
pub use fixed::Fixed;
pub use frames::ProtocolError;
pub use length_delimited::LengthDelimited;
pub use lines::Lines;
pub use owned::encode_to_vec;
pub use patience::{Patience, Step};
pub use peek::{Peek, PeekDecoder, Unread};
pub use raw::Raw;

pub(crate) use encoded::Encoded;
pub(crate) use frames::{frame_end, split_frame};

use crate::limits;
use std::error::Error as StdError;

/// The receiving half of a protocol; the [module](self) has the contract.
pub trait Decoder {
    /// What a frame says. It may borrow from the frame and from the decoder.
    type Item<'a>
    where
        Self: 'a;

    /// Why input cannot be a frame. It should say what was expected and what was met.
    type Error: StdError + Send + Sync + 'static;

    /// Says where the next frame ends: how many bytes, from the start of `input`, belong to it.
    ///
    /// An answer must be at least 1 and at most `input.len()`; any other closes the connection as a protocol error.
    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, Self::Error>;

    /// Says what a frame means. `frame` is exactly what [`frame_end`](Decoder::frame_end) claimed.
    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<Self::Item<'a>, Self::Error>;

    /// Whether a frame is a message for the handler. One that is not is dealt with here, and is not decoded.
    ///
    /// The default says yes.
    #[inline]
    fn is_message(&mut self, frame: &mut [u8]) -> Result<bool, Self::Error> {
        let _ = frame;
        Ok(true)
    }

    /// How many bytes at the end of the last frame are left unused. They are input again, and
    /// [`frame_end`](Decoder::frame_end) should ask for more.
    ///
    /// The default says none. It is asked when the frame has been handled. At the end of the stream such bytes are an error
    /// only when [`on_eof`](crate::Handler::on_eof) has returned.
    #[inline]
    fn unclaimed(&mut self) -> usize {
        0
    }

    /// The handler's [`on_wake`](crate::Handler::on_wake) has run. A decoder that leaves bytes
    /// [unclaimed](Decoder::unclaimed) may claim them again, although no more have come.
    ///
    /// The default does nothing.
    fn woken(&mut self) {}

    /// Like [`frame_end`](Decoder::frame_end), when no byte will follow `input`, which is not empty.
    ///
    /// The default asks `frame_end`. Override it where the end of the stream also ends a frame.
    fn frame_end_at_eof(&mut self, input: Input<'_>) -> Result<Option<usize>, Self::Error> {
        self.frame_end(input)
    }

    /// Whether there is something to [`answer`](Decoder::answer), without the handler: that a ping was heard, that a peer may
    /// go on. It is asked when a frame has been handled, and when one is incomplete.
    ///
    /// The default says no.
    #[inline]
    fn has_answer(&self) -> bool {
        false
    }

    /// Whether a connection is open from its beginning. A protocol with a handshake says no, and
    /// [`on_open`](crate::Handler::on_open) is called when it [has opened](Decoder::has_opened).
    ///
    /// The default says yes.
    #[inline]
    fn is_open(&self) -> bool {
        true
    }

    /// Whether the handshake was made just now: asked after each answer, and said once. It is asked again when `on_open` has returned,
    /// so that a protocol can drop what only that needs.
    #[inline]
    fn has_opened(&mut self) -> bool {
        false
    }

    /// Writes what is to be answered.
    fn answer(&mut self, output: &mut Output<'_>) {
        let _ = output;
    }

    /// Whether the protocol can ask a peer that is quiet for a sign of life; asked once. Then [`ping`](Decoder::ping) is called
    /// when half of a connection's idle time has passed.
    ///
    /// The default says no.
    fn can_ping(&self) -> bool {
        false
    }

    /// The peer is quiet, and will be closed if it stays so: what there is to ask it, [`answer`](Decoder::answer) asks next.
    fn ping(&mut self) {}

    /// The connection ends: what there is to say about that, [`answer`](Decoder::answer) says next.
    fn farewell(&mut self, why: Farewell) {
        let _ = why;
    }

    /// Whether the stream may end here, where a frame has ended and no other has begun. A protocol whose messages have
    /// several frames says no in between, and the end is an error then. The time that a message
    /// [may take](crate::Server::message_timeout) ends behind a frame where this says yes.
    ///
    /// The default says yes.
    #[inline]
    fn may_end(&self) -> bool {
        true
    }

    /// Whether the peer is to close the stream first, because it was told the end. The connection then keeps its own side open until
    /// the peer has closed, or until a close has taken as long as it may.
    ///
    /// The default says no.
    #[inline]
    fn closes_last(&self) -> bool {
        false
    }

    /// Whether the peer has taken its leave: what becomes of the stream from here on is of no interest.
    ///
    /// The default says no.
    #[inline]
    fn is_finished(&self) -> bool {
        false
    }

    /// What keeps the decoder from taking the next frame, in which case [`frame_end`](Decoder::frame_end) asks for more: a request
    /// that is still to be answered, say. It is asked when nothing is left to be handled.
    ///
    /// The default says nothing.
    fn busy(&self) -> Busy {
        Busy::Free
    }

    /// Which part of a message the peer is waited for, and for how long. When this says another number, the time begins anew; a
    /// message is to have several steps if it may be long. It is asked when a message has begun and the connection waits for the
    /// rest of it, and of a connection that a listener has accepted from the beginning.
    ///
    /// The default has no limit. A codec whose decoders have one says so in its [patience](Codec::patience).
    fn step(&self) -> Option<Step> {
        None
    }

    /// How many bytes of an unfinished frame may wait for its end, headers included. A peer that sends more without
    /// completing a frame is closed.
    ///
    /// Default: 1 MiB. A decoder with a maximum of its own answers with that.
    fn max_buffered(&self) -> usize {
        limits::UNFINISHED_FRAME
    }
}

/// Whether a decoder [takes frames](Decoder::busy). One that does not lets what its peer sends wait, without a limit of time,
/// and up to the size of the connection's buffer: beyond that the peer is slowed down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Busy {
    /// It takes frames.
    #[default]
    Free,
    /// Something that was received is still to be answered. The end of the peer's stream waits for that, and so does a server that
    /// stops.
    Answering,
    /// What was received is answered for as long as the connection lasts. The end of the peer's stream ends it, and so does a
    /// server that stops.
    Streaming,
}

/// Why a protocol takes its leave: [`CloseReason`](crate::CloseReason), as far as a peer should be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Farewell {
    /// Closed on this side.
    Closed,
    /// The peer has broken the protocol.
    Protocol,
    /// The handler has failed.
    Failed,
    /// A time limit has passed.
    Timeout,
    /// The server stops.
    Shutdown,
}

/// The sending half of a protocol, for messages of the type `M`.
#[diagnostic::on_unimplemented(
    message = "this codec cannot send `{M}`",
    label = "its sending half, `{Self}`, is no `Encoder<{M}>`",
    note = "`Conn::send(&message)` and its like send messages of those types that the codec's sending half implements `Encoder` for"
)]
pub trait Encoder<M: ?Sized> {
    /// Why a message cannot be sent.
    type Error: StdError + Send + Sync + 'static;

    /// Appends `message` to `output`. What was put before an error, or a panic, is taken back, so that the stream stays in step.
    ///
    /// A slice of 16 KiB or more goes to the socket at once. Check what can be refused before that: a message that is refused
    /// when a part of it has left ends the connection with a reset, because the peer would take whatever followed for the rest.
    fn encode(&mut self, message: &M, output: &mut Output<'_>) -> Result<(), Self::Error>;

    /// Appends a message that a [`Handle`](crate::Handle) sends. A protocol in which only the handler knows what a message answers
    /// refuses it here.
    ///
    /// The default encodes it like any other.
    fn encode_from_handle(&mut self, message: &M, output: &mut Output<'_>) -> Result<(), Self::Error> {
        self.encode(message, output)
    }

    /// How many bytes of memory `message` keeps, about, while it waits to be encoded on another core: what it counts
    /// against the [limit of a handle](crate::Handle::set_limit).
    ///
    /// The default is the size of `M` itself. Override it where a message owns more than that, such as a payload.
    #[inline]
    fn size_hint(message: &M) -> usize {
        size_of_val(message)
    }
}

/// A protocol: it makes the two halves that a connection works with.
///
/// Every [`Decoder`] that is `Clone` is a codec whose halves are clones of it. Implement the trait by hand where the halves
/// are different types.
pub trait Codec: 'static {
    /// The receiving half.
    type Decoder: Decoder + 'static;
    /// The sending half.
    type Encoder: 'static;

    /// The halves for a new connection.
    fn halves(&self) -> (Self::Decoder, Self::Encoder);

    /// How long connections of this protocol wait for their peers, where nothing else is said.
    ///
    /// The default is for as long as it takes.
    fn patience(&self) -> Patience {
        Patience::default()
    }

    /// An encoder for messages to many connections at once, which have been opened by others: a [`Group`](crate::Group)'s.
    ///
    /// The default is that of a new connection.
    fn group_encoder(&self) -> Self::Encoder {
        self.halves().1
    }

    /// An encoder for those of them that understand something shorter: that is used where it is.
    ///
    /// The default is none.
    fn compact_group_encoder(&self) -> Option<Self::Encoder> {
        None
    }

    /// Whether a message that was encoded for a group may be sent now, behind what the encoder of a connection has written. One
    /// for which it may not misses it, as if it were slow.
    ///
    /// The default says yes.
    #[inline]
    fn takes_group_messages(encoder: &Self::Encoder) -> bool {
        let _ = encoder;
        true
    }

    /// Whether a connection understands what a [compact](Codec::compact_group_encoder) encoder has written. If it does, it is
    /// sent that, as if its own encoder had written it.
    ///
    /// The default says no.
    #[inline]
    fn takes_compact(encoder: &mut Self::Encoder) -> bool {
        let _ = encoder;
        false
    }
}

impl<T: Decoder + Clone + 'static> Codec for T {
    type Decoder = T;
    type Encoder = T;

    fn halves(&self) -> (T, T) {
        (self.clone(), self.clone())
    }
}

/// What a handler of the codec `C` receives.
pub type Item<'a, C> = <<C as Codec>::Decoder as Decoder>::Item<'a>;
