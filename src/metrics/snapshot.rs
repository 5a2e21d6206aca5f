//! The numbers, as they were at one moment.

use crate::meter::{self, Counts, EVENT_BOUNDS, REASONS, TURN_BOUNDS};
use std::time::Duration;

/// What the cores of a server have counted since it began; from [`ServerHandle::metrics`](crate::ServerHandle::metrics).
/// Feature `metrics`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Metrics {
    /// Each core's, by its number. None before the server runs.
    pub cores: Vec<CoreMetrics>,
    /// Connections that were closed at once because as many as may be were open.
    pub connections_refused: u64,
}

/// What one core has counted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CoreMetrics {
    /// Connections that listeners have accepted.
    pub connections_accepted: u64,
    /// Connections that handlers were given: those that were accepted, and those that clients made or that were attached.
    pub connections_opened: u64,
    /// Those that are open.
    pub connections_active: u64,
    /// Those that have ended, by the [names](crate::CloseReason::name) of the reasons.
    pub connections_closed: Vec<(&'static str, u64)>,
    /// Bytes received by connections and streams.
    pub bytes_received: u64,
    /// Bytes of theirs that the system has taken.
    pub bytes_sent: u64,
    /// Messages that decoders have found.
    pub messages_received: u64,
    /// Messages that were queued; those of a group once for each member.
    pub messages_sent: u64,
    /// Bytes that were received and are not handled: what [`Conn::buffered`](crate::Conn::buffered) says, summed up.
    pub bytes_buffered: u64,
    /// Bytes in write queues, which the system has not taken: what [`Conn::queued`](crate::Conn::queued) says, summed up.
    pub bytes_queued: u64,
    /// Timers that went off.
    pub timers_fired: u64,
    /// Messages that other threads have put into the mailbox of this core: wake-ups, and work.
    pub mailbox_messages: u64,
    /// Those of them that wait in it.
    pub mailbox_pending: u64,
    /// How often tasks were polled.
    pub task_polls: u64,
    /// How long the longest turn (an iteration of the event loop) took, from the end of its wait to its own end.
    pub longest_turn: Duration,
    /// How long turns took, in seconds. Their sum is the time that the core was busy.
    pub turns: Histogram,
    /// How many events turns dealt with.
    pub events: Histogram,
}

/// How many values there were, by their size.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Histogram {
    /// Upper bounds, and how many values were within each and beyond the one before. The last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// All values together.
    pub sum: f64,
}

impl Histogram {
    fn of<const N: usize>(counts: &meter::Histogram<N>, bounds: &[u64; N], unit: f64) -> Histogram {
        let within = bounds.iter().zip(&counts.within).map(|(bound, count)| (*bound as f64 / unit, count.get()));
        let buckets = within.chain([(f64::INFINITY, counts.beyond.get())]).collect();
        Histogram { buckets, sum: counts.sum.get() as f64 / unit }
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

impl CoreMetrics {
    pub(crate) fn of(counts: &Counts, open: usize, mailbox: usize) -> CoreMetrics {
        CoreMetrics {
            connections_accepted: counts.accepted.get(),
            connections_opened: counts.opened.get(),
            connections_active: open as u64,
            connections_closed: REASONS.iter().zip(&counts.closed).map(|(reason, n)| (*reason, n.get())).collect(),
            bytes_received: counts.bytes_in.get(),
            bytes_sent: counts.bytes_out.get(),
            messages_received: counts.messages_in.get(),
            messages_sent: counts.messages_out.get(),
            bytes_buffered: counts.unhandled.get(),
            bytes_queued: counts.unwritten.get(),
            timers_fired: counts.timers.get(),
            mailbox_messages: counts.letters.get(),
            mailbox_pending: mailbox as u64,
            task_polls: counts.tasks.get(),
            longest_turn: Duration::from_nanos(counts.longest_turn.get()),
            turns: Histogram::of(&counts.turns, &TURN_BOUNDS, 1e9),
            events: Histogram::of(&counts.events, &EVENT_BOUNDS, 1.0),
        }
    }

    /// How many turns there were.
    pub fn turns(&self) -> u64 {
        self.turns.count()
    }

    /// How long the core was busy. What it was not, it waited, or polled before a wait.
    pub fn busy(&self) -> Duration {
        Duration::from_secs_f64(self.turns.sum)
    }
}

impl Metrics {
    /// The sum of a number over all cores.
    ///
    /// ```
    /// fn messages(server: &tiderace::ServerHandle) -> u64 {
    ///     server.metrics().total(|core| core.messages_received)
    /// }
    /// ```
    pub fn total(&self, of: impl Fn(&CoreMetrics) -> u64) -> u64 {
        self.cores.iter().map(of).sum()
    }
}
