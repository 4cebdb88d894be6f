//! Lengths in tokens, of prompts and of summaries.

use super::quantile::{Ranked, quantile};
use crate::{Cell, Observation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long prompts or summaries are, in tokens. A property of the chosen dialogues: no interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lengths {
    pub mean: Option<f64>,
    /// The standard deviation, ddof 1.
    pub std: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub p50: Option<f64>,
    /// 19 in 20 are at most this long.
    pub p95: Option<f64>,
}

/// Lengths and how many requests have at most each: there are few lengths, whatever number of requests.
struct Counted(Vec<(u32, usize)>);

impl Ranked for Counted {
    fn count(&self) -> usize {
        self.0.last().map_or(0, |(_, up_to)| *up_to)
    }

    fn at(&self, rank: usize) -> f64 {
        let place = self.0.partition_point(|(_, up_to)| *up_to <= rank);
        self.0.get(place).map_or(f64::NAN, |(length, _)| f64::from(*length))
    }
}

pub fn lengths(cell: &Cell, length: impl Fn(&Observation) -> Option<u32>) -> Lengths {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for length in cell.observations().filter(Observation::is_ok).filter_map(|row| length(&row)) {
        *counts.entry(length).or_default() += 1;
    }
    let n = counts.values().sum::<usize>();
    // Whole numbers far below 2^53: the sum is exact.
    let sum: f64 = counts.iter().map(|(&length, &count)| f64::from(length) * count as f64).sum();
    let mean = (n > 0).then(|| sum / n as f64);
    let squares = |mean: f64| {
        let of =
            |(&length, &count): (&u32, &usize)| count as f64 * (f64::from(length) - mean).powi(2);
        counts.iter().map(of).sum::<f64>()
    };
    let std = mean.filter(|_| n > 1).map(|mean| (squares(mean) / (n - 1) as f64).sqrt());
    let ends = (counts.first_key_value(), counts.last_key_value());
    let (min, max) = (ends.0.map(|end| f64::from(*end.0)), ends.1.map(|end| f64::from(*end.0)));
    let mut up_to = 0;
    let grown = counts.into_iter().map(|(length, count)| {
        up_to += count;
        (length, up_to)
    });
    let counted = Counted(grown.collect());
    Lengths { mean, std, min, max, p50: quantile(&counted, 0.5), p95: quantile(&counted, 0.95) }
}

#[cfg(test)]
mod tests {
    use super::super::interval;
    use super::super::observation::Scenario;
    use super::*;

    #[test]
    fn counting_gives_what_the_values_one_by_one_give() {
        let row = |sample: u32| Observation {
            run: 1,
            segment: 1,
            batch: sample,
            sample,
            latency_ns: 1,
            input_tokens: Some(10 + sample * 7 % 5),
            output_tokens: Some(1),
            is_ok: true,
            ..Observation::default()
        };
        let rows: Vec<_> = (0..41).map(row).collect();
        let mut values: Vec<f64> =
            rows.iter().filter_map(|row| row.input_tokens.map(f64::from)).collect();
        values.sort_by(f64::total_cmp);
        let found = lengths(&Cell::new(Scenario::Offline, rows), |row| row.input_tokens);
        assert_eq!(found.mean, interval::mean(&values));
        let std = interval::standard_deviation(&values).unwrap();
        assert!((found.std.unwrap() / std - 1.0).abs() < 1e-12);
        assert_eq!((found.min, found.max), (Some(10.0), Some(14.0)));
        assert_eq!((found.p50, found.p95), (quantile(&values, 0.5), quantile(&values, 0.95)));
        let nothing = lengths(&Cell::new(Scenario::Offline, Vec::new()), |row| row.input_tokens);
        assert_eq!((nothing.mean, nothing.std, nothing.p50), (None, None, None));
    }
}
