//! How bursty the arrivals of an open loop are, beside a Poisson process of the same rate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Fewer windows give no variance.
const LEAST_WINDOWS: usize = 20;
/// Requests of a window, if there are enough of them: the scale at which a queue builds up.
const PER_WINDOW: usize = 10;

/// Numbers of requests in windows of equal length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Burstiness {
    pub window_s: f64,
    pub windows: u64,
    /// The index of dispersion: variance over mean of the numbers; 1 for a Poisson process.
    pub dispersion: f64,
    /// The largest number.
    pub busiest: u64,
    /// The median of the largest number of a Poisson process of the same rate.
    pub poisson_busiest: u64,
}

/// `times_s`: arrivals from 0 to `span_s`, in any order. `None` for fewer than 20.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
pub fn burstiness(times_s: &[f64], span_s: f64) -> Option<Burstiness> {
    if times_s.len() < LEAST_WINDOWS || span_s.is_nan() || span_s <= 0.0 {
        return None;
    }
    let windows = (times_s.len() / PER_WINDOW).max(LEAST_WINDOWS);
    let mut counts = vec![0_u64; windows];
    for at_s in times_s {
        let index = (at_s / span_s * windows as f64) as usize;
        counts[index.min(windows - 1)] += 1;
    }
    let mean = times_s.len() as f64 / windows as f64;
    let squares: f64 = counts.iter().map(|count| (*count as f64 - mean).powi(2)).sum();
    Some(Burstiness {
        window_s: span_s / windows as f64,
        windows: windows as u64,
        dispersion: squares / (windows - 1) as f64 / mean,
        busiest: counts.iter().max().copied().unwrap_or_default(),
        poisson_busiest: largest_of(windows, mean),
    })
}

/// The median of the largest of `windows` independent Poisson numbers: the least k with F(k)^windows of at least 1/2.
/// `mean` is far below the 745 at which e^-mean is zero.
fn largest_of(windows: usize, mean: f64) -> u64 {
    let (mut number, mut probability) = (0_u64, (-mean).exp());
    let mut below = probability;
    let enough = 0.5_f64.powf(1.0 / windows as f64);
    while below < enough && probability > 0.0 {
        number += 1;
        probability *= mean / number as f64;
        below += probability;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn poisson(count: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut at_s = 0.0;
        let gap = |_| {
            at_s -= (1.0 - rng.random::<f64>()).ln() / 5.0;
            at_s
        };
        (0..count).map(gap).collect()
    }

    #[test]
    fn a_poisson_process_has_its_own_dispersion_and_busiest_window() {
        let mut misses = 0;
        for seed in 0..40 {
            let times = poisson(5000, seed);
            let found = burstiness(&times, times[4999]).unwrap();
            // The standard error of the index over 500 windows is sqrt(2 / 499) = 0.063.
            assert!((found.dispersion - 1.0).abs() < 4.0 * 0.0633, "{found:?}");
            assert_eq!(found.windows, 500);
            misses += i32::from(found.busiest > found.poisson_busiest);
        }
        // The median is exceeded in at most half of the cases.
        assert!((5..=25).contains(&misses), "{misses} of 40");
    }

    #[test]
    fn bursts_have_more_and_a_clock_has_none() {
        let bursts: Vec<f64> = poisson(500, 3).into_iter().flat_map(|at_s| [at_s; 10]).collect();
        let found = burstiness(&bursts, bursts[4999]).unwrap();
        assert!((found.dispersion - 10.0).abs() < 2.6, "{found:?}");
        assert!(found.busiest > found.poisson_busiest + 10, "{found:?}");
        let clock: Vec<f64> = (0..200).map(|at| f64::from(at) + 0.5).collect();
        let found = burstiness(&clock, 200.0).unwrap();
        assert_eq!((found.dispersion, found.busiest, found.window_s), (0.0, 10, 10.0));
        assert_eq!(burstiness(&clock[..19], 20.0), None);
    }

    #[test]
    fn the_busiest_window_is_that_of_the_formula() {
        // poisson(10).cdf(k) ** 100 is first at least 0.5 at k = 19.
        assert_eq!(largest_of(100, 10.0), 19);
        assert_eq!(largest_of(1, 0.1), 0);
    }
}
