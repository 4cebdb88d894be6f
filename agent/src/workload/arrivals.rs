//! Arrival times of open-loop requests, from a seed.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Gaps {
    Constant,
    /// A Poisson process, as of many independent users.
    #[default]
    Exponential,
}

/// Arrival times in nanoseconds from the start, without end. The same rate and seed give the same
/// times on every machine; another rate scales them.
#[derive(Debug, Clone)]
pub struct Arrivals {
    rng: ChaCha8Rng,
    gaps: Gaps,
    mean_ns: f64,
    /// In units of the mean gap, so that rounding errors do not accumulate.
    passed: f64,
}

impl Arrivals {
    /// `rate`: requests per second, above zero.
    pub fn new(rate: f64, gaps: Gaps, seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), gaps, mean_ns: 1e9 / rate, passed: 0.0 }
    }
}

impl Iterator for Arrivals {
    type Item = u64;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time above zero; what is past the end of time stays there"
    )]
    fn next(&mut self) -> Option<u64> {
        self.passed += match self.gaps {
            Gaps::Constant => 1.0,
            // 1 - u is never zero.
            Gaps::Exponential => -(1.0 - self.rng.random::<f64>()).ln(),
        };
        Some((self.passed * self.mean_ns) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(arrivals: Arrivals, count: usize) -> Vec<f64> {
        let times: Vec<u64> = std::iter::once(0).chain(arrivals.take(count)).collect();
        times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e9).collect()
    }

    #[test]
    fn gaps_of_a_poisson_process_have_the_mean_and_the_variance_of_its_rate() {
        // The standard error of the mean is 1 / sqrt(n), of the variance sqrt(8 / n): allow 4 of
        // each.
        let n = 100_000;
        let gaps = gaps(Arrivals::new(200.0, Gaps::Exponential, 7), n);
        let mean = gaps.iter().sum::<f64>() / n as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
        assert!((mean * 200.0 - 1.0).abs() < 4.0 / (n as f64).sqrt(), "{mean}");
        assert!((variance * 40_000.0 - 1.0).abs() < 4.0 * (8.0 / n as f64).sqrt(), "{variance}");
        // Kolmogorov-Smirnov distance; 1.63 / sqrt(n) is exceeded once in a hundred.
        let mut sorted = gaps;
        sorted.sort_unstable_by(f64::total_cmp);
        let distance = sorted.iter().enumerate().map(|(rank, gap)| {
            let expected = 1.0 - (-gap * 200.0).exp();
            (expected - rank as f64 / n as f64).abs()
        });
        assert!(distance.fold(0.0, f64::max) < 1.63 / (n as f64).sqrt());
    }

    #[test]
    fn constant_gaps_are_equal_and_nothing_is_rounded_away() {
        let mut arrivals = Arrivals::new(3.0, Gaps::Constant, 0);
        assert_eq!(
            arrivals.by_ref().take(3).collect::<Vec<_>>(),
            [333_333_333, 666_666_666, 1_000_000_000]
        );
        // Arrival 3,000,000 is at one million seconds.
        assert_eq!(arrivals.nth(2_999_996), Some(1_000_000_000_000_000));
    }

    #[test]
    fn one_seed_gives_one_schedule_and_another_rate_stretches_it() {
        let of = |rate, seed| -> Vec<u64> {
            Arrivals::new(rate, Gaps::Exponential, seed).take(50).collect()
        };
        assert_eq!(of(4.0, 1), of(4.0, 1));
        assert_ne!(of(4.0, 1), of(4.0, 2));
        let stretched = of(4.0, 1).into_iter().zip(of(2.0, 1));
        assert!(stretched.into_iter().all(|(fast, slow)| slow.abs_diff(2 * fast) <= 2));
    }
}
