//! Timers: one hierarchical wheel, with time passed in.

mod wheel;

pub(crate) use wheel::{TimerKey, Wheel};
