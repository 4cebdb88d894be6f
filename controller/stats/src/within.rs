//! What one run implies for other dialogues of the same kind.
//!
//! An interval within a run knows nothing of how runs differ, so it never replaces an interval
//! between runs is asked for. Its units are independent requests, in `offline` batches, after
//! autocorrelation; its question is: what would other dialogues have yielded at that time?

use super::distribution::{Support, support};
use super::interval::{mean, standard_deviation, t_critical};
use super::layout::batches;
use crate::{Cell, Estimate, Limitation, Observation, Scenario};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mean latency and throughput, with intervals that look beyond the chosen dialogues.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OtherDialogues {
    /// Mean latency: the interval within runs.
    pub latency_mean_ms_within_run: Estimate,
    /// Throughput: the interval within runs.
    pub throughput_within_run: Estimate,
    /// Mean latency: what runs add joined in; null for one run.
    pub latency_mean_ms: Estimate,
    /// Throughput: what runs add joined in; null for one run.
    pub throughput: Estimate,
}

/// Looks beyond the chosen dialogues, from the mean latency and throughput as they hold between runs.
pub fn other_dialogues(
    cell: &Cell,
    latency_mean_ms: &Estimate,
    throughput: &Estimate,
) -> OtherDialogues {
    let (support, _) = support(cell, &|row| Some(row.latency_ms()));
    let latency_within = within(latency_mean_ms, latency_deviation(cell), support);
    let throughput_within = within(throughput, throughput_deviation(cell), support);
    OtherDialogues {
        latency_mean_ms: join(latency_mean_ms, &latency_within),
        throughput: join(throughput, &throughput_within),
        latency_mean_ms_within_run: latency_within,
        throughput_within_run: throughput_within,
    }
}

/// The t interval over the effective units, around a value whose single units deviate by `deviation`.
fn within(value: &Estimate, deviation: Option<f64>, support: Support) -> Estimate {
    let Support { effective, unit, alpha, .. } = support;
    let Some(value) = value.value else {
        return Estimate::missing(effective, Limitation::NothingMeasured);
    };
    match deviation.filter(|_| effective > 1) {
        Some(deviation) => {
            let degrees = effective as f64 - 1.0;
            let half = t_critical(degrees, alpha) * deviation / (effective as f64).sqrt();
            Estimate::within(value, ((value - half).max(0.0), value + half), effective)
        }
        None => Estimate::point(value, effective, Limitation::TooFew { unit }),
    }
}

/// Both intervals around the same value, in quadrature (Zou and Donner 2008).
fn join(between: &Estimate, within: &Estimate) -> Estimate {
    let (Some(value), Some((low, high)), Some((low_within, high_within))) =
        (between.value, between.interval(), within.interval())
    else {
        let reason = between.reason.or(within.reason);
        return Estimate { ci_low: None, ci_high: None, reason, ..between.clone() };
    };
    let low = (value - (value - low).hypot(value - low_within)).max(0.0);
    let high = value + (high - value).hypot(high_within - value);
    Estimate::within(value, (low, high), within.n)
}

/// How far one unit's mean latency lies from its run's.
fn latency_deviation(cell: &Cell) -> Option<f64> {
    let is_offline = cell.scenario() == Scenario::Offline;
    let deviations = cell.runs().iter().filter_map(|run| {
        let rows = run.rows();
        let latencies = |rows: &[Observation]| -> Vec<f64> {
            rows.iter().filter(|row| row.is_ok()).map(Observation::latency_ms).collect()
        };
        let units = if is_offline {
            let of_batch = |batch: super::layout::Batch| mean(&latencies(&rows[batch.rows]));
            batches(&rows).into_iter().filter_map(of_batch).collect()
        } else {
            latencies(&rows)
        };
        standard_deviation(&units)
    });
    root_mean_square(&deviations.collect::<Vec<_>>())
}

/// How far one batch's share of the throughput lies from its run's: the ratio estimator's residual
/// (Cochran, Sampling Techniques, 3rd ed., 6.3).
fn throughput_deviation(cell: &Cell) -> Option<f64> {
    let deviations = cell.runs().iter().filter_map(|run| {
        let batches = batches(&run.rows());
        let seconds = |span_ns: u64| span_ns as f64 / 1e9;
        let total = run.host_seconds();
        let rate = (total > 0.0).then(|| run.ok() as f64 / total)?;
        let per_batch = total / batches.len() as f64;
        let residual = |ok: u64, span_ns| (ok as f64 - rate * seconds(span_ns)) / per_batch;
        let residuals: Vec<f64> =
            batches.iter().map(|batch| residual(batch.ok, batch.span_ns)).collect();
        standard_deviation(&residuals)
    });
    root_mean_square(&deviations.collect::<Vec<_>>())
}

fn root_mean_square(deviations: &[f64]) -> Option<f64> {
    let squares: Vec<f64> = deviations.iter().map(|deviation| deviation * deviation).collect();
    mean(&squares).map(f64::sqrt)
}
