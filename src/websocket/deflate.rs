//! Whether messages are compressed, and how: RFC 7692, "permessage-deflate".

use super::compression::Negotiated;
use super::extensions::{Extension, extensions};
use crate::limits;

const NAME: &str = "permessage-deflate";
/// The windows that compressors can keep to, in bits. The RFC knows one of 8 bits, too, which the zlib format's do not.
pub(super) const NARROWEST: u8 = 9;
pub(super) const WIDEST: u8 = 15;

/// Compresses messages, if the peer knows how to: see [`WebSocket::compress`](super::WebSocket::compress).
///
/// Unless contexts are kept, connections of one core share a compressor and a decompressor, so that an idle connection
/// costs nothing for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deflate {
    level: u8,
    threshold: u32,
    /// Between the messages that are sent, and those that are received.
    keeps_sent: bool,
    keeps_received: bool,
    window_bits: u8,
    peer_window_bits: u8,
}

impl Default for Deflate {
    fn default() -> Deflate {
        Deflate {
            level: 1,
            threshold: limits::WEBSOCKET_COMPRESSED as u32,
            keeps_sent: false,
            keeps_received: false,
            window_bits: WIDEST,
            peer_window_bits: WIDEST,
        }
    }
}

impl Deflate {
    /// How hard to try, from 1 to 9. Default: 1, because most of what there is to gain is gained there, and each more costs
    /// processor time.
    pub fn level(mut self, level: u32) -> Deflate {
        self.level = level.clamp(1, 9) as u8;
        self
    }

    /// Messages of fewer bytes go plain. Default: 1 KiB. An [`Outgoing`](super::Outgoing) message can say otherwise.
    pub fn threshold(mut self, bytes: usize) -> Deflate {
        self.threshold = u32::try_from(bytes).unwrap_or(u32::MAX);
        self
    }

    /// Keeps what one message has taught for the next ones, where the peer does too ("context takeover"), in both directions.
    /// Default: no. Small messages that are like each other get much smaller; each connection costs up to 300 KiB.
    pub fn keep_contexts(self) -> Deflate {
        self.keep_sending_context().keep_receiving_context()
    }

    /// Keeps the context of the messages that are sent, and none of those that are received: the peer is told to compress each of its
    /// messages by itself.
    pub fn keep_sending_context(mut self) -> Deflate {
        self.keeps_sent = true;
        self
    }

    /// Keeps the context of the messages that are received, and none of those that are sent. It costs a connection its window, and
    /// 12 KiB.
    pub fn keep_receiving_context(mut self) -> Deflate {
        self.keeps_received = true;
        self
    }

    /// How far back this side's compressor looks: 2 to the power of this, from 9 to 15. Default: 15, which is 32 KiB.
    pub fn window_bits(mut self, bits: u8) -> Deflate {
        self.window_bits = bits.clamp(NARROWEST, WIDEST);
        self
    }

    /// How far back the peer's compressor may look, from 9 to 15: what a receiving context takes. Default: 15. A client demands it
    /// of its server (`server_max_window_bits`). A server demands it of those clients that offer it (`client_max_window_bits`).
    pub fn peer_window_bits(mut self, bits: u8) -> Deflate {
        self.peer_window_bits = bits.clamp(NARROWEST, WIDEST);
        self
    }

    /// For messages that many are sent, each of whom knows no other.
    pub(super) fn for_groups(&self) -> Negotiated {
        let (bits, peer_bits, level, threshold) = (self.window_bits, WIDEST, self.level, self.threshold);
        Negotiated { deflates_anew: true, inflates_anew: true, bits, peer_bits, level, threshold }
    }

    pub(super) fn bits(&self) -> u8 {
        self.window_bits
    }

    /// What a client asks for.
    pub(super) fn offer(&self) -> String {
        let mut offer = format!("{NAME}; client_max_window_bits");
        if self.peer_window_bits < WIDEST {
            offer += &format!("; server_max_window_bits={}", self.peer_window_bits);
        }
        if !self.keeps_received {
            offer += "; server_no_context_takeover";
        }
        if !self.keeps_sent {
            offer += "; client_no_context_takeover";
        }
        offer
    }

    /// The answer to an offer of a client, if it can be met.
    pub(super) fn accept(&self, offer: &Extension<'_>) -> Option<(Negotiated, String)> {
        self.accept_one(&Parameters::of(offer)?)
    }

    fn accept_one(&self, offer: &Parameters) -> Option<(Negotiated, String)> {
        let bits = offer.server_bits.unwrap_or(WIDEST).min(self.window_bits);
        // A window of 256 bytes is one that no compressor of today can keep to.
        if bits < NARROWEST || offer.has_bare_server_bits {
            return None;
        }
        let deflates_anew = offer.server_anew || !self.keeps_sent;
        let inflates_anew = offer.client_anew || !self.keeps_received;
        let mut answer = NAME.to_owned();
        if deflates_anew {
            answer += "; server_no_context_takeover";
        }
        if inflates_anew {
            answer += "; client_no_context_takeover";
        }
        if bits < WIDEST || offer.server_bits.is_some() {
            answer += &format!("; server_max_window_bits={bits}");
        }
        // A client that has not said so cannot be told (section 7.1.2.2). One that has keeps to its own number in any case.
        let can_be_told = offer.has_bare_client_bits || offer.client_bits.is_some();
        let offered = offer.client_bits.unwrap_or(WIDEST);
        if can_be_told && self.peer_window_bits < offered {
            answer += &format!("; client_max_window_bits={}", self.peer_window_bits);
        }
        let peer_bits = if can_be_told { offered.min(self.peer_window_bits) } else { WIDEST };
        let (level, threshold) = (self.level, self.threshold);
        Some((Negotiated { deflates_anew, inflates_anew, bits, peer_bits, level, threshold }, answer))
    }

    /// What a server's answer to [`Deflate::offer`] means, if it is one.
    pub(super) fn confirm(&self, answer: &str) -> Option<Negotiated> {
        let mut answers = extensions(answer);
        let (Some(Ok(answer)), None) = (answers.next(), answers.next()) else { return None };
        let answer = Parameters::of(&answer)?;
        let (bits, peer_bits) =
            (answer.client_bits.unwrap_or(WIDEST).min(self.window_bits), answer.server_bits.unwrap_or(WIDEST));
        let is_unasked = !self.keeps_received && !answer.server_anew || peer_bits > self.peer_window_bits;
        if is_unasked || answer.has_bare_server_bits || answer.has_bare_client_bits {
            return None;
        }
        let deflates_anew = answer.client_anew || !self.keeps_sent;
        let (inflates_anew, level, threshold) = (answer.server_anew, self.level, self.threshold);
        Some(Negotiated { deflates_anew, inflates_anew, bits, peer_bits, level, threshold })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(deflate: &Deflate, offers: &str) -> Option<(Negotiated, String)> {
        extensions(offers).find_map(|offer| deflate.accept(&offer.unwrap()))
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
    }

    #[test]
    fn windows_of_both_sides_are_agreed_on_where_they_can_be() {
        let narrow = Deflate::default().keep_contexts().window_bits(12).peer_window_bits(10);
        for (offer, answer) in [
            ("", "; server_max_window_bits=12"),
            ("; client_max_window_bits", "; server_max_window_bits=12; client_max_window_bits=10"),
            ("; client_max_window_bits=13", "; server_max_window_bits=12; client_max_window_bits=10"),
            ("; client_max_window_bits=9", "; server_max_window_bits=12"),
            ("; client_max_window_bits=8", "; server_max_window_bits=12"),
            ("; server_max_window_bits=15", "; server_max_window_bits=12"),
            ("; server_max_window_bits=9", "; server_max_window_bits=9"),
        ] {
            let (_, found) = accepted(&narrow, &format!("{NAME}{offer}")).unwrap();
            assert_eq!(found, format!("{NAME}{answer}"), "{offer}");
        }
    }

    #[test]
    fn contexts_are_agreed_on_for_each_direction() {
        let (none, both) = (Deflate::default(), Deflate::default().keep_contexts());
        let (sending, receiving) =
            (Deflate::default().keep_sending_context(), Deflate::default().keep_receiving_context());
        let (server, client) = ("; server_no_context_takeover", "; client_no_context_takeover");
        for (deflate, offer, answer) in [
            (&none, "", [server, client].concat()),
            (&both, "", String::new()),
            (&sending, "", client.to_owned()),
            (&receiving, "", server.to_owned()),
            (&both, server, server.to_owned()),
            (&both, client, client.to_owned()),
            (&receiving, client, [server, client].concat()),
        ] {
            let (_, found) = accepted(deflate, &format!("{NAME}{offer}")).unwrap();
            assert_eq!(found, format!("{NAME}{answer}"), "{deflate:?}, {offer}");
        }
        let offers = [&none, &both, &sending, &receiving].map(|deflate| deflate.offer().replace(NAME, ""));
        let bits = "; client_max_window_bits";
        assert_eq!(
            offers,
            [format!("{bits}{server}{client}"), bits.to_owned(), format!("{bits}{server}"), format!("{bits}{client}")]
        );
    }

    #[test]
    fn answers_that_were_not_asked_for_are_refused() {
        // Who keeps no contexts takes no answer that keeps them.
        assert_eq!(Deflate::default().confirm(NAME), None);
        let narrow = Deflate::default().keep_contexts().peer_window_bits(10);
        assert!(narrow.offer().contains("; server_max_window_bits=10"));
        let confirms = |answer: &str| narrow.confirm(&format!("{NAME}{answer}")).is_some();
        assert!(confirms("; server_max_window_bits=10") && confirms("; server_max_window_bits=9"));
        for wrong in ["", "; server_max_window_bits=11", "; server_max_window_bits", ", other", ";"] {
            assert!(!confirms(wrong), "{wrong}");
        }
    }
}
