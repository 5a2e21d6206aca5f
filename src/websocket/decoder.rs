//! The receiving half: what has come becomes messages, and what the library answers by itself.

use super::assembly::Assembly;
use super::frame::{self, Header, Opcode, Rules};
use super::handshake::{self, Asked, Outcome};
use super::shared::{Phase, Role, Shared};
use super::{Close, CloseCode, Message, WebSocketError, mask};
use crate::codec::{Busy, Decoder, Farewell, Input, Output, Step};
use crate::http::{RequestDecoder, Response, Status};
use crate::runtime::coarse_seconds;
use flate2::Decompress;
use std::rc::Rc;

/// The receiving half of [`WebSocket`](super::WebSocket).
#[derive(Debug)]
pub struct WebSocketDecoder {
    pub(super) shared: Rc<Shared>,
    /// Reads requests until one has asked for a WebSocket.
    pub(super) http: Option<Box<RequestDecoder>>,
    rules: Rules,
    /// Of the frame that was found last.
    header: Option<Header>,
    assembly: Option<Box<Assembly>>,
    /// The message of fragments that is lent.
    whole: Option<Box<Assembly>>,
    answer: Option<Box<Answer>>,
    /// Of a connection that keeps its own.
    inflater: Option<Box<Decompress>>,
    /// Control frames in this second.
    controls: (u32, u32),
    /// The peer has sent its close, which was its last frame.
    is_closed: bool,
}

#[derive(Debug)]
enum Answer {
    Handshake {
        asked: Asked,
        protocol: Option<String>,
    },
    Refusal(Status, &'static str),
    Ping,
    Pong(Vec<u8>),
    /// Frames end with this; without a code it is what the peer has sent.
    Close {
        code: Option<CloseCode>,
        reason: String,
    },
    /// Both closes have been sent.
    End,
}

impl WebSocketDecoder {
    pub(super) fn new(shared: Rc<Shared>, http: Option<Box<RequestDecoder>>) -> WebSocketDecoder {
        let config = &shared.config;
        let max = config.max_frame.min(config.max_message);
        let rules =
            Rules { is_masked: shared.role == Role::Server, may_be_compressed: shared.deflate.get().is_some(), max };
        let (header, assembly, whole, answer, inflater) = (None, None, None, None, None);
        WebSocketDecoder {
            shared,
            http,
            rules,
            header,
            assembly,
            whole,
            answer,
            inflater,
            controls: (0, 0),
            is_closed: false,
        }
    }

    /// Reads requests as long as there is no WebSocket.
    fn http(&mut self) -> Option<&mut RequestDecoder> {
        if self.shared.phase.get() != Phase::Handshake {
            self.http = None;
            self.rules.may_be_compressed = self.shared.deflate.get().is_some();
        }
        self.http.as_deref_mut()
    }

    /// Whether nothing is to be seen to before the next frame.
    #[inline]
    fn is_between_frames(&self) -> bool {
        self.http.is_none() && self.whole.is_none() && !self.is_closed
    }

    #[inline(never)]
    fn find_frame(&mut self, input: Input<'_>) -> Result<Option<usize>, WebSocketError> {
        if self.http.is_some()
            && let Some(http) = self.http()
        {
            return http.frame_end(input).map_err(WebSocketError::Http);
        }
        if self.is_closed {
            return Ok(None);
        }
        self.whole = None;
        self.header = Header::parse(input, &self.rules).map_err(|error| self.refuse(error))?;
        Ok(self.header.map(|header| header.end()).filter(|end| *end <= input.len()))
    }

    /// Looks at a request, and says whether it is for the handler.
    fn shake_hands(&mut self, frame: &mut [u8]) -> bool {
        let Some(http) = &mut self.http else { return false };
        let config = &self.shared.config;
        let outcome = handshake::examine(&http.request(frame), config);
        let answer = match outcome {
            Outcome::Http if config.shows_http => return true,
            Outcome::Http => Answer::Refusal(Status::UPGRADE_REQUIRED, "this is a WebSocket\n"),
            Outcome::Refused(status, why) => Answer::Refusal(status, why),
            Outcome::Asked(asked) if config.asks => {
                *self.shared.asked.borrow_mut() = Some(Box::new(asked));
                return true;
            }
            Outcome::Asked(asked) => {
                let known = config.protocols.iter().find(|known| asked.protocols.contains(known));
                Answer::Handshake { protocol: known.cloned(), asked }
            }
        };
        self.answer = Some(Box::new(answer));
        http.pass_over();
        false
    }

    /// Deals with a frame, and says whether the handler is to see it.
    fn pass(&mut self, header: Header, frame: &mut [u8]) -> Result<bool, WebSocketError> {
        let payload = &mut frame[header.size()..];
        if let Some(key) = header.key {
            mask::apply(key, payload);
        }
        let config = &self.shared.config;
        match header.opcode {
            Opcode::Text | Opcode::Binary => {
                if self.assembly.is_some() {
                    return Err(WebSocketError::Frame("expected the rest of a message, found another message"));
                }
                let is_text = header.opcode == Opcode::Text;
                if header.is_final && header.is_compressed {
                    self.whole =
                        Some(Box::new(Assembly::whole(is_text, inflate(&self.shared, payload, &mut self.inflater)?)));
                }
                if header.is_final {
                    return Ok(true);
                }
                let mut assembly = Box::new(Assembly::new(is_text, header.is_compressed));
                assembly.push(payload, false, config)?;
                self.assembly = Some(assembly);
                Ok(false)
            }
            Opcode::Continuation => {
                let Some(assembly) = &mut self.assembly else {
                    return Err(WebSocketError::Frame("expected a message, found the continuation of none"));
                };
                assembly.push(payload, header.is_final, config)?;
                if header.is_final && assembly.is_compressed {
                    assembly.bytes = inflate(&self.shared, &assembly.bytes, &mut self.inflater)?;
                }
                if header.is_final {
                    self.whole = self.assembly.take();
                }
                Ok(header.is_final)
            }
            control => {
                let shows = config.shows_controls;
                self.count_control()?;
                match control {
                    Opcode::Ping => self.answer = Some(Box::new(Answer::Pong(payload.to_vec()))),
                    Opcode::Close => self.close(payload)?,
                    _ => {}
                }
                Ok(shows)
            }
        }
    }

    /// The peer is to be told.
    #[cold]
    fn refuse(&mut self, error: WebSocketError) -> WebSocketError {
        self.answer = Some(Box::new(Answer::Close { code: Some(error.code()), reason: error.to_string() }));
        error
    }

    /// A message that does not lie in the connection's buffer.
    fn lend_whole(&mut self) -> Result<Message<'_>, WebSocketError> {
        let is_wrong =
            self.whole.as_ref().is_some_and(|whole| whole.is_text && simdutf8::basic::from_utf8(&whole.bytes).is_err());
        if is_wrong {
            return Err(self.refuse(WebSocketError::NotUtf8));
        }
        let Some(whole) = &self.whole else { return Err(WebSocketError::Frame("expected a message, found none")) };
        Ok(match whole.is_text {
            true => Message::Text(simdutf8::basic::from_utf8(&whole.bytes).map_err(|_| WebSocketError::NotUtf8)?),
            false => Message::Binary(&whole.bytes),
        })
    }

    fn count_control(&mut self) -> Result<(), WebSocketError> {
        let max = self.shared.config.max_controls;
        let second = coarse_seconds();
        let (counted, controls) = &mut self.controls;
        if *counted != second {
            (*counted, *controls) = (second, 0);
        }
        *controls += 1;
        if *controls > max { Err(WebSocketError::TooManyControls { max }) } else { Ok(()) }
    }

    /// The peer closes; it is answered with its own code (RFC 6455, section 5.5.1).
    fn close(&mut self, payload: &[u8]) -> Result<(), WebSocketError> {
        let close = parse_close(payload)?;
        self.is_closed = true;
        let answer = match self.shared.phase.get() {
            Phase::Closed => Answer::End,
            _ => Answer::Close { code: close.map(|close| close.code), reason: String::new() },
        };
        self.answer = Some(Box::new(answer));
        Ok(())
    }
}

/// The message that was compressed.
fn inflate(shared: &Shared, compressed: &[u8], own: &mut Option<Box<Decompress>>) -> Result<Vec<u8>, WebSocketError> {
    match shared.deflate.get() {
        Some(negotiated) => negotiated.inflate(compressed, own, shared.config.max_message),
        None => Err(WebSocketError::Frame("expected no compression, because none was agreed on")),
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
        if self.is_between_frames()
            && let Some(header) = Header::parse_short(input, &self.rules)
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
            let asks = self.shared.asked.borrow().is_some();
            let http = self.http.as_deref_mut().ok_or(WebSocketError::Frame("expected a frame, found none"))?;
            http.is_handshake(asks);
            let request = http.decode(frame).map_err(WebSocketError::Http)?;
            return Ok(if asks { Message::Handshake(request) } else { Message::Http(request) });
        };
        let payload = &frame[header.size()..];
        Ok(match header.opcode {
            Opcode::Text | Opcode::Binary | Opcode::Continuation if self.whole.is_some() => return self.lend_whole(),
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
        self.answer.is_some() || self.http.is_some() && self.has_http_answer()
    }

    fn answer(&mut self, output: &mut Output<'_>) {
        if let Some(answer) = self.answer.take() {
            self.give(*answer, output);
        } else if let Some(http) = &mut self.http {
            http.answer(output);
        }
    }

    fn has_opened(&mut self) -> bool {
        self.shared.has_opened.take()
    }

    fn is_open(&self) -> bool {
        self.shared.role == Role::Client
    }

    fn can_ping(&self) -> bool {
        true
    }

    fn ping(&mut self) {
        self.answer.get_or_insert_with(|| Box::new(Answer::Ping));
    }

    fn farewell(&mut self, why: Farewell) {
        if let Some(http) = &mut self.http
            && self.shared.phase.get() == Phase::Handshake
        {
            return http.farewell(why);
        }
        if self.answer.is_some() || self.is_closed || self.shared.phase.get() == Phase::Closed {
            return;
        }
        let code = match why {
            Farewell::Closed => CloseCode::NORMAL,
            Farewell::Protocol => CloseCode::PROTOCOL,
            Farewell::Failed => CloseCode::INTERNAL,
            Farewell::Timeout => CloseCode::POLICY,
            Farewell::Shutdown => CloseCode::GOING_AWAY,
        };
        self.answer = Some(Box::new(Answer::Close { code: Some(code), reason: String::new() }));
    }

    fn is_finished(&self) -> bool {
        self.is_closed
    }

    fn may_end(&self) -> bool {
        self.assembly.is_none()
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
            None => self.rules.max + frame::LONGEST_HEADER,
        }
    }
}

impl WebSocketDecoder {
    fn give(&mut self, answer: Answer, output: &mut Output<'_>) {
        match answer {
            Answer::Handshake { asked, protocol } => {
                output.put_slice(handshake::response(&asked, protocol.as_deref()).as_bytes());
                self.shared.open(&asked);
            }
            Answer::Refusal(status, why) => {
                let mut response = Response::text(why).status(status);
                if status == Status::UPGRADE_REQUIRED {
                    response = response.header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13");
                }
                if let Some(http) = &mut self.http {
                    http.respond(response, output);
                }
            }
            Answer::Ping if self.shared.phase.get() == Phase::Open => self.put(output, Opcode::Ping, &[]),
            Answer::Pong(payload) if self.shared.phase.get() == Phase::Open => {
                self.put(output, Opcode::Pong, &payload);
            }
            Answer::Close { code, reason } if self.shared.phase.get() == Phase::Open => {
                let mut payload = code.map_or(Vec::new(), |code| code.0.to_be_bytes().to_vec());
                let cut = (0..=reason.len().min(123)).rev().find(|at| reason.is_char_boundary(*at));
                payload.extend_from_slice(&reason.as_bytes()[..cut.unwrap_or(0)]);
                self.put(output, Opcode::Close, &payload);
                self.shared.phase.set(Phase::Closed);
                output.finish();
            }
            Answer::End => output.finish(),
            Answer::Ping | Answer::Pong(_) | Answer::Close { .. } => {}
        }
    }

    fn put(&self, output: &mut Output<'_>, opcode: Opcode, payload: &[u8]) {
        frame::put(output, 0x80 | opcode as u8, self.shared.mask(), payload);
    }
}
