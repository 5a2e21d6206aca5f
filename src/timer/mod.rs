//! Timers: one hierarchical wheel for all deadlines of a core.
//!
//! Time is counted in ticks of 131 us (2^17 ns). A tick in binary falls into digits of six bits, and each level of the
//! wheel has one slot for each value of one digit:
//!
//! ```text
//!   tick      .. 000000 000010 000001 010111      elapsed, "now"
//!                             ^ digit 1
//!   level 0      one slot a tick                  [ . . . . . . . . # . . # ]  the next 8 ms
//!   level 1      one slot for 64 ticks            [ . . . # . . . . . . . . ]  the next 0.5 s
//!   level 2      one slot for 64^2 ticks          [ . . . . . . . # # . . . ]  the next 34 s
//!   ...
//!   level 7      one slot for 64^7 ticks          [ # . . . . . . . . . . . ]  all that 64 bits of nanoseconds can say
//! ```
//!
//! A deadline lies at the level of the highest digit in which it differs from `elapsed`, in the slot that this digit
//! names. So all deadlines of one level come before all of the next, occupied slots lie ahead of `elapsed` and never
//! wrap, and the next slot of a level is the lowest bit of a bitmap. When time reaches a slot of a higher level, its
//! entries move to lower levels (a cascade), each at most once a level; at level 0 they expire.
//!
//! The wheel reads no clock: whoever owns it passes `now`, in nanoseconds since an origin of the owner's choice.

mod place;
#[cfg(test)]
mod tests;
mod wheel;

pub(crate) use wheel::{TimerKey, Wheel};
