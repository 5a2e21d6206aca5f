//! Which slot of which level a tick belongs to.

/// Nanoseconds in a tick.
pub(super) const TICK: u64 = 1 << 17;

/// Bits of a tick that one level tells apart.
const BITS: u32 = 6;
pub(super) const SLOTS: usize = 1 << BITS;
/// Enough for every tick that 64 bits of nanoseconds can name, so that no deadline is too far away.
pub(super) const LEVELS: usize = 8;

const _: () = assert!(BITS * LEVELS as u32 > u64::BITS - TICK.ilog2());

/// A slot of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) level: u8,
    pub(super) slot: u8,
}

impl Place {
    /// Where `tick`, which is not before `elapsed`, belongs.
    #[inline]
    pub(super) fn of(tick: u64, elapsed: u64) -> Place {
        let different = (tick ^ elapsed) | (SLOTS as u64 - 1);
        let level = different.ilog2() / BITS;
        Place { level: level as u8, slot: (tick >> (level * BITS)) as u8 & (SLOTS as u8 - 1) }
    }

    /// The first tick of this slot. What it shares with `elapsed` are the digits above its level.
    #[inline]
    pub(super) fn start(self, elapsed: u64) -> u64 {
        let shift = u32::from(self.level) * BITS;
        let above = shift + BITS;
        elapsed >> above << above | u64::from(self.slot) << shift
    }
}
