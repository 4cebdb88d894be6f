//! Metrics for a Prometheus: what is registered, as text, over plain HTTP.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus::{Registry, TextEncoder};
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

/// Everything that is registered, in the text format of Prometheus.
pub fn text(registry: &Registry) -> String {
    let mut text = String::new();
    // A label that can't be encoded is a bug of ours, and no reason to stop measuring.
    if let Err(error) = TextEncoder::new().encode_utf8(&registry.gather(), &mut text) {
        tracing::error!(%error, "metrics can't be encoded");
    }
    text
}

/// Answers `GET /metrics` until it is dropped.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(registry: Registry, listener: TcpListener) -> io::Result<()> {
    let page = move || {
        let text = text(&registry);
        async move { ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text) }
    };
    axum::serve(listener, Router::new().route("/metrics", get(page))).await
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
}
