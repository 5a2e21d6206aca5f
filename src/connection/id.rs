//! The number of a connection.

use crate::net::Link;
use std::fmt;

/// A number that no other connection of this server has: the core, and a count of that core's connections.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    const CORE_SHIFT: u32 = 48;

    pub(crate) fn new(core: usize, count: u64) -> ConnectionId {
        ConnectionId((core as u64) << ConnectionId::CORE_SHIFT | count & ((1 << ConnectionId::CORE_SHIFT) - 1))
    }

    pub(super) fn of<E, C>(link: &Link<E, C>) -> ConnectionId {
        ConnectionId(link.number())
    }

    pub(super) fn from_number(number: u64) -> ConnectionId {
        ConnectionId(number)
    }

    /// The number itself.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The core that the connection lives on.
    pub fn core(self) -> usize {
        (self.0 >> ConnectionId::CORE_SHIFT) as usize
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.core(), self.0 & ((1 << ConnectionId::CORE_SHIFT) - 1))
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
