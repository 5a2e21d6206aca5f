//! What a core counts, if the feature `metrics` is on; else nothing of this is left in the program.

#[cfg(not(feature = "metrics"))]
#[path = "off.rs"]
mod counting;
#[cfg(feature = "metrics")]
#[path = "on.rs"]
mod counting;

#[cfg(feature = "metrics")]
pub(crate) use counting::{Counts, EVENT_BOUNDS, Histogram, TURN_BOUNDS};
pub(crate) use counting::{Level, Meter};

/// The reasons for which connections end.
pub(crate) const REASONS: [&str; 11] = [
    "end_of_stream",
    "closed",
    "reset",
    "protocol",
    "handler",
    "panic",
    "timeout",
    "too_slow",
    "detached",
    "shutdown",
    "upgraded",
];

/// What happened in one turn of a core.
#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "nobody counts"))]
pub(crate) struct Turn {
    pub(crate) events: usize,
    pub(crate) timers: usize,
    pub(crate) letters: usize,
    pub(crate) tasks: usize,
}
