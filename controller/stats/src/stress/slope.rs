//! A straight line through an autocorrelated series.
//!
//! Least squares, with the heteroskedasticity and autocorrelation consistent standard error of Newey and West
//! (Econometrica 55, 1987): Bartlett weights, the bandwidth from Andrews's plug-in rule for a first-order
//! autoregression (Econometrica 59, 1991), after prewhitening (Andrews and Monahan, Econometrica 60, 1992).
//! The critical value grows with the bandwidth's share of the series (Kiefer and Vogelsang, Econometric Theory
//! 21, 2005, table 1), because a wide bandwidth leaves few independent pieces.

use super::POWER;
use super::detectable::{critical_of, degrees_of, margin};
use crate::interval::mean;

/// The fewest points that carry a line and its error.
pub const FEWEST: usize = 12;

/// Of n independent points the squares of scores vary by 4.4 / n, since x spreads evenly, and what is made of the
/// resemblance of neighbors by 4 / n: together as with n / 4 degrees of freedom.
const POINTS_PER_DEGREE: f64 = 4.0;

/// The end of warm-up follows the noise a little: so many more are missed in `cargo xtask simulate --stress`.
const CUT_COSTS: f64 = 0.01;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    pub per_x: f64,
    pub standard_error: f64,
    /// How many standard errors its 95 % interval reaches to either side.
    pub critical: f64,
    pub degrees: f64,
    pub at_zero: f64,
    pub at_mean: f64,
}

impl Line {
    /// Fits a line through points (x, y) in order of time; `None` below [`FEWEST`] points or with constant x.
    pub fn fit(points: &[(f64, f64)]) -> Option<Self> {
        if points.len() < FEWEST {
            return None;
        }
        let (x, y): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        let (x_mean, y_mean) = (mean(&x)?, mean(&y)?);
        let squares: f64 = x.iter().map(|x| (x - x_mean).powi(2)).sum();
        if squares <= 0.0 {
            return None;
        }
        let products: f64 = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
        let per_x = products / squares;
        let scores: Vec<f64> = points
            .iter()
            .map(|(x, y)| (x - x_mean) * (y - y_mean - per_x * (x - x_mean)))
            .collect();
        let n = points.len() as f64;
        let LongRun { variance, bandwidth } = LongRun::of(&scores);
        // Two parameters were fitted: the residuals are a little smaller than the noise.
        let standard_error = (n * variance * n / (n - 2.0)).sqrt() / squares;
        // What a bandwidth and what few points leave uncertain adds up.
        let degrees = 1.0 / (1.0 / degrees_of(critical(bandwidth / n)) + POINTS_PER_DEGREE / n);
        let critical = critical_of(degrees);
        let at_zero = y_mean - per_x * x_mean;
        Some(Self { per_x, standard_error, critical, degrees, at_zero, at_mean: y_mean })
    }

    pub fn interval(&self) -> (f64, f64) {
        let half = self.critical * self.standard_error;
        (self.per_x - half, self.per_x + half)
    }

    /// The smallest slope, up or down, that is found with a chance of 90 %: its interval leaves zero out, and it is at
    /// least `negligible`.
    pub fn minimum_detectable(&self, negligible: f64) -> f64 {
        let margin = margin(self.critical, self.degrees, POWER + CUT_COSTS);
        (self.critical * self.standard_error).max(negligible) + margin * self.standard_error
    }
}

/// The variance of a mean times its n, including autocovariances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LongRun {
    pub variance: f64,
    /// How many lags it used.
    pub bandwidth: f64,
}

impl LongRun {
    /// Of values about their own mean.
    pub fn of(values: &[f64]) -> Self {
        let center = mean(values).unwrap_or_default();
        let centered: Vec<f64> = values.iter().map(|value| value - center).collect();
        // A resemblance close to 1 would make the variance infinite: a series that wanders has no mean.
        let whitening = unbiased(lag1(&centered), centered.len()).clamp(-0.9, 0.97);
        let white: Vec<f64> =
            centered.windows(2).map(|pair| pair[1] - whitening * pair[0]).collect();
        let n = white.len() as f64;
        let rest = lag1(&white).clamp(-0.9, 0.9);
        let alpha = 4.0 * rest * rest / ((1.0 - rest).powi(2) * (1.0 + rest).powi(2));
        let bandwidth = (1.1447 * (alpha * n).cbrt()).min(n / 2.0);
        let covariance = |lag: usize| {
            let products = white[lag..].iter().zip(&white).map(|(a, b)| a * b);
            products.sum::<f64>() / n
        };
        let lags = (1..white.len()).take_while(|lag| (*lag as f64) <= bandwidth);
        let weighted = lags.map(|lag| {
            let weight = 1.0 - lag as f64 / (bandwidth + 1.0);
            2.0 * weight * covariance(lag)
        });
        let of_white = (covariance(0) + weighted.sum::<f64>()).max(0.0);
        let correlated = 1.0 / (1.0 - whitening);
        // What prewhitening takes up counts like lags: it leaves as few independent pieces.
        let lags_of_whitening = if whitening > 0.0 {
            1.1447 * (4.0 * whitening.powi(2) / (1.0 - whitening * whitening).powi(2) * n).cbrt()
        } else {
            0.0
        };
        Self {
            variance: of_white * correlated * correlated,
            bandwidth: bandwidth.max(lags_of_whitening.min(n / 2.0)),
        }
    }
}

fn lag1(centered: &[f64]) -> f64 {
    let squares: f64 = centered.iter().map(|value| value * value).sum();
    let products: f64 = centered.windows(2).map(|pair| pair[0] * pair[1]).sum();
    if squares > 0.0 { products / squares } else { 0.0 }
}

/// What remembers looks as if it remembered less, because its mean was taken from itself (Kendall, and Marriott and
/// Pope, Biometrika 41, 1954).
fn unbiased(lag1: f64, n: usize) -> f64 {
    lag1 + (1.0 + 3.0 * lag1) / (n as f64).max(1.0)
}

/// The critical value of a two-sided test at 5 % under Bartlett weights, for a bandwidth that is this share of the
/// series.
fn critical(share: f64) -> f64 {
    1.9600 + 2.9694 * share + 0.4160 * share.powi(2) - 0.5324 * share.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_noise_is_found_exactly() {
        let points: Vec<(f64, f64)> =
            (0..20).map(|i| (f64::from(i), 3.0 + 2.0 * f64::from(i))).collect();
        let line = Line::fit(&points).unwrap();
        assert!((line.per_x - 2.0).abs() < 1e-12 && (line.at_zero - 3.0).abs() < 1e-12);
        assert!(line.minimum_detectable(0.0) < 1e-9);
    }

    #[test]
    fn too_few_points_and_a_still_x_carry_no_line() {
        assert_eq!(Line::fit(&[(0.0, 1.0); 5]), None);
        assert_eq!(Line::fit(&[(1.0, 1.0); 50]), None);
    }

    #[test]
    fn neighbors_that_resemble_each_other_widen_the_error() {
        // Each value four times: a quarter of the information.
        let noise = |i: u32| f64::from((i * 7919 + 13) % 101) / 101.0;
        let single: Vec<(f64, f64)> = (0..400).map(|i| (f64::from(i), noise(i))).collect();
        let repeated: Vec<(f64, f64)> = (0..400).map(|i| (f64::from(i), noise(i / 4))).collect();
        let of = |points: &[(f64, f64)]| Line::fit(points).unwrap().standard_error;
        assert!(of(&repeated) > 1.5 * of(&single));
    }
}
