//! How a measured quantity is spread: mean, deviation, extremes and percentiles.
//!
//! Percentiles come from the merged raw values of all runs, never from percentiles of runs.

use super::interval::{between_runs, half_width, mean};
use super::layout::{Run, batches, distinct};
use super::limitation::{Limitation, Unit};
use super::quantile::{
    Merged, P50, P90, P95, P99, P999, Percentile, Ranked, order_interval, quantile,
};
use super::serial::Serial;
use crate::{Cell, Estimate, Observation, Scenario};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a quantity is spread, in the unit of its values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// The mean of all values, with the t interval over the means of runs.
    pub mean: Estimate,
    /// Their standard deviation, ddof 1.
    pub std: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub p50: Estimate,
    /// Nine in ten are at most this.
    pub p90: Estimate,
    /// 19 in 20.
    pub p95: Estimate,
    /// 99 in 100.
    pub p99: Estimate,
    /// 999 in 1,000.
    pub p999: Estimate,
    /// The autocorrelation at lag 1 of its independent units in order of time.
    pub lag1_autocorrelation: Option<f64>,
    /// How many independent units are left after it.
    pub effective_n: u64,
}

impl Distribution {
    /// The estimate of a percentile, 0 to 100, where it is one of those reported.
    pub fn percentile(&self, percentile: f64) -> Option<&Estimate> {
        let reported = [
            (50.0, &self.p50),
            (90.0, &self.p90),
            (95.0, &self.p95),
            (99.0, &self.p99),
            (99.9, &self.p999),
        ];
        reported.into_iter().find(|(name, _)| (name - percentile).abs() < 1e-9).map(|found| found.1)
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Support {
    /// Distinct requests; in `offline`, the batches that hold each of them once.
    pub units: u64,
    /// What autocorrelation leaves of them.
    pub effective: u64,
    pub unit: Unit,
    /// The share of intervals that may miss.
    pub alpha: f64,
}

pub fn of_requests(cell: &Cell, quantity: impl Fn(&Observation) -> Option<f64>) -> Distribution {
    let (support, serial) = support(cell, &quantity);
    describe(by_run(cell, quantity), support, serial)
}

/// The values of the requests with a summary, by run.
pub fn by_run(cell: &Cell, quantity: impl Fn(&Observation) -> Option<f64>) -> Vec<Vec<f64>> {
    let of_run = |run: &Run| {
        run.unpacked().filter(Observation::is_ok).filter_map(|row| quantity(&row)).collect()
    };
    cell.runs().iter().map(of_run).collect()
}

/// Describes the spans of batches, in milliseconds.
pub fn of_batches(cell: &Cell) -> Distribution {
    let (support, serial) = support(cell, &|row| Some(row.latency_ms()));
    describe(cell.runs().iter().map(Run::spans_ms).collect(), support, serial)
}

pub fn support(cell: &Cell, quantity: &impl Fn(&Observation) -> Option<f64>) -> (Support, Serial) {
    let is_offline = cell.scenario() == Scenario::Offline;
    let value = |row: &Observation| Some(row).filter(|row| row.is_ok()).and_then(quantity);
    let mut samples = Vec::new();
    let (mut series, mut values) = (Vec::new(), 0_u64);
    for run in cell.runs() {
        let rows = run.rows();
        // One series per host: (when, value) of each unit.
        let mut units: Vec<(u32, u64, f64)> = Vec::new();
        for batch in batches(&rows) {
            let (mut sum, mut count) = (0.0, 0_u64);
            for row in &rows[batch.rows] {
                let Some(value) = value(row) else { continue };
                samples.push(row.sample);
                (sum, count) = (sum + value, count + 1);
                if !is_offline {
                    units.push((row.host, row.start_ns, value));
                }
            }
            if is_offline && count > 0 {
                units.push((batch.host, batch.start_ns, sum / count as f64));
            }
            values += count;
        }
        units.sort_by_key(|&(host, start_ns, _)| (host, start_ns));
        let of_host = |units: &[(u32, u64, f64)]| units.iter().map(|unit| unit.2).collect();
        series.extend(units.chunk_by(|a, b| a.0 == b.0).map(of_host));
    }
    let distinct = distinct(samples).len() as u64;
    let serial = Serial::of(&series);
    // Batches are resampled in each run, but of the same requests: as many as one pass over them makes.
    let units = if is_offline && values > 0 {
        (distinct * serial.values as u64 / values).max(1)
    } else {
        distinct
    };
    let unit = if is_offline { Unit::Batches } else { Unit::DistinctRequests };
    let alpha = cell.alpha();
    (Support { units, effective: serial.effective(units), unit, alpha }, serial)
}

fn describe(mut by_run: Vec<Vec<f64>>, support: Support, serial: Serial) -> Distribution {
    by_run.retain(|values| !values.is_empty());
    let run_means: Vec<f64> = by_run.iter().filter_map(|run| mean(run)).collect();
    let (mean, std) = moments(&by_run);
    for values in &mut by_run {
        values.sort_unstable_by(f64::total_cmp);
    }
    let percentile = |percentile| estimate(percentile, &by_run, support);
    let ends = || by_run.iter().filter_map(|run| Some((*run.first()?, *run.last()?)));
    Distribution {
        mean: mean.map_or_else(
            || Estimate::missing(0, Limitation::NothingMeasured),
            |mean| between_runs(mean, &run_means, support.alpha),
        ),
        std,
        min: ends().map(|(least, _)| least).min_by(f64::total_cmp),
        max: ends().map(|(_, most)| most).max_by(f64::total_cmp),
        p50: percentile(P50),
        p90: percentile(P90),
        p95: percentile(P95),
        p99: percentile(P99),
        p999: percentile(P999),
        lag1_autocorrelation: serial.lag1,
        effective_n: support.effective,
    }
}

/// Mean and standard deviation (ddof 1) of all values, without a list of all of them.
fn moments(by_run: &[Vec<f64>]) -> (Option<f64>, Option<f64>) {
    let n = Merged(by_run).count();
    let all = || by_run.iter().flatten();
    let mean = (n > 0).then(|| all().sum::<f64>() / n as f64);
    let squares = |mean: f64| all().map(|value| (value - mean).powi(2)).sum::<f64>();
    let std = mean.filter(|_| n > 1).map(|mean| (squares(mean) / (n - 1) as f64).sqrt());
    (mean, std)
}

fn estimate(percentile: Percentile, by_run: &[Vec<f64>], support: Support) -> Estimate {
    let (merged, probability) = (Merged(by_run), percentile.probability);
    let Support { effective, alpha, .. } = support;
    let of_runs: Vec<f64> = by_run.iter().filter_map(|run| quantile(run, probability)).collect();
    let ends = order_interval(&merged, effective, probability, alpha);
    widened(percentile, support, quantile(&merged, probability), ends, &of_runs)
}

/// A percentile with the interval of its order statistics, which hold the spread of requests. Where runs differ,
/// too, the half width of the t interval over the runs' own percentiles is added in quadrature to either side (Zou
/// and Donner 2008).
pub(crate) fn widened(
    Percentile { probability, floor, .. }: Percentile,
    Support { units, effective, unit, alpha }: Support,
    value: Option<f64>,
    ends: (Option<f64>, Option<f64>),
    of_runs: &[f64],
) -> Estimate {
    let Some(value) = value.filter(|_| units >= floor) else {
        let percentile = probability * 100.0;
        let reason =
            Limitation::TooFewForPercentile { percentile, needed: floor, found: units, unit };
        return Estimate::missing(units, reason);
    };
    let (Some(low), Some(high)) = ends else {
        let reason = Limitation::Correlated { found: units, effective, unit };
        return Estimate::point(value, units, reason);
    };
    let Some(half) = half_width(of_runs, alpha) else {
        let reason = Some(Limitation::WithinOneRun);
        return Estimate { reason, ..Estimate::within(value, (low, high), units) };
    };
    let interval =
        ((value - (value - low).hypot(half)).max(0.0), value + (high - value).hypot(half));
    Estimate::within(value, interval, units)
}
