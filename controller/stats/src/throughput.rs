//! Throughput: counted requests per measured host-second, by run and together.

use super::interval::{between_runs, mean, standard_deviation};
use super::layout::Run;
use crate::{Cell, Estimate, Limitation, Observation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests, or tokens, per second of one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rate {
    /// The unit of the figures.
    pub unit: String,
    /// All that was counted over all measured host-seconds, with the t interval over runs.
    pub per_host: Estimate,
    /// The standard deviation over runs, ddof 1; null for one run.
    pub std: Option<f64>,
    /// What all hosts do together: the sum of their own rates, the mean over runs.
    pub fleet: Estimate,
}

/// One repeat of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRow {
    pub run: u32,
    /// That measured, also those that loaded an endpoint together.
    pub hosts: u64,
    /// Requests with a summary.
    pub counted_samples: u64,
    pub failed_samples: u64,
    /// The measured time of its hosts together; of those that loaded an endpoint, the longest.
    pub host_seconds: f64,
    /// Counted samples per host-second; null where no time was measured.
    pub throughput: Option<f64>,
    pub latency_mean_ms: Option<f64>,
    /// Tokens of the summaries; null where one of them was not counted.
    pub output_tokens: Option<u64>,
}

pub fn rows(cell: &Cell) -> Vec<RunRow> {
    let row = |run: &Run| {
        let ok = || run.unpacked().filter(Observation::is_ok);
        let latencies: Vec<f64> = ok().map(|row| row.latency_ms()).collect();
        RunRow {
            run: run.run,
            hosts: run.hosts.len() as u64,
            counted_samples: run.ok(),
            failed_samples: run.failed(),
            host_seconds: run.host_seconds(),
            throughput: per_second(run.ok() as f64, run.host_seconds()),
            latency_mean_ms: mean(&latencies),
            output_tokens: ok().map(|row| row.output_tokens.map(u64::from)).sum(),
        }
    };
    cell.runs().iter().map(row).collect()
}

pub fn of_samples(cell: &Cell) -> Rate {
    rate(cell, "samples/sec", |run| run.hosts.iter().map(|host| host.ok as f64).collect())
}

/// Counted requests per second of a host, pauses between batches included.
pub fn by_wall_clock(cell: &Cell) -> Option<f64> {
    let seconds = cell.runs().iter().map(Run::wall_seconds).sum();
    per_second(cell.runs().iter().map(|run| run.ok() as f64).sum(), seconds)
}

/// The rate of output tokens; missing where those of a summary were not counted: a sum without them would be too small.
pub fn of_output_tokens(cell: &Cell) -> Rate {
    const UNIT: &str = "tokens/sec";
    if cell.observations().any(|row| row.is_ok() && row.output_tokens.is_none()) {
        let missing = || Estimate::missing(0, Limitation::EndpointReportsNoTokens);
        return Rate { unit: UNIT.to_owned(), per_host: missing(), std: None, fleet: missing() };
    }
    let tokens =
        |row: &Observation| row.output_tokens.filter(|_| row.is_ok()).map_or(0.0, f64::from);
    rate(cell, UNIT, |run| run.by_host(tokens))
}

pub fn rate(cell: &Cell, unit: &str, count: impl Fn(&Run) -> Vec<f64>) -> Rate {
    let alpha = cell.alpha();
    let (mut counted, mut seconds) = (0.0, 0.0);
    let (mut by_run, mut fleet_by_run) = (Vec::new(), Vec::new());
    for run in cell.runs() {
        let counts = count(run);
        let of_run: f64 = counts.iter().sum();
        counted += of_run;
        seconds += run.host_seconds();
        by_run.extend(per_second(of_run, run.host_seconds()));
        let of_hosts = counts.iter().zip(&run.hosts);
        let of_hosts =
            of_hosts.filter_map(|(&count, host)| per_second(count, host.measured_ns as f64 / 1e9));
        fleet_by_run.push(of_hosts.sum::<f64>());
    }
    let missing = || Estimate::missing(0, Limitation::NoTimeMeasured);
    Rate {
        unit: unit.to_owned(),
        per_host: per_second(counted, seconds)
            .map_or_else(missing, |value| between_runs(value, &by_run, alpha)),
        std: standard_deviation(&by_run),
        fleet: mean(&fleet_by_run)
            .filter(|_| seconds > 0.0)
            .map_or_else(missing, |value| between_runs(value, &fleet_by_run, alpha)),
    }
}

pub(crate) fn per_second(count: f64, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| count / seconds)
}
