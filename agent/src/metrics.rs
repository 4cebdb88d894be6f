//! Metrics for a Prometheus: what this agent did, over plain HTTP. Off unless `--metrics` is given.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
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
        let mut text = String::new();
        // A label that can't be encoded is a bug of ours, and no reason to stop measuring.
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
        assert!("9464".parse::<Address>().unwrap().0.ip().is_loopback());
    }
}
