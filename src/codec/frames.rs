//! The one place that asks a decoder for frames.

use super::{Busy, Decoder};
use crate::buffer::{Input, Ring};
use std::error::Error as StdError;
use std::fmt;

/// Where the frame at the ring's front ends, if it has come in full. If it has not, sees to it that it can: the ring asks
/// for room when it is full of what was received, never for what was announced.
#[inline]
pub(crate) fn frame_end<D: Decoder>(
    decoder: &mut D,
    ring: &mut Ring,
    ended: bool,
) -> Result<Option<usize>, ProtocolError> {
    if ring.is_empty() {
        return Ok(None);
    }
    let input = ring.input();
    let found = if ended { decoder.frame_end_at_eof(input) } else { decoder.frame_end(input) };
    match found.map_err(|error| ProtocolError::Decode(error.into()))? {
        Some(end) if end > 0 && end <= ring.len() => Ok(Some(end)),
        Some(claimed) => Err(impossible(claimed, ring.len())),
        // What has come waits, and does not grow.
        None if decoder.busy() != Busy::Free => Ok(None),
        None if ended => Err(ProtocolError::Truncated { received: ring.len() }),
        None => make_room(ring, decoder.max_buffered()).map(|()| None),
    }
}

/// A frame, and the bytes behind it.
type Split<'a> = (&'a mut [u8], &'a mut [u8]);

/// Cuts off the frame at the front of `bytes`, which are the contiguous part of a ring's input: what [`frame_end`] says,
/// without a look at the ring. `None` leaves the question to that.
#[inline]
pub(crate) fn split_frame<'a, D: Decoder>(
    decoder: &mut D,
    bytes: &'a mut [u8],
) -> Result<Option<Split<'a>>, ProtocolError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let received = bytes.len();
    match decoder.frame_end(Input::one(bytes)) {
        Ok(Some(end)) => match bytes.split_at_mut_checked(end) {
            Some((frame, rest)) if end > 0 => Ok(Some((frame, rest))),
            _ => Err(impossible(end, received)),
        },
        Ok(None) => Ok(None),
        Err(error) => Err(ProtocolError::Decode(error.into())),
    }
}

#[cold]
fn impossible(claimed: usize, received: usize) -> ProtocolError {
    ProtocolError::FrameEnd { claimed, received }
}

fn make_room(ring: &mut Ring, max: usize) -> Result<(), ProtocolError> {
    if ring.len() >= max {
        return Err(ProtocolError::Unfinished { received: ring.len(), max });
    }
    if ring.is_full() {
        ring.ask_for_room();
    }
    Ok(())
}

/// How a peer has broken the protocol.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The decoder refused what came.
    Decode(Box<dyn StdError + Send + Sync>),
    /// The stream ended inside a frame.
    Truncated {
        /// Bytes of the unfinished frame.
        received: usize,
    },
    /// A frame does not end within the bytes that may wait for its end.
    Unfinished {
        /// Bytes received of it.
        received: usize,
        /// The decoder's [`max_buffered`](Decoder::max_buffered).
        max: usize,
    },
    /// The decoder has claimed an impossible frame. This is a fault in the decoder, not in the peer.
    FrameEnd {
        /// Where it said that the frame ends.
        claimed: usize,
        /// How many bytes there were.
        received: usize,
    },
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtocolError::Decode(error) => error.fmt(f),
            ProtocolError::Truncated { received } => {
                write!(f, "expected the rest of a frame, found the end of the stream after {received} bytes of it")
            }
            ProtocolError::Unfinished { received, max } => {
                write!(f, "expected the end of a frame within {max} bytes, found none in {received}")
            }
            ProtocolError::FrameEnd { claimed, received } => {
                write!(f, "expected a frame of 1 to {received} bytes, found a decoder that claims {claimed}")
            }
        }
    }
}

impl StdError for ProtocolError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            // Its own text is that of the decoder's error.
            ProtocolError::Decode(error) => error.source(),
            _ => None,
        }
    }
}
