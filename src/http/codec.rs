//! Requests as a whole.

use super::chunks::{self, ChunksEnd, SIZE_LINE};
use super::exchange::{Exchange, Stage};
use super::head::{BodyLength, MOST_FIELDS};
use super::reader::Reader;
use super::{HttpError, Request, ResponseEncoder};
#[cfg(feature = "websocket")]
use super::{Response, Version};
use crate::codec::{Busy, Codec, Decoder, Farewell, Input, Output, Patience, Step};
use crate::limits;
use std::rc::Rc;
use std::time::Duration;

/// HTTP/1.1 and HTTP/1.0, for servers: each message is a request with its whole body. For bodies that are too long for
/// that, see [`HttpParts`](super::HttpParts).
///
/// Requests that follow each other on one connection are handled one at a time, and each is to be answered before its
/// `on_message` returns. What is wrong is answered by the library (`400`, `408`, `413`, `414`, `417`, `431`, `501`, `505`), and so is a
/// handler that fails before it has answered (`500`); the connection is closed then.
///
/// An answer may also come later, and from elsewhere: see [`Responder`](super::Responder).
///
/// Every wait for a peer has a limit: [`head_timeout`](Http::head_timeout), [`body_progress`](Http::body_progress), and between
/// requests [`idle_timeout`](Http::idle_timeout). Those of a [`Server`](crate::Server) hold beside them.
#[derive(Clone, Copy, Debug)]
pub struct Http {
    pub(super) max_head: usize,
    pub(super) max_fields: usize,
    pub(super) max_body: usize,
    pub(super) times: Times,
}

/// How long the parts of a request may take, and what is between them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    head: Option<Duration>,
    /// So many bytes are to come in so long.
    body: Option<(u64, Duration)>,
    idle: Option<Duration>,
    heartbeat: Option<Duration>,
}

impl Default for Times {
    fn default() -> Times {
        Times {
            head: Some(limits::HTTP_HEAD_TIME),
            body: Some((limits::HTTP_BODY_STEP, limits::HTTP_BODY_TIME)),
            idle: Some(limits::HTTP_IDLE),
            heartbeat: Some(limits::HTTP_HEARTBEAT),
        }
    }
}

impl Times {
    /// The step of the request of this number of which the head, or so many bytes of the body, have come.
    #[cold]
    pub(super) fn step(&self, request: u64, body: Option<u64>) -> Option<Step> {
        let (at, within) = match (body, self.body) {
            (None, _) => (0, self.head?),
            (Some(received), Some((bytes, within))) => (1 + received / bytes.max(1), within),
            (Some(_), None) => return None,
        };
        Some(Step { number: request << 40 | at.min((1 << 40) - 1), within })
    }
}

impl Default for Http {
    fn default() -> Http {
        Http {
            max_head: limits::HTTP_HEAD,
            max_fields: limits::HTTP_FIELDS,
            max_body: limits::HTTP_BODY,
            times: Times::default(),
        }
    }
}

impl Http {
    /// How many bytes a head may have, 65,535 at most. Default: 16 KiB.
    pub fn max_head(mut self, bytes: usize) -> Http {
        self.max_head = bytes.min(usize::from(u16::MAX));
        self
    }

    /// How many fields a head may have, 128 at most. Default: 100.
    pub fn max_fields(mut self, fields: usize) -> Http {
        self.max_fields = fields.min(MOST_FIELDS);
        self
    }

    /// How many bytes a body may have. Default: 1 MiB.
    pub fn max_body(mut self, bytes: usize) -> Http {
        self.max_body = bytes.min(limits::LONGEST);
        self
    }

    /// How long a head may take, from its first byte to its last, and the first one from the beginning of its connection. `None`: for
    /// as long as it takes. Default: 30 seconds. Over it, the peer is told `408` and closed.
    pub fn head_timeout(mut self, limit: impl Into<Option<Duration>>) -> Http {
        self.times.head = limit.into();
        self
    }

    /// How much of a body is to come in how long, again and again: one that is slower is told `408` and closed. The time runs while
    /// the connection waits for its peer, and not while a handler has a part in hand. `None`: a body may come as slowly as it
    /// likes. Default: 8 KiB in 30 seconds.
    pub fn body_progress(mut self, progress: impl Into<Option<(u64, Duration)>>) -> Http {
        self.times.body = progress.into();
        self
    }

    /// How long a connection is kept when a request has been answered and no other has begun. `None`: for as long as its peer likes.
    /// Default: 75 seconds. [`Server::idle_timeout`](crate::Server::idle_timeout) and
    /// [`Conn::set_idle_timeout`](crate::Conn::set_idle_timeout) take its place.
    pub fn idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Http {
        self.times.idle = limit.into();
        self
    }

    /// How long a stream of [events](super::Response::events) may be quiet before it has a comment, by which a peer that is gone
    /// shows, and proxies see that it lives. `None`: for as long as it likes. Default: 15 seconds.
    pub fn heartbeat(mut self, after: impl Into<Option<Duration>>) -> Http {
        self.times.heartbeat = after.into();
        self
    }

    /// The patience of connections that speak HTTP for as long as they live.
    pub(crate) fn patience_of_requests(&self) -> Patience {
        let Times { head, body, idle, heartbeat } = self.times;
        let steps = head.is_some() || body.is_some();
        Patience { idle, heartbeat, steps, ..Patience::default() }
    }

    /// That of connections which only make a handshake in it.
    #[cfg(feature = "websocket")]
    pub(crate) fn patience_of_handshakes(&self) -> Patience {
        Patience { first: self.times.head, ..Patience::default() }
    }
}

impl Codec for Http {
    type Decoder = RequestDecoder;
    type Encoder = ResponseEncoder;

    fn patience(&self) -> Patience {
        self.patience_of_requests()
    }

    fn group_encoder(&self) -> ResponseEncoder {
        ResponseEncoder::for_groups(false)
    }

    fn compact_group_encoder(&self) -> Option<ResponseEncoder> {
        Some(ResponseEncoder::for_groups(true))
    }

    fn takes_group_messages(encoder: &ResponseEncoder) -> bool {
        encoder.takes_group_messages()
    }

    fn takes_compact(encoder: &mut ResponseEncoder) -> bool {
        encoder.takes_plain()
    }

    fn halves(&self) -> (RequestDecoder, ResponseEncoder) {
        let exchange = Rc::new(Exchange::default());
        (RequestDecoder::new(*self, exchange.clone()), ResponseEncoder::new(exchange))
    }
}

/// The receiving half of [`Http`].
#[derive(Debug)]
pub struct RequestDecoder {
    reader: Reader,
    state: State,
    /// What the request that is decoded next is for its handler.
    pending: Stage,
    /// Bytes of the body that have come.
    received: u64,
}

#[derive(Debug)]
enum State {
    Head,
    Body { head: usize, total: usize },
    Chunks { head: usize, end: ChunksEnd },
}

impl State {
    fn head(&self) -> Option<usize> {
        match self {
            State::Head => None,
            State::Body { head, .. } | State::Chunks { head, .. } => Some(*head),
        }
    }
}

impl RequestDecoder {
    pub(super) fn new(limits: Http, exchange: Rc<Exchange>) -> RequestDecoder {
        RequestDecoder {
            reader: Reader::new(limits, exchange),
            state: State::Head,
            pending: Stage::Pending,
            received: 0,
        }
    }

    /// The request whose frame this is, without its body.
    #[cfg(feature = "websocket")]
    pub(crate) fn request<'a>(&'a self, frame: &'a [u8]) -> Request<'a> {
        Request::new(&self.reader.head, frame, &[], &[])
    }

    /// The frame was dealt with; the next one is a head.
    pub(crate) fn pass_over(&mut self) {
        self.state = State::Head;
        self.reader.is_reading = false;
    }

    /// Answers a request that no handler sees, and closes.
    #[cfg(feature = "websocket")]
    pub(crate) fn respond(&mut self, response: Response<'_>, output: &mut Output<'_>) {
        let (exchange, head) = (&self.reader.exchange, &self.reader.head);
        exchange.is_head.set(head.is_head);
        exchange.is_old.set(head.version == Version::Http10);
        exchange.respond(&response.close(), output);
    }

    /// Whether the request that is decoded next is a handshake, which the handler may answer when its method has returned.
    #[cfg(feature = "websocket")]
    pub(crate) fn is_handshake(&mut self, is_handshake: bool) {
        self.pending = if is_handshake { Stage::Asked } else { Stage::Pending };
    }

    fn find_end(&mut self, input: Input<'_>) -> Result<Option<usize>, HttpError> {
        if let State::Head = self.state {
            let Some(head) = self.reader.read_head(input)? else { return Ok(None) };
            self.reader.check_length(self.reader.limits.max_body)?;
            self.state = match self.reader.head.body {
                BodyLength::None => State::Body { head, total: head },
                BodyLength::Known(length) => State::Body { head, total: head + length as usize },
                BodyLength::Chunked => State::Chunks { head, end: ChunksEnd::behind(head) },
            };
        }
        let end = match &mut self.state {
            State::Head => None,
            State::Body { total, .. } => Some(*total).filter(|total| *total <= input.len()),
            State::Chunks { end, .. } => {
                let limits = self.reader.chunk_limits();
                end.find(input, limits, &mut self.reader.head.trailers)?
            }
        };
        if end.is_none() {
            self.received = self.state.head().map_or(0, |head| input.len().saturating_sub(head) as u64);
            self.reader.body_is_awaited();
        }
        Ok(end)
    }
}

impl Decoder for RequestDecoder {
    type Item<'a> = Request<'a>;
    type Error = HttpError;

    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, HttpError> {
        self.find_end(input).inspect_err(|error| self.reader.refuse(error))
    }

    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<Request<'a>, HttpError> {
        let whole = frame.len();
        let (head, length, trailers) = match &self.state {
            State::Head => (whole, 0, whole),
            State::Body { head, total } => (*head, *total - *head, whole),
            State::Chunks { head, end } => (*head, chunks::join(&mut frame[*head..])?, end.trailers()),
        };
        self.pass_over();
        self.reader.hand_over(frame, std::mem::replace(&mut self.pending, Stage::Pending));
        Ok(Request::new(&self.reader.head, frame, &frame[head..head + length], &frame[trailers..]))
    }

    #[inline]
    fn has_answer(&self) -> bool {
        self.reader.exchange.has_answer() || self.reader.exchange.is_forgotten()
    }

    fn answer(&mut self, output: &mut Output<'_>) {
        self.reader.exchange.answer(true, output);
    }

    fn busy(&self) -> Busy {
        self.reader.exchange.busy()
    }

    fn ping(&mut self) {
        self.reader.exchange.ping();
    }

    fn step(&self) -> Option<Step> {
        self.reader.step(self.state.head().map(|_| self.received))
    }

    fn farewell(&mut self, why: Farewell) {
        self.reader.farewell(why);
    }

    fn max_buffered(&self) -> usize {
        // A line that is longer than the rest of the limit, and the trailer section, come behind it.
        let (head, chunks) = (self.reader.limits.max_head, self.reader.chunk_limits().total);
        head + chunks + SIZE_LINE + head + 1
    }
}
