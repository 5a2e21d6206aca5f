//! What the reactor watches.

use super::Core;
use crate::io::Readiness;
use std::any::Any;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

/// A registered socket.
pub(crate) trait Source: Any {
    fn socket(&self) -> BorrowedFd<'_>;

    /// Does at once what the socket is ready for, and wakes who waits for it. `NONE` is a second look that the source has
    /// asked for by [`Core::look_soon`] or [`Core::look_again`]. Says how many bytes were read.
    fn ready(&self, core: &Rc<Core>, readiness: Readiness) -> usize;

    /// Sends what waits to be written; asked for by [`Core::flush_later`].
    fn flush(&self) {}

    /// Does what had to wait for this turn.
    fn catch_up(&self) {}

    /// The core ends, and will never call this again: what waits for the socket must not go on waiting.
    fn core_ends(&self) {}

    /// The server that owns this ends.
    fn interrupt(&self, how: Interrupt) {
        let _ = how;
    }
}

/// What collects work during a turn.
pub(crate) trait AtTurnEnd {
    /// Does the work that was collected; asked for by [`Core::at_turn_end`].
    fn turn_ends(&self);
}

/// How a server ends its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// Accept what waits, and nothing that comes later.
    Refuse,
    /// Handle what has been received, or else the first message; deliver, close.
    Stop,
    /// Wait for no first message any more.
    Silent,
    /// Close now.
    Abort,
}
