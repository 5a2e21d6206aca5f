//! What can be set of a server.

use super::Server;
use super::balance::Balance;
use super::refusal::Refusal;
use crate::buffer::Class;
use crate::limits;
use crate::net::{Limits, TimeLimits};
use std::num::NonZeroUsize;
use std::time::Duration;

/// All settings of a server, in one plain struct behind its builder.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// `None`: as many as there are processors for this process.
    pub(super) cores: Option<NonZeroUsize>,
    pub(super) busy_poll: Duration,
    pub(super) portable: bool,
    pub(super) balance: Balance,
    pub(super) max_connections: Option<usize>,
    pub(super) refusal: Option<Refusal>,
    pub(super) largest_ring: Class,
    pub(super) pin: bool,
    pub(super) write: Limits,
    /// What handles may have waiting; `None`: the default.
    pub(super) handle_limit: Option<usize>,
    pub(super) close: Duration,
    pub(super) time: TimeLimits,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            cores: None,
            busy_poll: limits::BUSY_POLL,
            portable: false,
            balance: Balance::default(),
            max_connections: None,
            refusal: None,
            largest_ring: Class::LARGEST,
            pin: false,
            write: Limits::default(),
            handle_limit: None,
            close: limits::CLOSE,
            time: TimeLimits::default(),
        }
    }
}

impl Server {
    /// How many bytes all [handles](crate::Handle) of a connection together may have waiting above its high-water mark, before
    /// they are refused or have to wait. Default: 2 MiB. [`Handle::set_limit`](crate::Handle::set_limit) sets it for one
    /// connection.
    pub fn handle_limit(mut self, bytes: usize) -> Server {
        self.config.handle_limit = Some(bytes);
        self
    }
}

impl Config {
    pub(super) fn cores(&self) -> usize {
        self.cores.map_or_else(processors, NonZeroUsize::get)
    }

    /// Nothing where cores share processors: one that polls would keep another from its work.
    pub(super) fn busy_poll(&self) -> Duration {
        if self.cores() > processors() { Duration::ZERO } else { self.busy_poll }
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
