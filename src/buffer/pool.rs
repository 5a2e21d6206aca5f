//! The blocks of one core, lent to the connections that have bytes in hand.
//!
//! A connection that has none owns none: a ring comes from here when bytes arrive and returns when it is empty, and so
//! does a write queue. The last one returned is the next one lent, because it is still in cache.

use super::{Outbound, Ring};

/// How many rings of each size a core keeps while nobody uses them: enough for the connections of a turn, 2 MiB of each.
const RINGS_KEPT: [usize; 3] = {
    const EACH: usize = 2 * 1024 * 1024;
    [EACH / Class::BYTES[0], EACH / Class::BYTES[1], EACH / Class::BYTES[2]]
};
/// The write queues that it keeps, of 64 KiB at most. A connection has one from its handler's first send to its task's
/// pause, so few are enough for many.
const OUTBOUNDS_KEPT: usize = 64;

/// How large a ring a connection borrows. It follows the reads: see [`Class::after_read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class(u8);

impl Class {
    const BYTES: [usize; 3] = [4 * 1024, 16 * 1024, 128 * 1024];
    pub(crate) const SMALLEST: Class = Class(0);
    pub(crate) const LARGEST: Class = Class(Class::BYTES.len() as u8 - 1);

    #[inline]
    pub(crate) fn bytes(self) -> usize {
        Class::BYTES[self.0 as usize]
    }

    /// The largest one of at most so many bytes, or the smallest.
    pub(crate) fn at_most(bytes: usize) -> Class {
        let fitting = Class::BYTES.iter().rposition(|class| *class <= bytes);
        Class(fitting.unwrap_or(0) as u8)
    }

    /// The class for the next ring: one larger, up to `largest`, when this one was filled (there was more to be had), one
    /// smaller when what it held at once was less than an eighth.
    #[inline]
    pub(crate) fn after_read(self, held: usize, filled: bool, largest: Class) -> Class {
        if filled && self < largest {
            Class(self.0 + 1)
        } else if self.0 > 0 && held > 0 && held < self.bytes() / 8 {
            Class(self.0 - 1)
        } else {
            self
        }
    }

    /// The smallest one of more than so many bytes.
    fn above(bytes: usize) -> Option<Class> {
        Class::BYTES.iter().position(|class| *class > bytes).map(|class| Class(class as u8))
    }

    #[inline]
    fn of(ring: &Ring) -> Option<Class> {
        // Spelled out: a search would be a loop, for every message.
        match ring.capacity() {
            bytes if bytes == Class::BYTES[0] => Some(Class(0)),
            bytes if bytes == Class::BYTES[1] => Some(Class(1)),
            bytes if bytes == Class::BYTES[2] => Some(Class(2)),
            _ => None,
        }
    }
}

/// Blocks that wait for their next borrower.
#[derive(Default)]
#[expect(clippy::vec_box, reason = "the boxes themselves are lent, so that lending moves a pointer")]
pub(crate) struct Pool {
    rings: [Vec<Box<Ring>>; Class::BYTES.len()],
    outbounds: Vec<Box<Outbound>>,
}

impl Pool {
    #[inline]
    pub(crate) fn ring(&mut self, class: Class) -> Box<Ring> {
        self.rings[class.0 as usize].pop().unwrap_or_else(|| Box::new(Ring::with_capacity(class.bytes())))
    }

    /// A ring of another size, with what was in this one, for which it must have room.
    #[cold]
    pub(crate) fn exchange(&mut self, mut ring: Box<Ring>, class: Class) -> Box<Ring> {
        let mut other = self.ring(class);
        ring.move_to(&mut other);
        self.give_ring(ring);
        other
    }

    /// A ring of the next class, and which that is, with what was in this one, which must be smaller than the largest.
    #[cold]
    pub(crate) fn exchange_for_larger(&mut self, ring: Box<Ring>) -> (Box<Ring>, Class) {
        let class = Class::above(ring.capacity()).unwrap_or(Class::LARGEST);
        (self.exchange(ring, class), class)
    }

    /// A larger ring, with what was in this one.
    #[cold]
    pub(crate) fn enlarge(&mut self, mut ring: Box<Ring>) -> Box<Ring> {
        match Class::above(ring.capacity()) {
            Some(class) => self.exchange(ring, class),
            None => {
                ring.resize(2 * ring.capacity());
                ring
            }
        }
    }

    /// Takes an empty ring back. One that has grown past the classes is freed.
    #[inline]
    pub(crate) fn give_ring(&mut self, mut ring: Box<Ring>) {
        ring.rewind();
        if let Some(class) = Class::of(&ring) {
            keep(&mut self.rings[class.0 as usize], ring, RINGS_KEPT[class.0 as usize]);
        }
    }

    #[inline]
    pub(crate) fn outbound(&mut self) -> Box<Outbound> {
        self.outbounds.pop().unwrap_or_default()
    }

    /// Takes an empty write queue back.
    #[inline]
    pub(crate) fn give_outbound(&mut self, outbound: Box<Outbound>) {
        debug_assert!(outbound.is_empty());
        keep(&mut self.outbounds, outbound, OUTBOUNDS_KEPT);
    }
}

#[inline]
fn keep<T>(kept: &mut Vec<T>, block: T, most: usize) {
    if kept.len() < most {
        kept.push(block);
    }
}
