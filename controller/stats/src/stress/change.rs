//! Where the level of a series changes.
//!
//! Cumulative sums against a Brownian bridge, with the long-run variance of what is left on both sides of the
//! change, so that autocorrelation isn't mistaken for a change (Csorgo and Horvath, Limit Theorems in
//! Change-Point Analysis, 1997); then again on both sides (binary segmentation; Vostrikova 1981).

use super::slope::LongRun;
use crate::interval::mean;

/// The fewest values of a level.
const SHORTEST: usize = 10;
/// The value that the largest distance of a Brownian bridge from zero exceeds with a chance of 1 %
/// (Kolmogorov's distribution): several are looked for.
const CRITICAL: f64 = 1.6276;
/// More changes are not separated.
const MOST: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Index of the first value of the new level.
    pub at: usize,
    /// The mean from the change before to this one.
    pub before: f64,
    /// The mean from this one to the change after it.
    pub after: f64,
}

/// Finds the changes of level, in order.
pub fn changes(values: &[f64]) -> Vec<Change> {
    let mut cuts = Vec::new();
    split(values, 0, &mut cuts);
    cuts.sort_unstable();
    let bounds: Vec<usize> =
        std::iter::once(0).chain(cuts.iter().copied()).chain([values.len()]).collect();
    let level = |from: usize, to: usize| mean(&values[from..to]).unwrap_or_default();
    bounds
        .windows(3)
        .map(|three| Change {
            at: three[1],
            before: level(three[0], three[1]),
            after: level(three[1], three[2]),
        })
        .collect()
}

fn split(values: &[f64], offset: usize, cuts: &mut Vec<usize>) {
    if values.len() < 2 * SHORTEST || cuts.len() >= MOST {
        return;
    }
    let n = values.len() as f64;
    let total: f64 = values.iter().sum();
    let (mut sum, mut best) = (0.0, (0.0, 0));
    for (before, value) in (1..).zip(&values[..values.len() - 1]) {
        sum += value;
        let distance: f64 = sum - total * before as f64 / n;
        let is_inside = before >= SHORTEST && values.len() - before >= SHORTEST;
        if is_inside && distance.abs() > best.0 {
            best = (distance.abs(), before);
        }
    }
    let (distance, at) = best;
    if at == 0 {
        return;
    }
    let (left, right) = values.split_at(at);
    let (left_mean, right_mean) = (mean(left).unwrap_or_default(), mean(right).unwrap_or_default());
    let rest: Vec<f64> = (left.iter().map(|value| value - left_mean))
        .chain(right.iter().map(|value| value - right_mean))
        .collect();
    let deviation = LongRun::of(&rest).variance.sqrt();
    if distance > CRITICAL * deviation * n.sqrt() {
        cuts.push(offset + at);
        split(left, offset, cuts);
        split(right, offset + at, cuts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: u32) -> f64 {
        f64::from((i * 7919 + 13) % 101) / 101.0 - 0.5
    }

    #[test]
    fn steps_are_found_where_they_are() {
        let level = |i: u32| match i {
            0..120 => 10.0,
            120..200 => 12.0,
            _ => 11.0,
        };
        let values: Vec<f64> = (0..300).map(|i| level(i) + noise(i)).collect();
        let found = changes(&values);
        let at: Vec<usize> = found.iter().map(|change| change.at).collect();
        assert_eq!(at, [120, 200], "{found:?}");
        assert!((found[0].before - 10.0).abs() < 0.1 && (found[0].after - 12.0).abs() < 0.1);
    }

    #[test]
    fn noise_has_no_steps() {
        let values: Vec<f64> = (0..300).map(noise).collect();
        assert_eq!(changes(&values), []);
        assert_eq!(changes(&[3.0; 100]), []);
        assert_eq!(changes(&[1.0, 9.0]), []);
    }
}
