//! How responses are written.

use super::exchange::{Exchange, Framing, Stage};
use super::response::{Chunk, Content, MediaType, Response, ResponseError};
use super::{Event, Reply, Status};
use crate::buffer::decimal;
use crate::codec::{Encoder, Output};
use crate::runtime::http_date;
use std::rc::Rc;

/// The sending half of HTTP, for servers.
#[derive(Debug)]
pub struct ResponseEncoder {
    exchange: Rc<Exchange>,
    /// It encodes what many responses take, of which none may end by it.
    is_for_groups: bool,
}

impl ResponseEncoder {
    /// Encodes chunks for connections whose responses have begun: as HTTP/1.1 has them, or as they are.
    pub(super) fn for_groups(is_old: bool) -> ResponseEncoder {
        let exchange = Exchange::default();
        exchange.is_old.set(is_old);
        exchange.streams(if is_old { Framing::Plain } else { Framing::Chunks });
        ResponseEncoder { exchange: Rc::new(exchange), is_for_groups: true }
    }

    pub(super) fn new(exchange: Rc<Exchange>) -> ResponseEncoder {
        ResponseEncoder { exchange, is_for_groups: false }
    }

    /// Leaves the request at hand to a responder.
    pub(super) fn defer(&self) -> Result<u64, ResponseError> {
        self.exchange.defer()
    }

    /// Whether the response at hand takes what groups send, which is for the one it was joined for: it is the connection's last.
    pub(crate) fn takes_group_messages(&self) -> bool {
        let exchange = &self.exchange;
        exchange.has_begun() && exchange.is_live.get() && exchange.framing.get() != Framing::Nothing
    }

    /// Whether it takes them without anything around them.
    pub(crate) fn takes_plain(&self) -> bool {
        self.exchange.framing.get() == Framing::Plain
    }
}

impl Encoder<Response<'_>> for ResponseEncoder {
    type Error = ResponseError;

    #[inline]
    fn encode(&mut self, response: &Response<'_>, output: &mut Output<'_>) -> Result<(), ResponseError> {
        self.exchange.admit_handler()?;
        write(response, &self.exchange, output)
    }

    fn encode_from_handle(&mut self, _: &Response<'_>, _: &mut Output<'_>) -> Result<(), ResponseError> {
        Err(ResponseError::Handle)
    }

    fn size_hint(response: &Response<'_>) -> usize {
        response.size()
    }
}

impl Encoder<Chunk<'_>> for ResponseEncoder {
    type Error = ResponseError;

    fn encode(&mut self, chunk: &Chunk<'_>, output: &mut Output<'_>) -> Result<(), ResponseError> {
        let exchange = &self.exchange;
        exchange.admit_chunk()?;
        if chunk.is_last && self.is_for_groups {
            return Err(ResponseError::Group);
        }
        match chunk.passed {
            0 => exchange.put_chunk(chunk.bytes, output)?,
            passed => exchange.has_gone(passed),
        }
        if chunk.is_last && exchange.has_begun() {
            exchange.put_last(output);
        }
        Ok(())
    }

    fn encode_from_handle(&mut self, _: &Chunk<'_>, _: &mut Output<'_>) -> Result<(), ResponseError> {
        Err(ResponseError::Handle)
    }
}

impl Encoder<Event<'_>> for ResponseEncoder {
    type Error = ResponseError;

    fn encode(&mut self, event: &Event<'_>, output: &mut Output<'_>) -> Result<(), ResponseError> {
        self.exchange.admit_chunk()?;
        self.exchange.put_chunk(event.text()?.as_bytes(), output)
    }

    fn encode_from_handle(&mut self, _: &Event<'_>, _: &mut Output<'_>) -> Result<(), ResponseError> {
        Err(ResponseError::Handle)
    }
}

impl Encoder<Reply> for ResponseEncoder {
    type Error = ResponseError;

    fn encode(&mut self, reply: &Reply, output: &mut Output<'_>) -> Result<(), ResponseError> {
        reply.write(&self.exchange, output)
    }

    fn size_hint(reply: &Reply) -> usize {
        reply.size()
    }
}

/// Writes a response as the request at hand wants it: a handler's, a responder's, or the library's own.
pub(super) fn write(
    response: &Response<'_>,
    exchange: &Exchange,
    output: &mut Output<'_>,
) -> Result<(), ResponseError> {
    response.check()?;
    let status = response.status.0;
    if response.is_interim() {
        write_interim(response, exchange, output);
        return Ok(());
    }
    if status < 200 && exchange.is_old.get() {
        return Err(ResponseError::Status(status));
    }
    let framing = framing(response, exchange)?;
    put_status(response, response.has_date, output);
    if exchange.wants_continue.take() {
        // The peer may send the body, or may not: what comes next cannot be told apart.
        exchange.closes.set(true);
    }
    if let MediaType::Other(media_type) = &response.media_type {
        output.put_between(*b"Content-Type: ", media_type.as_bytes(), *b"\r\n");
    }
    if !response.fields.is_empty() {
        output.put_slice(&response.fields);
    }
    // What HTTP/1.0 does not know the end of ends with the connection.
    if response.closes || response.is_live || framing == Framing::Plain || output.is_stopping() {
        exchange.closes.set(true);
    }
    let switches = framing == Framing::Nothing && is_switch(response.status, exchange);
    if response.connection.is_some() || response.status == Status::UPGRADE_REQUIRED || switches {
        put_connection(response, exchange, switches, output);
    } else if exchange.closes.get() {
        output.put_slice(b"Connection: close\r\n");
    } else if exchange.is_old.get() {
        output.put_slice(b"Connection: keep-alive\r\n");
    }
    let known = if let MediaType::Known(line) = &response.media_type { line.as_bytes() } else { &[] };
    let is_streamed = matches!(response.content, Content::Streamed);
    match response.length(framing) {
        Some(length) if !switches => {
            let mut digits = [0; decimal::LONGEST];
            let first = decimal::write_at_end(length, &mut digits);
            output.put_between([], known, *b"Content-Length: ");
            output.put_between([], &digits[first..], *b"\r\n\r\n");
        }
        _ => {
            output.put_slice(known);
            let coded = is_streamed && !exchange.is_old.get() && !response.status.has_no_body() && !switches;
            output.put_slice(if coded { b"Transfer-Encoding: chunked\r\n\r\n" } else { b"\r\n" });
        }
    }
    if switches {
        exchange.closes.set(false);
        exchange.answered(output);
        exchange.stage.set(Stage::Switched);
        return Ok(());
    }
    if is_streamed {
        // What has no body has come to its end.
        exchange.is_live.set(response.is_live && framing != Framing::Nothing);
        exchange.is_events.set(response.is_events);
        exchange.streams(framing);
        return Ok(());
    }
    if let Framing::Sized(1..) = framing {
        match &response.content {
            Content::Shared(bytes) => output.put_bytes(bytes.clone()),
            Content::Lent(bytes) => output.put_slice(bytes),
            Content::Streamed => {}
        }
    }
    exchange.answered(output);
    Ok(())
}

/// How the body of a response goes out (RFC 9112, section 6.3).
#[inline]
fn framing(response: &Response<'_>, exchange: &Exchange) -> Result<Framing, ResponseError> {
    let (has_none, length) = (response.status.has_no_body(), response.content.len() as u64);
    if has_none || exchange.is_head.get() || exchange.is_connect.get() && is_switch(response.status, exchange) {
        return Ok(Framing::Nothing);
    }
    match (&response.content, response.declared) {
        // RFC 9110, section 15.3.6.
        _ if response.status.0 == 205 => Ok(Framing::Sized(0)),
        (Content::Streamed, Some(length)) => Ok(Framing::Sized(length)),
        (Content::Streamed, None) if exchange.is_old.get() => Ok(Framing::Plain),
        (Content::Streamed, None) => Ok(Framing::Chunks),
        (_, Some(declared)) if declared != length => Err(ResponseError::Length { expected: declared, found: length }),
        _ => Ok(Framing::Sized(length)),
    }
}

/// Whether the connection speaks something else behind this response (RFC 9110, sections 9.3.6 and 15.2.2).
fn is_switch(status: Status, exchange: &Exchange) -> bool {
    status == Status::SWITCHING_PROTOCOLS || exchange.is_connect.get() && (200..300).contains(&status.0)
}

#[inline]
fn put_status(response: &Response<'_>, has_date: bool, output: &mut Output<'_>) {
    match response.status.line() {
        Some(line) if !has_date => output.put_between([], line.as_bytes(), http_date()),
        Some(line) => output.put_slice(line.as_bytes()),
        None => {
            output.put_slice(format!("HTTP/1.1 {} \r\n", response.status.0).as_bytes());
            if !has_date {
                output.put_slice(&http_date());
            }
        }
    }
}

/// What is sent before the response (RFC 9110, section 15.2). It is no answer, and says nothing of the connection.
#[cold]
fn write_interim(response: &Response<'_>, exchange: &Exchange, output: &mut Output<'_>) {
    if exchange.is_old.get() {
        return;
    }
    if response.status.0 == 100 {
        exchange.wants_continue.set(false);
    }
    put_status(response, true, output);
    output.put_slice(&response.fields);
    output.put_slice(b"\r\n");
}

/// The field `Connection`, with what the handler has put there, and what the library knows better.
#[cold]
fn put_connection(response: &Response<'_>, exchange: &Exchange, switches: bool, output: &mut Output<'_>) {
    let mut options: Vec<&str> = response.connection.as_deref().unwrap_or_default().split(", ").collect();
    options.retain(|option| !option.is_empty());
    let has_upgrade = options.iter().any(|option| option.eq_ignore_ascii_case("upgrade"));
    let must_upgrade = matches!(response.status, Status::UPGRADE_REQUIRED | Status::SWITCHING_PROTOCOLS);
    if must_upgrade && !has_upgrade {
        options.push("upgrade");
    }
    match exchange.closes.get() {
        _ if switches => {}
        true => options.push("close"),
        false if exchange.is_old.get() => options.push("keep-alive"),
        false => {}
    }
    if !options.is_empty() {
        output.put_slice(format!("Connection: {}\r\n", options.join(", ")).as_bytes());
    }
}
