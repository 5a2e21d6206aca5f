//! The sending half.

use super::error::SendError;
use super::frame::{self, Opcode};
use super::message::FragmentKind;
use super::shared::{Phase, Shared};
use super::{Close, CloseCode, Deflate, Fragment, Negotiated, Outgoing, Ping, Pong, Prepared, WebSocket, handshake};
use crate::codec::{Encoded, Encoder, Output};
use crate::http::{Chunk, Response, ResponseError};
use flate2::Compress;
use std::rc::Rc;

/// The sending half of [`WebSocket`].
#[derive(Debug)]
pub struct WebSocketEncoder {
    pub(super) shared: Rc<Shared>,
    fragments: Fragments,
    /// Of a connection that keeps its own.
    deflater: Option<Box<Compress>>,
}

/// Whether a message in fragments has begun, and not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fragments {
    None,
    Plain,
    Compressed,
}

/// Accepts a handshake that was [asked](super::WebSocket::ask) for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    protocol: Option<String>,
    fields: String,
    has_wrong_field: bool,
}

impl Accept {
    /// Accepts it.
    pub fn new() -> Accept {
        Accept::default()
    }

    /// Accepts it, and speaks a subprotocol, which the client must have asked for.
    pub fn with_protocol(protocol: impl Into<String>) -> Accept {
        Accept { protocol: Some(protocol.into()), ..Accept::default() }
    }

    /// Adds a field to the `101`: `Set-Cookie`, say. To send fails with [`ResponseError::Field`] where the name is none, or is that
    /// of a field of the handshake itself, and where the value would break out of its line; the handshake can still be answered
    /// then.
    pub fn header(mut self, name: &str, value: &str) -> Accept {
        match handshake::field_line(name, value) {
            Some(line) => self.fields += &line,
            None => self.has_wrong_field = true,
        }
        self
    }
}

impl WebSocketEncoder {
    pub(super) fn new(shared: Rc<Shared>) -> WebSocketEncoder {
        WebSocketEncoder { shared, fragments: Fragments::None, deflater: None }
    }

    /// Encodes for connections whose handshakes are made.
    pub(super) fn for_groups(shared: Shared) -> WebSocketEncoder {
        shared.phase.set(Phase::Open);
        WebSocketEncoder::new(Rc::new(shared))
    }

    /// Whether another message may be sent here.
    #[inline]
    pub(super) fn is_between_messages(&self) -> bool {
        self.shared.phase.get() == Phase::Open && self.fragments == Fragments::None
    }

    /// Whether the peer inflates what is compressed by itself, with the window that is configured. From then on, nothing refers
    /// to messages before it: the peer's window holds more than ours would.
    pub(super) fn takes_compressed(&mut self) -> bool {
        let configured = self.shared.config.deflate.as_ref().map_or(15, Deflate::bits);
        let takes = self.shared.deflate.get().is_some_and(|negotiated| negotiated.bits >= configured);
        if takes && let Some(deflater) = &mut self.deflater {
            deflater.reset();
        }
        takes
    }

    #[inline]
    fn put(&mut self, first: u8, payload: &[u8], output: &mut Output<'_>) -> Result<(), SendError> {
        match self.shared.phase.get() {
            Phase::Open => {}
            Phase::Handshake => return Err(SendError::NotOpen),
            Phase::Closed => return Err(SendError::Closed),
        }
        frame::put(output, first, self.shared.mask()?, payload);
        Ok(())
    }

    #[inline]
    fn message(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        compresses: Option<bool>,
        output: &mut Output<'_>,
    ) -> Result<(), SendError> {
        if self.fragments != Fragments::None {
            return Err(SendError::Fragment);
        }
        if let Some(deflate) = self.shared.deflate.get().filter(|deflate| deflate.is_for(payload.len(), compresses)) {
            return self.compressed(deflate, opcode, payload, output);
        }
        self.put(0x80 | opcode as u8, payload, output)
    }

    /// Compresses only what can be sent: a context that has seen a message must not be alone with it.
    #[inline(never)]
    fn compressed(
        &mut self,
        deflate: Negotiated,
        opcode: Opcode,
        payload: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), SendError> {
        if self.shared.phase.get() != Phase::Open {
            return self.put(0x80 | opcode as u8, payload, output);
        }
        let mut compressed = Vec::new();
        deflate.deflate(payload, &mut self.deflater, &mut compressed);
        let put = self.put(0xc0 | opcode as u8, &compressed, output);
        if put.is_err()
            && let Some(deflater) = &mut self.deflater
        {
            // The peer will not see what this context has seen.
            deflater.reset();
        }
        put
    }

    /// The first frame says that the message is compressed, and no other (RFC 7692, section 6.1).
    fn put_compressed_fragment(
        &mut self,
        deflate: Negotiated,
        first: u8,
        fragment: &Fragment<'_>,
        output: &mut Output<'_>,
    ) -> Result<(), SendError> {
        if self.shared.phase.get() != Phase::Open {
            return self.put(first, fragment.bytes, output);
        }
        let mut compressed = Vec::new();
        deflate.deflate_fragment(fragment.bytes, fragment.is_last, &mut self.deflater, &mut compressed);
        let says = if self.fragments == Fragments::None { 0x40 } else { 0 };
        self.put(says | first, &compressed, output)
    }

    fn control(&mut self, opcode: Opcode, payload: &[u8], output: &mut Output<'_>) -> Result<(), SendError> {
        match payload.len() {
            0..=125 => self.put(0x80 | opcode as u8, payload, output),
            length => Err(SendError::ControlTooLong { length }),
        }
    }
}

impl Encoder<str> for WebSocketEncoder {
    type Error = SendError;

    #[inline]
    fn encode(&mut self, text: &str, output: &mut Output<'_>) -> Result<(), SendError> {
        self.message(Opcode::Text, text.as_bytes(), None, output)
    }
}

impl Encoder<[u8]> for WebSocketEncoder {
    type Error = SendError;

    #[inline]
    fn encode(&mut self, bytes: &[u8], output: &mut Output<'_>) -> Result<(), SendError> {
        self.message(Opcode::Binary, bytes, None, output)
    }
}

impl Encoder<Fragment<'_>> for WebSocketEncoder {
    type Error = SendError;

    fn encode(&mut self, fragment: &Fragment<'_>, output: &mut Output<'_>) -> Result<(), SendError> {
        let opcode = match fragment.kind {
            FragmentKind::Text => Opcode::Text,
            FragmentKind::Binary => Opcode::Binary,
            FragmentKind::More => Opcode::Continuation,
        };
        if (self.fragments == Fragments::None) == (opcode == Opcode::Continuation) {
            return Err(SendError::Fragment);
        }
        let last = if fragment.is_last { 0x80 } else { 0 };
        let deflate = match self.fragments {
            Fragments::None if fragment.is_compressed => {
                self.shared.deflate.get().filter(|deflate| deflate.is_for(fragment.bytes.len(), Some(true)))
            }
            Fragments::Compressed => self.shared.deflate.get(),
            Fragments::None | Fragments::Plain => None,
        };
        match deflate {
            Some(deflate) => self.put_compressed_fragment(deflate, last | opcode as u8, fragment, output)?,
            None => self.put(last | opcode as u8, fragment.bytes, output)?,
        }
        self.fragments = match fragment.is_last {
            true => Fragments::None,
            false if deflate.is_some() => Fragments::Compressed,
            false => Fragments::Plain,
        };
        Ok(())
    }
}

impl Encoder<Outgoing<'_>> for WebSocketEncoder {
    type Error = SendError;

    fn encode(&mut self, message: &Outgoing<'_>, output: &mut Output<'_>) -> Result<(), SendError> {
        let opcode = if message.is_text { Opcode::Text } else { Opcode::Binary };
        self.message(opcode, message.bytes, message.compresses, output)
    }

    fn size_hint(message: &Outgoing<'_>) -> usize {
        message.bytes.len()
    }
}

impl Encoder<Ping<'_>> for WebSocketEncoder {
    type Error = SendError;

    fn encode(&mut self, ping: &Ping<'_>, output: &mut Output<'_>) -> Result<(), SendError> {
        self.control(Opcode::Ping, ping.0, output)
    }
}

impl Encoder<Pong<'_>> for WebSocketEncoder {
    type Error = SendError;

    fn encode(&mut self, pong: &Pong<'_>, output: &mut Output<'_>) -> Result<(), SendError> {
        self.control(Opcode::Pong, pong.0, output)
    }
}

impl Encoder<Close<'_>> for WebSocketEncoder {
    type Error = SendError;

    fn encode(&mut self, close: &Close<'_>, output: &mut Output<'_>) -> Result<(), SendError> {
        let CloseCode(code) = close.code;
        if !close.code.is_sendable() {
            return Err(SendError::CloseCode(code));
        }
        let payload = [&code.to_be_bytes()[..], close.reason.as_bytes()].concat();
        self.control(Opcode::Close, &payload, output)?;
        self.shared.phase.set(Phase::Closed);
        output.finish();
        Ok(())
    }
}

impl Encoder<Prepared> for WebSocketEncoder {
    type Error = SendError;

    fn encode(&mut self, prepared: &Prepared, output: &mut Output<'_>) -> Result<(), SendError> {
        match self.shared.phase.get() {
            _ if self.fragments != Fragments::None => Err(SendError::Fragment),
            Phase::Handshake => Err(SendError::NotOpen),
            Phase::Closed => Err(SendError::Closed),
            Phase::Open => {
                let Encoded { plain, compact } = &prepared.0;
                let compact = compact.as_ref().filter(|_| self.takes_compressed());
                output.put_bytes(compact.unwrap_or(plain).clone());
                Ok(())
            }
        }
    }

    fn size_hint(prepared: &Prepared) -> usize {
        prepared.0.plain.len()
    }
}

impl Prepared {
    /// A text, for connections of this codec: compressed as well, where that is configured and makes it shorter.
    pub fn text(codec: &WebSocket, text: &str) -> Prepared {
        Prepared::of(codec, text)
    }

    /// Bytes, likewise.
    pub fn binary(codec: &WebSocket, bytes: &[u8]) -> Prepared {
        Prepared::of(codec, bytes)
    }

    fn of<M: ?Sized>(codec: &WebSocket, message: &M) -> Prepared
    where
        WebSocketEncoder: Encoder<M, Error = SendError>,
    {
        Prepared(Encoded::new(codec, message).expect("a group's encoder is open"))
    }
}

impl Encoder<Accept> for WebSocketEncoder {
    type Error = SendError;

    fn encode(&mut self, accept: &Accept, output: &mut Output<'_>) -> Result<(), SendError> {
        let shared = &self.shared;
        let asked = shared.opening(|opening| {
            let asked = opening.asked.as_ref().ok_or(SendError::NoHandshake)?;
            if accept.protocol.as_ref().is_some_and(|protocol| !asked.protocols.contains(protocol)) {
                return Err(SendError::Protocol);
            }
            if accept.has_wrong_field {
                return Err(SendError::Response(ResponseError::Field));
            }
            opening.asked.take().ok_or(SendError::NoHandshake)
        })?;
        let fields = &shared.config.fields;
        let response = handshake::response(&asked, accept.protocol.as_deref(), fields, &accept.fields);
        output.put_slice(response.as_bytes());
        shared.open(*asked);
        output.resume();
        Ok(())
    }
}

impl Encoder<Response<'_>> for WebSocketEncoder {
    type Error = SendError;

    fn encode(&mut self, response: &Response<'_>, output: &mut Output<'_>) -> Result<(), SendError> {
        if self.shared.phase.get() != Phase::Handshake {
            return Err(SendError::NoHandshake);
        }
        self.shared.opening(|opening| {
            let responses = opening.responses.as_mut().ok_or(SendError::NoHandshake)?;
            responses.encode(response, output).map_err(SendError::Response)?;
            if !response.is_interim() {
                opening.asked = None;
            }
            Ok(())
        })
    }

    /// A handle may refuse a handshake; a request has a responder for that.
    fn encode_from_handle(&mut self, response: &Response<'_>, output: &mut Output<'_>) -> Result<(), SendError> {
        let is_whole = response.body().is_some() && !response.is_interim();
        if !is_whole || self.shared.opening(|opening| opening.asked.is_none()) {
            return Err(SendError::Response(ResponseError::Handle));
        }
        // The connection ends with it: what else was prepared for this handshake elsewhere, and comes too late, must not answer
        // the next one.
        self.encode(&response.clone().close(), output)
    }

    fn size_hint(response: &Response<'_>) -> usize {
        <crate::http::ResponseEncoder as Encoder<Response<'_>>>::size_hint(response)
    }
}

impl Encoder<Chunk<'_>> for WebSocketEncoder {
    type Error = SendError;

    fn encode(&mut self, chunk: &Chunk<'_>, output: &mut Output<'_>) -> Result<(), SendError> {
        self.shared.opening(|opening| {
            let responses = opening.responses.as_mut().ok_or(SendError::NoHandshake)?;
            responses.encode(chunk, output).map_err(SendError::Response)
        })
    }

    fn encode_from_handle(&mut self, _: &Chunk<'_>, _: &mut Output<'_>) -> Result<(), SendError> {
        Err(SendError::Response(ResponseError::Handle))
    }
}
