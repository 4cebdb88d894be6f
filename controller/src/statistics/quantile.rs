//! Quantiles of merged raw values: the estimate, its order-statistic interval, and the floor below which
//! there is neither.

use statrs::distribution::{Binomial, DiscreteCDF};

/// A reported percentile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentile {
    /// Its name in files.
    pub name: &'static str,
    /// Its probability.
    pub probability: f64,
    /// The fewest independent units that carry it: with fewer, the chance that at most one of them lies
    /// above the true percentile exceeds 5 %, so that the sample has no tail to speak of.
    pub floor: u64,
}

/// The median.
pub const P50: Percentile = Percentile { name: "p50", probability: 0.5, floor: 8 };
/// Nine in ten are at most this.
pub const P90: Percentile = Percentile { name: "p90", probability: 0.9, floor: 46 };
/// 19 in 20 are at most this.
pub const P95: Percentile = Percentile { name: "p95", probability: 0.95, floor: 93 };
/// 99 in 100 are at most this.
pub const P99: Percentile = Percentile { name: "p99", probability: 0.99, floor: 473 };
/// 999 in 1,000 are at most this.
pub const P999: Percentile = Percentile { name: "p99.9", probability: 0.999, floor: 4742 };

/// The quantile of sorted values after Hyndman and Fan's definition 7 (The American Statistician 50,
/// 1996), the default of NumPy and R; `None` without values.
pub fn quantile(sorted: &[f64], probability: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = probability.clamp(0.0, 1.0) * last as f64;
    let below = sorted[index(position.floor(), last)];
    let above = sorted[index(position.ceil(), last)];
    Some(below + (above - below) * (position - position.floor()))
}

/// The order statistics (ranks from 1) that enclose a quantile of `units` independent values in at least
/// 1 - `alpha` of samples, whatever their distribution (David and Nagaraja, Order Statistics, 3rd ed.,
/// 7.1). `None` at an end where no order statistic is extreme enough.
pub fn enclosing_ranks(units: u64, probability: f64, alpha: f64) -> (Option<u64>, Option<u64>) {
    let Ok(below) = Binomial::new(probability, units) else { return (None, None) };
    // The rank j encloses from below where P(B < j) <= alpha/2, k from above where P(B >= k) <= alpha/2.
    let first_not_below = first(units, |count| below.cdf(count) > alpha / 2.0);
    let low = Some(first_not_below).filter(|&rank| rank > 0);
    let high = Some(first(units, |count| below.cdf(count) >= 1.0 - alpha / 2.0) + 1);
    (low, high.filter(|&rank| rank <= units))
}

/// The order-statistic interval of sorted values that hold `units` independent ones, each as often as the
/// others: repeats of a request, or the rows of a batch, add no rank of their own.
pub fn order_interval(
    sorted: &[f64],
    units: u64,
    probability: f64,
    alpha: f64,
) -> (Option<f64>, Option<f64>) {
    let Some(last) = sorted.len().checked_sub(1) else { return (None, None) };
    let per_unit = sorted.len() as f64 / units.max(1) as f64;
    let (low, high) = enclosing_ranks(units, probability, alpha);
    (
        low.map(|rank| sorted[index(((rank - 1) as f64 * per_unit).floor(), last)]),
        high.map(|rank| sorted[index((rank as f64 * per_unit).ceil() - 1.0, last)]),
    )
}

/// The first count from 0 to `units` at which `holds`, which stays true once it is.
fn first(units: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, units);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number from 0 to `last`"
)]
fn index(position: f64, last: usize) -> usize {
    (position.max(0.0) as usize).min(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn definition_7_agrees_with_the_values_of_r_and_numpy() {
        let values: Vec<f64> = (1..=10).map(f64::from).collect();
        for (probability, expected) in
            [(0.0, 1.0), (0.25, 3.25), (0.5, 5.5), (0.9, 9.1), (1.0, 10.0)]
        {
            assert_eq!(quantile(&values, probability), Some(expected));
        }
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
    }

    #[test]
    fn the_interval_of_a_median_has_the_ranks_of_the_published_table() {
        // The interval of the sign test, as its tables have it; in R: qbinom(0.025, n, 0.5) and n + 1 less that.
        for (n, low, high) in [(8, 1, 8), (10, 2, 9), (20, 6, 15), (25, 8, 18), (50, 18, 33)] {
            assert_eq!(enclosing_ranks(n, 0.5, 0.05), (Some(low), Some(high)), "n = {n}");
        }
        assert_eq!(enclosing_ranks(100, 0.5, 0.05), (Some(40), Some(61)));
    }

    #[test]
    fn a_floor_is_the_first_n_with_a_tail() {
        for Percentile { name, probability, floor } in [P50, P90, P95, P99, P999] {
            let at_most_one_above = |n: u64| Binomial::new(1.0 - probability, n).unwrap().cdf(1);
            assert!(at_most_one_above(floor) <= 0.05, "{name}");
            assert!(at_most_one_above(floor - 1) > 0.05, "{name}");
            let (low, high) = enclosing_ranks(floor, probability, 0.05);
            assert!(low.is_some() && high.is_some(), "{name} has an interval at its floor");
        }
    }

    #[test]
    fn repeats_do_not_narrow_the_interval() {
        let once: Vec<f64> = (1..=100).map(f64::from).collect();
        let thrice: Vec<f64> = once.iter().flat_map(|&value| [value; 3]).collect();
        assert_eq!(order_interval(&once, 100, 0.5, 0.05), order_interval(&thrice, 100, 0.5, 0.05));
    }

    proptest! {
        #[test]
        fn quantiles_never_fall(mut values in prop::collection::vec(0.0..1e6, 1..200), p in 0.0..1.0, q in 0.0..1.0) {
            values.sort_by(f64::total_cmp);
            let (low, high) = if p < q { (p, q) } else { (q, p) };
            prop_assert!(quantile(&values, low) <= quantile(&values, high));
        }

        #[test]
        fn the_interval_holds_the_quantile(mut values in prop::collection::vec(0.0..1e6, 1..400), p in 0.01..0.99, repeats in 1_u64..5) {
            values.sort_by(f64::total_cmp);
            let value = quantile(&values, p).unwrap();
            let units = (values.len() as u64 / repeats).max(1);
            let (low, high) = order_interval(&values, units, p, 0.05);
            prop_assert!(low.is_none_or(|low| low <= value), "{low:?} {value}");
            prop_assert!(high.is_none_or(|high| high >= value), "{high:?} {value}");
        }
    }
}
