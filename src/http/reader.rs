//! What both codecs of HTTP do with heads, and with what goes wrong.

use super::chunks::ChunkLimits;
use super::exchange::{Exchange, Stage};
use super::head::{BodyLength, Head};
use super::scan::HeadEnd;
use super::{Http, HttpError, Version};
use crate::codec::{Farewell, Input, Step};
use std::rc::Rc;

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) limits: Http,
    pub(super) exchange: Rc<Exchange>,
    pub(super) head: Head,
    end: HeadEnd,
    /// How many requests have been handed over.
    requests: u64,
    /// Bytes of a request have come, and not all.
    pub(super) is_reading: bool,
    /// What is being read is the body of a request that the handler has already.
    pub(super) is_handed_over: bool,
}

impl Reader {
    pub(super) fn new(limits: Http, exchange: Rc<Exchange>) -> Reader {
        let (head, end) = (Head::default(), HeadEnd::of_request());
        Reader { limits, exchange, head, end, requests: 0, is_reading: false, is_handed_over: false }
    }

    /// Reads the head at the front of `input`, if it is there, and says how long it is.
    pub(super) fn read_head(&mut self, input: Input<'_>) -> Result<Option<usize>, HttpError> {
        if self.exchange.closes.get() || self.exchange.stage.get() != Stage::Free && !self.is_alone() {
            // What follows the last request is not looked at, and the next one waits until this one is answered.
            return Ok(None);
        }
        self.is_reading = true;
        if self.end.is_new()
            && let (bytes, []) = input.as_slices()
            && let Some(end) = self.head.parse_front(bytes, &self.limits)?
        {
            return Ok(Some(end));
        }
        self.read_in_pieces(input).inspect_err(|_| self.head.is_head = is_head(input))
    }

    /// Reads a head that has come in pieces, or is wrong.
    fn read_in_pieces(&mut self, input: Input<'_>) -> Result<Option<usize>, HttpError> {
        let Some(end) = self.end.find(input, self.limits.max_head)? else {
            // What is said of the request until its head is here, is not about the one before.
            self.head.is_head = false;
            self.is_reading = self.end.has_begun();
            return Ok(None);
        };
        match input.as_slices().0.get(..end) {
            Some(bytes) => self.head.parse(bytes, self.limits.max_fields)?,
            None => {
                let mut bytes = vec![0; end];
                input.copy_to(&mut bytes);
                self.head.parse(&bytes, self.limits.max_fields)?;
            }
        }
        self.end = HeadEnd::of_request();
        Ok(Some(end))
    }

    /// Whether there is no encoder: what is only read waits for no answer.
    #[cold]
    fn is_alone(&self) -> bool {
        Rc::strong_count(&self.exchange) == 1
    }

    /// What the peer is waited for: a head, or the rest of a body of which so much has come.
    pub(super) fn step(&self, body: Option<u64>) -> Option<Step> {
        self.limits.times.step(self.requests, body)
    }

    /// What a body in chunks may be.
    pub(super) fn chunk_limits(&self) -> ChunkLimits {
        let Http { max_body, max_head, max_fields, .. } = self.limits;
        // As many bytes around the chunks as in them, and a little.
        let total = max_body.saturating_mul(2).saturating_add(max_head);
        ChunkLimits { data: max_body, total, head: max_head, fields: max_fields }
    }

    /// Refuses a length beyond what a body may have.
    pub(super) fn check_length(&self, max: usize) -> Result<(), HttpError> {
        match self.head.body {
            BodyLength::Known(length) if length > max as u64 => Err(HttpError::BodyTooLong { max, length }),
            _ => Ok(()),
        }
    }

    /// The peer waits to be told to go on, if it has asked for that.
    pub(super) fn body_is_awaited(&mut self) {
        if std::mem::take(&mut self.head.expects_continue) && self.head.version == Version::Http11 {
            self.exchange.wants_continue.set(true);
        }
    }

    /// The request is for the handler.
    #[inline]
    pub(super) fn hand_over(&mut self, frame: &[u8], stage: Stage) {
        self.requests += 1;
        let exchange = &self.exchange;
        exchange.stage.set(stage);
        exchange.is_connect.set(self.head.method.is("CONNECT", frame));
        exchange.is_head.set(self.head.is_head);
        exchange.is_old.set(self.head.version == Version::Http10);
        exchange.closes.set(!self.head.keeps_alive);
    }

    /// A request that was answered before its body had come has its response; a second would pass for that to the next.
    #[cold]
    pub(super) fn refuse(&self, error: &HttpError) {
        if !self.is_handed_over || self.exchange.is_pending() {
            self.exchange.refusal.set(Some(error.status()));
            self.exchange.is_head.set(self.head.is_head);
        }
    }

    pub(super) fn farewell(&mut self, why: Farewell) {
        // Of the request that is being read, one that the handler has is pending until it is answered; before, another is.
        let is_awaited = self.is_reading && self.exchange.is_pending() == self.is_handed_over;
        if is_awaited && why == Farewell::Timeout {
            self.exchange.is_head.set(self.head.is_head);
        }
        self.exchange.farewell(why, is_awaited);
    }
}

/// Whether a request that is refused is a `HEAD`, whose refusal has no body, too.
#[cold]
fn is_head(input: Input<'_>) -> bool {
    let mut at = 0;
    while matches!(input.array::<2>(at), Some([b'\r', b'\n'])) {
        at += 2;
    }
    input.array::<5>(at) == Some(*b"HEAD ")
}
