//! The receiving half: what has come becomes messages, and what the library answers by itself.

use super::answers::Answer;
use super::assembly::Assembly;
use super::frame::{self, Header, Opcode, Rules};
use super::handshake::{self, Outcome};
use super::shared::{Phase, Role, Shared};
use super::state::{Rare, State};
use super::{Close, CloseCode, Message, WebSocketError, mask};
use crate::codec::{Busy, Decoder, Farewell, Input, Output, Step};
use crate::http::{RequestDecoder, Status};
use crate::runtime::coarse_seconds;
use std::rc::Rc;

/// The receiving half of [`WebSocket`](super::WebSocket).
#[derive(Debug)]
pub struct WebSocketDecoder {
    pub(super) shared: Rc<Shared>,
    /// Reads requests until one has asked for a WebSocket.
    pub(super) http: Option<Box<RequestDecoder>>,
    /// Bytes that a frame may carry.
    max: usize,
    /// Of the frame that was found last.
    header: Option<Header>,
    rare: Option<Box<Rare>>,
    /// Control frames in this second.
    controls: u32,
    second: u16,
    state: State,
}

impl WebSocketDecoder {
    pub(super) fn new(shared: Rc<Shared>, http: Option<Box<RequestDecoder>>) -> WebSocketDecoder {
        let config = &shared.config;
        let max = config.max_frame.min(config.max_message);
        let mut state = State(0);
        state.set(State::HTTP, http.is_some());
        state.set(State::MASKED, shared.role == Role::Server);
        state.set(State::INFLATES, shared.deflate.get().is_some());
        WebSocketDecoder { shared, http, max, header: None, rare: None, controls: 0, second: 0, state }
    }

    /// What is expected of headers.
    fn rules(&self) -> Rules {
        let (is_masked, may_be_compressed) = (self.state.has(State::MASKED), self.state.has(State::INFLATES));
        Rules { is_masked, may_be_compressed, max: self.max }
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Gives back what the connection has no use for until something rare happens again.
    fn tidy(&mut self) {
        self.rare = self.rare.take().filter(|rare| !rare.is_empty());
    }

    fn answers(&mut self, answer: Answer) {
        self.rare().answer = Some(answer);
        self.state.set(State::ANSWERS, true);
    }

    /// Forgets what the handshake was made with.
    #[cold]
    fn has_shaken_hands(&mut self) {
        self.http = None;
        self.state.set(State::HTTP | State::ASKS, false);
        self.state.set(State::INFLATES, self.shared.deflate.get().is_some());
    }

    #[inline(never)]
    fn find_frame(&mut self, input: Input<'_>) -> Result<Option<usize>, WebSocketError> {
        if self.state.has(State::HTTP) {
            if self.shared.phase.get() != Phase::Handshake {
                self.has_shaken_hands();
            } else if let Some(http) = &mut self.http {
                return http.frame_end(input).map_err(WebSocketError::Http);
            }
        }
        if self.state.has(State::CLOSED) {
            return Ok(None);
        }
        if self.state.has(State::LENDS) {
            self.state.set(State::LENDS, false);
            self.rare().whole = None;
            self.tidy();
        }
        self.header = Header::parse(input, &self.rules()).map_err(|error| self.refuse(error))?;
        Ok(self.header.map(|header| header.end()).filter(|end| *end <= input.len()))
    }

    /// Looks at a request, and says whether it is for the handler.
    fn shake_hands(&mut self, frame: &mut [u8]) -> bool {
        let Some(http) = &mut self.http else { return false };
        let config = &self.shared.config;
        let outcome = handshake::examine(&http.request(frame), config);
        // What an earlier handshake has left is not for this request.
        self.shared.opening(|opening| opening.asked = None);
        self.state.set(State::ASKS, false);
        let answer = match outcome {
            Outcome::Http if config.shows_http => return true,
            Outcome::Http => Answer::Refusal(Status::UPGRADE_REQUIRED, "this is a WebSocket\n"),
            Outcome::Refused(status, why) => Answer::Refusal(status, why),
            Outcome::Asked(asked) if config.asks => {
                self.shared.opening(|opening| opening.asked = Some(asked));
                self.state.set(State::ASKS, true);
                return true;
            }
            Outcome::Asked(asked) => {
                let known = config.protocols.iter().find(|known| asked.protocols.contains(known));
                Answer::Handshake { protocol: known.cloned(), asked }
            }
        };
        http.pass_over();
        self.answers(answer);
        false
    }

    /// Deals with a frame, and says whether the handler is to see it.
    #[inline]
    fn pass(&mut self, header: Header, frame: &mut [u8]) -> Result<bool, WebSocketError> {
        let payload = &mut frame[header.size()..];
        if self.state.has(State::MASKED) {
            mask::apply(header.key, payload);
        }
        let is_plain = header.is_final && !header.is_compressed;
        match header.opcode {
            Opcode::Text | Opcode::Binary if is_plain && self.rare.is_none() => Ok(true),
            _ => self.pass_rarely(header, payload),
        }
    }

    #[inline(never)]
    fn pass_rarely(&mut self, header: Header, payload: &[u8]) -> Result<bool, WebSocketError> {
        let shared = self.shared.clone();
        let config = &shared.config;
        match header.opcode {
            Opcode::Text | Opcode::Binary => {
                if self.rare.as_ref().is_some_and(|rare| rare.assembly.is_some()) {
                    return Err(WebSocketError::Frame("expected the rest of a message, found another message"));
                }
                let is_text = header.opcode == Opcode::Text;
                if header.is_final && header.is_compressed {
                    let rare = self.rare();
                    rare.whole = Some(Assembly::whole(is_text, shared.inflate(payload, &mut rare.inflater)?));
                    self.state.set(State::LENDS, true);
                }
                if header.is_final {
                    return Ok(true);
                }
                let mut assembly = Assembly::new(is_text, header.is_compressed);
                assembly.push(payload, false, config)?;
                self.rare().assembly = Some(assembly);
                Ok(false)
            }
            Opcode::Continuation => {
                let rare = self.rare();
                let Some(assembly) = &mut rare.assembly else {
                    return Err(WebSocketError::Frame("expected a message, found the continuation of none"));
                };
                assembly.push(payload, header.is_final, config)?;
                if header.is_final && assembly.is_compressed {
                    assembly.bytes = shared.inflate(&assembly.bytes, &mut rare.inflater)?;
                }
                if header.is_final {
                    rare.whole = rare.assembly.take();
                    self.state.set(State::LENDS, true);
                }
                Ok(header.is_final)
            }
            control => {
                self.count_control()?;
                match control {
                    Opcode::Ping => self.answers(Answer::Pong(payload.to_vec())),
                    Opcode::Close => self.close(payload)?,
                    _ => {}
                }
                Ok(config.shows_controls)
            }
        }
    }

    /// The peer is to be told.
    #[cold]
    fn refuse(&mut self, error: WebSocketError) -> WebSocketError {
        self.answers(Answer::refusal(&error));
        error
    }

    /// A message that does not lie in the connection's buffer.
    fn lend_whole(&mut self) -> Result<Message<'_>, WebSocketError> {
        let whole = self.rare.as_ref().and_then(|rare| rare.whole.as_ref());
        if whole.is_some_and(|whole| whole.is_text && simdutf8::basic::from_utf8(&whole.bytes).is_err()) {
            return Err(self.refuse(WebSocketError::NotUtf8));
        }
        let whole = self.rare.as_ref().and_then(|rare| rare.whole.as_ref());
        let Some(whole) = whole else { return Err(WebSocketError::Frame("expected a message, found none")) };
        Ok(match whole.is_text {
            true => Message::Text(simdutf8::basic::from_utf8(&whole.bytes).map_err(|_| WebSocketError::NotUtf8)?),
            false => Message::Binary(&whole.bytes),
        })
    }

    fn count_control(&mut self) -> Result<(), WebSocketError> {
        let max = self.shared.config.max_controls;
        // Seconds that are the same but for their upper half are 18 hours apart.
        let second = coarse_seconds() as u16;
        if self.second != second {
            (self.second, self.controls) = (second, 0);
        }
        self.controls = self.controls.saturating_add(1);
        if self.controls > max { Err(WebSocketError::TooManyControls { max }) } else { Ok(()) }
    }

    /// The peer closes; it is answered with its own code (RFC 6455, section 5.5.1).
    fn close(&mut self, payload: &[u8]) -> Result<(), WebSocketError> {
        let close = parse_close(payload)?;
        self.state.set(State::CLOSED, true);
        let answer = match self.shared.phase.get() {
            Phase::Closed => Answer::End,
            _ => Answer::Close { code: close.map(|close| close.code), reason: String::new() },
        };
        self.answers(answer);
        Ok(())
    }
}

fn parse_close(payload: &[u8]) -> Result<Option<Close<'_>>, WebSocketError> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload.len() {
            0 => Ok(None),
            _ => Err(WebSocketError::Frame("expected a close code of two bytes, found one byte")),
        };
    };
    let code = CloseCode(u16::from_be_bytes(*code));
    if !code.is_sendable() {
        return Err(WebSocketError::Frame("expected a close code that may be sent, found another"));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| WebSocketError::NotUtf8)?;
    Ok(Some(Close { code, reason }))
}

impl Decoder for WebSocketDecoder {
    type Item<'a> = Message<'a>;
    type Error = WebSocketError;

    #[inline]
    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, WebSocketError> {
        if self.state.is_plain()
            && let Some(header) = Header::parse_short(input, self.max)
        {
            self.header = Some(header);
            let end = header.end();
            return Ok((end <= input.len()).then_some(end));
        }
        self.find_frame(input)
    }

    #[inline]
    fn is_message(&mut self, frame: &mut [u8]) -> Result<bool, WebSocketError> {
        let Some(header) = self.header else { return Ok(self.shake_hands(frame)) };
        self.pass(header, frame).map_err(|error| self.refuse(error))
    }

    #[inline]
    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<Message<'a>, WebSocketError> {
        let Some(header) = self.header else {
            let asks = self.state.has(State::ASKS);
            let http = self.http.as_deref_mut().ok_or(WebSocketError::Frame("expected a frame, found none"))?;
            http.is_handshake(asks);
            let request = http.decode(frame).map_err(WebSocketError::Http)?;
            return Ok(if asks { Message::Handshake(request) } else { Message::Http(request) });
        };
        if self.state.has(State::LENDS) && !header.opcode.is_control() {
            return self.lend_whole();
        }
        let payload = &frame[header.size()..];
        Ok(match header.opcode {
            Opcode::Text => match simdutf8::basic::from_utf8(payload) {
                Ok(text) => Message::Text(text),
                Err(_) => return Err(self.refuse(WebSocketError::NotUtf8)),
            },
            Opcode::Binary => Message::Binary(payload),
            Opcode::Ping => Message::Ping(payload),
            Opcode::Pong => Message::Pong(payload),
            Opcode::Close => Message::Close(parse_close(payload)?),
            Opcode::Continuation => return Err(WebSocketError::Frame("expected a message, found none")),
        })
    }

    #[inline]
    fn has_answer(&self) -> bool {
        self.state.has(State::ANSWERS | State::HTTP) && (self.state.has(State::ANSWERS) || self.has_http_answer())
    }

    fn answer(&mut self, output: &mut Output<'_>) {
        self.state.set(State::ANSWERS, false);
        if let Some(answer) = self.rare.as_mut().and_then(|rare| rare.answer.take()) {
            self.tidy();
            self.give(answer, output);
        } else if let Some(http) = &mut self.http
            && self.shared.phase.get() == Phase::Handshake
        {
            http.answer(output);
        }
    }

    fn has_opened(&mut self) -> bool {
        if self.shared.has_opened.take() {
            self.has_shaken_hands();
            return true;
        }
        self.shared.has_told();
        false
    }

    fn is_open(&self) -> bool {
        self.shared.role == Role::Client
    }

    fn can_ping(&self) -> bool {
        true
    }

    /// RFC 6455, section 7.1.1: a client that has sent its close waits for the server to close the connection.
    fn closes_last(&self) -> bool {
        self.shared.role == Role::Client && self.shared.phase.get() == Phase::Closed
    }

    fn ping(&mut self) {
        if let Some(http) = &mut self.http
            && self.shared.phase.get() == Phase::Handshake
        {
            return http.ping();
        }
        if !self.state.has(State::ANSWERS) {
            self.answers(Answer::Ping);
        }
    }

    fn farewell(&mut self, why: Farewell) {
        if let Some(http) = &mut self.http
            && self.shared.phase.get() == Phase::Handshake
        {
            return http.farewell(why);
        }
        if self.state.has(State::ANSWERS | State::CLOSED) || self.shared.phase.get() == Phase::Closed {
            return;
        }
        self.answers(Answer::farewell(why));
    }

    fn is_finished(&self) -> bool {
        self.state.has(State::CLOSED)
    }

    fn may_end(&self) -> bool {
        self.rare.as_ref().is_none_or(|rare| rare.assembly.is_none())
    }

    fn step(&self) -> Option<Step> {
        self.requests()?.step()
    }

    fn busy(&self) -> Busy {
        self.requests().map_or(Busy::Free, |http| http.busy())
    }

    fn max_buffered(&self) -> usize {
        match &self.http {
            Some(http) => http.max_buffered(),
            // A control frame has its full length, however short messages are to be (RFC 6455, section 5.5).
            None => self.max.max(frame::LONGEST_CONTROL) + frame::LONGEST_HEADER,
        }
    }
}
