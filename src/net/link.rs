//! A port with the sending half of its protocol: what the reactor's table holds of a connection.

use super::gauge::Gauge;
use super::port::{Port, Unsent};
use super::state::Flag;
use crate::codec::{Decoder, Encoder, Output};
use crate::io::Readiness;
use crate::runtime::{Core, Interrupt, Source};
use bytes::Bytes;
use std::cell::{RefCell, RefMut};
use std::convert::Infallible;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// The encoder sits beside the port, not in the connection's task, so that others can send while a handler waits.
///
/// `C` is the codec, if it is a handler's connection: those of codecs with the same encoder are told apart by it.
pub(crate) struct Link<E, C = ()> {
    port: Port,
    encoder: RefCell<E>,
    /// The number of the connection, if it is a handler's.
    number: u64,
    codec: PhantomData<fn() -> C>,
}

impl<E: 'static, C: 'static> Link<E, C> {
    pub(crate) fn new(port: Port, encoder: E, number: u64) -> Link<E, C> {
        Link { port, encoder: RefCell::new(encoder), number, codec: PhantomData }
    }

    /// Queues a message, unless the queue is above its high-water mark.
    #[inline(always)]
    pub(crate) fn push<M: ?Sized>(&self, message: &M) -> Result<(), Unsent<E::Error>>
    where
        E: Encoder<M>,
    {
        let high = self.high_water();
        self.push_up_to(high, message)
    }

    /// Queues a message of a handle however much is queued: it was let in before.
    pub(crate) fn push_from_handle<M: ?Sized>(&self, message: &M) -> Result<(), Unsent<E::Error>>
    where
        E: Encoder<M>,
    {
        self.push_with(usize::MAX, |encoder, output| encoder.encode_from_handle(message, output))
    }

    /// Sends bytes that were encoded before, for several links at once: straight to the socket, where nothing waits before
    /// them, or else behind it.
    pub(crate) fn send_encoded(&self, bytes: &Bytes) -> Result<(), Unsent<Infallible>> {
        if self.has(Flag::SHUT) {
            return Err(Unsent::Closed);
        }
        let sent = if self.is_unused() { self.send_now(bytes) } else { Poll::Pending };
        let sent = match sent {
            Poll::Ready(Ok(sent)) => sent,
            Poll::Ready(Err(_)) => return Err(Unsent::Closed),
            Poll::Pending => 0,
        };
        if sent < bytes.len() {
            self.with_output(self.high_water(), |output| {
                output.put_bytes(bytes.slice(sent..));
                Ok(())
            })?;
            self.flush_later();
        }
        self.core.meter.message_out();
        Ok(())
    }

    #[inline(always)]
    fn push_up_to<M: ?Sized>(&self, high: usize, message: &M) -> Result<(), Unsent<E::Error>>
    where
        E: Encoder<M>,
    {
        self.push_with(high, |encoder, output| encoder.encode(message, output))
    }

    #[inline(always)]
    fn push_with<R>(
        &self,
        high: usize,
        encode: impl FnOnce(&mut E, &mut Output<'_>) -> Result<(), R>,
    ) -> Result<(), Unsent<R>> {
        if self.has(Flag::SHUT.or(Flag::DEFERRED)) {
            self.look_before_a_push()?;
        }
        let mut encoder = self.encoder.borrow_mut();
        self.with_open_output(high, |output| encode(&mut encoder, output))?;
        self.core.meter.message_out();
        Ok(())
    }

    #[cold]
    fn look_before_a_push<R>(&self) -> Result<(), Unsent<R>> {
        if self.has(Flag::DEFERRED) {
            self.do_deferred();
        }
        if self.has(Flag::SHUT) { Err(Unsent::Closed) } else { Ok(()) }
    }

    /// Sends what a decoder answers by itself, however much is queued. The encoder is in use meanwhile, as it is while it
    /// encodes.
    #[cold]
    pub(crate) fn send_answer(&self, decoder: &mut impl Decoder) {
        if self.has(Flag::DEFERRED) {
            self.do_deferred();
        }
        let _in_use = self.encoder.borrow_mut();
        self.port.send_answer(decoder);
    }

    /// Whether a message of this connection is being encoded. Bytes are released by that, whose owner may send.
    pub(crate) fn is_encoding(&self) -> bool {
        self.encoder().is_none()
    }

    /// Does `work` when the encoder is free: before the next message or the end of the connection, or else in the core's next
    /// turn.
    #[cold]
    pub(crate) fn defer(self: &Rc<Self>, work: impl FnOnce(Option<Rc<Self>>) + 'static) {
        // The port must not keep itself.
        let link = Rc::downgrade(self);
        if self.port.defer(move || work(link.upgrade())) {
            let key = self.key;
            self.core.remote().run(move |core| {
                if let Some(source) = core.source(key) {
                    source.catch_up();
                }
            });
        }
    }
}

impl<E, C> Link<E, C> {
    /// The encoder, to send what another has encoded, unless it is in use further up the stack.
    pub(crate) fn encoder(&self) -> Option<RefMut<'_, E>> {
        self.encoder.try_borrow_mut().ok()
    }

    /// Another encoder from here on; gives back the one before. Not to be called while a message is encoded.
    pub(crate) fn replace_encoder(&self, encoder: E) -> E {
        self.encoder.replace(encoder)
    }

    /// Whether it is the connection of a handler, which ends with its server. Only those have a number.
    pub(crate) fn is_served(&self) -> bool {
        self.number != 0
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// What handles know of the connection; made with the first of them.
    pub(crate) fn gauge(&self) -> &Arc<Gauge> {
        self.port.gauge(self.number)
    }
}

impl<E, C> Deref for Link<E, C> {
    type Target = Port;

    #[inline]
    fn deref(&self) -> &Port {
        &self.port
    }
}

impl<E: 'static, C: 'static> Source for Link<E, C> {
    fn socket(&self) -> BorrowedFd<'_> {
        self.port.socket.as_fd()
    }

    fn ready(&self, _: &Rc<Core>, readiness: Readiness) -> usize {
        self.port.ready(readiness)
    }

    fn flush(&self) {
        self.port.flush_now();
    }

    fn core_ends(&self) {
        self.fail(&std::io::Error::from_raw_os_error(rustix::io::Errno::NOTCONN.raw_os_error()));
    }

    fn catch_up(&self) {
        if self.has(Flag::DEFERRED) {
            self.do_deferred();
        }
    }

    fn interrupt(&self, how: Interrupt) {
        if self.is_served() {
            match how {
                Interrupt::Refuse => {}
                Interrupt::Stop => self.notify(Flag::STOP),
                Interrupt::Silent => {
                    self.take(Flag::FRESH);
                    self.notify(Flag::STOP);
                }
                // Its word to stop might not have come, where it gives no time.
                Interrupt::Abort => self.notify(Flag::STOP.or(Flag::ABORT)),
            }
        }
    }
}
