//! Student's t intervals over the means of runs.

use crate::{Estimate, Limitation};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The share of intervals that may miss what they estimate.
pub const ALPHA: f64 = 0.05;

/// The mean; `None` without values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The standard deviation with ddof 1; `None` below two values.
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let degrees = values.len().checked_sub(1).filter(|&degrees| degrees > 0)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / degrees as f64).sqrt())
}

/// How many standard errors an interval reaches to either side; infinite without degrees of freedom.
pub fn t_critical(degrees: f64, alpha: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees).map_or(f64::INFINITY, |t| t.inverse_cdf(1.0 - alpha / 2.0))
}

/// The chance of a t at least this far from zero, on either side.
pub fn t_two_sided(t: f64, degrees: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees).map_or(1.0, |student| 2.0 * student.sf(t.abs()))
}

/// Half the width of the interval over the figures of runs; `None` for one run.
pub fn half_width(runs: &[f64], alpha: f64) -> Option<f64> {
    let standard_error = standard_deviation(runs)? / (runs.len() as f64).sqrt();
    Some(t_critical(runs.len() as f64 - 1.0, alpha) * standard_error)
}

/// A figure that cannot be negative, with the t interval of its runs around it.
pub fn between_runs(value: f64, runs: &[f64], alpha: f64) -> Estimate {
    let n = runs.len() as u64;
    match half_width(runs, alpha) {
        Some(half) => Estimate::within(value, ((value - half).max(0.0), value + half), n),
        None => Estimate::point(value, n, Limitation::OneRun),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn critical_values_agree_with_the_published_table() {
        // NIST/SEMATECH e-Handbook 1.3.6.7.2, and scipy.stats.t.ppf for the digits.
        for (degrees, expected) in [
            (1.0, 12.706_204_736_174_694),
            (2.0, 4.302_652_729_749_462),
            (3.0, 3.182_446_305_283_708),
            (9.0, 2.262_157_162_798_205),
            (2.5, 3.574_654_842_003_682),
            (100.0, 1.983_971_518_523_552),
        ] {
            let found = t_critical(degrees, ALPHA);
            assert!((found / expected - 1.0).abs() < 1e-11, "{degrees}: {found}");
        }
    }

    #[test]
    fn the_interval_of_three_runs_is_the_textbook_one() {
        let estimate = between_runs(10.0, &[9.0, 10.0, 11.0], ALPHA);
        let half = 4.302_652_729_749_462 / 3.0_f64.sqrt();
        assert!((estimate.ci_high.unwrap() - 10.0 - half).abs() < 1e-10);
        assert_eq!(estimate.n, 3);
    }

    #[test]
    fn one_run_has_no_interval_and_says_why() {
        let estimate = between_runs(10.0, &[10.0], ALPHA);
        assert_eq!((estimate.value, estimate.interval()), (Some(10.0), None));
        assert_eq!(estimate.reason, Some(Limitation::OneRun));
    }

    #[test]
    fn a_rate_is_never_below_zero() {
        assert_eq!(between_runs(1.0, &[0.1, 1.9], ALPHA).ci_low, Some(0.0));
    }
}
