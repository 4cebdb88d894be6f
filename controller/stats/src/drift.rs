//! Drift inside the measured window: whether its first fifth is slower or faster than the rest.

use super::interval::{mean, standard_deviation};
use super::layout::batches;
use crate::{Cell, Observation};
use std::collections::HashMap;

/// The part of the measured window that is held against the rest: too short a warm-up shows at the start.
const HEAD: f64 = 0.2;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// How much slower the first fifth is, as a share; negative where it is faster.
    pub head_slower: f64,
    /// By how many standard errors.
    pub standard_errors: f64,
}

/// Measures the drift over all runs; `None` with too little data.
/// Log latencies are taken about their dialogue's mean where dialogues repeat, so that long dialogues
/// at the start are no drift; the units are batches.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
pub fn drift(cell: &Cell) -> Option<Drift> {
    let is_usable = |row: &Observation| row.is_ok() && row.latency_ns > 0;
    let mut sums: HashMap<u32, (f64, f64)> = HashMap::new();
    for row in cell.observations().filter(is_usable) {
        let sum = sums.entry(row.sample).or_default();
        *sum = (sum.0 + row.latency_ms().ln(), sum.1 + 1.0);
    }
    let repeats = cell.runs().len() > 1;
    let (mut differences, mut squared_errors) = (Vec::new(), 0.0);
    for run in cell.runs() {
        let rows = run.rows();
        let mut units: Vec<(u32, u64, f64)> = Vec::new();
        for batch in batches(&rows) {
            let logs: Vec<f64> = (rows[batch.rows].iter())
                .filter(|row| is_usable(row))
                .map(|row| {
                    let (sum, count) = sums[&row.sample];
                    row.latency_ms().ln() - if repeats { sum / count } else { 0.0 }
                })
                .collect();
            units.extend(mean(&logs).map(|log| (batch.host, batch.start_ns, log)));
        }
        units.sort_by_key(|&(host, start_ns, _)| (host, start_ns));
        for host in units.chunk_by(|a, b| a.0 == b.0) {
            let logs: Vec<f64> = host.iter().map(|unit| unit.2).collect();
            let (head, rest) = logs.split_at((logs.len() as f64 * HEAD) as usize);
            let squared =
                |side: &[f64]| standard_deviation(side).map(|std| std * std / side.len() as f64);
            if let (Some(h), Some(r), Some(head), Some(rest)) =
                (squared(head), squared(rest), mean(head), mean(rest))
            {
                differences.push(head - rest);
                squared_errors += h + r;
            }
        }
    }
    let difference = mean(&differences)?;
    let error = squared_errors.sqrt() / differences.len() as f64;
    let standard_errors = if error > 0.0 { difference / error } else { 0.0 };
    Some(Drift { head_slower: difference.exp_m1(), standard_errors })
}
