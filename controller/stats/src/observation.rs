//! The input of the statistics: the measured requests of one cell, as plain numbers.

pub use model::load::Scenario;

use model::sample::{HttpTiming, Sample, SampleKey};

/// One measured request. Observations are sorted by the fields in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Observation {
    /// From 1; equal numbers of two cells are one round.
    pub run: u32,
    /// Index into a table of hosts that all cells share.
    pub host: u32,
    /// An uninterrupted part of the run on that host.
    pub segment: u32,
    /// Number within the segment.
    pub batch: u32,
    /// When it became available, on its host's monotonic clock; in open loop, its intended start.
    pub start_ns: u64,
    /// Index into a table of dialogues that all cells share.
    pub sample: u32,
    /// From its start to its end; of a failed request, until it failed.
    pub latency_ns: u64,
    /// From its start to its first token; `None` without one.
    pub ttft_ns: Option<u64>,
    /// The network's share of the latency; `None` without an endpoint, or if the server reports no timing.
    pub network_ns: Option<u64>,
    /// Of the prompt; `None` if not counted.
    pub input_tokens: Option<u32>,
    /// Of the summary; `None` if not counted.
    pub output_tokens: Option<u32>,
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

    pub fn end_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.latency_ns)
    }

    pub fn is_ok(&self) -> bool {
        self.is_ok
    }

    pub fn latency_ms(&self) -> f64 {
        milliseconds(self.latency_ns)
    }

    pub fn ttft_ms(&self) -> Option<f64> {
        self.ttft_ns.map(milliseconds)
    }

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

pub fn milliseconds(ns: u64) -> f64 {
    ns as f64 / 1e6
}
