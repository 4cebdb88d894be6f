//! Where a series becomes steady: what comes before is warm-up, and in no verdict.
//!
//! A drift must not move the cut, or a drift of a given size is found less often than the steady series promises. So
//! the line through the last four fifths is taken out first: a drift adds to that line, and to nothing else. Nor must
//! the noise move it, or what is left looks calmer than it is: beyond the first tenth only what stands out is cut.

use super::slope::LongRun;
use crate::interval::mean;

/// So many values make one batch mean.
const BATCH: usize = 5;
/// The first of so many parts is always cut off.
const ALWAYS: usize = 10;
/// Warm-up takes at most the first of so many parts.
const LONGEST: usize = 5;
/// What is cut beyond that must lie so many standard errors off the line.
const STANDS_OUT: f64 = 2.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steady {
    /// The index of the first value that counts.
    pub from: usize,
    /// Whether it was found: a series that is best cut beyond its first fifth may never have become steady.
    pub is_found: bool,
}

/// Cuts off the first tenth, and more where MSER-5 says so and what it cuts stands out: up to a fifth.
pub fn steady(values: &[f64]) -> Steady {
    let (first, longest) = (values.len() / ALWAYS, values.len() / LONGEST);
    let Some(off) = OffLine::of(values, longest) else {
        return Steady { from: 0, is_found: true };
    };
    let (more, is_found) = mser(&off.rest[first..]);
    let end = first + more;
    if !is_found || end > longest {
        return Steady { from: first, is_found: false };
    }
    if more == 0 || off.in_errors(first, end) < STANDS_OUT {
        return Steady { from: first, is_found: true };
    }
    // As much again: what is left of a warm-up fades away below the noise.
    Steady { from: (end + more).min(longest), is_found: true }
}

/// A series without the line through its later part.
struct OffLine {
    rest: Vec<f64>,
    /// Where the part begins that carries the line.
    later: usize,
    /// The mean place of that part, and the squares about it.
    middle: f64,
    squares: f64,
}

impl OffLine {
    fn of(values: &[f64], later: usize) -> Option<Self> {
        let places: Vec<f64> = (later..values.len()).map(|place| place as f64).collect();
        let (middle, level) = (mean(&places)?, mean(&values[later..])?);
        let squares: f64 = places.iter().map(|place| (place - middle).powi(2)).sum();
        let products = places.iter().zip(&values[later..]);
        let products: f64 = products.map(|(place, value)| (place - middle) * (value - level)).sum();
        let slope = if squares > 0.0 { products / squares } else { 0.0 };
        let rest = values.iter().enumerate();
        let rest = rest.map(|(place, value)| value - level - slope * (place as f64 - middle));
        Some(Self { rest: rest.collect(), later, middle, squares })
    }

    /// How many standard errors a piece of the beginning lies off the line: those of its own mean and of the line there.
    fn in_errors(&self, from: usize, to: usize) -> f64 {
        let later = &self.rest[self.later..];
        let distance = f64::midpoint(from as f64, to as f64 - 1.0) - self.middle;
        let of_line = 1.0 / later.len() as f64 + distance * distance / self.squares;
        let variance = LongRun::of(later).variance * (1.0 / (to - from) as f64 + of_line);
        let off = mean(&self.rest[from..to]).unwrap_or_default().abs();
        if off > 0.0 { off / variance.sqrt() } else { 0.0 }
    }
}

/// MSER-5 (White, Cobb and Spratt, Winter Simulation Conference 2000): cuts off the beginning whose loss makes
/// the standard error of the mean smallest, at most half of the series; and whether that was less than half.
fn mser(values: &[f64]) -> (usize, bool) {
    let means: Vec<f64> =
        values.chunks_exact(BATCH).map(|batch| batch.iter().sum::<f64>() / BATCH as f64).collect();
    let most = means.len() / 2;
    let (mut sum, mut squares, mut best) = (0.0, 0.0, (f64::INFINITY, 0));
    // From the end, so that every remainder is one value more than the last.
    let center = means.last().copied().unwrap_or_default();
    for (from, value) in means.iter().enumerate().rev() {
        let value = value - center;
        (sum, squares) = (sum + value, squares + value * value);
        let n = (means.len() - from) as f64;
        let error = (squares - sum * sum / n).max(0.0) / (n * n);
        // Of equal errors the earlier cut: it keeps more.
        if from <= most && error <= best.0 {
            best = (error, from);
        }
    }
    (best.1 * BATCH, best.1 < most.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: u32) -> f64 {
        f64::from((i * 7919 + 13) % 101) / 101.0
    }

    fn series(value: impl Fn(u32) -> f64) -> Vec<f64> {
        (0..300).map(|i| value(i) + noise(i)).collect()
    }

    #[test]
    fn a_warm_up_is_cut_off_and_no_more() {
        let found = steady(&series(|i| if i < 45 { 9.0 - f64::from(i) / 5.0 } else { 0.0 }));
        assert!(found.is_found && (45..=60).contains(&found.from), "{found:?}");
    }

    #[test]
    fn what_is_steady_from_the_start_loses_its_first_tenth() {
        assert_eq!(steady(&[4.0; 60]), Steady { from: 6, is_found: true });
        assert_eq!(steady(&series(|_| 0.0)), Steady { from: 30, is_found: true });
    }

    #[test]
    fn a_drift_moves_no_cut() {
        let warm_up = |i: u32| if i < 40 { 3.0 } else { 0.0 };
        let still = steady(&series(warm_up));
        for drift in [-1.0, 0.01, 5.0] {
            assert_eq!(steady(&series(|i| warm_up(i) + drift * f64::from(i))), still);
        }
    }

    #[test]
    fn what_becomes_steady_late_was_never_steady() {
        let found = steady(&series(|i| if i < 100 { 50.0 } else { 0.0 }));
        assert_eq!(found, Steady { from: 30, is_found: false });
    }

    #[test]
    fn nothing_is_cut_from_next_to_nothing() {
        assert_eq!(steady(&[]).from, 0);
        assert_eq!(steady(&[1.0, 2.0]).from, 0);
    }
}
