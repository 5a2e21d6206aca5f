//! A group on one core, as other threads see it.
//!
//! What they send waits in a queue of the group's own. The first of it puts a letter into the mail of the core; what is sent
//! until that is opened joins it. So a burst of messages wakes the core once, and each member is written to once.

use crate::codec::Encoded;
use crate::connection::ConnectionId;
use crate::limits;
use crate::runtime::{Core, OneshotSender, Remote};
use crate::slots::Key;
use concurrent_queue::ConcurrentQueue;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

/// What the members of one core are sent, or become. All of it takes the same queue, so that what one thread does is done in
/// its order.
pub(super) enum Work {
    /// To every member.
    Message(Message),
    /// To all but one.
    Except(Encoded, ConnectionId),
    /// To every member, with an answer.
    Send(Encoded, OneshotSender<usize>),
    /// The connection of this key joins.
    Join(Key),
    /// It leaves.
    Leave(Key),
}

/// One message, or several that were joined.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) encoded: Encoded,
    pub(super) count: usize,
}

impl Message {
    pub(super) fn join(mut messages: Vec<Message>) -> Message {
        if messages.len() == 1 {
            return messages.remove(0);
        }
        let count = messages.iter().map(|message| message.count).sum();
        let encoded: Vec<Encoded> = messages.into_iter().map(|message| message.encoded).collect();
        Message { encoded: Encoded::join(&encoded), count }
    }
}

impl Work {
    pub(super) fn message(encoded: Encoded) -> Work {
        Work::Message(Message { encoded, count: 1 })
    }

    pub(super) fn into_message(self) -> Option<Message> {
        match self {
            Work::Message(message) => Some(message),
            _ => None,
        }
    }

    /// The bytes that it holds in memory.
    pub(super) fn cost(&self) -> usize {
        let encoded = match self {
            Work::Message(message) => Some(&message.encoded),
            Work::Except(encoded, _) | Work::Send(encoded, _) => Some(encoded),
            Work::Join(_) | Work::Leave(_) => None,
        };
        let bytes =
            encoded.map_or(0, |encoded| encoded.plain.len() + encoded.compact.as_ref().map_or(0, |it| it.len()));
        limits::GROUP_MESSAGE + bytes
    }
}

pub(super) struct Site {
    pub(super) remote: Remote,
    /// How many members the core has.
    pub(super) members: AtomicUsize,
    queue: ConcurrentQueue<Work>,
    /// What the queue holds.
    bytes: AtomicUsize,
    /// Whether a letter is under way, after which the core looks into the queue.
    mailed: AtomicBool,
}

impl Site {
    pub(super) fn new(remote: Remote) -> Site {
        let queue = ConcurrentQueue::unbounded();
        Site { remote, members: 0.into(), queue, bytes: 0.into(), mailed: false.into() }
    }

    /// Whether so much is under way that no more may be.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.load(Relaxed) >= limits::GROUP_IN_FLIGHT && !self.queue.is_closed()
    }

    /// Has `work` done on the core, which calls `open` for that in its next turn. Says whether the core is still there.
    pub(super) fn send(self: &Arc<Self>, work: Work, open: impl FnOnce(&Rc<Core>) + Send + 'static) -> bool {
        let cost = work.cost();
        self.bytes.fetch_add(cost, Relaxed);
        if self.queue.push(work).is_err() {
            return false;
        }
        if self.mailed.swap(true, SeqCst) {
            return true;
        }
        let letter = Letter { site: self.clone(), opened: false };
        self.remote.run(move |core| {
            letter.open();
            open(core);
        })
    }

    /// Takes out what is queued; for the core alone.
    pub(super) fn take_in(&self, mut take: impl FnMut(Work)) {
        // First, so that what comes behind the last one sends a letter of its own.
        self.mailed.store(false, SeqCst);
        for _ in 0..self.queue.len() {
            let Ok(work) = self.queue.pop() else { return };
            self.bytes.fetch_sub(work.cost(), Relaxed);
            take(work);
        }
    }

    /// Nothing is taken out any more: what waits is dropped, and nothing new gets in.
    pub(super) fn end(&self) {
        self.queue.close();
        while let Ok(work) = self.queue.pop() {
            drop(work);
        }
    }
}

/// Word to a core that the queue is not empty. A core that ends does not open it.
struct Letter {
    site: Arc<Site>,
    opened: bool,
}

impl Letter {
    fn open(mut self) {
        self.opened = true;
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        if !self.opened {
            self.site.end();
        }
    }
}
