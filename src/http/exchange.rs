//! What the two halves of a connection know of the request at hand, and of its one response.

use super::response::Response;
use super::write::write;
use super::{ResponseError, Status};
use crate::codec::{Busy, Farewell, Output};
use bytes::Bytes;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Written by the decoder with each request, and by the encoder with its response. A connection has one request at a time: the
/// next head is read when the stage is [`Stage::Free`].
#[derive(Debug, Default)]
pub(super) struct Exchange {
    pub(super) stage: Cell<Stage>,
    /// Which responder may answer; 0: none.
    ticket: Cell<u64>,
    /// The request is a `HEAD`, so its response has no body.
    pub(super) is_head: Cell<bool>,
    /// The request is one of HTTP/1.0, which knows no chunks.
    pub(super) is_old: Cell<bool>,
    /// The request is a `CONNECT`, which a response of success makes a tunnel.
    pub(super) is_connect: Cell<bool>,
    /// The connection ends with the response.
    pub(super) closes: Cell<bool>,
    /// How the body of the response at hand goes out.
    pub(super) framing: Cell<Framing>,
    /// The response at hand goes on for as long as its connection does, and groups send on it.
    pub(super) is_live: Cell<bool>,
    /// It is a stream of events, and so may have comments between them.
    pub(super) is_events: Cell<bool>,
    /// A comment is due.
    pub(super) wants_comment: Cell<bool>,
    /// The response at hand ends well, because its connection does.
    ends: Cell<bool>,
    /// The peer is still to be told that its request is refused, or may go on.
    pub(super) refusal: Cell<Option<Status>>,
    pub(super) wants_continue: Cell<bool>,
}

/// How far the response to the request at hand is, and whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd)]
pub(super) enum Stage {
    /// No request waits for a response.
    #[default]
    Free,
    /// The handler has a request, whose response has not begun.
    Pending,
    /// The handler has begun a response, and not ended it.
    Streaming,
    // From here on the connection waits, and is told when it may go on.
    /// The handler has a handshake, which it may also answer when its method has returned.
    #[cfg_attr(not(feature = "websocket"), allow(dead_code))]
    Asked,
    /// A responder has the request, and has not begun its response.
    Deferred,
    /// A responder has begun a response, and not ended it.
    DeferredStreaming,
    /// The connection speaks another protocol from here on.
    Switched,
}

/// How the rest of a body goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Framing {
    /// In chunks.
    #[default]
    Chunks,
    /// As it is, up to the end of the connection.
    Plain,
    /// As it is, and so many bytes of it.
    Sized(u64),
    /// Not at all: the response has none.
    Nothing,
}

/// Every deferred request of the process has a number of its own, so that no responder answers for another, whatever its
/// connection has become.
static TICKETS: AtomicU64 = AtomicU64::new(1);

impl Exchange {
    /// A response has begun, and its body has not ended.
    pub(super) fn has_begun(&self) -> bool {
        matches!(self.stage.get(), Stage::Streaming | Stage::DeferredStreaming)
    }

    /// A request waits for its response, or for the rest of it.
    pub(super) fn is_pending(&self) -> bool {
        !matches!(self.stage.get(), Stage::Free | Stage::Switched)
    }

    /// The whole response has been written.
    #[inline]
    pub(super) fn answered(&self, output: &mut Output<'_>) {
        if self.stage.replace(Stage::Free) >= Stage::Asked {
            self.ticket.set(0);
            output.resume();
        }
        if self.closes.get() {
            output.finish();
        }
    }

    /// The body of a response has begun, which is not written with its head.
    pub(super) fn streams(&self, framing: Framing) {
        self.framing.set(framing);
        self.stage.set(match self.stage.get() {
            Stage::Deferred => Stage::DeferredStreaming,
            _ => Stage::Streaming,
        });
    }

    /// Whether the handler may begin a response.
    #[inline]
    pub(super) fn admit_handler(&self) -> Result<(), ResponseError> {
        match self.stage.get() {
            Stage::Pending | Stage::Asked => Ok(()),
            _ => Err(self.refuse()),
        }
    }

    /// Whether the handler may go on with the body of a response.
    pub(super) fn admit_chunk(&self) -> Result<(), ResponseError> {
        match self.stage.get() {
            Stage::Streaming => Ok(()),
            Stage::DeferredStreaming => Err(self.refuse()),
            _ => Err(ResponseError::NotChunked),
        }
    }

    /// Whether the request at hand is this responder's.
    pub(super) fn answers(&self, ticket: u64) -> bool {
        ticket == self.ticket.get()
    }

    /// Whether a responder is at this stage of its request.
    pub(super) fn admit(&self, ticket: u64, stage: Stage) -> Result<(), ResponseError> {
        match self.stage.get() {
            _ if !self.answers(ticket) => Err(ResponseError::NotAsked),
            at if at == stage => Ok(()),
            Stage::Deferred => Err(ResponseError::NotChunked),
            _ => Err(ResponseError::Unfinished),
        }
    }

    #[cold]
    fn refuse(&self) -> ResponseError {
        let error = match self.stage.get() {
            Stage::Deferred | Stage::DeferredStreaming => ResponseError::Deferred,
            Stage::Streaming => ResponseError::Unfinished,
            _ => ResponseError::NotAsked,
        };
        tracing::warn!(%error, "a response was refused");
        error
    }

    /// Leaves the request at hand to a responder, which gets the number that it answers by.
    pub(super) fn defer(&self) -> Result<u64, ResponseError> {
        if self.stage.get() != Stage::Pending {
            return Err(self.refuse());
        }
        let ticket = TICKETS.fetch_add(1, Relaxed);
        self.stage.set(Stage::Deferred);
        self.ticket.set(ticket);
        Ok(ticket)
    }

    /// Whether a method of the handler that has returned has left the request at hand without an answer, or without its end.
    #[inline]
    pub(super) fn is_forgotten(&self) -> bool {
        match self.stage.get() {
            Stage::Pending => true,
            Stage::Streaming => !self.is_live.get(),
            _ => false,
        }
    }

    /// What keeps the next head from being read.
    pub(super) fn busy(&self) -> Busy {
        match self.stage.get() {
            Stage::Free | Stage::Switched => Busy::Free,
            _ if self.has_begun() && self.is_live.get() => Busy::Streaming,
            _ => Busy::Answering,
        }
    }

    /// The response at hand has been quiet for long.
    #[cold]
    pub(super) fn ping(&self) {
        self.wants_comment.set(self.has_begun() && self.is_events.get());
    }

    /// Whether the library has something to say.
    #[inline]
    pub(super) fn has_answer(&self) -> bool {
        self.wants_continue.get() || self.refusal.get().is_some() || self.wants_comment.get() || self.ends.get()
    }

    /// Says it. `has_returned`: the handler is through with the request.
    #[cold]
    pub(super) fn answer(&self, has_returned: bool, output: &mut Output<'_>) {
        if self.wants_continue.take() {
            output.put_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        if self.wants_comment.take() && self.has_begun() && self.is_events.get() {
            let _ = self.put_chunk(b":\n\n", output);
        }
        if self.ends.take() {
            self.closes.set(true);
            return self.put_last(output);
        }
        if let Some(status) = self.refusal.take() {
            return self.refuse_with(status, output);
        }
        if !has_returned || !self.is_forgotten() {
            return;
        }
        if self.has_begun() && self.is_whole() {
            return self.answered(output);
        }
        match self.has_begun() {
            true => {
                tracing::error!("a handler has returned before the last chunk of its response: the connection closes")
            }
            false => tracing::error!("a handler has returned without a response: the peer gets a 500"),
        }
        self.refuse_with(Status::INTERNAL_SERVER_ERROR, output);
    }

    /// Ends the exchange, and the connection: with a status, unless a response has begun.
    pub(super) fn refuse_with(&self, status: Status, output: &mut Output<'_>) {
        match self.has_begun() {
            true => self.cut(output),
            false => self.respond(&Response::text(status.reason()).status(status).close(), output),
        }
    }

    /// A responder was dropped before the end of its response.
    #[cold]
    pub(super) fn end_dropped(&self, output: &mut Output<'_>) {
        if self.has_begun() && self.is_live.get() {
            // That is how one ends that goes on for as long as it may.
            return self.put_last(output);
        }
        tracing::error!(has_begun = self.has_begun(), "a responder was dropped before the end of its response");
        self.refuse_with(Status::INTERNAL_SERVER_ERROR, output);
    }

    /// Answers what no handler has asked for.
    pub(super) fn respond(&self, response: &Response<'_>, output: &mut Output<'_>) {
        // Nothing in it can be refused.
        let _ = write(response, self, output);
    }

    /// Ends a response that has begun so that the peer sees that it is not whole.
    #[cold]
    pub(super) fn cut(&self, output: &mut Output<'_>) {
        if self.is_whole() {
            return self.answered(output);
        }
        self.closes.set(true);
        if self.framing.get() == Framing::Plain {
            // Its end would be that of the connection, so the connection must not end well.
            output.reset();
        }
        self.answered(output);
    }

    /// Writes a part of the body of the response at hand.
    pub(super) fn put_chunk(&self, bytes: &[u8], output: &mut Output<'_>) -> Result<(), ResponseError> {
        self.put_part(bytes.len(), output, |output| output.put_slice(bytes))
    }

    /// The same, of shared bytes.
    pub(super) fn put_shared_chunk(&self, bytes: &Bytes, output: &mut Output<'_>) -> Result<(), ResponseError> {
        self.put_part(bytes.len(), output, |output| output.put_bytes(bytes.clone()))
    }

    fn put_part(
        &self,
        length: usize,
        output: &mut Output<'_>,
        put: impl FnOnce(&mut Output<'_>),
    ) -> Result<(), ResponseError> {
        match self.framing.get() {
            Framing::Sized(left) if length as u64 > left => {
                return Err(ResponseError::Length { expected: left, found: length as u64 });
            }
            Framing::Nothing => {}
            _ if length == 0 => {}
            Framing::Plain => put(output),
            Framing::Chunks => {
                output.put_slice(format!("{length:x}\r\n").as_bytes());
                put(output);
                output.put_slice(b"\r\n");
            }
            Framing::Sized(_) => {
                put(output);
                self.has_gone(length as u64);
            }
        }
        Ok(())
    }

    /// So many bytes of a body of a known length are on their way.
    pub(super) fn has_gone(&self, bytes: u64) {
        if let Framing::Sized(left) = self.framing.get() {
            self.framing.set(Framing::Sized(left.saturating_sub(bytes)));
        }
    }

    /// Whether the body of the response that has begun is whole as it is.
    fn is_whole(&self) -> bool {
        matches!(self.framing.get(), Framing::Nothing | Framing::Sized(0))
    }

    /// Writes the end of the body of the response at hand.
    pub(super) fn put_last(&self, output: &mut Output<'_>) {
        match self.framing.get() {
            Framing::Chunks => output.put_slice(b"0\r\n\r\n"),
            // Less has come than was said: the peer sees that at the end of the connection.
            Framing::Sized(1..) => self.closes.set(true),
            _ => {}
        }
        self.answered(output);
    }

    /// What is said to the end of the connection. `is_awaited`: the peer has begun a request, and was waited for.
    pub(super) fn farewell(&self, why: Farewell, is_awaited: bool) {
        self.wants_continue.set(false);
        let has_begun = self.has_begun();
        let status = match why {
            // A refused request has its status already, and one that has broken off gets none.
            Farewell::Protocol if !has_begun || self.refusal.get().is_some() => return,
            Farewell::Closed | Farewell::Shutdown if has_begun && self.is_live.get() => return self.ends.set(true),
            Farewell::Timeout if is_awaited => Status::REQUEST_TIMEOUT,
            Farewell::Shutdown if self.is_pending() => Status::SERVICE_UNAVAILABLE,
            _ if self.is_pending() => Status::INTERNAL_SERVER_ERROR,
            _ => return,
        };
        self.refusal.set(Some(status));
    }
}
