//! Arrival times of open-loop requests, from a seed or as recorded.

use model::rate_profile::RateProfile;
use model::recorded_arrivals::RecordedArrivals;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma};

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Gaps {
    Constant,
    /// A Poisson process, as of many independent users.
    #[default]
    Exponential,
    /// Gamma-distributed with this coefficient of variation: bursts above 1, more even below.
    Gamma {
        cv: f64,
    },
}

/// Gaps with the mean 1.
#[derive(Debug, Clone)]
enum UnitGaps {
    Constant,
    Exponential,
    Gamma(Gamma<f64>),
}

impl UnitGaps {
    fn of(gaps: Gaps) -> Self {
        match gaps {
            Gaps::Constant => Self::Constant,
            Gaps::Exponential => Self::Exponential,
            // The mean is shape x scale, and the variance shape x scale^2.
            Gaps::Gamma { cv } => {
                Gamma::new(1.0 / (cv * cv), cv * cv).map_or(Self::Exponential, Self::Gamma)
            }
        }
    }
}

/// Arrival times in nanoseconds from the start, without end.
#[derive(Debug, Clone)]
pub struct Arrivals(Process);

#[derive(Debug, Clone)]
enum Process {
    Drawn(Box<Drawn>),
    Recorded { arrivals: RecordedArrivals, next: u64 },
}

/// Times from a random process. The same rate and seed give the same times on every machine;
/// another rate scales them. A profile bends the time of the process, so that its gaps keep their
/// distribution relative to the rate of the moment.
#[derive(Debug, Clone)]
struct Drawn {
    rng: ChaCha8Rng,
    gaps: UnitGaps,
    profile: RateProfile,
    mean_ns: f64,
    /// In units of the mean gap, so that rounding errors do not accumulate.
    passed: f64,
}

impl Arrivals {
    /// `rate`: requests per second, above zero.
    pub fn new(rate: f64, gaps: Gaps, seed: u64) -> Self {
        Self(Process::Drawn(Box::new(Drawn {
            rng: ChaCha8Rng::seed_from_u64(seed),
            gaps: UnitGaps::of(gaps),
            profile: RateProfile::default(),
            mean_ns: 1e9 / rate,
            passed: 0.0,
        })))
    }

    /// The recorded times, again and again.
    pub fn recorded(arrivals: RecordedArrivals) -> Self {
        Self(Process::Recorded { arrivals, next: 0 })
    }

    /// The rate of a random process changes over time; recorded times stay.
    #[must_use]
    pub fn with_profile(mut self, profile: RateProfile) -> Self {
        if let Process::Drawn(drawn) = &mut self.0 {
            drawn.profile = profile;
        }
        self
    }
}

impl Iterator for Arrivals {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        Some(match &mut self.0 {
            Process::Drawn(drawn) => drawn.next(),
            Process::Recorded { arrivals, next } => {
                *next += 1;
                arrivals.time_ns(*next - 1)
            }
        })
    }
}

impl Drawn {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time above zero; what is past the end of time stays there"
    )]
    fn next(&mut self) -> u64 {
        self.passed += match &self.gaps {
            UnitGaps::Constant => 1.0,
            // 1 - u is never zero.
            UnitGaps::Exponential => -(1.0 - self.rng.random::<f64>()).ln(),
            UnitGaps::Gamma(gamma) => gamma.sample(&mut self.rng),
        };
        self.profile.time_ns(self.passed * self.mean_ns) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::rate_profile::RatePoint;
    use proptest::prelude::*;

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
    fn recorded_times_are_repeated_as_they_are() {
        let recorded = RecordedArrivals::new(vec![5, 5, 8], 10).unwrap();
        let arrivals = Arrivals::recorded(recorded).with_profile(RateProfile::default());
        assert_eq!(arrivals.take(7).collect::<Vec<_>>(), [5, 5, 8, 15, 15, 18, 25]);
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

    #[test]
    fn gamma_gaps_have_the_mean_and_the_variation_they_are_asked_for() {
        let n = 200_000_u32;
        for (cv, seed) in [(0.2, 1), (0.5, 2), (1.0, 3), (2.0, 4), (4.0, 5)] {
            let gaps = gaps(Arrivals::new(200.0, Gaps::Gamma { cv }, seed), n as usize);
            let n = f64::from(n);
            let mean = gaps.iter().sum::<f64>() / n;
            // The standard error of the mean is cv / sqrt(n).
            assert!((mean * 200.0 - 1.0).abs() < 4.0 * cv / n.sqrt(), "cv {cv}: mean {mean}");
            let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let found = variance * 40_000.0 / (cv * cv);
            // Of the variance, (excess kurtosis + 2) / n, and a gamma's excess kurtosis is 6 cv^2.
            let error = ((6.0 * cv * cv + 2.0) / n).sqrt();
            assert!((found - 1.0).abs() < 4.0 * error, "cv {cv}: {found} of its variance");
        }
    }

    /// The variance of the number of arrivals in intervals, over its mean.
    fn dispersion(gaps: Gaps, seed: u64) -> f64 {
        // 20,000 intervals with 50 arrivals each, on average.
        let intervals = 20_000_usize;
        let mut counts = vec![0.0; intervals];
        for at_ns in Arrivals::new(50.0, gaps, seed) {
            match counts.get_mut(usize::try_from(at_ns / 1_000_000_000).unwrap()) {
                Some(count) => *count += 1.0,
                None => break,
            }
        }
        let n = intervals as f64;
        let mean = counts.iter().sum::<f64>() / n;
        let square = |count: &f64| (count - mean).powi(2);
        counts.iter().map(square).sum::<f64>() / (n - 1.0) / mean
    }

    #[test]
    fn counts_in_long_intervals_disperse_by_the_square_of_the_variation() {
        // In the limit of long intervals, as of any renewal process. The error of a variance of n
        // counts is sqrt(2 / n), 1%; the rest is for the length of the intervals.
        for (gaps, expected) in [
            (Gaps::Exponential, 1.0),
            (Gaps::Gamma { cv: 1.0 }, 1.0),
            (Gaps::Gamma { cv: 0.5 }, 0.25),
            (Gaps::Gamma { cv: 2.0 }, 4.0),
        ] {
            let found = dispersion(gaps, 11) / expected;
            assert!((found - 1.0).abs() < 0.12, "{gaps:?}: {found} of its dispersion");
        }
        assert!(dispersion(Gaps::Constant, 11) < 0.01);
    }

    fn profile(points: &[(u64, f64)]) -> RateProfile {
        let point =
            |&(at_s, factor): &(u64, f64)| RatePoint { at_ns: at_s * 1_000_000_000, factor };
        RateProfile::new(points.iter().map(point).collect()).unwrap()
    }

    #[test]
    fn arrivals_follow_a_ramp_and_a_step_of_the_rate() {
        // 100/s at first, 300/s after 100 s, 50/s from 200 s on.
        let profile = profile(&[(0, 1.0), (100, 3.0), (200, 3.0), (200, 0.5)]);
        let counts = |gaps| {
            let mut counts = [0.0_f64; 30];
            for at_ns in Arrivals::new(100.0, gaps, 5).with_profile(profile.clone()) {
                match counts.get_mut(usize::try_from(at_ns / 10_000_000_000).unwrap()) {
                    Some(count) => *count += 1.0,
                    None => break,
                }
            }
            counts
        };
        let expected = |index: u32| match index {
            0..10 => 1000.0 + 200.0 * (f64::from(index) + 0.5),
            10..20 => 3000.0,
            _ => 500.0,
        };
        let (constant, poisson) = (counts(Gaps::Constant), counts(Gaps::Exponential));
        let bursts = counts(Gaps::Gamma { cv: 2.0 });
        for index in 0..30_u32 {
            let (place, expected) = (index as usize, expected(index));
            assert!((constant[place] - expected).abs() <= 1.0, "{index}: {}", constant[place]);
            let errors = (poisson[place] - expected) / expected.sqrt();
            assert!(errors.abs() < 4.0, "{index}: {} of {expected}", poisson[place]);
            let errors = (bursts[place] - expected) / (2.0 * expected.sqrt());
            assert!(errors.abs() < 4.0, "{index}: {} of {expected}", bursts[place]);
        }
    }

    proptest! {
        /// Whatever is asked for, arrivals ascend and come without end.
        #[test]
        fn arrivals_ascend(
            rate in 0.01..10_000.0_f64,
            cv in 0.01..10.0_f64,
            seed: u64,
            points in prop::collection::vec((0..1000_u64, 0.001..1000.0_f64), 0..6),
        ) {
            let mut points = points;
            points.sort_by_key(|point| point.0);
            for gaps in [Gaps::Constant, Gaps::Exponential, Gaps::Gamma { cv }] {
                let arrivals = Arrivals::new(rate, gaps, seed).with_profile(profile(&points));
                let times: Vec<u64> = arrivals.take(200).collect();
                prop_assert_eq!(times.len(), 200);
                prop_assert!(times.is_sorted(), "{:?}", times);
            }
        }
    }
}
