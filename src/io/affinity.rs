//! Which processors threads run on.

#[cfg(target_os = "linux")]
pub(crate) use linux::{Pinned, pin_thread, processors};
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{Pinned, pin_thread, processors};

#[cfg(target_os = "linux")]
mod linux {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use std::io;

    /// This thread keeps to one processor until this is dropped.
    pub(crate) struct Pinned {
        before: CpuSet,
    }

    /// The processors that this thread may run on, by their numbers.
    pub(crate) fn processors() -> Vec<usize> {
        let allowed = sched_getaffinity(None);
        allowed.map_or_else(|_| Vec::new(), |allowed| (0..CpuSet::MAX_CPU).filter(|n| allowed.is_set(*n)).collect())
    }

    /// Keeps this thread to one processor.
    pub(crate) fn pin_thread(processor: usize) -> io::Result<Pinned> {
        let before = sched_getaffinity(None)?;
        let mut only = CpuSet::new();
        only.set(processor);
        sched_setaffinity(None, &only)?;
        Ok(Pinned { before })
    }

    impl Drop for Pinned {
        fn drop(&mut self) {
            let _ = sched_setaffinity(None, &self.before);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::io;

    pub(crate) struct Pinned;

    /// Unknown here.
    pub(crate) fn processors() -> Vec<usize> {
        Vec::new()
    }

    pub(crate) fn pin_thread(_: usize) -> io::Result<Pinned> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
