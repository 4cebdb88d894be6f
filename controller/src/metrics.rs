//! Metrics for a Prometheus: what a campaign counts. Off unless `--metrics` is given.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use std::io;
use tokio::net::TcpListener;

/// What a campaign counts beyond its doors.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    /// Samples on disk, by whether they count.
    pub samples: IntCounterVec,
    /// Batches that were acknowledged.
    pub batches: IntCounter,
    /// How long a group of rows took to be on disk.
    pub writes: Histogram,
}

impl Metrics {
    /// For the campaign of this id.
    ///
    /// # Panics
    /// Never: every name is well-formed.
    pub fn new(campaign: &str) -> Self {
        let samples =
            Opts::new("fleetmark_samples_stored_total", "Samples on disk, by whether they count");
        let buckets = prometheus::exponential_buckets(0.000_25, 2.0, 14).expect("a growing scale");
        let writes = HistogramOpts::new(
            "fleetmark_store_write_seconds",
            "How long a group of rows took to be on disk",
        );
        let metrics = Self {
            registry: Registry::new(),
            samples: IntCounterVec::new(samples, &["counted"]).expect("the name is well-formed"),
            batches: IntCounter::new(
                "fleetmark_batches_acknowledged_total",
                "Batches that were acknowledged",
            )
            .expect("the name is well-formed"),
            writes: Histogram::with_opts(writes.buckets(buckets)).expect("the name is well-formed"),
        };
        let info = Opts::new("fleetmark_campaign_info", "Which campaign runs, on which release");
        let info =
            IntGaugeVec::new(info, &["campaign", "version"]).expect("the name is well-formed");
        info.with_label_values(&[campaign, env!("CARGO_PKG_VERSION")]).set(1);
        metrics.register(vec![
            Box::new(metrics.samples.clone()),
            Box::new(metrics.batches.clone()),
            Box::new(metrics.writes.clone()),
            Box::new(info),
        ]);
        metrics
    }

    /// Serves these, too.
    ///
    /// # Panics
    /// Where two have the same name.
    pub fn register(&self, collectors: Vec<Box<dyn Collector>>) {
        for collector in collectors {
            self.registry.register(collector).expect("each name is registered once");
        }
    }

    /// Everything, in the text format of Prometheus.
    pub fn text(&self) -> String {
        ops::metrics::text(&self.registry)
    }

    /// Answers `GET /metrics` until it is dropped.
    ///
    /// # Errors
    /// Where the listener fails.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        ops::metrics::serve(self.registry, listener).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_their_units() {
        let metrics = Metrics::new("c");
        metrics.register(fleet::Tally::default().collectors());
        metrics.samples.with_label_values(&["true"]).inc_by(3);
        metrics.writes.observe(0.001);
        let text = metrics.text();
        assert!(text.contains("fleetmark_samples_stored_total{counted=\"true\"} 3\n"), "{text}");
        assert!(text.contains("fleetmark_refusals_total{reason=\"identity\"} 0\n"), "{text}");
        assert!(text.contains("fleetmark_store_write_seconds_count 1\n"), "{text}");
    }
}
