//! What a client listens to.

use super::channels::{Feed, Kind, Message};
use super::client::Owner;
use super::wire::Wire;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;

/// The messages of a channel, or of all channels that match a pattern: [`Redis::subscribe`](super::Redis::subscribe),
/// [`Redis::psubscribe`](super::Redis::psubscribe). It ends when it is dropped.
///
/// A Redis keeps no messages: what is published while the connection is made again is not received. And a reader that is too slow
/// loses the oldest ones: no more than 1,024 wait for it, unless the configuration says otherwise, and no more than 4 MiB. Both can be
/// told, by [`gaps`](Subscription::gaps) and by [`missed`](Subscription::missed).
pub struct Subscription {
    feed: Rc<Feed>,
    wire: Rc<Wire>,
    kind: Kind,
    name: Box<[u8]>,
    _owner: Rc<Owner>,
}

impl Subscription {
    pub(super) fn new(owner: Rc<Owner>, wire: Rc<Wire>, kind: Kind, name: &[u8]) -> Subscription {
        let most = wire.config.max_messages;
        let feed = wire.channels.as_ref().expect("a connection that listens").add(kind, name, most);
        Subscription { feed, wire, kind, name: name.into(), _owner: owner }
    }

    /// The next message; `None` when none will come, because the client has ended.
    ///
    /// # Cancel safety
    /// Safe: a message is taken when it is returned.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| self.feed.poll(cx)).await
    }

    /// How many messages were thrown away since this was asked last, because the reader was too slow.
    pub fn missed(&mut self) -> u64 {
        self.feed.missed.take()
    }

    /// How many times the subscription was renewed since this was asked last: messages may have been published in between.
    pub fn gaps(&mut self) -> u64 {
        self.feed.gaps.take()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let channels = self.wire.channels.as_ref();
        if channels.is_some_and(|channels| channels.remove(self.kind, &self.name, &self.feed)) {
            self.wire.send_and_forget(&[self.kind.unsubscribe(), &self.name]);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("kind", &self.kind)
            .field("name", &self.name.escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}
