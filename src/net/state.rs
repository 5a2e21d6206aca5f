//! What is the case for a port, as named bits.

use std::cell::Cell;

/// A set of facts about a port.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flag(u32);

impl Flag {
    /// The socket may have bytes that were not read. Edges are not repeated, so this remembers them.
    pub(crate) const READABLE: Flag = Flag(1);
    /// Read until the socket would block: a short read might stop before the end of the stream, or before an urgent byte or
    /// a descriptor that came with the bytes.
    pub(crate) const READ_ON: Flag = Flag(1 << 1);
    /// The end of the peer's stream has been read.
    pub(crate) const ENDED: Flag = Flag(1 << 2);
    /// The last write found the socket full; an edge will come.
    pub(crate) const BLOCKED: Flag = Flag(1 << 3);
    /// A frame in the ring is lent, so nothing is read.
    pub(crate) const LENT: Flag = Flag(1 << 4);
    /// The user wants nothing read.
    pub(crate) const PAUSED: Flag = Flag(1 << 5);
    /// What arrives is thrown away: the connection is closing.
    pub(crate) const DISCARD: Flag = Flag(1 << 6);
    /// Something has happened that the reader has not seen: input, an end, a request below.
    pub(crate) const NEWS: Flag = Flag(1 << 7);
    /// In the reactor's list of sources to look at again.
    pub(crate) const AGAIN: Flag = Flag(1 << 8);
    /// In the reactor's list of sources to flush.
    pub(crate) const UNFLUSHED: Flag = Flag(1 << 9);
    /// Asked for by the handler or a handle: handle no further message, deliver, close.
    pub(crate) const CLOSE: Flag = Flag(1 << 11);
    /// Asked for by the server: handle what has been received, deliver, close.
    pub(crate) const STOP: Flag = Flag(1 << 12);
    /// Asked for: drop everything and close now.
    pub(crate) const ABORT: Flag = Flag(1 << 13);
    /// Asked for by a handle: call `on_wake`.
    pub(crate) const WAKE: Flag = Flag(1 << 14);
    /// Nothing can be sent any more.
    pub(crate) const SHUT: Flag = Flag(1 << 15);

    /// Asked for by the handler: give the socket to somebody else.
    pub(crate) const DETACH: Flag = Flag(1 << 16);
    /// The reader waits for news, so no method of the handler runs.
    pub(crate) const WAITING: Flag = Flag(1 << 17);
    /// There are time limits.
    pub(crate) const TIMED: Flag = Flag(1 << 18);
    /// The first message has not come, and there is a time limit for it.
    pub(crate) const UNSPOKEN: Flag = Flag(1 << 19);
    /// Somebody wants to be told of writes.
    pub(crate) const WATCHED: Flag = Flag(1 << 20);

    /// A message has begun that has not ended, and there is a time limit for it.
    pub(crate) const BEGUN: Flag = Flag(1 << 22);
    /// The protocol can ask a peer that is quiet for a sign of life.
    pub(crate) const PINGS: Flag = Flag(1 << 23);
    /// The peer has been quiet for so long that it is to be asked for one.
    pub(crate) const QUIET: Flag = Flag(1 << 24);
    /// It was asked, and has said nothing since.
    pub(crate) const ASKED: Flag = Flag(1 << 25);

    /// A part of the queue is on its way that has shared bytes: what is sent now stands behind it.
    pub(crate) const FLUSHING: Flag = Flag(1 << 26);
    /// A listener has accepted it, and its first message has not come: a server that stops waits a moment for that.
    pub(crate) const FRESH: Flag = Flag(1 << 28);

    /// Something is to be done when the encoder is free.
    pub(crate) const DEFERRED: Flag = Flag(1 << 27);
    /// Asked for by the handler: another codec, or another handler as well.
    pub(crate) const CHANGE: Flag = Flag(1 << 10);
    /// While there is a time limit for the first message: the last frame was no message.
    pub(crate) const WORDLESS: Flag = Flag(1 << 29);
    /// The last look at the socket was for an event, and not for more of what an earlier look has left.
    pub(crate) const BY_EVENT: Flag = Flag(1 << 31);

    /// The last message that the protocol allows is queued: nothing may follow it.
    pub(crate) const LAST: Flag = Flag(1 << 30);
    /// Something goes past the queue, which is not written until that is over.
    pub(crate) const HELD: Flag = Flag(1 << 21);

    pub(crate) const NONE: Flag = Flag(0);

    pub(crate) fn with(self, other: Flag, on: bool) -> Flag {
        if on { self.or(other) } else { self }
    }

    pub(crate) const fn or(self, other: Flag) -> Flag {
        Flag(self.0 | other.0)
    }
}

/// The facts as they are now.
pub(super) struct State(Cell<u32>);

impl State {
    pub(super) fn new(flags: Flag) -> State {
        State(Cell::new(flags.0))
    }

    /// Whether any of `flags` is set.
    #[inline]
    pub(super) fn has(&self, flags: Flag) -> bool {
        self.0.get() & flags.0 != 0
    }

    #[inline]
    pub(super) fn set(&self, flags: Flag) {
        self.0.set(self.0.get() | flags.0);
    }

    #[inline]
    pub(super) fn clear(&self, flags: Flag) {
        self.0.set(self.0.get() & !flags.0);
    }

    /// Clears `flags` and says whether any of them was set.
    #[inline]
    pub(super) fn take(&self, flags: Flag) -> bool {
        let was = self.has(flags);
        self.clear(flags);
        was
    }
}
