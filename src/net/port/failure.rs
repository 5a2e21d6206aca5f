//! How a socket fails: for both directions, or for writing only, with what the peer sent before still to be read.

use super::Port;
use crate::net::Flag;
use std::io;

impl Port {
    /// Why nothing can be sent any more, if the socket has failed. What has arrived before that can still be received.
    #[inline]
    pub(crate) fn failure(&self) -> Option<io::Error> {
        match self.failure.get() {
            0 => None,
            number => Some(io::Error::from_raw_os_error(number.abs().into())),
        }
    }

    /// Why nothing can be received any more, if the socket has failed. A connection that is paused receives nothing, so it
    /// ends with a failed write.
    #[inline]
    pub(crate) fn read_failure(&self) -> Option<io::Error> {
        self.failure().filter(|_| self.is_gone() || self.has(Flag::PAUSED))
    }

    #[inline]
    pub(crate) fn is_failed(&self) -> bool {
        self.failure.get() != 0
    }

    /// Whether the socket has failed for both directions.
    #[inline]
    pub(super) fn is_gone(&self) -> bool {
        self.failure.get() > 0
    }

    /// The failure of a write by which the peer's stream has ended, too. A broken pipe is none: there the peer had ended its
    /// stream before it reset the connection, or it only takes nothing any more.
    #[cold]
    pub(super) fn reset_by_write(&self) -> Option<io::Error> {
        self.failure().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }

    /// An encoder has panicked outside of the connection's task: that ends, and what was queued before is delivered.
    #[cold]
    pub(crate) fn end_for_panic(&self, message: String) {
        self.rare().panic.set(Some(message));
        self.notify(Flag::ABORT);
    }

    /// What it said, if that is why the connection was aborted. An abort does not deliver, so it is none from here on, unless
    /// a part of the encoder's message is on its way.
    #[cold]
    pub(crate) fn take_panic(&self) -> Option<String> {
        let message = self.rare.get()?.panic.take()?;
        if !self.is_gone() {
            self.state.clear(Flag::ABORT);
        }
        Some(message)
    }

    /// Aborts the connection because its peer takes the messages of a group too slowly.
    #[cold]
    pub(crate) fn abort_as_too_slow(&self) {
        self.rare().too_slow.set(true);
        self.notify(Flag::ABORT);
    }

    #[cold]
    pub(crate) fn is_too_slow(&self) -> bool {
        self.rare.get().is_some_and(|rare| rare.too_slow.get())
    }

    /// Neither direction works any more.
    #[cold]
    pub(crate) fn fail(&self, error: &io::Error) {
        if !self.is_gone() {
            self.failure.set(number(error));
        }
        self.state.clear(Flag::READABLE);
        self.end_output();
    }

    /// Nothing can be sent any more. What the peer had sent before that is in the kernel, and is read until its end shows.
    #[cold]
    pub(crate) fn fail_write(&self, error: &io::Error) {
        if !self.is_failed() {
            self.failure.set(-number(error));
        }
        self.read_on();
        self.end_output();
    }

    /// The failure that the socket has had before this port was its own.
    pub(super) fn take_over_failure(&self, number: i16) {
        if number != 0 {
            self.failure.set(number);
            self.state.set(Flag::SHUT.or(Flag::NEWS));
        }
    }

    fn end_output(&self) {
        self.state.clear(Flag::BLOCKED);
        self.state.set(Flag::SHUT);
        // What is queued can go nowhere.
        if let Some(mut outbound) = self.outbound.take() {
            outbound.clear();
            self.core.meter.unwritten(&self.unwritten, 0);
            self.give_outbound(outbound);
        }
        self.notify(Flag::NEWS);
        self.wake_writers();
    }
}

fn number(error: &io::Error) -> i16 {
    error.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error()) as i16
}
