//! How the share of bad requests depends on the rate, so that the search measures where it learns most. No claim depends
//! on it: a wrong fit costs time.

use super::bets::{Bets, Side, growth};

/// The logit of the share of bad requests as a line over the logarithm of the rate, with a weak prior: bad requests
/// double with about every 7% of the rate, as in a queue near saturation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    threshold: f64,
    intercept: f64,
    slope: f64,
    /// Logarithm of the rate at which the intercept holds.
    center: f64,
    /// Variance between blocks over that of independent requests.
    dispersion: f64,
}

const SLOPE: f64 = 10.0;
/// Weights of the prior, as precisions.
const WEIGHTS: [f64; 2] = [0.25, 0.02];
/// Rates far past saturation don't show where it begins.
const LEAST_SHARE: f64 = 0.4;
/// Newton's method has long converged.
const STEPS: u32 = 25;

impl Fit {
    /// `measured` holds the logarithm of each rate with its observations; `center` is that of a rate near the threshold.
    pub(super) fn new<'a>(
        measured: impl Iterator<Item = (f64, &'a Bets)> + Clone,
        center: f64,
        threshold: f64,
    ) -> Self {
        let (mut variance, mut of_requests) = (0.0, 0.0);
        for (_, bets) in measured.clone() {
            let mean = bets.smoothed_mean();
            variance += bets.count() * bets.variance();
            of_requests += bets.count() * mean * (1.0 - mean);
        }
        let dispersion = (variance / of_requests.max(1e-9)).clamp(0.01, 1.0);
        let points = measured.filter_map(|(rate, bets)| {
            let share = bets.mean().filter(|share| *share > LEAST_SHARE)?;
            Some((rate - center, bets.count() / dispersion, 1.0 - share))
        });
        let points: Vec<(f64, f64, f64)> = points.collect();
        let prior = (((1.0 - threshold) / threshold).ln(), SLOPE);
        let (mut intercept, mut slope) = prior;
        for _ in 0..STEPS {
            let mut gradient = [WEIGHTS[0] * (prior.0 - intercept), WEIGHTS[1] * (prior.1 - slope)];
            let mut curvature = [WEIGHTS[0], 0.0, WEIGHTS[1]];
            for &(x, weight, bad) in &points {
                let expected = logistic(intercept + slope * x);
                let (residual, each) =
                    (weight * (bad - expected), weight * expected * (1.0 - expected));
                gradient = [gradient[0] + residual, gradient[1] + residual * x];
                curvature =
                    [curvature[0] + each, curvature[1] + each * x, curvature[2] + each * x * x];
            }
            let determinant = curvature[0] * curvature[2] - curvature[1] * curvature[1];
            let step = [
                (curvature[2] * gradient[0] - curvature[1] * gradient[1]) / determinant,
                (curvature[0] * gradient[1] - curvature[1] * gradient[0]) / determinant,
            ];
            // Short steps: far from the solution, the quadratic approximation overshoots.
            let scale = (1.0 / (step[0].abs() + 0.2 * step[1].abs()).max(1e-9)).min(1.0);
            intercept += step[0] * scale;
            // More load is never better.
            slope = (slope + step[1] * scale).max(1.0);
        }
        Self { threshold, intercept, slope, center, dispersion }
    }

    /// Expected growth of the evidence by one block at this rate; `None` if the rate is on the other side.
    pub(super) fn growth(&self, log_rate: f64, side: Side) -> Option<f64> {
        let bad = logistic(self.intercept + self.slope * (log_rate - self.center));
        let good = 1.0 - bad;
        let variance = self.dispersion * good.max(0.02) * bad.max(0.004);
        growth(self.threshold, good, variance, side)
    }
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fit_knows_on_which_side_a_rate_is() {
        let mut at: Vec<(f64, Bets)> =
            [4.0_f64, 8.0, 16.0].map(|rate| (rate.ln(), Bets::new(0.95))).to_vec();
        for ((_, bets), shares) in at.iter_mut().zip([[1.0, 1.0], [1.0, 0.98], [0.5, 0.6]]) {
            for share in shares.repeat(10) {
                bets.add(share);
            }
        }
        let fit = Fit::new(at.iter().map(|(rate, bets)| (*rate, bets)), 8_f64.ln(), 0.95);
        let growth = |rate: f64, side| fit.growth(rate.ln(), side);
        assert!(growth(5.0, Side::Above).is_some() && growth(5.0, Side::Below).is_none());
        assert!(growth(14.0, Side::Below).is_some() && growth(14.0, Side::Above).is_none());
        assert!(growth(6.0, Side::Above) > growth(8.5, Side::Above), "{fit:?}");
    }
}
