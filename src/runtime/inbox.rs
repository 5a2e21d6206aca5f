//! A core's mailbox: the only thing of a core that other threads touch.
//!
//! Any thread pushes; only the core pops. Whether the core must be notified hangs on one flag:
//!
//! ```text
//!   sender                          core, before it sleeps          core, after it slept
//!   push the mail                   awake = false                   awake = true
//!   fence                           fence
//!   if !swap(awake, true): notify   if mail: awake = true, go on
//! ```
//!
//! The fences order each side's write before its read, so at least one of the two sees the other: either the core finds
//! the mail, or the sender finds it asleep. Only the first of several senders finds it asleep.

use super::Core;
use super::sync::{AtomicBool, Queue, SeqCst, fence};
use crate::io::Notifier;
use async_task::Runnable;
use std::rc::Rc;
use std::sync::Arc;

/// What one core asks of another.
pub(crate) enum Mail {
    /// Run this task: it was woken elsewhere.
    Wake(Runnable),
    /// Do this on the core.
    Run(Work),
}

/// What a core is asked to do.
type Work = Box<dyn FnOnce(&Rc<Core>) + Send>;

/// Ends a core's sleep.
pub(crate) trait Notify {
    fn notify(&self);
}

impl Notify for Notifier {
    fn notify(&self) {
        Notifier::notify(self);
    }
}

pub(crate) struct Inbox<T = Mail, N = Notifier> {
    mail: Queue<T>,
    /// Whether the core will look at the mail without being notified.
    awake: AtomicBool,
    /// Whether the future of `block_on`, which is no task, has been woken.
    main_woken: AtomicBool,
    notifier: N,
}

impl<T, N: Notify> Inbox<T, N> {
    pub(crate) fn new(notifier: N) -> Self {
        let (awake, main_woken) = (AtomicBool::new(true), AtomicBool::new(true));
        Inbox { mail: Queue::unbounded(), awake, main_woken, notifier }
    }

    /// Gives the mail back if the core is gone.
    pub(crate) fn send(&self, mail: T) -> Result<(), T> {
        self.mail.push(mail).map_err(|error| error.into_inner())?;
        self.rouse();
        Ok(())
    }

    /// Whether the core is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.mail.is_closed()
    }

    /// Wakes the future of `block_on`.
    pub(crate) fn wake_main(&self) {
        self.main_woken.store(true, SeqCst);
        self.rouse();
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn waiting(&self) -> usize {
        self.mail.len()
    }

    fn rouse(&self) {
        fence(SeqCst);
        if !self.awake.swap(true, SeqCst) {
            self.notifier.notify();
        }
    }

    // The rest is for the core alone.

    pub(crate) fn receive(&self) -> Option<T> {
        self.mail.pop().ok()
    }

    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        !self.mail.is_empty() || self.main_woken.load(SeqCst)
    }

    pub(crate) fn take_main_woken(&self) -> bool {
        // Most turns find it false, and a load is cheaper than a swap.
        self.main_woken.load(SeqCst) && self.main_woken.swap(false, SeqCst)
    }

    /// Whether the core may sleep. From here on every sender notifies, until [`Inbox::woke`].
    #[inline]
    pub(crate) fn may_sleep(&self) -> bool {
        // A swap, not a store: it reads the last sender's swap, which puts all of them in one order.
        self.awake.swap(false, SeqCst);
        fence(SeqCst);
        if self.has_mail() {
            self.woke();
            return false;
        }
        true
    }

    #[inline]
    pub(crate) fn woke(&self) {
        self.awake.swap(true, SeqCst);
    }

    /// Nothing can be sent from here on.
    pub(crate) fn close(&self) {
        self.mail.close();
    }
}

/// The mailbox of a core that has not begun. If the core never does, senders are told, and what they have sent is dropped.
pub(super) struct Unopened(Option<Arc<Inbox>>);

impl Unopened {
    pub(super) fn new(inbox: Inbox) -> Unopened {
        Unopened(Some(Arc::new(inbox)))
    }

    pub(super) fn shared(&self) -> Arc<Inbox> {
        self.0.clone().expect("there until it is opened")
    }

    /// The core begins, and closes it in the end.
    pub(super) fn open(mut self) -> Arc<Inbox> {
        self.0.take().expect("opened once")
    }
}

impl Drop for Unopened {
    fn drop(&mut self) {
        if let Some(inbox) = self.0.take() {
            inbox.close();
            while let Some(mail) = inbox.receive() {
                drop(mail);
            }
        }
    }
}

#[cfg(all(test, tiderace_loom))]
mod models {
    use super::super::sync::SeqCst;
    use super::Inbox;
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::{Arc, Notify};
    use loom::thread;

    /// An eventfd, and a count of its edges: a notification ends the wait that is under way or else the next one.
    #[derive(Clone)]
    struct Bell(Arc<Notify>, Arc<AtomicUsize>);

    impl Bell {
        fn new() -> Bell {
            Bell(Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)))
        }

        fn wait(&self) {
            self.0.wait();
        }
    }

    impl super::Notify for Bell {
        fn notify(&self) {
            self.1.fetch_add(1, SeqCst);
            self.0.notify();
        }
    }

    /// What a core does in its turns until it has received `n` mails; loom reports a deadlock if a wake is lost.
    fn receive(inbox: &Inbox<usize, Bell>, bell: &Bell, n: usize) -> Vec<usize> {
        let mut received = Vec::new();
        while received.len() < n {
            if inbox.may_sleep() {
                bell.wait();
                inbox.woke();
            }
            while let Some(mail) = inbox.receive() {
                received.push(mail);
            }
        }
        received
    }

    #[test]
    fn no_mail_is_lost_and_no_sleep_is_missed() {
        loom::model(|| {
            let bell = Bell::new();
            let inbox = Arc::new(Inbox::new(bell.clone()));
            inbox.take_main_woken();
            let senders = [1, 2].map(|mail| {
                let inbox = inbox.clone();
                thread::spawn(move || inbox.send(mail).unwrap())
            });
            let mut received = receive(&inbox, &bell, 2);
            received.sort_unstable();
            assert_eq!(received, [1, 2]);
            senders.into_iter().for_each(|sender| sender.join().unwrap());
        });
    }

    #[test]
    fn a_sleeping_core_is_notified_once_for_several_mails() {
        loom::model(|| {
            let bell = Bell::new();
            let inbox = Arc::new(Inbox::new(bell.clone()));
            inbox.take_main_woken();
            assert!(inbox.may_sleep());
            let senders = [1, 2].map(|mail| {
                let inbox = inbox.clone();
                thread::spawn(move || inbox.send(mail).unwrap())
            });
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            assert_eq!(bell.1.load(SeqCst), 1);
        });
    }

    #[test]
    fn a_wake_of_the_main_future_is_never_lost() {
        loom::model(|| {
            let bell = Bell::new();
            let inbox = Arc::new(Inbox::<usize, Bell>::new(bell.clone()));
            inbox.take_main_woken();
            let waker = {
                let inbox = inbox.clone();
                thread::spawn(move || inbox.wake_main())
            };
            while !inbox.take_main_woken() {
                if inbox.may_sleep() {
                    bell.wait();
                    inbox.woke();
                }
            }
            waker.join().unwrap();
        });
    }

    #[test]
    fn mail_to_a_core_that_is_gone_comes_back() {
        loom::model(|| {
            let inbox = Arc::new(Inbox::new(Bell::new()));
            let sender = {
                let inbox = inbox.clone();
                thread::spawn(move || inbox.send(7).is_err())
            };
            inbox.close();
            let received = std::iter::from_fn(|| inbox.receive()).count();
            let came_back = sender.join().unwrap();
            let left = std::iter::from_fn(|| inbox.receive()).count();
            // A send that began before the close may end after the drain: that mail stays in the queue.
            assert_eq!(received + left + usize::from(came_back), 1);
        });
    }
}
