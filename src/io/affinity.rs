//! Which processors threads run on.

#[cfg(target_os = "linux")]
pub(crate) use linux::{Affinity, Pinned, pin_thread, processors};
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{Affinity, Pinned, pin_thread, processors};

#[cfg(target_os = "linux")]
mod linux {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use std::io;

    /// The processors that a thread may run on.
    #[derive(Clone, Copy)]
    pub(crate) struct Affinity(CpuSet);

    impl Affinity {
        /// Lets this thread run there. A thread that cannot be moved stays where it is.
        pub(crate) fn apply(&self) {
            let _ = sched_setaffinity(None, &self.0);
        }
    }

    /// This thread keeps to one processor until this is dropped.
    pub(crate) struct Pinned {
        before: Affinity,
    }

    impl Pinned {
        /// Where the thread might run before, as those that it starts should.
        pub(crate) fn before(&self) -> Affinity {
            self.before
        }
    }

    /// The processors that this thread may run on, by their numbers.
    pub(crate) fn processors() -> Vec<usize> {
        let allowed = sched_getaffinity(None);
        allowed.map_or_else(|_| Vec::new(), |allowed| (0..CpuSet::MAX_CPU).filter(|n| allowed.is_set(*n)).collect())
    }

    /// Keeps this thread to one processor.
    pub(crate) fn pin_thread(processor: usize) -> io::Result<Pinned> {
        let before = Affinity(sched_getaffinity(None)?);
        let mut only = CpuSet::new();
        only.set(processor);
        sched_setaffinity(None, &only)?;
        Ok(Pinned { before })
    }

    impl Drop for Pinned {
        fn drop(&mut self) {
            self.before.apply();
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::io;

    #[derive(Clone, Copy)]
    pub(crate) struct Affinity;

    impl Affinity {
        pub(crate) fn apply(&self) {}
    }

    pub(crate) struct Pinned;

    impl Pinned {
        pub(crate) fn before(&self) -> Affinity {
            Affinity
        }
    }

    /// Unknown here.
    pub(crate) fn processors() -> Vec<usize> {
        Vec::new()
    }

    pub(crate) fn pin_thread(_: usize) -> io::Result<Pinned> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
