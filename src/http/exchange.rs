//! What the two halves of a connection know of the request at hand.

use super::Status;
use crate::codec::Output;
use std::cell::Cell;

/// Written by the decoder with each request, read by the encoder with its response.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// A handler has the request, and has not answered.
    pub(super) is_pending: Cell<bool>,
    /// The request is a `HEAD`, so its response has no body.
    pub(super) is_head: Cell<bool>,
    /// The request is one of HTTP/1.0, which knows no chunks.
    pub(super) is_old: Cell<bool>,
    /// The connection ends with the response.
    pub(super) closes: Cell<bool>,
    /// A response has announced chunks, and the last has not been sent.
    pub(super) chunked: Cell<bool>,
    /// The peer is still to be told that its request is refused, or may go on.
    pub(super) refusal: Cell<Option<Status>>,
    pub(super) wants_continue: Cell<bool>,
}

impl Exchange {
    /// The whole response has been written.
    pub(super) fn answered(&self, output: &mut Output<'_>) {
        self.is_pending.set(false);
        if self.closes.get() {
            output.finish();
        }
    }
}
