//! The figures of a cell as MLPerf's LoadGen computes them, for reports in its form.
//!
//! They follow `loadgen/results.cc` and `loadgen/loadgen.cc` of mlcommons/inference, and differ from
//! [`crate::CellStatistics`] on purpose: a percentile is a request's own latency, rates include every pause between
//! requests, and nothing has an interval. Runs, and the segments of a run, are joined as if one followed the other.

mod early_stopping;

use crate::slo::Slo;
use crate::{Cell, Observation, Scenario};
pub use early_stopping::{EarlyStopping, EarlyStoppingEstimate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The percentiles that LoadGen reports, in thousandths.
const PERCENTILES: [usize; 6] = [500, 900, 950, 970, 990, 999];

/// The percentiles of SingleStream that have an early stopping estimate; the first is the result of the scenario.
const EARLY_STOPPING: [f64; 2] = [0.9, 0.99];

/// A cell as LoadGen would report it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadGen {
    /// Requests with a summary; all figures are theirs.
    pub sample_count: u64,
    /// In `offline` from the start of the run, in `server` from the intended start of the request.
    pub latency_ns: Latencies,
    /// Requests over the time from the first start to the last end, without the last request in `single_stream` and
    /// `server`. Null if no time passed.
    pub completed_samples_per_s: Option<f64>,
    /// The requests before the last one over the time to its start, in `server` its intended start. Null in `offline`,
    /// where all requests are due at the start.
    pub issued_samples_per_s: Option<f64>,
    /// In `single_stream`, for the 90th and the 99th percentile.
    pub early_stopping: Vec<EarlyStopping>,
    /// In `server` with an objective.
    pub target: Option<Target>,
}

/// Latencies in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Latencies {
    pub min: u64,
    pub max: u64,
    pub mean: u64,
    pub p50: u64,
    pub p90: u64,
    pub p95: u64,
    pub p97: u64,
    pub p99: u64,
    pub p999: u64,
}

/// How `server` fares under the objective, as LoadGen judges its latency constraint.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    pub slo: Slo,
    /// The limit of the objective.
    pub latency_ns: u64,
    /// The latency at the percentile of the objective.
    pub percentile_latency_ns: u64,
    /// Requests above the limit.
    pub over_latency: u64,
    /// Further requests, all within the limit, that would show with 99% confidence that the objective is kept; 0 if
    /// these requests show it.
    pub missing_queries: u64,
}

/// `None` without requests that returned a summary. `slo` is the objective of the campaign.
pub fn figures(cell: &Cell, slo: Option<Slo>) -> Option<LoadGen> {
    let mut latencies = Vec::new();
    let mut hosts: BTreeMap<u32, Time> = BTreeMap::new();
    for run in cell.runs() {
        let rows = run.rows();
        for segment in rows.chunk_by(|a, b| (a.host, a.segment) == (b.host, b.segment)) {
            let start_ns = segment.iter().map(|row| row.start_ns).min()?;
            hosts.entry(segment[0].host).or_default().add(segment, start_ns);
            let answered = segment.iter().filter(|row| row.is_ok());
            latencies.extend(answered.map(|row| match cell.scenario() {
                Scenario::Offline => row.end_ns() - start_ns,
                _ => row.latency_ns,
            }));
        }
    }
    latencies.sort_unstable();
    let latency_ns = spread(&latencies)?;
    let sum = |of_host: fn(&Time) -> Option<f64>| hosts.values().map(of_host).sum();
    let is_offline = cell.scenario() == Scenario::Offline;
    Some(LoadGen {
        sample_count: latencies.len() as u64,
        latency_ns,
        completed_samples_per_s: sum(if is_offline { Time::all } else { Time::completed }),
        issued_samples_per_s: if is_offline { None } else { sum(Time::issued) },
        early_stopping: match cell.scenario() {
            Scenario::SingleStream => {
                EARLY_STOPPING.map(|share| EarlyStopping::of(&latencies, share)).to_vec()
            }
            _ => Vec::new(),
        },
        target: slo
            .filter(|_| cell.scenario() == Scenario::Server)
            .and_then(|slo| target(&latencies, slo)),
    })
}

/// How long a host was busy with the segments of a cell.
#[derive(Debug, Default)]
struct Time {
    answered: f64,
    segments: f64,
    /// From the first start to the last.
    issuing_s: f64,
    /// From the first start to the last end.
    whole_s: f64,
}

impl Time {
    fn add(&mut self, segment: &[Observation], start_ns: u64) {
        let since = |at: Option<u64>| (at.unwrap_or(start_ns) - start_ns) as f64 / 1e9;
        self.answered += segment.iter().filter(|row| row.is_ok()).count() as f64;
        self.segments += 1.0;
        self.issuing_s += since(segment.iter().map(|row| row.start_ns).max());
        self.whole_s += since(segment.iter().map(Observation::end_ns).max());
    }

    fn all(&self) -> Option<f64> {
        per_second(self.answered, self.whole_s)
    }

    fn completed(&self) -> Option<f64> {
        per_second(self.answered - self.segments, self.whole_s)
    }

    fn issued(&self) -> Option<f64> {
        per_second(self.answered - self.segments, self.issuing_s)
    }
}

fn per_second(count: f64, seconds: f64) -> Option<f64> {
    (count > 0.0 && seconds > 0.0).then(|| count / seconds)
}

/// Of latencies in order; `None` without any.
fn spread(sorted: &[u64]) -> Option<Latencies> {
    let count = sorted.len();
    let sum: u128 = sorted.iter().copied().map(u128::from).sum();
    let at = |thousandths: usize| sorted[count * thousandths / 1000];
    let (&min, &max) = (sorted.first()?, sorted.last()?);
    let [p50, p90, p95, p97, p99, p999] = PERCENTILES.map(at);
    let mean = u64::try_from(sum / count as u128).ok()?;
    Some(Latencies { min, max, mean, p50, p90, p95, p97, p99, p999 })
}

fn target(sorted: &[u64], slo: Slo) -> Option<Target> {
    let share = slo.percentile / 100.0;
    let limit = Duration::try_from_secs_f64(slo.request_latency_ms? / 1e3).ok();
    let latency_ns = limit.and_then(|limit| u64::try_from(limit.as_nanos()).ok())?;
    let within = sorted.partition_point(|&latency| latency <= latency_ns);
    let over_latency = (sorted.len() - within) as u64;
    Some(Target {
        slo,
        latency_ns,
        percentile_latency_ns: *sorted.get(rank(sorted.len(), share))?,
        over_latency,
        missing_queries: early_stopping::needed(over_latency, share)
            .saturating_sub(sorted.len() as u64),
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
fn rank(count: usize, share: f64) -> usize {
    ((count as f64 * share) as usize).min(count.saturating_sub(1))
}

#[cfg(test)]
mod tests;
