//! What the statistics take in: the measured requests of one cell, as plain numbers.

pub use model::load::Scenario;

use model::sample::{HttpTiming, Sample, SampleKey};

/// One measured request. The fields stand in the order in which observations are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Observation {
    /// Which repeat of the cell; equal numbers of two cells are one round.
    pub run: u32,
    /// Which host, as an index into a table that all cells share.
    pub host: u32,
    /// Which unbroken stretch of the run on that host.
    pub segment: u32,
    /// Which batch of that segment.
    pub batch: u32,
    /// When it became available, on its host's monotonic clock; in open loop, when it was meant to start.
    pub start_ns: u64,
    /// Which dialogue, as an index into a table that all cells share.
    pub sample: u32,
    /// From its start to its end; of a failed request, until it failed.
    pub latency_ns: u64,
    /// From its start to its first token; `None` where none came.
    pub ttft_ns: Option<u64>,
    /// With an endpoint, what the network took; `None` where there was none, or the server didn't say how long it took
    /// itself.
    pub network_ns: Option<u64>,
    /// Of the prompt; `None` where nobody counted.
    pub input_tokens: Option<u32>,
    /// Decoded; `None` where nobody counted.
    pub output_tokens: Option<u32>,
    /// Whether it brought a summary.
    pub is_ok: bool,
}

impl Observation {
    /// `host` is the index of the sample's host.
    pub fn new(key: &SampleKey, sample: &Sample, host: u32) -> Self {
        Self {
            run: key.run,
            host,
            segment: key.segment,
            batch: key.batch,
            start_ns: sample.start_ns,
            sample: key.sample,
            latency_ns: sample.latency_ns,
            ttft_ns: sample.ttft_ns,
            network_ns: sample.http.as_ref().and_then(HttpTiming::network_ns),
            input_tokens: sample.input_tokens,
            output_tokens: sample.output_tokens,
            is_ok: sample.outcome.is_ok(),
        }
    }

    /// When it ended, on its host's monotonic clock.
    pub fn end_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.latency_ns)
    }

    pub fn is_ok(&self) -> bool {
        self.is_ok
    }

    /// Its `request_latency` in milliseconds.
    pub fn latency_ms(&self) -> f64 {
        milliseconds(self.latency_ns)
    }

    /// Its ttft in milliseconds.
    pub fn ttft_ms(&self) -> Option<f64> {
        self.ttft_ns.map(milliseconds)
    }

    /// What the network took, in milliseconds.
    pub fn network_ms(&self) -> Option<f64> {
        self.network_ns.map(milliseconds)
    }

    /// Its tpot in milliseconds: the time after the first token, per further token; `None` below two tokens.
    pub fn tpot_ms(&self) -> Option<f64> {
        let further = self.output_tokens?.checked_sub(1).filter(|&tokens| tokens > 0)?;
        Some((self.latency_ms() - self.ttft_ms()?) / f64::from(further))
    }

    /// Its `request_latency` per output token in milliseconds; `None` without tokens.
    pub fn latency_ms_per_output_token(&self) -> Option<f64> {
        let tokens = self.output_tokens.filter(|&tokens| tokens > 0)?;
        Some(self.latency_ms() / f64::from(tokens))
    }
}

/// Nanoseconds as milliseconds.
pub fn milliseconds(ns: u64) -> f64 {
    ns as f64 / 1e6
}
