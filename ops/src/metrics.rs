//! Metrics for Prometheus over plain HTTP, and the probe that `health` commands send to them.

use crate::descriptors;
use crate::http::{self, Limits};
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus::{Registry, TextEncoder};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::str::FromStr;
use std::time::Duration;
use tokio::net::TcpListener;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl FromStr for Address {
    type Err = String;

    /// `ADDRESS:PORT`, or a port on loopback.
    fn from_str(text: &str) -> Result<Self, String> {
        let port = text.parse().map(|port| (IpAddr::from(Ipv4Addr::LOCALHOST), port).into());
        port.or_else(|_| text.parse())
            .map(Self)
            .map_err(|_| "expected a port on loopback or ADDRESS:PORT".to_owned())
    }
}

pub fn text(registry: &Registry) -> String {
    let mut text = String::new();
    // A bug of ours, and no reason to stop measuring.
    if let Err(error) = TextEncoder::new().encode_utf8(&registry.gather(), &mut text) {
        tracing::error!(%error, "failed to encode metrics");
    }
    text
}

/// Connections of scrapers; each takes a few.
const CONNECTIONS: usize = 64;

/// Serves `GET /metrics` until it is dropped.
pub async fn serve(registry: Registry, listener: TcpListener) {
    let page = move || {
        let text = text(&registry);
        async move { ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text) }
    };
    let router = Router::new().route("/metrics", get(page));
    let limits = Limits { connections: descriptors::share(CONNECTIONS, 32), drain: Duration::ZERO };
    http::serve(listener, router, limits, std::future::pending()).await;
}

/// Limits connecting, and each read, of [`probe`].
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the program that serves metrics at `address` for them. Blocks.
pub fn probe(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PROBE_TIMEOUT)?;
    stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
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
    #[tokio::test(flavor = "multi_thread")]
    async fn a_probe_reads_what_is_served() {
        let registry = Registry::new();
        let gauge = prometheus::IntGauge::new("fleetmark_test", "A test.").unwrap();
        gauge.set(7);
        registry.register(Box::new(gauge)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(registry, listener));
        let answer = tokio::task::spawn_blocking(move || probe(address)).await.unwrap().unwrap();
        assert!(answer.contains("\nfleetmark_test 7\n"), "{answer}");
        server.abort();
    }
}
