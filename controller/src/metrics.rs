//! Prometheus metrics of a campaign. Off unless `--metrics` is given.

use campaign::{CampaignEvent, Observer};
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use std::time::Duration;
use tokio::net::TcpListener;

/// Metrics of a campaign, beside those of the fleet.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    /// Samples on disk, by whether they count.
    samples: IntCounterVec,
    batches: IntCounter,
    /// Duration of each transaction.
    pub writes: Histogram,
}

impl Metrics {
    pub fn new(campaign: &str) -> Self {
        let samples =
            Opts::new("fleetmark_samples_stored_total", "Samples on disk, by whether they count");
        let buckets = prometheus::exponential_buckets(0.000_25, 2.0, 14).expect("a growing scale");
        let writes =
            HistogramOpts::new("fleetmark_store_write_seconds", "Time to commit a group of rows");
        let metrics = Self {
            registry: Registry::new(),
            samples: IntCounterVec::new(samples, &["counted"]).expect("the name is well-formed"),
            batches: IntCounter::new(
                "fleetmark_batches_acknowledged_total",
                "Batches acknowledged to agents",
            )
            .expect("the name is well-formed"),
            writes: Histogram::with_opts(writes.buckets(buckets)).expect("the name is well-formed"),
        };
        let info = Opts::new(
            "fleetmark_campaign_info",
            "Id of the running campaign, and version of the controller",
        );
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

    /// Adds further metrics. Panics if two have the same name.
    pub fn register(&self, collectors: Vec<Box<dyn Collector>>) {
        for collector in collectors {
            self.registry.register(collector).expect("each name is registered once");
        }
    }

    /// Answers `GET /metrics` until it is dropped.
    pub async fn serve(self, listener: TcpListener) {
        ops::metrics::serve(self.registry, listener).await;
    }
}

impl Observer for Metrics {
    fn observe(&mut self, event: &CampaignEvent, _: Duration) {
        if let CampaignEvent::BatchStored { samples, is_counted, .. } = event {
            let is_counted = if *is_counted { "true" } else { "false" };
            self.samples.with_label_values(&[is_counted]).inc_by(*samples);
            self.batches.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_their_units() {
        let metrics = Metrics::new("c");
        metrics.register(fleet::FleetMetrics::default().collectors());
        metrics.samples.with_label_values(&["true"]).inc_by(3);
        metrics.writes.observe(0.001);
        let text = ops::metrics::text(&metrics.registry);
        assert!(text.contains("fleetmark_samples_stored_total{counted=\"true\"} 3\n"), "{text}");
        assert!(text.contains("fleetmark_refusals_total{reason=\"identity\"} 0\n"), "{text}");
        assert!(text.contains("fleetmark_store_write_seconds_count 1\n"), "{text}");
    }
}
