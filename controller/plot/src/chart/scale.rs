//! From values to places: linear and logarithmic scales with ends and ticks that people can read.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Equal differences are equal distances.
    Linear,
    /// Equal ratios are equal distances.
    Logarithmic,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    spread: Spread,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

/// Beyond this ratio small values would overlap on a linear scale.
const WIDE: f64 = 12.0;

/// A linear scale for quantities of similar size, a logarithmic one where they are far apart and none is zero.
pub fn spread_of(values: &[f64]) -> Spread {
    let (low, high) = ends(values);
    if low > 0.0 && high / low > WIDE { Spread::Logarithmic } else { Spread::Linear }
}

/// The smallest and the largest finite value; 0 and 0 where there is none.
fn ends(values: &[f64]) -> (f64, f64) {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let low = finite().fold(f64::INFINITY, f64::min);
    let high = finite().fold(f64::NEG_INFINITY, f64::max);
    if low <= high { (low, high) } else { (0.0, 0.0) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zero {
    /// It must: lengths on it mean something.
    Shown,
    /// It need not: only differences mean something.
    Free,
}

impl Scale {
    /// A scale over all values, rounded outwards to its ticks.
    pub fn over(values: &[f64], spread: Spread, zero: Zero) -> Self {
        let (mut low, mut high) = ends(values);
        match spread {
            Spread::Logarithmic => {
                let round = |value: f64, up: bool| {
                    let decade = decade_of(value);
                    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
                    let fits = |step: &f64| {
                        if up { *step >= value * 0.999_999 } else { *step <= value * 1.000_001 }
                    };
                    let mut steps = steps.into_iter().filter(fits);
                    if up { steps.next() } else { steps.next_back() }.unwrap_or(value)
                };
                (low, high) = (round(low, false), round(high, true));
                if low >= high {
                    (low, high) = (low / 2.0, high * 2.0);
                }
            }
            Spread::Linear => {
                if zero == Zero::Shown {
                    (low, high) = (low.min(0.0), high.max(0.0));
                }
                if low >= high {
                    let margin = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
                    (low, high) = (low - margin, high + margin);
                    if zero == Zero::Shown {
                        (low, high) = (low.max(0.0).min(high), high);
                    }
                }
                let step = step(high - low, 5);
                (low, high) =
                    ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step);
            }
        }
        Self::between(low, high, spread)
    }

    pub fn between(low: f64, high: f64, spread: Spread) -> Self {
        Self { spread, low, high, from: 0.0, to: 1.0 }
    }

    #[must_use]
    pub fn onto(self, from: f64, to: f64) -> Self {
        Self { from, to, ..self }
    }

    pub fn spread(&self) -> Spread {
        self.spread
    }

    pub fn is_beyond(&self, value: f64) -> bool {
        value > self.high
    }

    /// The position of a value, clamped to the ends.
    pub fn at(&self, value: f64) -> f64 {
        let share = match self.spread {
            Spread::Linear => (value - self.low) / (self.high - self.low),
            Spread::Logarithmic => {
                (value.max(self.low).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
            }
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// At most about `most` round values between its ends.
    pub fn ticks(&self, most: u32) -> Vec<f64> {
        match self.spread {
            Spread::Linear => {
                let step = step(self.high - self.low, most);
                let first = (self.low / step - 1e-9).ceil();
                let count = ((self.high - first * step) / step + 1e-9).floor();
                let mut ticks = Vec::new();
                let mut place = 0.0;
                while place <= count {
                    let tick = (first + place) * step;
                    ticks.push(if tick.abs() < step * 1e-9 { 0.0 } else { tick });
                    place += 1.0;
                }
                ticks
            }
            Spread::Logarithmic => {
                let all = |steps: &[f64]| {
                    let mut ticks = Vec::new();
                    let mut decade = decade_of(self.low);
                    while decade.is_finite() && decade <= self.high * 1.000_001 {
                        ticks.extend(steps.iter().map(|step| step * decade));
                        decade *= 10.0;
                    }
                    ticks.retain(|tick| {
                        (self.low * 0.999_999..=self.high * 1.000_001).contains(tick)
                    });
                    ticks
                };
                let mut best = all(&[1.0]);
                for steps in [&[1.0, 3.0][..], &[1.0, 2.0, 5.0]] {
                    let finer = all(steps);
                    if finer.len() <= most as usize || best.len() < 2 {
                        best = finer;
                    }
                }
                let skip = best.len().div_ceil(most.max(1) as usize).max(1);
                best.into_iter().step_by(skip).collect()
            }
        }
    }
}

/// The power of ten at or below a positive value; not 0, which stays 0 however often it is multiplied.
fn decade_of(value: f64) -> f64 {
    10_f64.powf(value.log10().floor()).max(f64::MIN_POSITIVE)
}

/// 1, 2, 2.5 or 5 times a power of ten, so that about `most` of it make the span.
fn step(span: f64, most: u32) -> f64 {
    let raw = span / f64::from(most.max(1));
    let decade = 10_f64.powf(raw.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * decade);
    steps.into_iter().find(|step| *step >= raw * 0.999_999).unwrap_or(decade * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn over(values: &[f64], spread: Spread, zero: Zero) -> Scale {
        Scale::over(values, spread, zero).onto(0.0, 100.0)
    }

    #[test]
    fn a_linear_scale_of_a_quantity_starts_at_zero() {
        let scale = over(&[42.0, 97.0], Spread::Linear, Zero::Shown);
        assert_eq!(scale.ticks(5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert!(scale.at(0.0).abs() < 1e-9 && (scale.at(50.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn a_logarithmic_scale_has_round_ticks() {
        let scale = over(&[0.000_13, 0.011], Spread::Logarithmic, Zero::Free);
        assert_eq!(scale.ticks(4).len(), 3);
        assert!((scale.at(0.0001)).abs() < 1e-9);
        assert_eq!(over(&[3.0], Spread::Logarithmic, Zero::Free).ticks(6), [2.0, 5.0]);
    }

    #[test]
    fn a_scale_from_the_smallest_to_the_largest_number_has_few_ticks() {
        let scale = over(&[5e-324, f64::MAX], Spread::Logarithmic, Zero::Free);
        assert!(scale.ticks(5).len() <= 10, "{:?}", scale.ticks(5));
        assert!(scale.at(5e-324).abs() < 1e-9 && scale.at(1.0).is_finite());
    }

    #[test]
    fn values_far_apart_are_spread_logarithmically_unless_one_is_zero() {
        assert_eq!(spread_of(&[1.0, 30.0]), Spread::Logarithmic);
        assert_eq!(spread_of(&[0.0, 30.0]), Spread::Linear);
        assert_eq!(spread_of(&[]), Spread::Linear);
    }

    proptest! {
        #[test]
        fn every_value_lies_between_the_ends(values in prop::collection::vec(1e-6..1e6_f64, 1..20), log: bool) {
            let spread = if log { Spread::Logarithmic } else { Spread::Linear };
            let scale = over(&values, spread, Zero::Free);
            let ticks = scale.ticks(6);
            prop_assert!(!ticks.is_empty() && ticks.len() < 14, "{ticks:?}");
            prop_assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]));
            for value in values {
                prop_assert!((0.0..=100.0).contains(&scale.at(value)));
                prop_assert!(value >= scale.low * 0.999 && value <= scale.high * 1.001);
            }
        }
    }
}
