//! Where messages begin and end, for the time limits that they have.

use super::Handler;
use super::drive::Session;
use crate::codec::{Busy, Decoder};
use crate::net::Flag;

impl<H: Handler> Session<H> {
    /// What keeps the connection from reading on. Where nothing can be sent any more, no answer can come, and only the peer is
    /// waited for.
    pub(super) fn busy(&self) -> Busy {
        if self.port().has(Flag::SHUT) { Busy::Free } else { self.decoder.busy() }
    }

    /// A message has begun if a part of a frame waits, or if the last frame was a part of a message.
    #[inline(never)]
    pub(super) fn look_for_begun_message(&mut self) {
        let busy = self.busy();
        let is_awaited = busy == Busy::Free && !self.port().has(Flag::PAUSED);
        let has_begun = is_awaited && (self.port().unhandled() > 0 || !self.decoder.may_end());
        if has_begun {
            self.port().message_has_begun();
        }
        // A connection that is accepted begins with its first message.
        let is_stepping = has_begun || is_awaited && self.port().has(Flag::FRESH);
        self.port().waits_for(busy, if is_stepping { self.decoder.step() } else { None });
    }

    /// Looks at which time limits the last frame has put an end to, if any of it was claimed: a message that is left where
    /// it is has not ended.
    #[cold]
    pub(super) fn frame_has_ended(&mut self, is_claimed: bool) {
        let was_message = !self.port().take(Flag::WORDLESS);
        if self.port().has(Flag::UNSPOKEN.or(Flag::FRESH)) && was_message && is_claimed {
            self.port().has_spoken();
        }
        if self.port().has(Flag::BEGUN) && is_claimed && self.decoder.may_end() {
            self.port().message_is_over();
        }
    }
}
