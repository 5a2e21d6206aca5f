//! Sending datagrams from elsewhere.

use super::link::{DatagramLink, Shared};
use crate::error::{Error, Result};
use crate::io::{Peer, check_length};
use crate::limits;
use crate::runtime::{Core, Remote, with_current};
use crate::slots::Key;
use bytes::Bytes;
use std::any::Any;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

/// Sends by a [`UdpSocket`](crate::UdpSocket) from any thread or task. It is cheap to clone, and outlives its socket, after
/// which it fails.
#[derive(Clone)]
pub struct UdpSender {
    core: Remote,
    key: Key,
    shared: Arc<Shared>,
}

impl UdpSender {
    pub(super) fn new(link: &DatagramLink) -> UdpSender {
        UdpSender { core: link.core.remote(), key: link.key, shared: link.shared.clone() }
    }

    /// Sends a datagram without waiting. It leaves with what else that turn of the socket's core sends.
    ///
    /// As with any datagram, nobody tells whether it has arrived, nor whether there was room for it in the system.
    ///
    /// # Errors
    /// [`Error::Closed`] when the socket is closed, [`Error::Busy`] when 1,024 datagrams are under way to its core, and
    /// [`Error::Io`] when this one is too long.
    pub fn try_send_to(&self, payload: impl Into<Bytes>, to: impl Into<Peer>) -> Result {
        self.post(payload.into(), Some(to.into()))
    }

    /// Sends a datagram to the peer of a connected socket; else like [`try_send_to`](UdpSender::try_send_to).
    pub fn try_send(&self, payload: impl Into<Bytes>) -> Result {
        self.post(payload.into(), None)
    }

    fn post(&self, payload: Bytes, to: Option<Peer>) -> Result {
        check_length(payload.len(), to.map(|to| to.addr()))?;
        if self.shared.closed.load(Acquire) {
            return Err(Error::Closed);
        }
        if let Some(core) = with_current(Rc::clone).filter(|core| core.is_at(&self.core)) {
            let link = find(&core, self.key).ok_or(Error::Closed)?;
            return if link.push(&payload, to)? { Ok(()) } else { Err(Error::Busy) };
        }
        if self.shared.in_flight.fetch_add(1, Relaxed) >= limits::IN_FLIGHT {
            self.shared.in_flight.fetch_sub(1, Relaxed);
            return Err(Error::Busy);
        }
        let (key, shared) = (self.key, self.shared.clone());
        let taken = self.core.run(move |core| {
            shared.in_flight.fetch_sub(1, Relaxed);
            if let Some(link) = find(core, key)
                && !matches!(link.push(&payload, to), Ok(true))
            {
                tracing::debug!(to = ?to.map(|to| to.addr()), "a datagram was not sent: too many wait");
            }
        });
        if taken { Ok(()) } else { Err(Error::Closed) }
    }
}

fn find(core: &Core, key: Key) -> Option<Rc<DatagramLink>> {
    let source: Rc<dyn Any> = core.source(key)?;
    source.downcast().ok()
}

impl fmt::Debug for UdpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSender").field("closed", &self.shared.closed.load(Relaxed)).finish_non_exhaustive()
    }
}
