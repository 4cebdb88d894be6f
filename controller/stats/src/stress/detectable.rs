//! The smallest effect that would have been found.
//!
//! An effect is found where its estimate is above `critical` standard errors. The standard error is an estimate
//! itself: the one at hand is too small or too large by chance, and so is that of the next campaign. With `degrees`
//! of freedom its relative variance is 1 / (2 degrees). Adding the normal quantile to the critical value
//! promises too much: where the error came out small, effects of the printed size are missed.

use statrs::distribution::{ContinuousCDF, Normal};

/// Fewer degrees of freedom tell nothing more.
const FEWEST_DEGREES: f64 = 1.0;

/// How far above the limit of what is found an effect must be, in standard errors, to be found with a chance of
/// `power` in campaigns like this one, averaged over what they print.
///
/// With m the whole distance from zero, c the critical value, z the quantile of `power` and v the degrees of
/// freedom, the estimate beyond the limit has the mean m - c and the variance 1 + (c^2 + m^2) / (2 v), so that
/// (m - c)^2 = z^2 (1 + (c^2 + m^2) / (2 v)).
pub fn margin(critical: f64, degrees: f64, power: f64) -> f64 {
    let z = normal_quantile(power);
    let k = z * z / (2.0 * degrees.max(FEWEST_DEGREES));
    let c = critical;
    let m = (c + (c * c - (1.0 - k) * (c * c * (1.0 - k) - z * z)).sqrt()) / (1.0 - k);
    m - c
}

/// The critical value of 95 % intervals for so many degrees of freedom: the first terms of the expansion of Student's
/// quantile about the normal one (Peiser, Annals of Mathematical Statistics 14, 1943).
pub fn critical_of(degrees: f64) -> f64 {
    let z = normal_quantile(0.975);
    z + (z.powi(3) + z) / 4.0 / degrees
}

/// How many degrees of freedom have this critical value.
pub fn degrees_of(critical: f64) -> f64 {
    let z = normal_quantile(0.975);
    let above = (critical - z).max(f64::EPSILON);
    (z.powi(3) + z) / 4.0 / above
}

pub fn normal_quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn an_error_that_is_known_needs_the_normal_quantile_alone() {
        assert!((margin(1.96, 1e12, 0.9) - 1.2816).abs() < 1e-4);
        assert!(degrees_of(1.96) > 1e4);
        // Student's quantile for 20 degrees is 2.086.
        assert!((degrees_of(2.086) / 20.0 - 1.0).abs() < 0.1);
        assert!((critical_of(degrees_of(2.3)) - 2.3).abs() < 1e-12);
    }

    #[test]
    fn what_one_campaign_prints_is_found_in_the_next_one_in_nine_of_ten() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut normal = || normal_quantile(rng.random::<f64>().clamp(1e-12, 1.0 - 1e-12));
        for (degrees, critical) in [(8_u32, 2.306), (20, 2.086), (60, 2.0)] {
            let mut error = || {
                let squares: f64 = (0..degrees).map(|_| normal().powi(2)).sum();
                (squares / f64::from(degrees)).sqrt()
            };
            let errors: Vec<(f64, f64)> = (0..4000).map(|_| (error(), error())).collect();
            let beyond = critical + margin(critical, f64::from(degrees), 0.9);
            let found = errors
                .iter()
                .filter(|(printed, next)| beyond * printed + normal() > critical * next)
                .count();
            assert!((3540..=3680).contains(&found), "{degrees}: {found} of 4000");
        }
    }
}
