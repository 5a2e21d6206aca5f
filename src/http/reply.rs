//! What a responder sends to the connection of its request.

use super::Status;
use super::exchange::{Exchange, Stage};
use super::response::{Response, ResponseError};
use super::write::write;
use crate::codec::Output;
use bytes::Bytes;

/// A response, or a part of one, on its way from a [`Responder`](super::Responder) to its connection.
#[derive(Debug)]
pub struct Reply {
    ticket: u64,
    what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// The answer, or its head.
    Response(Box<Response<'static>>),
    /// What is sent before the answer.
    Interim(Box<Response<'static>>),
    Chunk(Bytes),
    /// The body has ended.
    Last,
    /// The responder was dropped before the end.
    Dropped,
}

impl Reply {
    pub(super) fn new(ticket: u64, what: What) -> Reply {
        Reply { ticket, what }
    }

    /// The bytes of a chunk that was not sent.
    pub(super) fn into_chunk(self) -> Bytes {
        match self.what {
            What::Chunk(bytes) => bytes,
            _ => Bytes::new(),
        }
    }

    pub(super) fn size(&self) -> usize {
        let behind = match &self.what {
            What::Response(response) | What::Interim(response) => response.size(),
            What::Chunk(bytes) => bytes.len(),
            What::Last | What::Dropped => 0,
        };
        size_of::<Reply>() + behind
    }

    /// Writes it, if it is for the request at hand.
    pub(super) fn write(&self, exchange: &Exchange, output: &mut Output<'_>) -> Result<(), ResponseError> {
        match &self.what {
            What::Dropped if exchange.answers(self.ticket) => exchange.end_dropped(output),
            // Its request is gone, with its connection.
            What::Dropped => {}
            What::Response(response) => {
                exchange.admit(self.ticket, Stage::Deferred)?;
                if let Err(error) = write(response, exchange, output) {
                    tracing::error!(%error, "a responder's response cannot be sent: the peer gets a 500");
                    exchange.refuse_with(Status::INTERNAL_SERVER_ERROR, output);
                }
            }
            What::Interim(response) => {
                exchange.admit(self.ticket, Stage::Deferred)?;
                write(response, exchange, output)?;
            }
            What::Chunk(bytes) => {
                exchange.admit(self.ticket, Stage::DeferredStreaming)?;
                exchange.put_shared_chunk(bytes, output)?;
            }
            What::Last => {
                exchange.admit(self.ticket, Stage::DeferredStreaming)?;
                exchange.put_last(output);
            }
        }
        Ok(())
    }
}
