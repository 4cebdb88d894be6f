//! Where the time of requests to an endpoint goes: the client's timing and the server's own.
//!
//! Descriptive: quantiles come from histograms, within half a percent, and have no interval. What the network took stands
//! among a cell's estimates ([`super::CellStatistics::network_ms`]).

use super::quantile::{P50, P95};
use model::{histogram::Histogram, sample::HttpTiming};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default)]
pub struct HttpTimings {
    requests: u64,
    reconnects: u64,
    connects: Histogram,
    first_bytes: Histogram,
    servers: Histogram,
}

/// Where the time of requests to an endpoint goes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellExchange {
    /// Requests with a summary.
    pub requests: u64,
    /// To find its name, connect and shake hands (TCP, TLS), of the requests that needed a new connection.
    pub connect_ms: Part,
    /// From the start of sending, connecting included, to the head of the answer.
    pub first_byte_ms: Part,
    /// The server's own timing.
    pub server_ms: Part,
    /// Requests that went to a new connection because the server had closed a kept one before any byte of an answer.
    pub reconnects: u64,
}

/// A part of the timings, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    pub n: u64,
    pub mean: Option<f64>,
    /// The median; null below 8 requests.
    pub p50: Option<f64>,
    /// 19 in 20 are at most this; null below 93 requests.
    pub p95: Option<f64>,
    pub max: Option<f64>,
}

impl HttpTimings {
    pub fn add(&mut self, timing: &HttpTiming) {
        self.requests += 1;
        self.reconnects += u64::from(timing.is_reconnected);
        let parts = [
            (&mut self.connects, timing.connect_ns),
            (&mut self.first_bytes, timing.first_byte_ns),
            (&mut self.servers, timing.server_ns),
        ];
        for (histogram, ns) in parts {
            if let Some(ns) = ns {
                histogram.add(ns);
            }
        }
    }

    pub fn summary(&self) -> Option<CellExchange> {
        (self.requests > 0).then(|| CellExchange {
            requests: self.requests,
            connect_ms: part(&self.connects),
            first_byte_ms: part(&self.first_bytes),
            server_ms: part(&self.servers),
            reconnects: self.reconnects,
        })
    }
}

fn part(histogram: &Histogram) -> Part {
    Part {
        n: histogram.count(),
        mean: histogram.mean().map(|ns| ns / 1e6),
        p50: P50.of_histogram_ms(histogram),
        p95: P95.of_histogram_ms(histogram),
        max: histogram.max().map(|ns| ns as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_nobody_has_is_null() {
        let mut timings = HttpTimings::default();
        assert_eq!(timings.summary(), None);
        for index in 0..10 {
            timings.add(&HttpTiming {
                total_ns: 9_000_000,
                connect_ns: (index == 0).then_some(2_000_000),
                first_byte_ns: Some(8_000_000),
                server_ns: None,
                is_reconnected: index < 2,
            });
        }
        let summary = timings.summary().unwrap();
        let counts = (summary.requests, summary.connect_ms.n, summary.reconnects);
        assert_eq!(counts, (10, 1, 2));
        assert_eq!((summary.connect_ms.max, summary.connect_ms.p50), (Some(2.0), None));
        assert!((summary.first_byte_ms.p50.unwrap() - 8.0).abs() < 0.05);
        assert_eq!(summary.server_ms, part(&Histogram::default()));
        assert_eq!((summary.server_ms.n, summary.server_ms.mean), (0, None));
    }
}
