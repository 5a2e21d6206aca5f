//! The numbers as text: OpenMetrics 1.0, which Prometheus reads.

use super::{CoreMetrics, Histogram, Metrics};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;

/// A metric, and where it is found.
type Number = (&'static str, &'static str, fn(&CoreMetrics) -> u64);

const COUNTERS: [Number; 8] = [
    ("connections_opened", "Connections of handlers that have opened", |core| core.connections_opened),
    ("received_bytes", "Bytes received", |core| core.bytes_received),
    ("sent_bytes", "Bytes that the system has taken", |core| core.bytes_sent),
    ("received_messages", "Messages that decoders have found", |core| core.messages_received),
    ("sent_messages", "Messages that were queued", |core| core.messages_sent),
    ("timers_fired", "Timers that went off", |core| core.timers_fired),
    ("letters", "What other threads have asked for", |core| core.letters),
    ("tasks_polled", "How often tasks were polled", |core| core.tasks_polled),
];

const GAUGES: [Number; 4] = [
    ("connections_open", "Connections of handlers that are open", |core| core.connections_open),
    ("unhandled_bytes", "Bytes that were received and are not handled", |core| core.bytes_unhandled),
    ("unwritten_bytes", "Bytes that are queued and that the system has not taken", |core| core.bytes_unwritten),
    ("mailbox_letters", "What other threads have asked for and what waits", |core| core.mailbox),
];

impl Metrics {
    /// The numbers in the text format of OpenMetrics 1.0, which Prometheus reads, under names that begin with `tiderace_`;
    /// those of a core have its number as the label `core`. The media type is
    /// `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    pub fn to_openmetrics(&self) -> String {
        let mut registry = Registry::with_prefix("tiderace");
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes all");
        text
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
        for (name, help, number) in COUNTERS {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            self.for_cores(metric, |core, metric| ConstCounter::new(number(core)).encode(metric))?;
        }
        for (name, help, number) in GAUGES {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
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

        let longest = ("longest_turn_seconds", "How long the longest turn took");
        let metric = encoder.encode_descriptor(longest.0, longest.1, None, MetricType::Gauge)?;
        self.for_cores(metric, |core, metric| ConstGauge::new(core.longest_turn.as_secs_f64()).encode(metric))?;
        let turns = ("turn_seconds", "How long turns took; the sum is the time that the core was busy");
        let metric = encoder.encode_descriptor(turns.0, turns.1, None, MetricType::Histogram)?;
        self.for_cores(metric, |core, metric| histogram(&core.turns, metric))?;
        let events = ("turn_events", "How many events turns dealt with");
        let metric = encoder.encode_descriptor(events.0, events.1, None, MetricType::Histogram)?;
        self.for_cores(metric, |core, metric| histogram(&core.events, metric))
    }
}

fn histogram(histogram: &Histogram, mut metric: MetricEncoder<'_>) -> fmt::Result {
    metric.encode_histogram::<NoLabelSet>(histogram.sum, histogram.count(), &histogram.buckets, None)
}
