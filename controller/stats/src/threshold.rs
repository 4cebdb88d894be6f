//! Whether an estimate keeps a threshold, by its whole interval.

use super::Estimate;
use super::comparison::regression::Outcome;

/// The side of a threshold on which a figure must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    AtMost,
    AtLeast,
}

/// Passed if the whole 95% interval keeps the limit, failed if all of it is past it, and undecided otherwise: an
/// estimate without an interval, or without the end of it that matters, decides nothing.
pub fn hold(estimate: &Estimate, bound: Bound, limit: f64) -> Outcome {
    let (kept, past) = match bound {
        Bound::AtMost => {
            (estimate.ci_high.map(|high| high <= limit), estimate.ci_low.map(|low| low > limit))
        }
        Bound::AtLeast => {
            (estimate.ci_low.map(|low| low >= limit), estimate.ci_high.map(|high| high < limit))
        }
    };
    match (kept, past) {
        (Some(true), _) => Outcome::Passed,
        (_, Some(true)) => Outcome::Failed,
        _ => Outcome::Undecided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limitation;

    #[test]
    fn the_whole_interval_decides() {
        let of = |low, high| Estimate::within(f64::midpoint(low, high), (low, high), 3);
        let outcomes = |bound| {
            [of(1.0, 2.0), of(2.0, 3.0), of(3.5, 4.0)].map(|estimate| hold(&estimate, bound, 3.0))
        };
        use Outcome::{Failed, Passed, Undecided};
        assert_eq!(outcomes(Bound::AtMost), [Passed, Passed, Failed]);
        assert_eq!(outcomes(Bound::AtLeast), [Failed, Undecided, Passed]);
    }

    #[test]
    fn without_an_interval_nothing_is_decided() {
        let alone = Estimate::point(1.0, 1, Limitation::OneRun);
        let missing = Estimate::missing(0, Limitation::NothingMeasured);
        // A cost whose rate may be zero has no upper end.
        let open =
            Estimate { ci_low: Some(4.0), ..Estimate::point(5.0, 3, Limitation::RateMayBeZero) };
        for estimate in [alone, missing] {
            assert_eq!(hold(&estimate, Bound::AtMost, 3.0), Outcome::Undecided);
            assert_eq!(hold(&estimate, Bound::AtLeast, 0.5), Outcome::Undecided);
        }
        assert_eq!(hold(&open, Bound::AtMost, 3.0), Outcome::Failed);
        assert_eq!(hold(&open, Bound::AtMost, 4.5), Outcome::Undecided);
    }
}
