//! Metrics for a Prometheus: what this agent did. Off unless `--metrics` is given.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use std::io;
use tokio::net::TcpListener;

/// What an agent counts.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    /// 1 while a controller has welcomed it.
    pub welcome: IntGauge,
    /// Connections that were tried.
    pub connections: IntCounter,
    /// Shards that ended, by how.
    pub shards: IntCounterVec,
    /// Batches that were measured and sent.
    pub batches: IntCounter,
    /// Samples that were measured and sent, by what became of them.
    pub samples: IntCounterVec,
}

impl Default for Metrics {
    /// Starts at zero.
    fn default() -> Self {
        let counter = |name, help| IntCounter::new(name, help).expect("the name is well-formed");
        let by = |name: &str, help: &str, label: &str| {
            IntCounterVec::new(Opts::new(name, help), &[label]).expect("the name is well-formed")
        };
        let metrics = Self {
            registry: Registry::new(),
            welcome: IntGauge::new(
                "fleetmark_agent_welcome",
                "1 while a controller has welcomed this agent",
            )
            .expect("the name is well-formed"),
            connections: counter(
                "fleetmark_agent_connections_total",
                "Connections that were tried",
            ),
            shards: by("fleetmark_agent_shards_total", "Shards that ended, by how", "outcome"),
            batches: counter(
                "fleetmark_agent_batches_total",
                "Batches that were measured and sent",
            ),
            samples: by(
                "fleetmark_agent_samples_total",
                "Samples that were measured and sent",
                "outcome",
            ),
        };
        for outcome in ["finished", "failed"] {
            metrics.shards.with_label_values(&[outcome]);
        }
        for outcome in ["ok", "failed"] {
            metrics.samples.with_label_values(&[outcome]);
        }
        let registered = [
            metrics.registry.register(Box::new(metrics.welcome.clone())),
            metrics.registry.register(Box::new(metrics.connections.clone())),
            metrics.registry.register(Box::new(metrics.shards.clone())),
            metrics.registry.register(Box::new(metrics.batches.clone())),
            metrics.registry.register(Box::new(metrics.samples.clone())),
        ];
        assert!(registered.iter().all(Result::is_ok), "each name is registered once");
        metrics
    }
}

impl Metrics {
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
    fn all_that_is_counted_is_there_from_the_start() {
        let text = Metrics::default().text();
        for name in [
            "welcome 0",
            "connections_total 0",
            "shards_total{outcome=\"failed\"} 0",
            "batches_total 0",
        ] {
            assert!(text.contains(&format!("fleetmark_agent_{name}\n")), "{text}");
        }
    }
}
