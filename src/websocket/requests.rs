//! Answers to requests that are no handshakes, from elsewhere.

use super::decoder::WebSocketDecoder;
use super::encoder::WebSocketEncoder;
use super::error::SendError;
use super::shared::Phase;
use crate::codec::{Decoder, Encoder, Output};
use crate::http::{Answering, Event, Reply, RequestDecoder, ResponseEncoder, ResponseError, Sealed};

impl WebSocketEncoder {
    /// The sending half of HTTP, until the handshake is made.
    fn with_responses<R>(
        &self,
        with: impl FnOnce(&mut ResponseEncoder) -> Result<R, ResponseError>,
    ) -> Result<R, ResponseError> {
        self.shared.opening(|opening| with(opening.responses.as_mut().ok_or(ResponseError::NotAsked)?))
    }
}

impl WebSocketDecoder {
    /// The receiving half of HTTP, until the handshake is made.
    pub(super) fn requests(&self) -> Option<&RequestDecoder> {
        self.http.as_deref().filter(|_| self.shared.phase.get() == Phase::Handshake)
    }

    #[cold]
    pub(super) fn has_http_answer(&self) -> bool {
        self.requests().is_some_and(|http| http.has_answer()) || self.shared.has_opened.get()
    }
}

impl Sealed for WebSocketEncoder {
    fn defer(&self) -> Result<u64, ResponseError> {
        self.with_responses(|responses| responses.defer())
    }
}

impl Answering for WebSocketEncoder {}

impl Encoder<Reply> for WebSocketEncoder {
    type Error = SendError;

    fn encode(&mut self, reply: &Reply, output: &mut Output<'_>) -> Result<(), SendError> {
        self.with_responses(|responses| responses.encode(reply, output)).map_err(SendError::Response)
    }

    fn size_hint(reply: &Reply) -> usize {
        <ResponseEncoder as Encoder<Reply>>::size_hint(reply)
    }
}

impl Encoder<Event<'_>> for WebSocketEncoder {
    type Error = SendError;

    fn encode(&mut self, event: &Event<'_>, output: &mut Output<'_>) -> Result<(), SendError> {
        self.with_responses(|responses| responses.encode(event, output)).map_err(SendError::Response)
    }

    fn encode_from_handle(&mut self, _: &Event<'_>, _: &mut Output<'_>) -> Result<(), SendError> {
        Err(SendError::Response(ResponseError::Handle))
    }
}
