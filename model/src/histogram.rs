//! A histogram of durations with logarithmic buckets: a day of requests in a few hundred numbers.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The ratio of neighboring bucket bounds; a bucket's geometric middle is off by at most 0.5 %.
const GROWTH: f64 = 1.01;
/// The bucket of `u64::MAX` nanoseconds.
const LAST: u32 = 4459;

/// Durations in nanoseconds: exact count, mean, standard deviation, minimum and maximum; quantiles
/// within 0.5 %.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Bucket i holds durations above 1.01^(i-1) and up to 1.01^i.
    pub counts: BTreeMap<u32, u64>,
    pub sum: f64,
    pub sum_of_squares: f64,
    pub min: u64,
    pub max: u64,
}

impl Histogram {
    pub fn add(&mut self, ns: u64) {
        self.min = if self.counts.is_empty() { ns } else { self.min.min(ns) };
        self.max = self.max.max(ns);
        *self.counts.entry(bucket(ns)).or_default() += 1;
        self.sum += ns as f64;
        self.sum_of_squares += (ns as f64) * (ns as f64);
    }

    pub fn merge(&mut self, other: &Self) {
        if other.counts.is_empty() {
            return;
        }
        self.min = if self.counts.is_empty() { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        for (bucket, count) in &other.counts {
            *self.counts.entry(*bucket).or_default() += count;
        }
        self.sum += other.sum;
        self.sum_of_squares += other.sum_of_squares;
    }

    /// The least sum of durations that these counts can have, in nanoseconds.
    pub fn least_sum(&self) -> f64 {
        let least = |bucket: u32| GROWTH.powf(f64::from(bucket) - 1.0);
        self.counts.iter().map(|(bucket, count)| least(*bucket) * *count as f64).sum()
    }

    /// Checks what another program claims.
    pub fn check(self) -> Result<Self, Error> {
        if self.counts.keys().any(|bucket| *bucket > LAST) {
            return Err(Error("buckets"));
        }
        // More requests than any campaign has time for; sums of such counts can't overflow.
        if self.counts.values().any(|count| *count == 0 || *count > 1 << 40) {
            return Err(Error("counts"));
        }
        let is_sum = |sum: f64| sum.is_finite() && sum >= 0.0;
        if !is_sum(self.sum) || !is_sum(self.sum_of_squares) || self.min > self.max {
            return Err(Error("sums"));
        }
        Ok(self)
    }

    pub fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    /// In nanoseconds.
    pub fn mean(&self) -> Option<f64> {
        let n = self.count();
        (n > 0).then(|| self.sum / n as f64)
    }

    /// In nanoseconds, with n - 1 in the denominator.
    pub fn standard_deviation(&self) -> Option<f64> {
        let n = self.count() as f64;
        (n > 1.0)
            .then(|| ((self.sum_of_squares - self.sum * self.sum / n) / (n - 1.0)).max(0.0).sqrt())
    }

    pub fn min(&self) -> Option<u64> {
        (!self.counts.is_empty()).then_some(self.min)
    }

    pub fn max(&self) -> Option<u64> {
        (!self.counts.is_empty()).then_some(self.max)
    }

    /// The duration of this rank, from 1, in nanoseconds: the middle of its bucket, clamped to
    /// minimum and maximum.
    pub fn at_rank(&self, rank: u64) -> Option<f64> {
        let mut below = 0;
        let (bucket, _) = self.counts.iter().find(|(_, count)| {
            below += **count;
            below >= rank.max(1)
        })?;
        let middle = GROWTH.powf(f64::from(*bucket) - 0.5);
        Some(middle.clamp(self.min as f64, self.max as f64))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a logarithm of 1 to 2^64"
)]
fn bucket(ns: u64) -> u32 {
    let exponent = (ns.max(1) as f64).ln() / GROWTH.ln();
    (exponent.ceil() as u32).min(LAST)
}

/// An implausible histogram.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a histogram with implausible {0}")]
pub struct Error(pub &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        values.into_iter().for_each(|value| histogram.add(value));
        histogram
    }

    #[test]
    fn quantiles_are_within_half_a_percent_and_the_rest_is_exact() {
        let histogram = of((1..=1000).map(|i| i * 1_000_003));
        assert_eq!(histogram.count(), 1000);
        for rank in [1, 250, 500, 950, 1000] {
            let exact = rank as f64 * 1_000_003.0;
            let found = histogram.at_rank(rank).unwrap();
            assert!((found / exact - 1.0).abs() < 0.0051, "{rank}: {found}");
        }
        assert!((histogram.mean().unwrap() / (500.5 * 1_000_003.0) - 1.0).abs() < 1e-12);
        // The deviation of 1 to n with ddof 1 is the root of n (n + 1) / 12.
        let deviation = (1000.0_f64 * 1001.0 / 12.0).sqrt() * 1_000_003.0;
        assert!((histogram.standard_deviation().unwrap() / deviation - 1.0).abs() < 1e-9);
        assert_eq!((histogram.min(), histogram.max()), (Some(1_000_003), Some(1_000_003_000)));
    }

    #[test]
    fn merging_is_the_same_as_adding_all() {
        let mut merged = of([5, 70, 900]);
        merged.merge(&of([1, 70, u64::MAX]));
        merged.merge(&Histogram::default());
        assert_eq!(merged, of([5, 70, 900, 1, 70, u64::MAX]));
    }

    #[test]
    fn nothing_has_no_figures() {
        let none = Histogram::default();
        assert_eq!((none.count(), none.mean(), none.at_rank(1), none.max()), (0, None, None, None));
    }
}
