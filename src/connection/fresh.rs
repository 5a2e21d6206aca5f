//! Connections whose first message has not come, in the order in which they were accepted: a limit that costs a connection
//! nothing as soon as it has passed.

use super::Settings;
use crate::codec::Codec;
use crate::net::Link;
use crate::runtime::{Core, sleep_until, spawn_local};
use crate::slots::Key;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Those of one listener on one core, whose limits are all the same.
#[derive(Default)]
pub(crate) struct Fresh {
    queue: RefCell<VecDeque<(Instant, Key)>>,
    /// A task waits for the first of them.
    is_watched: Cell<bool>,
}

impl Fresh {
    /// Ends a connection unless its first message comes within so long.
    pub(super) fn watch<C: Codec>(&self, settings: &Rc<Settings>, link: &Link<C::Encoder, C>, within: Duration) {
        let Some(deadline) = link.core.time().checked_add(within) else { return };
        self.queue.borrow_mut().push_back((deadline, link.key));
        if !self.is_watched.replace(true) {
            spawn_local(watch::<C>(settings.clone())).detach();
        }
    }

    /// The next of them, if there is one; without one nothing is kept.
    fn next(&self) -> Option<(Instant, Key)> {
        let mut queue = self.queue.borrow_mut();
        let next = queue.pop_front();
        if next.is_none() {
            *queue = VecDeque::new();
            self.is_watched.set(false);
        }
        next
    }
}

async fn watch<C: Codec>(settings: Rc<Settings>) {
    while let Some((deadline, key)) = settings.fresh.next() {
        sleep_until(deadline).await;
        end::<C>(&settings.core, key);
    }
}

/// Ends a connection that has said nothing; one that is gone, or has spoken, is not found, or left alone.
fn end<C: Codec>(core: &Core, key: Key) {
    let Some(source) = core.source(key) else { return };
    let source: Rc<dyn Any> = source;
    if let Ok(link) = source.downcast::<Link<C::Encoder, C>>() {
        link.first_message_is_late();
    }
}
