//! Metrics for a Prometheus: what is registered, as text, over plain HTTP. Off unless `--metrics` is given.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use tokio::net::TcpListener;

/// Where metrics are served: an address, or a port on loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = text.parse().map(|port| (IpAddr::from(Ipv4Addr::LOCALHOST), port).into());
        port.or_else(|_| text.parse())
            .map(Self)
            .map_err(|_| "give a port, for loopback, or ADDRESS:PORT".to_owned())
    }
}

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
        let mut text = String::new();
        // A label that can't be encoded is a bug of ours, and no reason to stop a campaign.
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics can't be encoded");
        }
        text
    }

    /// Answers `GET /metrics` until it is dropped.
    ///
    /// # Errors
    /// Where the listener fails.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let page = move || {
            let text = self.text();
            async move { ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text) }
        };
        axum::serve(listener, Router::new().route("/metrics", get(page))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_of_loopback() {
        let address = |text: &str| text.parse::<Address>().map(|Address(at)| at.to_string());
        assert_eq!(address("9464").unwrap(), "127.0.0.1:9464");
        assert_eq!(address("0.0.0.0:1").unwrap(), "0.0.0.0:1");
        assert!(address("here").is_err());
    }

    #[test]
    fn names_carry_their_units() {
        let metrics = Metrics::new("c");
        metrics.register(crate::fleet::Tally::default().collectors());
        metrics.samples.with_label_values(&["true"]).inc_by(3);
        metrics.writes.observe(0.001);
        let text = metrics.text();
        assert!(text.contains("fleetmark_samples_stored_total{counted=\"true\"} 3\n"), "{text}");
        assert!(text.contains("fleetmark_refusals_total{reason=\"identity\"} 0\n"), "{text}");
        assert!(text.contains("fleetmark_store_write_seconds_count 1\n"), "{text}");
    }
}
