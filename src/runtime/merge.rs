//! Requests to a core that are made again before the core has seen the first one.
//!
//! A request is a letter in the core's mailbox. It is not sent again while the same request is the last thing that was sent:
//! the letter on its way does for both. Anything sent in between ends that, because the later request must not be done
//! before it.
//!
//! ```text
//!   a request                            anything else             the core, before it does a request
//!   if swap(last, kind) != kind: push    push                      if last == kind: last = none
//!                                        last = none
//! ```
//!
//! `last` is written before a request is pushed, so that the core, which clears it, finds it written. It is cleared after
//! anything else is pushed, so that no request merges into a letter that stands before that.

use super::sync::{AtomicU32, SeqCst};

/// Which request is the last thing that was sent to one receiver, if it is one.
#[derive(Default)]
pub(crate) struct Merge {
    last: AtomicU32,
}

impl Merge {
    const NONE: u32 = 0;

    /// Says whether a letter must be sent for the request `kind`, which is not 0.
    pub(crate) fn ask(&self, kind: u32) -> bool {
        debug_assert_ne!(kind, Merge::NONE);
        self.last.swap(kind, SeqCst) != kind
    }

    /// Something else has been sent: what is asked for from here on stands behind it.
    #[inline]
    pub(crate) fn separate(&self) {
        // A swap, not a store: the core, when it reads this, sees what those wrote that asked before.
        if self.last.load(SeqCst) != Merge::NONE {
            self.last.swap(Merge::NONE, SeqCst);
        }
    }

    /// The core is about to do the request `kind`: who asks for it from here on needs another letter.
    pub(crate) fn opened(&self, kind: u32) {
        let _ = self.last.compare_exchange(kind, Merge::NONE, SeqCst, SeqCst);
    }
}

#[cfg(all(test, tiderace_loom))]
mod models {
    use super::super::sync::{AtomicU32, Queue, SeqCst};
    use super::Merge;
    use loom::sync::Arc;
    use loom::thread;

    const MESSAGE: u32 = 0;
    const WAKE: u32 = 1;
    const CLOSE: u32 = 2;

    struct Shared {
        mail: Queue<u32>,
        merge: Merge,
        /// What a sender puts down before it asks to be looked at.
        put_down: AtomicU32,
    }

    impl Shared {
        fn new() -> Arc<Shared> {
            Arc::new(Shared { mail: Queue::unbounded(), merge: Merge::default(), put_down: AtomicU32::new(0) })
        }

        fn send(&self) {
            self.mail.push(MESSAGE).unwrap();
            self.merge.separate();
        }

        fn ask(&self, kind: u32) {
            if self.merge.ask(kind) {
                self.mail.push(kind).unwrap();
            }
        }

        /// The next letter, as the core opens it.
        fn open(&self) -> Option<u32> {
            let kind = self.mail.pop().ok()?;
            if kind != MESSAGE {
                self.merge.opened(kind);
            }
            Some(kind)
        }
    }

    #[test]
    fn a_request_that_merges_is_seen_with_what_was_put_down_for_it() {
        loom::model(|| {
            let shared = Shared::new();
            let senders = [(); 2].map(|()| {
                let shared = shared.clone();
                thread::spawn(move || {
                    shared.put_down.fetch_add(1, SeqCst);
                    shared.ask(WAKE);
                })
            });
            let mut seen = 0;
            let mut open_all = || {
                while let Some(kind) = shared.open() {
                    assert_eq!(kind, WAKE);
                    seen = shared.put_down.load(SeqCst);
                }
            };
            open_all();
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            open_all();
            assert_eq!(seen, 2, "the last request was lost");
        });
    }

    #[test]
    fn a_request_stands_behind_what_its_thread_has_sent_before() {
        loom::model(|| {
            let shared = Shared::new();
            let senders = [false, true].map(|sends| {
                let shared = shared.clone();
                thread::spawn(move || {
                    if sends {
                        shared.send();
                    }
                    shared.ask(CLOSE);
                })
            });
            let mut opened = Vec::new();
            opened.extend(std::iter::from_fn(|| shared.open()));
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            opened.extend(std::iter::from_fn(|| shared.open()));
            let message = opened.iter().position(|kind| *kind == MESSAGE).unwrap();
            assert!(opened[message..].contains(&CLOSE), "a close overtook a message: {opened:?}");
        });
    }
}
