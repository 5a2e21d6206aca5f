//! The numbers as text: OpenMetrics 1.0, and the text format of Prometheus.

use super::{CoreMetrics, Format, Histogram, Metrics};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;

/// A metric: its name, which its unit and the `_total` of counters end, what it counts, its unit, and its value.
type Number = (&'static str, &'static str, Option<Unit>, fn(&CoreMetrics) -> u64);

const COUNTERS: [Number; 9] = [
    ("connections_accepted", "Connections accepted by listeners", None, |core| core.connections_accepted),
    ("connections_opened", "Connections given to handlers: accepted, attached or made by clients", None, |core| {
        core.connections_opened
    }),
    ("received", "Bytes received", Some(Unit::Bytes), |core| core.bytes_received),
    ("sent", "Bytes sent: those that the system has taken", Some(Unit::Bytes), |core| core.bytes_sent),
    ("received_messages", "Messages that decoders have found", None, |core| core.messages_received),
    ("sent_messages", "Messages that were queued to be sent", None, |core| core.messages_sent),
    ("timers_fired", "Timers that went off", None, |core| core.timers_fired),
    ("mailbox_messages", "Messages from other threads: wake-ups and work", None, |core| core.mailbox_messages),
    ("task_polls", "Polls of tasks", None, |core| core.task_polls),
];

const GAUGES: [Number; 4] = [
    ("connections_active", "Connections of handlers that are open", None, |core| core.connections_active),
    ("receive_buffer", "Bytes received that no handler has taken", Some(Unit::Bytes), |core| core.bytes_buffered),
    ("write_queue", "Bytes queued that the system has not taken", Some(Unit::Bytes), |core| core.bytes_queued),
    ("mailbox_pending_messages", "Messages from other threads that wait", None, |core| core.mailbox_pending),
];

impl Metrics {
    /// The numbers in the text format of OpenMetrics 1.0, under names that begin with `tiderace_`; those of a core have its
    /// number as the label `core`. The media type is `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    pub fn to_openmetrics(&self) -> String {
        let mut registry = Registry::with_prefix("tiderace");
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes all");
        text
    }

    /// The same numbers under the same names in the text format of Prometheus, version 0.0.4, which every scraper reads. The
    /// media type is `text/plain; version=0.0.4; charset=utf-8`.
    ///
    /// ```
    /// let server = tiderace::Server::new();
    /// let text = server.handle().metrics().to_prometheus_text();
    /// assert!(text.contains("\n# TYPE tiderace_connections_refused_total counter\n"));
    /// ```
    pub fn to_prometheus_text(&self) -> String {
        let (mut text, mut help) = (String::new(), "");
        for line in self.to_openmetrics().lines() {
            let comment = line.strip_prefix("# ").map(|comment| comment.splitn(3, ' ').collect::<Vec<_>>());
            match comment.as_deref() {
                Some(["HELP", _, of]) => help = of,
                // The older format names the sample here, the newer one the family.
                Some(["TYPE", name, "counter"]) => {
                    text += &format!("# HELP {name}_total {help}\n# TYPE {name}_total counter\n");
                }
                Some(["TYPE", name, kind]) => text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"),
                // Units, and the end, which the older format does not have.
                Some(_) => {}
                None => text.extend([line, "\n"]),
            }
        }
        text
    }

    pub(super) fn to_format(&self, format: Format) -> String {
        match format {
            Format::Text => self.to_prometheus_text(),
            Format::OpenMetrics => self.to_openmetrics(),
        }
    }

    fn for_cores(
        &self,
        mut encoder: MetricEncoder<'_>,
        mut encode: impl FnMut(&CoreMetrics, MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.cores.iter().enumerate().try_for_each(|(i, core)| encode(core, encoder.encode_family(&[("core", i)])?))
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, unit, number) in COUNTERS {
            let metric = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
            self.for_cores(metric, |core, metric| ConstCounter::new(number(core)).encode(metric))?;
        }
        for (name, help, unit, number) in GAUGES {
            let metric = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
            self.for_cores(metric, |core, metric| ConstGauge::new(number(core) as i64).encode(metric))?;
        }
        let refused = ("connections_refused", "Connections that were closed because as many as may be were open");
        let metric = encoder.encode_descriptor(refused.0, refused.1, None, MetricType::Counter)?;
        ConstCounter::new(self.connections_refused).encode(metric)?;

        let closed = ("connections_closed", "Connections of handlers that have ended");
        let mut metric = encoder.encode_descriptor(closed.0, closed.1, None, MetricType::Counter)?;
        for (i, core) in self.cores.iter().enumerate() {
            for (reason, count) in &core.connections_closed {
                let labels = [("core", i.to_string()), ("reason", (*reason).to_owned())];
                ConstCounter::new(*count).encode(metric.encode_family(&labels)?)?;
            }
        }

        let longest = ("event_loop_longest_iteration", "How long the longest iteration of the event loop took");
        let metric = encoder.encode_descriptor(longest.0, longest.1, Some(&Unit::Seconds), MetricType::Gauge)?;
        self.for_cores(metric, |core, metric| ConstGauge::new(core.longest_turn.as_secs_f64()).encode(metric))?;
        let turns =
            ("event_loop_iteration_duration", "How long iterations of the event loop took, their waits excepted");
        let metric = encoder.encode_descriptor(turns.0, turns.1, Some(&Unit::Seconds), MetricType::Histogram)?;
        self.for_cores(metric, |core, metric| histogram(&core.turns, metric))?;
        let events = ("event_loop_iteration_events", "Events handled in an iteration of the event loop");
        let metric = encoder.encode_descriptor(events.0, events.1, None, MetricType::Histogram)?;
        self.for_cores(metric, |core, metric| histogram(&core.events, metric))
    }
}

fn histogram(histogram: &Histogram, mut metric: MetricEncoder<'_>) -> fmt::Result {
    metric.encode_histogram::<NoLabelSet>(histogram.sum, histogram.count(), &histogram.buckets, None)
}
