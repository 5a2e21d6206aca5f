//! From one owner of a socket to another: a handler gives up its connection, or takes one over.

use super::deadlines::Deadlines;
use super::{Limits, Port, Rare};
use crate::buffer::{Outbound, Ring};
use crate::io::{Address, Socket};
use crate::net::Flag;
use crate::runtime::Core;
use crate::slots::Key;
use std::io;
use std::rc::Rc;

/// A socket between two ports, with what its buffers held.
pub(crate) struct HandedOver {
    socket: Socket,
    peer: Option<Address>,
    ring: Option<Box<Ring>>,
    outbound: Option<Box<Outbound>>,
    limits: Limits,
    flags: Flag,
    failure: i16,
    /// Only for another handler of the same connection.
    time: Option<Deadlines>,
}

impl Port {
    /// Gives the socket up, with all that was received and not handled, and all that was sent and not written. This port is
    /// of no use afterwards.
    pub(crate) fn hand_over(&self) -> io::Result<HandedOver> {
        Ok(self.hand_over_as(self.duplicate()?))
    }

    /// The socket by a descriptor of its own, because this port closes the one that it has.
    pub(crate) fn duplicate(&self) -> io::Result<Socket> {
        Socket::from_fd(self.socket.give_away()?)
    }

    /// Gives the socket up to another handler of the same connection, by a duplicate: time limits go along, and what has been
    /// asked for meanwhile.
    pub(crate) fn hand_on(&self, duplicate: Socket) -> HandedOver {
        let stays = [Flag::CLOSE, Flag::STOP, Flag::ABORT, Flag::TIMED, Flag::UNSPOKEN];
        let flags = stays.into_iter().fold(Flag::NONE, |flags, flag| flags.with(flag, self.has(flag)));
        let time = self.rare.get().map(|rare| {
            // Memberships in groups, above all.
            drop(rare.kept.take());
            rare.deadlines.hand_on()
        });
        let handed_over = self.hand_over_as(duplicate);
        HandedOver { flags: handed_over.flags.or(flags), time, ..handed_over }
    }

    fn hand_over_as(&self, socket: Socket) -> HandedOver {
        self.flush();
        self.core.deregister(self.key, true);
        // What the socket did not take leaves when it takes more. The end, and a failure, are not reported again.
        let goes_along = |flag| Flag::NONE.with(flag, self.has(flag));
        let flags = goes_along(Flag::ENDED).or(goes_along(Flag::READ_ON)).with(Flag::BLOCKED, self.queued() > 0);
        self.state.clear(Flag::READABLE.or(Flag::AGAIN));
        self.core.meter.unhandled(&self.unhandled, 0);
        self.core.meter.unwritten(&self.unwritten, 0);
        let handed_over = HandedOver {
            socket,
            peer: self.peer.get().cloned(),
            ring: self.ring.take(),
            outbound: self.outbound.take(),
            limits: self.limits.get(),
            flags,
            failure: self.failure.get(),
            time: None,
        };
        // Tasks that wait to send on this port wait in vain, and hold its descriptor as long as they do.
        self.fail(&rustix::io::Errno::NOTCONN.into());
        handed_over
    }
}

impl HandedOver {
    /// The peer was told before that nothing more will come.
    pub(crate) fn finish(&mut self) {
        self.flags = self.flags.or(Flag::SHUT);
    }

    /// The new port of the socket.
    pub(crate) fn into_port(self, core: Rc<Core>, key: Key, flags: Flag) -> Port {
        let flags = self.flags.or(flags).with(Flag::NEWS, self.ring.is_some());
        let port = Port::new(core, key, self.socket, self.limits, flags);
        port.ring.set(self.ring);
        port.outbound.set(self.outbound);
        port.take_over_failure(self.failure);
        if let Some(deadlines) = self.time {
            let _ = port.rare.set(Box::new(Rare { deadlines, ..Rare::default() }));
        }
        match self.peer {
            Some(peer) => port.with_peer(peer),
            None => port,
        }
    }
}
