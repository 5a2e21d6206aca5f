//! Requests as a whole.

#[cfg(feature = "websocket")]
use super::Response;
use super::chunks::{self, ChunksEnd};
use super::exchange::{Exchange, Stage};
use super::head::{BodyLength, MOST_FIELDS};
use super::reader::Reader;
use super::{HttpError, Request, ResponseEncoder};
use crate::codec::{Busy, Codec, Decoder, Farewell, Input, Output};
use crate::limits;
use std::rc::Rc;

/// HTTP/1.1 and HTTP/1.0, for servers: each message is a request with its whole body. For bodies that are too long for
/// that, see [`HttpParts`](super::HttpParts).
///
/// Requests that follow each other on one connection are handled one at a time, and each is to be answered before its
/// `on_message` returns. What is wrong is answered by the library (`400`, `408`, `413`, `431`, `501`, `505`), and so is a
/// handler that fails before it has answered (`500`); the connection is closed then.
///
/// A time limit for the first request is [`Server::first_message_timeout`](crate::Server::first_message_timeout), for each that
/// has begun [`Server::message_timeout`](crate::Server::message_timeout), and between them
/// [`Server::idle_timeout`](crate::Server::idle_timeout).
#[derive(Clone, Copy, Debug)]
pub struct Http {
    pub(super) max_head: usize,
    pub(super) max_fields: usize,
    pub(super) max_body: usize,
}

impl Default for Http {
    fn default() -> Http {
        Http { max_head: limits::HTTP_HEAD, max_fields: limits::HTTP_FIELDS, max_body: limits::HTTP_BODY }
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

    /// Bytes that chunks may have around them: as many as their data, and a little.
    pub(super) fn max_chunked(&self) -> usize {
        self.max_body.saturating_mul(2).saturating_add(self.max_head)
    }
}

impl Codec for Http {
    type Decoder = RequestDecoder;
    type Encoder = ResponseEncoder;

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
}

#[derive(Debug)]
enum State {
    Head,
    Body { head: usize, total: usize },
    Chunks { head: usize, end: ChunksEnd },
}

impl RequestDecoder {
    pub(super) fn new(limits: Http, exchange: Rc<Exchange>) -> RequestDecoder {
        RequestDecoder { reader: Reader::new(limits, exchange), state: State::Head, pending: Stage::Pending }
    }

    /// The request whose frame this is, without its body.
    #[cfg(feature = "websocket")]
    pub(crate) fn request<'a>(&'a self, frame: &'a [u8]) -> Request<'a> {
        Request::new(&self.reader.head, frame, &[])
    }

    /// The frame was dealt with; the next one is a head.
    pub(crate) fn pass_over(&mut self) {
        self.state = State::Head;
        self.reader.is_reading = false;
    }

    /// Answers a request that no handler sees, and closes.
    #[cfg(feature = "websocket")]
    pub(crate) fn respond(&mut self, response: Response<'_>, output: &mut Output<'_>) {
        self.reader.exchange.respond(&response.close(), output);
    }

    /// The request that is decoded next is a handshake, which the handler may answer when its method has returned.
    #[cfg(feature = "websocket")]
    pub(crate) fn is_handshake(&mut self) {
        self.pending = Stage::Asked;
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
        let limits = &self.reader.limits;
        let end = match &mut self.state {
            State::Head => None,
            State::Body { total, .. } => Some(*total).filter(|total| *total <= input.len()),
            State::Chunks { head, end } => {
                let found = end.find(input, limits.max_body, limits.max_head)?;
                if found.is_none() && input.len() - *head > limits.max_chunked() {
                    return Err(HttpError::BodyTooLong { max: limits.max_body, length: end.length });
                }
                found
            }
        };
        if end.is_none() {
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
        let (head, length) = match &self.state {
            State::Head => (frame.len(), 0),
            State::Body { head, total } => (*head, *total - *head),
            State::Chunks { head, .. } => (*head, chunks::join(&mut frame[*head..])?),
        };
        self.pass_over();
        self.reader.hand_over(frame, std::mem::replace(&mut self.pending, Stage::Pending));
        Ok(Request::new(&self.reader.head, frame, &frame[head..head + length]))
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

    fn farewell(&mut self, why: Farewell) {
        self.reader.farewell(why);
    }

    fn max_buffered(&self) -> usize {
        self.reader.limits.max_head + self.reader.limits.max_chunked() + 1
    }
}
