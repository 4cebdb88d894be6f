//! Prometheus metrics, off unless `--metrics` is given.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use tokio::net::TcpListener;

#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    pub joined: IntGauge,
    pub connections: IntCounter,
    pub shards: IntCounterVec,
    pub batches: IntCounter,
    pub samples: IntCounterVec,
}

impl Default for Metrics {
    fn default() -> Self {
        let counter = |name, help| IntCounter::new(name, help).expect("the name is well-formed");
        let by = |name: &str, help: &str, label: &str| {
            IntCounterVec::new(Opts::new(name, help), &[label]).expect("the name is well-formed")
        };
        let metrics = Self {
            registry: Registry::new(),
            joined: IntGauge::new(
                "fleetmark_agent_joined",
                "1 while this agent is joined to a controller",
            )
            .expect("the name is well-formed"),
            connections: counter("fleetmark_agent_connections_total", "Connection attempts"),
            shards: by("fleetmark_agent_shards_total", "Shards that ended, by outcome", "outcome"),
            batches: counter("fleetmark_agent_batches_total", "Batches measured and sent"),
            samples: by("fleetmark_agent_samples_total", "Samples measured and sent", "outcome"),
        };
        for outcome in ["finished", "failed"] {
            metrics.shards.with_label_values(&[outcome]);
        }
        for outcome in ["ok", "failed"] {
            metrics.samples.with_label_values(&[outcome]);
        }
        let registered = [
            metrics.registry.register(Box::new(metrics.joined.clone())),
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
    pub fn text(&self) -> String {
        ops::metrics::text(&self.registry)
    }

    /// Serves `GET /metrics` until dropped.
    pub async fn serve(self, listener: TcpListener) {
        ops::metrics::serve(self.registry, listener).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_counted_is_there_from_the_start() {
        let text = Metrics::default().text();
        for name in [
            "joined 0",
            "connections_total 0",
            "shards_total{outcome=\"failed\"} 0",
            "batches_total 0",
        ] {
            assert!(text.contains(&format!("fleetmark_agent_{name}\n")), "{text}");
        }
    }
}
