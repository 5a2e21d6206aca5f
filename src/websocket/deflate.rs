//! Compression of messages: RFC 7692, "permessage-deflate".

use super::WebSocketError;
use super::extensions::{Extension, extensions};
use crate::limits;
use crate::runtime::with_current;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::cell::RefCell;

/// What a compressor ends a flush with; it is left out on the way (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
const NAME: &str = "permessage-deflate";
/// Where a core keeps what its connections share.
const SHARED: u64 = u64::MAX;

/// Compresses messages, if the peer knows how to: see [`WebSocket::compress`](super::WebSocket::compress).
///
/// Unless contexts are kept, connections of one core share a compressor and a decompressor, so that an idle connection
/// costs nothing for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deflate {
    level: u32,
    threshold: usize,
    keeps_contexts: bool,
    window_bits: u8,
}

impl Default for Deflate {
    fn default() -> Deflate {
        Deflate { level: 1, threshold: limits::WEBSOCKET_COMPRESSED, keeps_contexts: false, window_bits: 15 }
    }
}

impl Deflate {
    /// How hard to try, from 1 to 9. Default: 1, because most of what there is to gain is gained there, and each more costs
    /// processor time.
    pub fn level(mut self, level: u32) -> Deflate {
        self.level = level.clamp(1, 9);
        self
    }

    /// Messages of fewer bytes go plain. Default: 1 KiB.
    pub fn threshold(mut self, bytes: usize) -> Deflate {
        self.threshold = bytes;
        self
    }

    /// Keeps what one message has taught for the next ones, where the peer does too ("context takeover"). Default: no. Small
    /// messages that are like each other get much smaller; each connection costs up to 300 KiB.
    pub fn keep_contexts(mut self) -> Deflate {
        self.keeps_contexts = true;
        self
    }

    /// How far back a compressor looks: 2 to the power of this, from 9 to 15. Default: 15, which is 32 KiB.
    pub fn window_bits(mut self, bits: u8) -> Deflate {
        self.window_bits = bits.clamp(9, 15);
        self
    }

    /// For messages that many are sent, each of whom knows no other.
    pub(super) fn for_groups(&self) -> Negotiated {
        let (bits, level, threshold) = (self.window_bits, self.level, self.threshold);
        Negotiated { deflates_anew: true, inflates_anew: true, bits, level, threshold }
    }

    pub(super) fn bits(&self) -> u8 {
        self.window_bits
    }

    /// What a client asks for.
    pub(super) fn offer(&self) -> String {
        let contexts =
            if self.keeps_contexts { "" } else { "; server_no_context_takeover; client_no_context_takeover" };
        format!("{NAME}; client_max_window_bits{contexts}")
    }

    /// The answer to an offer of a client, if it can be met.
    pub(super) fn accept(&self, offer: &Extension<'_>) -> Option<(Negotiated, String)> {
        self.accept_one(&Parameters::of(offer)?)
    }

    fn accept_one(&self, offer: &Parameters) -> Option<(Negotiated, String)> {
        let bits = offer.server_bits.unwrap_or(15).min(self.window_bits);
        // A window of 256 bytes is one that no compressor of today can keep to.
        if bits < 9 || offer.has_bare_server_bits {
            return None;
        }
        let deflates_anew = offer.server_anew || !self.keeps_contexts;
        let inflates_anew = offer.client_anew || !self.keeps_contexts;
        let mut answer = NAME.to_owned();
        if deflates_anew {
            answer += "; server_no_context_takeover";
        }
        if inflates_anew {
            answer += "; client_no_context_takeover";
        }
        if bits < 15 || offer.server_bits.is_some() {
            answer += &format!("; server_max_window_bits={bits}");
        }
        Some((Negotiated { deflates_anew, inflates_anew, bits, level: self.level, threshold: self.threshold }, answer))
    }

    /// What a server's answer to [`Deflate::offer`] means, if it is one.
    pub(super) fn confirm(&self, answer: &str) -> Option<Negotiated> {
        let mut answers = extensions(answer);
        let (Some(Ok(answer)), None) = (answers.next(), answers.next()) else { return None };
        let answer = Parameters::of(&answer)?;
        let bits = answer.client_bits.unwrap_or(15).min(self.window_bits);
        let is_unasked = !self.keeps_contexts && !answer.server_anew;
        if is_unasked || bits < 9 || answer.has_bare_server_bits || answer.has_bare_client_bits {
            return None;
        }
        let deflates_anew = answer.client_anew || !self.keeps_contexts;
        let (inflates_anew, level, threshold) = (answer.server_anew, self.level, self.threshold);
        Some(Negotiated { deflates_anew, inflates_anew, bits, level, threshold })
    }
}

/// The parameters of an offer or an answer (section 7.1).
#[derive(Debug, Default)]
struct Parameters {
    server_anew: bool,
    client_anew: bool,
    server_bits: Option<u8>,
    client_bits: Option<u8>,
    has_bare_server_bits: bool,
    has_bare_client_bits: bool,
}

impl Parameters {
    /// `None` for another extension, and for parameters that are not those of the RFC, which decline it.
    fn of(extension: &Extension<'_>) -> Option<Parameters> {
        if extension.name != NAME {
            return None;
        }
        let mut found = Parameters::default();
        for (i, (name, value)) in extension.parameters.iter().enumerate() {
            if extension.parameters[..i].iter().any(|(other, _)| other == name) {
                return None;
            }
            match (*name, value.as_deref()) {
                ("server_no_context_takeover", None) => found.server_anew = true,
                ("client_no_context_takeover", None) => found.client_anew = true,
                ("server_max_window_bits", None) => found.has_bare_server_bits = true,
                ("client_max_window_bits", None) => found.has_bare_client_bits = true,
                ("server_max_window_bits", Some(value)) => found.server_bits = Some(window_bits(value)?),
                ("client_max_window_bits", Some(value)) => found.client_bits = Some(window_bits(value)?),
                _ => return None,
            }
        }
        Some(found)
    }
}

/// A number from 8 to 15 without leading zeros (section 7.1.2.1).
fn window_bits(value: &str) -> Option<u8> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    value.parse().ok().filter(|bits| is_plain && (8..=15).contains(bits))
}

/// What both ends have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    /// What is sent, and what is received, is compressed without regard to messages before.
    deflates_anew: bool,
    inflates_anew: bool,
    pub(super) bits: u8,
    level: u32,
    pub(super) threshold: usize,
}

/// The contexts of the connections of one core that keep none of their own.
#[derive(Default)]
struct Shared {
    deflate: Vec<((u32, u8), Compress)>,
    inflate: Option<Decompress>,
}

fn with_shared<R>(work: impl FnOnce(&mut Shared) -> R) -> R {
    let shared = with_current(|core| core.local(SHARED, RefCell::<Shared>::default));
    match shared {
        Some(shared) => work(&mut shared.borrow_mut()),
        None => work(&mut Shared::default()),
    }
}

impl Negotiated {
    fn compressor(&self) -> Compress {
        Compress::new_with_window_bits(Compression::new(self.level), false, self.bits)
    }

    /// Compresses a message behind what is in `to`. `own` is the connection's context, if it keeps one.
    pub(super) fn deflate(&self, message: &[u8], own: &mut Option<Box<Compress>>, to: &mut Vec<u8>) {
        if !self.deflates_anew {
            return deflate(own.get_or_insert_with(|| Box::new(self.compressor())), message, to);
        }
        with_shared(|shared| {
            let wanted = (self.level, self.bits);
            let at = shared.deflate.iter().position(|(made, _)| *made == wanted).unwrap_or_else(|| {
                shared.deflate.push((wanted, self.compressor()));
                shared.deflate.len() - 1
            });
            let context = &mut shared.deflate[at].1;
            deflate(context, message, to);
            context.reset();
        });
    }

    /// The message that was compressed to these bytes, if it has at most `max`.
    pub(super) fn inflate(
        &self,
        compressed: &[u8],
        own: &mut Option<Box<Decompress>>,
        max: usize,
    ) -> Result<Vec<u8>, WebSocketError> {
        if !self.inflates_anew {
            return inflate(own.get_or_insert_with(|| Box::new(Decompress::new(false))), compressed, max);
        }
        with_shared(|shared| {
            let context = shared.inflate.get_or_insert_with(|| Decompress::new(false));
            let message = inflate(context, compressed, max);
            context.reset(false);
            message
        })
    }
}

fn deflate(context: &mut Compress, message: &[u8], to: &mut Vec<u8>) {
    if message.is_empty() {
        // An empty block (section 7.2.3.6): a compressor that has been flushed has nothing more to flush.
        return to.push(0);
    }
    let before = context.total_in();
    to.reserve(message.len() / 2 + 64);
    loop {
        let taken = (context.total_in() - before) as usize;
        // It fails only for a stream that has been finished, and no stream is.
        let _ = context.compress_vec(&message[taken..], to, FlushCompress::Sync);
        let all = context.total_in() - before == message.len() as u64;
        if all && to.len() < to.capacity() {
            break;
        }
        to.reserve(to.len().max(256));
    }
    if to.ends_with(&TAIL) {
        to.truncate(to.len() - TAIL.len());
    }
}

fn inflate(context: &mut Decompress, compressed: &[u8], max: usize) -> Result<Vec<u8>, WebSocketError> {
    let mut message = Vec::with_capacity((4 * compressed.len()).clamp(64, 64 * 1024).min(max + 1));
    for part in [compressed, &TAIL] {
        let before = context.total_in();
        loop {
            let taken = (context.total_in() - before) as usize;
            let (length, read) = (message.len(), context.total_in());
            let status = context.decompress_vec(&part[taken..], &mut message, FlushDecompress::Sync);
            let status = status.map_err(|_| WebSocketError::Frame("expected deflated data, found something else"))?;
            if message.len() > max {
                return Err(WebSocketError::MessageTooLong { max });
            }
            if status == Status::StreamEnd {
                // A sender may end its stream (section 7.2.3.4); the next message begins another.
                context.reset(false);
                return Ok(message);
            }
            let all = context.total_in() - before == part.len() as u64;
            if message.len() < message.capacity() {
                if all {
                    break;
                }
                if message.len() == length && context.total_in() == read {
                    return Err(WebSocketError::Frame("expected deflated data, found something else"));
                }
            } else {
                message.reserve(message.len().min(max + 1 - message.len()).max(1));
            }
        }
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(deflate: &Deflate, offers: &str) -> Option<(Negotiated, String)> {
        extensions(offers).find_map(|offer| deflate.accept(&offer.unwrap()))
    }

    fn both(keeps: bool) -> (Negotiated, Negotiated) {
        let deflate = if keeps { Deflate::default().keep_contexts() } else { Deflate::default() };
        let (server, answer) = accepted(&deflate, &deflate.offer()).unwrap();
        (server, deflate.confirm(&answer).unwrap())
    }

    #[test]
    fn messages_come_back_with_and_without_contexts() {
        for keeps in [false, true] {
            let (server, client) = both(keeps);
            let (mut deflater, mut inflater) = (None, None);
            let mut lengths = Vec::new();
            for length in [0, 1, 100, 100, 70_000, 1_000_000, 3] {
                let message: Vec<u8> = (0..length).map(|i| (i * i / 7) as u8).collect();
                let mut compressed = Vec::new();
                server.deflate(&message, &mut deflater, &mut compressed);
                assert!(!compressed.ends_with(&TAIL));
                assert!(client.inflate(&compressed, &mut inflater, length).unwrap() == message, "{length}");
                lengths.push(compressed.len());
            }
            assert_eq!(lengths[2] > lengths[3], keeps, "what was said before is said shorter");
        }
    }

    #[test]
    fn every_window_and_every_length_come_back() {
        for (keeps, bits) in (9..=15).flat_map(|bits| [(false, bits), (true, bits)]) {
            let deflate = Deflate::default().window_bits(bits);
            let deflate = if keeps { deflate.keep_contexts() } else { deflate };
            let (server, answer) = accepted(&deflate, &deflate.offer()).unwrap();
            let client = deflate.confirm(&answer).unwrap();
            let (mut deflater, mut inflater, mut x) = (None, None, 1_u64);
            for length in [0, 0, 9, 10, 1_000, 0, 60_000, 9].repeat(3) {
                let noise = |_| {
                    x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (x >> 60) as u8
                };
                let message: Vec<u8> = (0..length).map(noise).collect();
                let mut compressed = Vec::new();
                server.deflate(&message, &mut deflater, &mut compressed);
                let back = client.inflate(&compressed, &mut inflater, 1 << 20);
                assert!(back.as_ref() == Ok(&message), "keeps {keeps}, bits {bits}, length {length}");
            }
        }
    }

    #[test]
    fn a_bomb_goes_off_within_its_limit() {
        let (server, client) = both(false);
        let mut compressed = Vec::new();
        server.deflate(&vec![0; 10_000_000], &mut None, &mut compressed);
        assert!(compressed.len() < 200_000, "{}", compressed.len());
        for max in [0, 100, 1 << 20, 9_999_999] {
            assert_eq!(client.inflate(&compressed, &mut None, max), Err(WebSocketError::MessageTooLong { max }));
        }
        assert_eq!(client.inflate(&compressed, &mut None, 10_000_000).unwrap().len(), 10_000_000);
        assert!(matches!(client.inflate(b"\xff\xff\xff", &mut None, 100), Err(WebSocketError::Frame(_))));
        // It is as good as new after either.
        assert_eq!(client.inflate(&compressed, &mut None, 10_000_000).unwrap().len(), 10_000_000);
    }

    #[test]
    fn offers_are_met_or_declined_as_the_rfc_says() {
        let deflate = Deflate::default().keep_contexts();
        let accept = |offers: &str| accepted(&deflate, offers).map(|(_, answer)| answer);
        let answer = |answer: &str| Some(format!("permessage-deflate{answer}"));
        assert_eq!(accept("permessage-deflate"), answer(""));
        assert_eq!(accept("permessage-deflate; client_max_window_bits"), answer(""));
        assert_eq!(
            accept("other, permessage-deflate;server_no_context_takeover"),
            answer("; server_no_context_takeover")
        );
        assert_eq!(accept("permessage-deflate; server_max_window_bits=10"), answer("; server_max_window_bits=10"));
        assert_eq!(accept("permessage-deflate; server_max_window_bits=\"12\""), answer("; server_max_window_bits=12"));
        assert_eq!(
            accept(r#"permessage-deflate;server_max_window_bits = "1\2""#),
            answer("; server_max_window_bits=12")
        );
        assert_eq!(accept("permessage-deflate; server_max_window_bits=8, permessage-deflate"), answer(""));
        for wrong in [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflate; unknown",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        ] {
            assert_eq!(accept(wrong), None, "{wrong}");
        }
        // Who keeps no contexts takes no answer that keeps them.
        assert_eq!(Deflate::default().confirm("permessage-deflate"), None);
    }
}
