//! Good requests: those within the limit of the service level objective, and the capacity of a target.

use super::distribution::Distribution;
use super::throughput::{self, Rate};
use crate::{Cell, Estimate, Limitation, Observation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A limit that a percentile of request latency must keep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Slo {
    pub request_latency_ms: f64,
    /// The percentile that must keep it, 0 to 100.
    pub percentile: f64,
}

/// Whether a percentile keeps the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// The whole interval is within it.
    Kept,
    /// The whole interval is past it.
    Missed,
    /// The interval holds the limit, or there is none.
    Undecided,
}

/// How a cell fares under an objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Goodput {
    pub slo: Slo,
    /// Whether its percentile keeps the limit.
    pub kept: Kept,
    pub good_samples: u64,
    /// Their share of all requests, the failed ones included; null where there were none.
    pub good_share: Option<f64>,
    pub goodput: Rate,
}

impl Slo {
    fn is_good(&self, row: &Observation) -> bool {
        row.is_ok() && row.latency_ms() <= self.request_latency_ms
    }

    pub fn kept(&self, latency_ms: &Distribution) -> Kept {
        let limit = self.request_latency_ms;
        match latency_ms.percentile(self.percentile).and_then(Estimate::interval) {
            Some((_, high)) if high <= limit => Kept::Kept,
            Some((low, _)) if low > limit => Kept::Missed,
            _ => Kept::Undecided,
        }
    }
}

pub fn goodput(cell: &Cell, slo: Slo, latency_ms: &Distribution) -> Goodput {
    let good_samples = cell.observations().filter(|row| slo.is_good(row)).count() as u64;
    let one_if_good = |row: &Observation| if slo.is_good(row) { 1.0 } else { 0.0 };
    Goodput {
        slo,
        kept: slo.kept(latency_ms),
        good_samples,
        good_share: (!cell.is_empty()).then(|| good_samples as f64 / cell.len() as f64),
        goodput: throughput::rate(cell, "good samples/sec", |run| run.by_host(one_if_good)),
    }
}

/// The capacity of a target under an objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "capacity")]
pub enum Capacity {
    /// The highest measured rate at which the percentile's upper bound is within the limit.
    Met { request_rate: f64 },
    /// Even at the lowest measured load the percentile's lower bound is past the limit.
    NeverMet,
    /// Undecided.
    Undecided { reason: Limitation },
}

/// Finds the capacity from the percentile at each measured rate, in any order. A rate counts only if all
/// lower ones keep the limit, too.
pub fn capacity(slo: Slo, at_rates: &[(f64, &Estimate)]) -> Capacity {
    let mut at_rates = at_rates.to_vec();
    at_rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    let limit = slo.request_latency_ms;
    let keeps = |estimate: &Estimate| estimate.ci_high.is_some_and(|high| high <= limit);
    let kept = at_rates.iter().take_while(|(_, estimate)| keeps(estimate)).last();
    if let Some(&(request_rate, _)) = kept {
        return Capacity::Met { request_rate };
    }
    match at_rates.first().map(|(_, estimate)| estimate) {
        Some(lowest) if lowest.ci_low.is_some_and(|low| low > limit) => Capacity::NeverMet,
        Some(lowest) => {
            let reason = lowest.reason.unwrap_or(Limitation::IntervalContainsLimit);
            Capacity::Undecided { reason }
        }
        None => Capacity::Undecided { reason: Limitation::NothingMeasured },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLO: Slo = Slo { request_latency_ms: 500.0, percentile: 95.0 };

    fn p95(low: f64, high: f64) -> Estimate {
        Estimate::within(f64::midpoint(low, high), (low, high), 100)
    }

    #[test]
    fn capacity_is_the_highest_rate_whose_upper_bound_keeps_the_limit() {
        let (easy, near, past) = (p95(100.0, 120.0), p95(450.0, 501.0), p95(400.0, 499.0));
        let rates = [(4.0, &past), (1.0, &easy), (2.0, &near)];
        assert_eq!(capacity(SLO, &rates), Capacity::Met { request_rate: 1.0 });
        assert_eq!(
            capacity(SLO, &[(4.0, &past), (1.0, &easy)]),
            Capacity::Met { request_rate: 4.0 }
        );
    }

    #[test]
    fn a_target_that_is_too_slow_alone_meets_it_at_no_load() {
        let slow = p95(510.0, 530.0);
        assert_eq!(capacity(SLO, &[(1.0, &slow)]), Capacity::NeverMet);
        let unclear = p95(490.0, 530.0);
        assert!(matches!(capacity(SLO, &[(1.0, &unclear)]), Capacity::Undecided { .. }));
        let unknown = Estimate::missing(9, Limitation::NothingMeasured);
        let undecided = Capacity::Undecided { reason: Limitation::NothingMeasured };
        assert_eq!(capacity(SLO, &[(1.0, &unknown)]), undecided);
    }
}
