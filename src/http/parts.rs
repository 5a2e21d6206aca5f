//! Requests whose bodies come in parts.

use super::chunks::{Extensions, SizeLine, data_end};
use super::exchange::{Exchange, Stage};
use super::head::BodyLength;
use super::reader::Reader;
use super::trailers::TrailersEnd;
use super::{Http, HttpError, Request, ResponseEncoder, Trailers};
use crate::codec::{Busy, Codec, Decoder, Farewell, Input, Output, Patience, Step};
use std::rc::Rc;

/// HTTP/1.1 and HTTP/1.0 for servers, like [`Http`], with bodies that come in parts as they arrive: for uploads of any length.
/// Nothing of a body is kept, and a handler that waits slows its sender down.
///
/// A request may be answered before its body has come; what still comes of that is to be let pass. If it stalls or is wrong,
/// the connection is closed, and nothing more is said.
///
/// A body may take as long as it likes while it gets on: see [`Http::body_progress`].
/// [`Server::message_timeout`](crate::Server::message_timeout) is for each request with its whole body; a handler that takes a
/// long one gives it more by [`Conn::set_message_timeout`](crate::Conn::set_message_timeout).
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpParts {
    limits: Http,
}

impl HttpParts {
    /// With the limits of `http` for heads; there is none for bodies.
    pub fn new(http: Http) -> HttpParts {
        HttpParts { limits: http }
    }
}

/// A part of a request.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// The head. If [`has_body`](Part::Request::has_body) is set, parts of the body follow, of which the last one says so.
    Request {
        /// The request, without its body.
        request: Request<'a>,
        /// Whether a body follows.
        has_body: bool,
    },
    /// What has come of the body.
    Body {
        /// None of it, perhaps, in the last.
        bytes: &'a [u8],
        /// Whether this is all.
        is_last: bool,
        /// The fields behind the body, with its last part.
        trailers: Trailers<'a>,
    },
}

impl Codec for HttpParts {
    type Decoder = PartDecoder;
    type Encoder = ResponseEncoder;

    fn patience(&self) -> Patience {
        self.limits.patience_of_requests()
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

    fn halves(&self) -> (PartDecoder, ResponseEncoder) {
        let exchange = Rc::new(Exchange::default());
        (
            PartDecoder {
                reader: Reader::new(self.limits, exchange.clone()),
                state: State::Head,
                received: 0,
                extensions: Extensions::default(),
                trailers: None,
            },
            ResponseEncoder::new(exchange),
        )
    }
}

/// The receiving half of [`HttpParts`].
#[derive(Debug)]
pub struct PartDecoder {
    reader: Reader,
    state: State,
    /// Bytes of the body, and of what is around its chunks, that have come.
    received: u64,
    /// Of the chunks of this body.
    extensions: Extensions,
    trailers: Option<Box<TrailersEnd>>,
}

/// What the next frame is.
#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    /// So many bytes of the body are to come.
    Body(u64),
    /// The line before a chunk.
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The line end behind a chunk.
    DataEnd,
    /// The trailer section, with the empty line at its end.
    Trailers,
}

impl PartDecoder {
    /// Whether the last request has come with all of its body.
    fn is_between_requests(&self) -> bool {
        matches!(self.state, State::Head)
    }

    fn find_end(&mut self, input: Input<'_>) -> Result<Option<usize>, HttpError> {
        let max_head = self.reader.limits.max_head;
        let in_one_piece = input.as_slices().0.len();
        match self.state {
            State::Head => self.reader.read_head(input),
            // Any border is as good as another.
            State::Body(left) | State::Data(left) => {
                Ok(Some(in_one_piece.min(usize::try_from(left).unwrap_or(usize::MAX))))
            }
            State::Size => {
                let Some(line) = SizeLine::read(input, 0)? else { return Ok(None) };
                self.extensions.clone().count(&line, max_head)?;
                Ok(Some(line.end))
            }
            State::DataEnd => data_end(input, 0),
            State::Trailers => {
                let limits = (max_head, self.reader.limits.max_fields);
                let end = self.trailers.get_or_insert_with(|| Box::new(TrailersEnd::at(0)));
                end.find(input, limits, &mut self.reader.head.trailers)
            }
        }
    }

    /// Whether the frame is for the handler, and what comes behind it.
    fn pass(&mut self, frame: &[u8]) -> Result<bool, HttpError> {
        let (is_message, next) = match self.state {
            State::Head | State::Body(_) | State::Data(_) => (true, self.state),
            State::Size => {
                let line = SizeLine::read(Input::from(frame), 0)?.ok_or(HttpError::Chunk)?;
                self.extensions.count(&line, self.reader.limits.max_head)?;
                (false, if line.size == 0 { State::Trailers } else { State::Data(line.size) })
            }
            State::DataEnd => (false, State::Size),
            // The handler is told the end.
            State::Trailers => (true, self.state),
        };
        self.state = next;
        Ok(is_message)
    }
}

impl Decoder for PartDecoder {
    type Item<'a> = Part<'a>;
    type Error = HttpError;

    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, HttpError> {
        self.find_end(input).inspect_err(|error| self.reader.refuse(error))
    }

    fn is_message(&mut self, frame: &mut [u8]) -> Result<bool, HttpError> {
        self.received += frame.len() as u64;
        self.pass(frame)
    }

    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<Part<'a>, HttpError> {
        let length = frame.len() as u64;
        let (next, is_last) = match self.state {
            State::Head => {
                self.reader.hand_over(frame, Stage::Pending);
                self.received = 0;
                let next = match self.reader.head.body {
                    BodyLength::None => State::Head,
                    BodyLength::Known(length) => State::Body(length),
                    BodyLength::Chunked => State::Size,
                };
                self.state = next;
                let has_body = !matches!(next, State::Head);
                if has_body {
                    self.reader.body_is_awaited();
                }
                (self.reader.is_reading, self.reader.is_handed_over) = (has_body, has_body);
                return Ok(Part::Request { request: Request::new(&self.reader.head, frame, &[], &[]), has_body });
            }
            State::Body(left) if left > length => (State::Body(left - length), false),
            State::Body(_) | State::Trailers => (State::Head, true),
            State::Data(left) if left > length => (State::Data(left - length), false),
            State::Data(_) => (State::DataEnd, false),
            State::Size | State::DataEnd => (self.state, false),
        };
        let (bytes, trailers): (&[u8], &[u8]) =
            if matches!(self.state, State::Trailers) { (&[], frame) } else { (frame, &[]) };
        self.state = next;
        (self.reader.is_reading, self.reader.is_handed_over) = (!is_last, !is_last);
        if is_last {
            (self.extensions, self.trailers) = (Extensions::default(), None);
        }
        Ok(Part::Body { bytes, is_last, trailers: Trailers::new(&self.reader.head.trailers, trailers) })
    }

    fn has_answer(&self) -> bool {
        self.reader.exchange.has_answer() || self.is_between_requests() && self.reader.exchange.is_forgotten()
    }

    fn answer(&mut self, output: &mut Output<'_>) {
        let has_returned = self.is_between_requests();
        self.reader.exchange.answer(has_returned, output);
    }

    fn busy(&self) -> Busy {
        // What is left of a body is taken, whether a handler or a responder answers.
        if self.is_between_requests() { self.reader.exchange.busy() } else { Busy::Free }
    }

    fn ping(&mut self) {
        self.reader.exchange.ping();
    }

    fn step(&self) -> Option<Step> {
        self.reader.step((!self.is_between_requests()).then_some(self.received))
    }

    fn farewell(&mut self, why: Farewell) {
        self.reader.farewell(why);
    }

    fn may_end(&self) -> bool {
        self.is_between_requests()
    }

    fn max_buffered(&self) -> usize {
        self.reader.limits.max_head + 1
    }
}
