//! Predictions of cells that were measured: the same rate, queue and batching, with batch times of the other cells.

use super::batch_times::BatchTimes;
use super::candidate::{Measurements, Offered, OpenCell};
use super::curve::Curve;
use super::prediction::Predicted;
use super::simulation::{Batching, Fleet, Latencies, simulate};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::Estimate;
use traffic::{Arrivals, Request};

/// So many predictions make the interval of a cell.
const PREDICTIONS: u64 = 200;

/// A measured `server` cell beside its prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibrated {
    pub cell: String,
    pub model: String,
    pub target: String,
    pub dtype: String,
    /// Offered to one agent, per second.
    pub request_rate: f64,
    /// The percentile that is compared, 0 to 100.
    pub percentile: f64,
    /// In milliseconds.
    pub measured_ms: Estimate,
    /// In milliseconds, for as many requests as were measured.
    pub predicted_ms: Predicted,
    /// What would have been predicted for a Poisson process of the same rate; null unless the arrivals were recorded.
    pub as_poisson_ms: Option<Predicted>,
    /// Whether the predicted interval contains the measured value.
    pub is_hit: bool,
    /// The batch times include those of this cell, because no other cell of its model and target has any.
    pub is_in_sample: bool,
}

/// Predicts every open-loop cell that has the percentile.
pub fn calibrate(candidates: &Measurements, percentile: f64, seed: u64) -> Vec<Calibrated> {
    let one = |cell: &OpenCell| {
        let (percentile, measured_ms) = measured(cell, percentile)?;
        let group = &candidates.groups[cell.group];
        let others = group.without(Some(cell.number));
        let is_in_sample = others.is_empty();
        let times = if is_in_sample { group.without(None) } else { others };
        let predict = |arrivals: &Offered| {
            let once = |number| {
                predicted_ms(cell, arrivals, &times, percentile, seed.wrapping_add(number))
            };
            Predicted::of((0..PREDICTIONS).map(once).collect())
        };
        let predicted_ms = predict(&cell.arrivals);
        let is_recorded = matches!(cell.arrivals, Offered::Observed { is_recorded: true, .. });
        let value = measured_ms.value?;
        Some(Calibrated {
            cell: cell.cell.clone(),
            model: group.model.clone(),
            target: group.target.clone(),
            dtype: group.dtype.clone(),
            request_rate: cell.request_rate,
            percentile,
            is_hit: (predicted_ms.low..=predicted_ms.high).contains(&value),
            measured_ms,
            predicted_ms,
            as_poisson_ms: is_recorded.then(|| predict(&Offered::Poisson)),
            is_in_sample,
        })
    };
    candidates.open_cells.iter().filter_map(one).collect()
}

/// The measured percentile that is nearest to that of the objective and has a value.
fn measured(cell: &OpenCell, percentile: f64) -> Option<(f64, Estimate)> {
    let latency = &cell.estimates.estimates.latency_ms;
    let known =
        [(50.0, &latency.p50), (90.0, &latency.p90), (95.0, &latency.p95), (99.0, &latency.p99)];
    let distance = |one: &f64| (one - percentile).abs();
    known
        .into_iter()
        .filter(|(_, estimate)| estimate.value.is_some())
        .min_by(|(a, _), (b, _)| distance(a).total_cmp(&distance(b)))
        .map(|(percentile, estimate)| (percentile, estimate.clone()))
}

/// The percentile of all runs together, once.
fn predicted_ms(
    cell: &OpenCell,
    arrivals: &Offered,
    times: &BatchTimes,
    percentile: f64,
    seed: u64,
) -> f64 {
    let curve: Curve = times.resampled(&mut ChaCha8Rng::seed_from_u64(seed));
    let batching =
        Batching { max_size: cell.rule.max_size, max_delay_s: cell.rule.max_delay_ns as f64 / 1e9 };
    let fleet = Fleet { max_queue: cell.max_queue as usize, ..Fleet::fixed(1, batching) };
    let mut all = Latencies::default();
    for run in 0..u64::from(cell.runs) {
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(run);
        let requests = usize::try_from(cell.requests).unwrap_or(usize::MAX);
        let arrivals: Box<dyn Iterator<Item = Request>> = match arrivals {
            Offered::Constant => {
                let gap_s = 1.0 / cell.request_rate;
                Box::new((0..requests).map(move |number| (number as f64 * gap_s).into()))
            }
            Offered::Poisson => {
                let times = Arrivals::poisson(vec![cell.request_rate], 1e9, seed);
                Box::new(times.take(requests).map(Request::from))
            }
            Offered::Observed { runs, .. } => {
                let number = usize::try_from(run).unwrap_or_default();
                let Some(run) = runs.get(number % runs.len().max(1)) else { continue };
                Box::new(run.iter().copied())
            }
        };
        // With the numbers of the arrivals, long batches would follow long gaps.
        all.merge(&simulate(arrivals, &curve, &fleet, !seed).latencies);
    }
    all.quantile_s(percentile / 100.0).unwrap_or_default() * 1000.0
}
