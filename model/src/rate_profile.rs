//! How the rate of an open loop changes over time: ramps and steps.

use serde::{Deserialize, Serialize};

/// Limits on what a profile holds.
pub const MAX_POINTS: usize = 1000;
/// Limits on the factors.
pub const FACTORS: (f64, f64) = (0.001, 1000.0);

/// The rate at a time of the load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatePoint {
    /// From the start of the load.
    pub at_ns: u64,
    /// The rate, as a multiple of the load's request rate.
    pub factor: f64,
}

/// The factor of a rate over time. It changes linearly between points, and at once between two
/// points at the same time. Before the first point and after the last one it is constant. Without
/// points it is 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RateProfile(Vec<RatePoint>);

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Error {
    #[error("expected at most {MAX_POINTS} points, found {found}")]
    TooMany { found: usize },
    #[error("point {index} is earlier than the one before it")]
    Order { index: usize },
    #[error("point {index}: expected a factor from 0.001 to 1000, found {factor}")]
    Factor { index: usize, factor: f64 },
}

impl RateProfile {
    pub fn new(points: Vec<RatePoint>) -> Result<Self, Error> {
        if points.len() > MAX_POINTS {
            return Err(Error::TooMany { found: points.len() });
        }
        for (index, point) in points.iter().enumerate() {
            if !(FACTORS.0..=FACTORS.1).contains(&point.factor) {
                return Err(Error::Factor { index, factor: point.factor });
            }
            if index > 0 && point.at_ns < points[index - 1].at_ns {
                return Err(Error::Order { index });
            }
        }
        Ok(Self(points))
    }

    pub fn points(&self) -> &[RatePoint] {
        &self.0
    }

    /// Whether the rate is the same at all times.
    pub fn is_constant(&self) -> bool {
        self.0.windows(2).all(|pair| pair[0].factor.to_bits() == pair[1].factor.to_bits())
    }

    /// The lowest and the highest factor.
    pub fn range(&self) -> (f64, f64) {
        let Some(first) = self.0.first() else { return (1.0, 1.0) };
        self.0.iter().fold((first.factor, first.factor), |(low, high), point| {
            (low.min(point.factor), high.max(point.factor))
        })
    }

    fn factor_at(&self, at_ns: u64) -> f64 {
        let after = self.0.partition_point(|point| point.at_ns <= at_ns);
        match (after.checked_sub(1).map(|before| self.0[before]), self.0.get(after)) {
            (None, None) => 1.0,
            (Some(point), None) => point.factor,
            (None, Some(point)) => point.factor,
            (Some(from), Some(to)) => {
                let share = (at_ns - from.at_ns) as f64 / (to.at_ns - from.at_ns) as f64;
                from.factor + share * (to.factor - from.factor)
            }
        }
    }

    /// The profile of what is left of a load after `passed_ns`.
    #[must_use]
    pub fn after(&self, passed_ns: u64) -> Self {
        if self.0.is_empty() || passed_ns == 0 {
            return self.clone();
        }
        let now = RatePoint { at_ns: 0, factor: self.factor_at(passed_ns) };
        let later = self.0.iter().filter(|point| point.at_ns > passed_ns);
        let later = later.map(|point| RatePoint { at_ns: point.at_ns - passed_ns, ..*point });
        Self(std::iter::once(now).chain(later).collect())
    }

    /// When the load has offered as many requests as it would in `constant_ns` at the factor 1. Both
    /// in nanoseconds from the start.
    pub fn time_ns(&self, constant_ns: f64) -> f64 {
        let Some(first) = self.0.first() else { return constant_ns };
        let (mut from, mut left) = (RatePoint { at_ns: 0, factor: first.factor }, constant_ns);
        for point in &self.0 {
            let length = (point.at_ns - from.at_ns) as f64;
            let offered = length * f64::midpoint(from.factor, point.factor);
            if left < offered {
                // The root of: factor t + slope t^2 / 2 = left, in the form that loses no digits.
                let slope = (point.factor - from.factor) / length;
                let root = (from.factor * from.factor + 2.0 * slope * left).max(0.0).sqrt();
                return from.at_ns as f64 + 2.0 * left / (from.factor + root);
            }
            left -= offered;
            from = *point;
        }
        from.at_ns as f64 + left / from.factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn profile(points: &[(u64, f64)]) -> RateProfile {
        let point = |&(at_s, factor): &(u64, f64)| RatePoint { at_ns: at_s * S, factor };
        RateProfile::new(points.iter().map(point).collect()).unwrap()
    }

    fn close(found: f64, expected: f64) {
        assert!((found / 1e9 - expected).abs() < 1e-9, "{found} is not {expected} s");
    }

    #[test]
    fn requests_come_at_the_times_of_a_ramp_and_of_a_step() {
        close(RateProfile::default().time_ns(7e9), 7.0);
        // From 1 to 3 in 10 s: 20 s' worth. Half of it is t + t^2 / 10 = 10.
        let ramp = profile(&[(0, 1.0), (10, 3.0)]);
        close(ramp.time_ns(20e9), 10.0);
        close(ramp.time_ns(10e9), -5.0 + 125.0_f64.sqrt());
        close(ramp.time_ns(26e9), 12.0);
        let down = profile(&[(0, 3.0), (10, 1.0)]);
        close(down.time_ns(10e9), 15.0 - 125.0_f64.sqrt());
        let step = profile(&[(10, 2.0), (10, 0.5)]);
        close(step.time_ns(19e9), 9.5);
        close(step.time_ns(21e9), 12.0);
    }

    #[test]
    fn a_load_that_resumes_continues_its_profile() {
        let ramp = profile(&[(0, 1.0), (10, 3.0), (20, 3.0), (20, 1.0)]);
        assert_eq!(ramp.after(5 * S), profile(&[(0, 2.0), (5, 3.0), (15, 3.0), (15, 1.0)]));
        assert_eq!(ramp.after(20 * S), profile(&[(0, 1.0)]));
        assert_eq!(ramp.range(), (1.0, 3.0));
        assert!(!ramp.is_constant() && ramp.after(20 * S).is_constant());
    }

    #[test]
    fn other_points_are_refused() {
        let at = |at_ns, factor| RatePoint { at_ns, factor };
        let error = |points| RateProfile::new(points).unwrap_err();
        assert_eq!(error(vec![at(5, 1.0), at(4, 1.0)]), Error::Order { index: 1 });
        for factor in [0.0, -1.0, 1001.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(error(vec![at(0, factor)]), Error::Factor { index: 0, .. }));
        }
        let found = MAX_POINTS + 1;
        assert_eq!(error(vec![at(0, 1.0); found]), Error::TooMany { found });
    }

    proptest! {
        /// Times ascend, and stay within those of the lowest and the highest rate.
        #[test]
        fn times_ascend_between_those_of_the_extreme_rates(
            points in prop::collection::vec((0..100_u64, 0.001..50.0_f64), 0..8),
            offered in prop::collection::vec(0.0..1e12_f64, 2..20),
        ) {
            let mut points = points;
            points.sort_by_key(|point| point.0);
            let profile = profile(&points);
            let (low, high) = profile.range();
            let mut offered = offered;
            offered.sort_by(f64::total_cmp);
            let times: Vec<f64> = offered.iter().map(|units| profile.time_ns(*units)).collect();
            prop_assert!(times.is_sorted(), "{:?}", times);
            for (units, time) in offered.iter().zip(times) {
                let margin = 1.0 + 1e-9 * time;
                prop_assert!(units / high - margin <= time && time <= units / low + margin);
            }
        }

        /// A load that is interrupted at any time goes on as if it were not.
        #[test]
        fn a_profile_after_an_interruption_is_the_rest_of_it(
            points in prop::collection::vec((0..100_u64, 0.01..50.0_f64), 1..8),
            passed_s in 0..120_u64,
            more in 0.0..1e11_f64,
        ) {
            let mut points = points;
            points.sort_by_key(|point| point.0);
            let profile = profile(&points);
            let passed_ns = passed_s * S;
            // What is offered until then, by bisection.
            let (mut low, mut high) = (0.0, 1e14);
            for _ in 0..200 {
                let middle = f64::midpoint(low, high);
                if profile.time_ns(middle) < passed_ns as f64 { low = middle } else { high = middle }
            }
            let whole = profile.time_ns(low + more) - passed_ns as f64;
            let rest = profile.after(passed_ns).time_ns(more);
            prop_assert!((whole - rest).abs() < 1e-6 * rest + 1e4, "{} {}", whole, rest);
        }
    }
}
