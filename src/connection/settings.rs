//! What the connections of one listener have in common, and how they are counted.

use super::fresh::Fresh;
use crate::limits;
use crate::net::{Limits, TimeLimits};
use crate::runtime::Core;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// What the connections of one listener on one core have in common.
pub(crate) struct Settings {
    pub(crate) core: Rc<Core>,
    /// Which of its server's listeners this is.
    pub(crate) listener: Option<usize>,
    pub(crate) write: Limits,
    /// What handles may have waiting; `None`: the default.
    pub(crate) handle_limit: Option<usize>,
    /// How long a close may stand still.
    pub(crate) close: Duration,
    /// What each begins with.
    pub(crate) time: TimeLimits,
    /// How many of them there may be.
    pub(crate) limits: ConnectionLimits,
    /// Those that have said nothing yet.
    pub(crate) fresh: Fresh,
}

impl Settings {
    /// Those of connections that belong to no listener.
    pub(crate) fn of_core(core: &Rc<Core>) -> Settings {
        Settings {
            core: core.clone(),
            listener: None,
            write: Limits::default(),
            handle_limit: None,
            close: limits::CLOSE,
            time: TimeLimits::default(),
            limits: ConnectionLimits::default(),
            fresh: Fresh::default(),
        }
    }
}

/// Limits that all hold at once: a listener's, and its server's.
#[derive(Clone, Default)]
pub(crate) struct ConnectionLimits(Arc<[Arc<ConnectionLimit>]>);

/// So many connections may be open, on all cores together.
pub(crate) struct ConnectionLimit {
    max: usize,
    open: AtomicUsize,
    refused: AtomicU64,
    /// Since when is in the log already.
    refusing: AtomicBool,
}

impl ConnectionLimit {
    pub(crate) fn new(max: usize) -> Arc<ConnectionLimit> {
        Arc::new(ConnectionLimit { max, open: 0.into(), refused: 0.into(), refusing: false.into() })
    }

    /// How many connections were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    fn enter(&self) -> bool {
        let entered = self.open.fetch_add(1, Relaxed) < self.max;
        if entered {
            return true;
        }
        self.open.fetch_sub(1, Relaxed);
        self.refused.fetch_add(1, Relaxed);
        if !self.refusing.swap(true, Relaxed) {
            tracing::warn!(max = self.max, "connections are refused: as many as may be are open");
        }
        false
    }

    fn leave(&self) {
        self.open.fetch_sub(1, Relaxed);
        if self.refusing.load(Relaxed) && self.refusing.swap(false, Relaxed) {
            tracing::info!(refused = self.refused(), "connections are no longer refused");
        }
    }
}

impl ConnectionLimits {
    pub(crate) fn new(limits: impl IntoIterator<Item = Arc<ConnectionLimit>>) -> ConnectionLimits {
        ConnectionLimits(limits.into_iter().collect())
    }

    /// Lets one more connection in, for as long as what is returned lives, unless that would be too many.
    pub(crate) fn admit(&self) -> Option<Admission> {
        for (i, limit) in self.0.iter().enumerate() {
            if !limit.enter() {
                self.0[..i].iter().for_each(|limit| limit.leave());
                return None;
            }
        }
        Some(Admission(Some(self.clone())))
    }
}

/// A connection that has been let in.
pub(crate) struct Admission(Option<ConnectionLimits>);

impl Admission {
    /// Leaves it to another to let the connection out.
    fn hand_over(mut self) {
        self.0 = None;
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(limits) = &self.0 {
            limits.0.iter().for_each(|limit| limit.leave());
        }
    }
}

/// Counts a connection for as long as it exists.
pub(crate) struct Counted(Option<Rc<Settings>>);

impl Counted {
    pub(super) fn new(settings: Rc<Settings>, admission: Admission) -> Counted {
        // The settings have the same limits, and these are left in the end; the connection need not keep them twice.
        admission.hand_over();
        settings.core.connection_opened(settings.listener.is_some());
        Counted(Some(settings))
    }

    pub(super) fn settings(&self) -> &Settings {
        self.0.as_ref().expect("a connection is handed over last")
    }

    /// The count goes on for the same connection; this one counts no more.
    pub(super) fn hand_over(&mut self) -> Counted {
        Counted(self.0.take())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(settings) = self.0.take() {
            settings.limits.0.iter().for_each(|limit| limit.leave());
            settings.core.connection_closed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admission_that_is_handed_over_leaves_no_reference_behind() {
        let limits = ConnectionLimits::new([ConnectionLimit::new(1)]);
        limits.admit().unwrap().hand_over();
        assert_eq!(Arc::strong_count(&limits.0), 1);
        assert!(limits.admit().is_none(), "the connection is still in");
    }
}
