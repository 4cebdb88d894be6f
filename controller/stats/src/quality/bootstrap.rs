//! The interval of a mean over dialogues, by resampling them.

use super::super::interval::{ALPHA, half_width, mean};
use super::super::quantile::quantile;
use crate::{Estimate, Limitation};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The number of resamples: the ends of the interval then wobble by about 1 % of its width.
pub const RESAMPLES: usize = 10_000;

/// Below this many dialogues a resampled interval is too narrow to be called 95 %.
pub const FLOOR: usize = 20;

/// Above this many dialogues the resampled interval is the t interval, to three digits, and takes its time.
pub const CEILING: usize = 5_000;

/// The mean, with the percentile interval over resampled dialogues (Efron and Tibshirani 1993, 13.3).
pub fn mean_interval(values: &[f64], seed: u64) -> Estimate {
    mean_interval_at(values, seed, ALPHA)
}

/// The same, where a share of `alpha` of intervals may miss.
pub fn mean_interval_at(values: &[f64], seed: u64, alpha: f64) -> Estimate {
    let n = values.len() as u64;
    let Some(value) = mean(values) else { return Estimate::missing(0, Limitation::NoScores) };
    if values.len() < FLOOR {
        let reason = Limitation::TooFewDialogues { needed: FLOOR as u64, found: n };
        return Estimate::point(value, n, reason);
    }
    if values.len() > CEILING {
        return match half_width(values, alpha) {
            Some(half) => Estimate::within(value, (value - half, value + half), n),
            None => Estimate::point(value, n, Limitation::NoScores),
        };
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn = (0..values.len()).map(|_| values[rng.random_range(0..values.len())]);
            drawn.sum::<f64>() / values.len() as f64
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    let end = |probability| quantile(&means, probability).unwrap_or(value);
    let interval = (end(alpha / 2.0).min(value), end(1.0 - alpha / 2.0).max(value));
    Estimate::within(value, interval, n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_about_two_standard_errors_to_either_side() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let (low, high) = mean_interval(&values, 1).interval().unwrap();
        let error = 5.766 / 20.0;
        assert!(((high - low) / (2.0 * 1.96 * error) - 1.0).abs() < 0.05, "{low} {high}");
    }

    #[test]
    fn one_seed_gives_one_interval() {
        let values: Vec<f64> = (0..50).map(f64::from).collect();
        assert_eq!(mean_interval(&values, 7), mean_interval(&values, 7));
        assert_ne!(mean_interval(&values, 7), mean_interval(&values, 8));
    }

    #[test]
    fn equal_values_have_an_interval_without_width() {
        assert_eq!(mean_interval(&[0.5; 30], 1).interval(), Some((0.5, 0.5)));
    }
}
