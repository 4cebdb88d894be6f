//! Metrics of a server for Prometheus. Each text of a request counts as one.

use engine::Row;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    exponential_buckets,
};

/// How a text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    /// The engine failed.
    Failed,
    /// Its caller left first.
    Cancelled,
    /// It found a full queue.
    Refused,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Answered, Self::Failed, Self::Cancelled, Self::Refused];

    fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Metrics {
    registry: Registry,
    waiting: IntGauge,
    running: IntGauge,
    requests: IntCounterVec,
    prompt_tokens: IntCounter,
    output_tokens: IntCounter,
    batch_size: Histogram,
    ttft: Histogram,
    latency: Histogram,
}

/// One text in a gauge, until it is dropped.
#[derive(Debug)]
pub(super) struct Counted(IntGauge);

impl Counted {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

const WELL_FORMED: &str = "the name is well-formed, and registered once";

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let gauge = |name, help| {
            let gauge = IntGauge::new(name, help).expect(WELL_FORMED);
            registry.register(Box::new(gauge.clone())).expect(WELL_FORMED);
            gauge
        };
        let counter = |name, help| {
            let counter = IntCounter::new(name, help).expect(WELL_FORMED);
            registry.register(Box::new(counter.clone())).expect(WELL_FORMED);
            counter
        };
        let histogram = |name, help, from, buckets| {
            let bounds = exponential_buckets(from, 2.0, buckets).expect("they ascend");
            let options = HistogramOpts::new(name, help).buckets(bounds);
            let histogram = Histogram::with_opts(options).expect(WELL_FORMED);
            registry.register(Box::new(histogram.clone())).expect(WELL_FORMED);
            histogram
        };
        let requests = Opts::new("fleetmark_serve_requests_total", "Requests, by outcome");
        let requests = IntCounterVec::new(requests, &["outcome"]).expect(WELL_FORMED);
        registry.register(Box::new(requests.clone())).expect(WELL_FORMED);
        for outcome in Outcome::ALL {
            requests.with_label_values(&[outcome.label()]);
        }
        Self {
            waiting: gauge("fleetmark_serve_requests_waiting", "Requests in the queue"),
            running: gauge("fleetmark_serve_requests_running", "Requests being decoded"),
            requests,
            prompt_tokens: counter(
                "fleetmark_serve_prompt_tokens_total",
                "Tokens of the prompts of answered requests",
            ),
            output_tokens: counter(
                "fleetmark_serve_output_tokens_total",
                "Tokens of the texts of answered requests",
            ),
            batch_size: histogram(
                "fleetmark_serve_batch_size",
                "Requests decoded together, in each step, or in each batch without continuous batching",
                1.0,
                10,
            ),
            // 1 ms to 65 s.
            ttft: histogram(
                "fleetmark_serve_time_to_first_token_seconds",
                "Time from the arrival of a request to its first token",
                0.001,
                17,
            ),
            latency: histogram(
                "fleetmark_serve_request_seconds",
                "Time from the arrival of a request to its complete text",
                0.001,
                17,
            ),
            registry,
        }
    }
}

impl Metrics {
    /// In the exposition format.
    pub(super) fn text(&self) -> String {
        ops::metrics::text(&self.registry)
    }

    pub(super) fn waiting(&self) -> Counted {
        Counted::new(&self.waiting)
    }

    pub(super) fn running(&self) -> Counted {
        Counted::new(&self.running)
    }

    pub(super) fn decoded_together(&self, texts: usize) {
        if texts > 0 {
            self.batch_size.observe(texts as f64);
        }
    }

    pub(super) fn ended(&self, outcome: Outcome) {
        self.ended_all(outcome, 1);
    }

    pub(super) fn ended_all(&self, outcome: Outcome, texts: usize) {
        self.requests.with_label_values(&[outcome.label()]).inc_by(texts as u64);
    }

    /// Times are on the stopwatch.
    pub(super) fn answered(&self, row: &Row, arrived_ns: u64, end_ns: u64) {
        self.ended(Outcome::Answered);
        self.prompt_tokens.inc_by(row.input_tokens.unwrap_or(0).into());
        self.output_tokens.inc_by(row.output_tokens.unwrap_or(0).into());
        let seconds = |at_ns: u64| at_ns.saturating_sub(arrived_ns) as f64 / 1e9;
        self.latency.observe(seconds(end_ns));
        if let Some(first_token_ns) = row.first_token_ns {
            self.ttft.observe(seconds(first_token_ns.min(end_ns)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_metrics_are_there_from_the_start() {
        let text = Metrics::default().text();
        for line in [
            "requests_waiting 0",
            "requests_running 0",
            "requests_total{outcome=\"answered\"} 0",
            "requests_total{outcome=\"cancelled\"} 0",
            "requests_total{outcome=\"failed\"} 0",
            "requests_total{outcome=\"refused\"} 0",
            "prompt_tokens_total 0",
            "output_tokens_total 0",
            "batch_size_count 0",
            "time_to_first_token_seconds_count 0",
            "request_seconds_count 0",
        ] {
            assert!(text.contains(&format!("\nfleetmark_serve_{line}\n")), "{line}: {text}");
        }
    }
}
