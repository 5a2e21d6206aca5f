//! What the cores have counted, for users and for Prometheus.

mod format;
mod page;
mod snapshot;
mod text;

pub(crate) use format::Format;
pub(crate) use page::Page;
pub use snapshot::{CoreMetrics, Histogram, Metrics};
