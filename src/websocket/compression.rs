//! Messages as they are compressed: RFC 7692, section 7.2.

use super::WebSocketError;
use super::deflate::NARROWEST;
use crate::runtime::with_current;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::cell::RefCell;

/// What a compressor ends a flush with; it is left out on the way (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Where a core keeps what its connections share.
const SHARED: u64 = u64::MAX;

/// What both ends have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    /// What is sent, and what is received, is compressed without regard to messages before.
    pub(super) deflates_anew: bool,
    pub(super) inflates_anew: bool,
    /// The windows of what is sent, and of what is received.
    pub(super) bits: u8,
    pub(super) peer_bits: u8,
    pub(super) level: u8,
    pub(super) threshold: u32,
}

/// The contexts of the connections of one core that keep none of their own.
#[derive(Default)]
struct Shared {
    deflate: Vec<((u8, u8), Compress)>,
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
    /// Whether a message of this length is compressed. `said` is what its sender has said about that. Where the peer's window is
    /// one that no compressor keeps to, nothing is: a message may always go plain (section 6).
    #[inline]
    pub(super) fn is_for(&self, length: usize, said: Option<bool>) -> bool {
        self.bits >= NARROWEST && said.unwrap_or(length >= self.threshold as usize)
    }

    /// Compresses a fragment of a message, whose context is kept to its end at least.
    pub(super) fn deflate_fragment(
        &self,
        fragment: &[u8],
        is_last: bool,
        own: &mut Option<Box<Compress>>,
        to: &mut Vec<u8>,
    ) {
        deflate(own.get_or_insert_with(|| Box::new(self.compressor())), fragment, is_last, to);
        if is_last && self.deflates_anew {
            *own = None;
        }
    }

    fn compressor(&self) -> Compress {
        Compress::new_with_window_bits(Compression::new(self.level.into()), false, self.bits)
    }

    /// Compresses a message behind what is in `to`. `own` is the connection's context, if it keeps one.
    pub(super) fn deflate(&self, message: &[u8], own: &mut Option<Box<Compress>>, to: &mut Vec<u8>) {
        if !self.deflates_anew {
            return deflate(own.get_or_insert_with(|| Box::new(self.compressor())), message, true, to);
        }
        with_shared(|shared| {
            let wanted = (self.level, self.bits);
            let at = shared.deflate.iter().position(|(made, _)| *made == wanted).unwrap_or_else(|| {
                shared.deflate.push((wanted, self.compressor()));
                shared.deflate.len() - 1
            });
            let context = &mut shared.deflate[at].1;
            deflate(context, message, true, to);
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
            let bits = self.peer_bits.max(NARROWEST);
            return inflate(
                own.get_or_insert_with(|| Box::new(Decompress::new_with_window_bits(false, bits))),
                compressed,
                max,
            );
        }
        with_shared(|shared| {
            let context = shared.inflate.get_or_insert_with(|| Decompress::new(false));
            let message = inflate(context, compressed, max);
            context.reset(false);
            message
        })
    }
}

/// Compresses what comes next of a message. The end of it goes without its tail.
fn deflate(context: &mut Compress, part: &[u8], is_last: bool, to: &mut Vec<u8>) {
    if part.is_empty() {
        // An empty block (section 7.2.3.6): a compressor that has been flushed has nothing more to flush.
        if is_last {
            to.push(0);
        }
        return;
    }
    let before = context.total_in();
    to.reserve(part.len() / 2 + 64);
    loop {
        let taken = (context.total_in() - before) as usize;
        // It fails only for a stream that has been finished, and no stream is.
        let _ = context.compress_vec(&part[taken..], to, FlushCompress::Sync);
        let all = context.total_in() - before == part.len() as u64;
        if all && to.len() < to.capacity() {
            break;
        }
        to.reserve(to.len().max(256));
    }
    if is_last && to.ends_with(&TAIL) {
        to.truncate(to.len() - TAIL.len());
    }
}

fn inflate(context: &mut Decompress, compressed: &[u8], max: usize) -> Result<Vec<u8>, WebSocketError> {
    let mut message = Vec::with_capacity((4 * compressed.len()).clamp(64, 64 * 1024).min(max + 1));
    let mut rest = compressed;
    // A sender may end its stream within a message (section 7.2.3.4). What stands behind the end is another, or nothing.
    while inflate_part(context, &mut rest, max, &mut message)? {
        context.reset(false);
        if rest.is_empty() {
            return Ok(message);
        }
    }
    let length = message.len();
    if inflate_part(context, &mut &TAIL[..], max, &mut message)? {
        context.reset(false);
    }
    // The tail stands behind the last block. Where it is taken for data, a block is not whole.
    if message.len() == length { Ok(message) } else { Err(WebSocketError::NotDeflated) }
}

/// Inflates `rest`, and says whether the stream has ended within it.
fn inflate_part(
    context: &mut Decompress,
    rest: &mut &[u8],
    max: usize,
    message: &mut Vec<u8>,
) -> Result<bool, WebSocketError> {
    loop {
        let (length, read) = (message.len(), context.total_in());
        let status = context.decompress_vec(rest, message, FlushDecompress::Sync);
        let status = status.map_err(|_| WebSocketError::NotDeflated)?;
        let taken = (context.total_in() - read) as usize;
        *rest = &rest[taken..];
        if message.len() > max {
            return Err(WebSocketError::MessageTooLong { max });
        }
        if status == Status::StreamEnd {
            return Ok(true);
        }
        if message.len() == message.capacity() {
            message.reserve(message.len().min(max + 1 - message.len()).max(1));
        } else if rest.is_empty() {
            return Ok(false);
        } else if message.len() == length && taken == 0 {
            return Err(WebSocketError::NotDeflated);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::Deflate;
    use crate::websocket::extensions::extensions;

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
        assert_eq!(client.inflate(b"\xff\xff\xff", &mut None, 100), Err(WebSocketError::NotDeflated));
        // It is as good as new after either.
        assert_eq!(client.inflate(&compressed, &mut None, 10_000_000).unwrap().len(), 10_000_000);
    }

    #[test]
    fn a_peer_with_the_smallest_window_is_sent_plain_messages() {
        let negotiated = Deflate::default()
            .threshold(0)
            .confirm("permessage-deflate; server_no_context_takeover; client_max_window_bits=8");
        assert!(!negotiated.unwrap().is_for(1_000_000, Some(true)));
    }

    #[test]
    fn a_message_may_end_its_stream_and_begin_another() {
        let (_, client) = both(false);
        // The RFC's own examples (sections 7.2.3.4 and 7.2.3.5).
        let ended = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
        assert_eq!(client.inflate(ended, &mut None, 5).unwrap(), b"Hello");
        let two_blocks = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
        assert_eq!(client.inflate(two_blocks, &mut None, 5).unwrap(), b"Hello");
        let twice = [&ended[..7], &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..]].concat();
        assert_eq!(client.inflate(&twice, &mut None, 10).unwrap(), b"HelloHello");
        assert_eq!(client.inflate(&twice, &mut None, 9), Err(WebSocketError::MessageTooLong { max: 9 }));
    }
}
