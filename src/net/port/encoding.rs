//! A write queue in the hands of an encoder, and how it comes back from one that fails.

use super::Port;
use crate::buffer::{Ending, Outbound, Output};
use crate::codec::Decoder;
use crate::net::Flag;
use rustix::io::Errno;
use std::convert::Infallible;

/// The write queue while a message is encoded. Dropped before [`Encoding::succeeded`], by an error or by a panic, it takes the
/// message back and leaves what was queued before.
pub(super) struct Encoding<'a> {
    port: &'a Port,
    /// `None` when the message is encoded.
    queue: Option<Box<Outbound>>,
    /// How many bytes were queued before the message.
    before: usize,
    /// What encoders had written through until then.
    through: usize,
}

impl<'a> Encoding<'a> {
    #[inline(always)]
    pub(super) fn new(port: &'a Port, queue: Box<Outbound>) -> Encoding<'a> {
        let (before, through) = (queue.len(), queue.through());
        Encoding { port, queue: Some(queue), before, through }
    }

    #[inline(always)]
    pub(super) fn output(&mut self) -> Output<'_> {
        Output::new(self.queue.as_mut().expect("it is there until the message is encoded"), Some(self.port))
    }

    /// Leaves the message in the queue.
    #[inline(always)]
    pub(super) fn succeeded(mut self) {
        let (port, queue) = (self.port, self.queue.take());
        // Nothing is left in it to be dropped, and to find that out would be a call for every message.
        std::mem::forget(self);
        if let Some(queue) = queue {
            port.core.meter.unwritten(&port.unwritten, queue.len());
            let other = port.outbound.replace(Some(queue));
            debug_assert!(other.is_none(), "what is sent while a message is encoded waits for its end");
            std::mem::forget(other);
        }
    }

    #[cold]
    fn take_back(&self, mut queue: Box<Outbound>) {
        // The encoder may have written to the socket, where what was queued before goes first.
        let written = queue.through().wrapping_sub(self.through);
        queue.truncate(self.before.saturating_sub(written));
        self.port.core.meter.unwritten(&self.port.unwritten, queue.len());
        self.port.outbound.set(Some(queue));
        if written > self.before {
            // A part of the message is on its way. Whatever came behind it, the peer would take for the rest.
            self.port.fail(&Errno::CONNABORTED.into());
            let _ = self.port.socket.reset_on_close();
            self.port.notify(Flag::ABORT);
        }
    }
}

impl Drop for Encoding<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            self.take_back(queue);
        }
    }
}

impl Port {
    #[cold]
    pub(super) fn ends_behind_message(&self, ending: Ending) {
        match ending {
            Ending::None | Ending::Resume => self.notify(Flag::NEWS),
            Ending::Close => self.notify(Flag::CLOSE.or(Flag::LAST)),
            Ending::Reset => self.notify(Flag::ABORT.or(Flag::LAST)),
        }
    }

    /// Sends what a decoder answers by itself, however much is queued.
    #[cold]
    pub(crate) fn send_answer(&self, decoder: &mut impl Decoder) {
        let _ = self.with_output(usize::MAX, |output| {
            decoder.answer(output);
            Ok::<_, Infallible>(())
        });
    }
}
