//! What the library says by itself, and how it is written.

use super::decoder::WebSocketDecoder;
use super::frame::{self, Opcode};
use super::handshake::{self, Asked};
use super::shared::Phase;
use super::{CloseCode, WebSocketError};
use crate::codec::{Farewell, Output};
use crate::http::{Response, Status};

#[derive(Debug)]
pub(super) enum Answer {
    Handshake {
        asked: Box<Asked>,
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

impl Answer {
    /// What a peer is told that has broken the protocol.
    pub(super) fn refusal(error: &WebSocketError) -> Answer {
        Answer::Close { code: Some(error.code()), reason: error.to_string() }
    }

    pub(super) fn farewell(why: Farewell) -> Answer {
        let code = match why {
            Farewell::Closed => CloseCode::NORMAL,
            Farewell::Protocol => CloseCode::PROTOCOL,
            Farewell::Failed => CloseCode::INTERNAL,
            Farewell::Timeout => CloseCode::POLICY,
            Farewell::Shutdown => CloseCode::GOING_AWAY,
        };
        Answer::Close { code: Some(code), reason: String::new() }
    }
}

impl WebSocketDecoder {
    pub(super) fn give(&mut self, answer: Answer, output: &mut Output<'_>) {
        match answer {
            Answer::Handshake { asked, protocol } => {
                let response = handshake::response(&asked, protocol.as_deref(), &self.shared.config.fields, "");
                output.put_slice(response.as_bytes());
                self.shared.open(*asked);
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
        match self.shared.mask() {
            Ok(key) => frame::put(output, 0x80 | opcode as u8, key, payload),
            Err(error) => tracing::error!(%error, ?opcode, "a control frame is not sent"),
        }
    }
}
