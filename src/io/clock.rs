//! The only place that reads the clock.

use std::time::{Duration, Instant};

/// Nanoseconds since the clock's origin: 584 years of them.
pub(crate) type Nanos = u64;

/// Monotonic time, counted from when the core was made.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    #[inline]
    pub(crate) fn now(&self) -> Nanos {
        self.nanos(Instant::now())
    }

    /// An instant before the origin becomes the origin.
    #[inline]
    pub(crate) fn nanos(&self, instant: Instant) -> Nanos {
        nanos(instant.saturating_duration_since(self.origin))
    }

    pub(crate) fn instant(&self, nanos: Nanos) -> Instant {
        self.origin + Duration::from_nanos(nanos)
    }
}

/// The time of day.
#[cfg(feature = "http")]
pub(crate) fn wall_time() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// The processor time that this thread has used.
#[cfg(target_os = "linux")]
pub(crate) fn processor_time() -> Nanos {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as Nanos * 1_000_000_000 + time.tv_nsec as Nanos
}

/// The time of day stands in where a thread's own time is not to be had: polling then goes by what is faster.
#[cfg(not(target_os = "linux"))]
pub(crate) fn processor_time() -> Nanos {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, nanos)
}

/// A duration too long to count becomes the longest that can be counted.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
