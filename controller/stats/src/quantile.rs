//! Quantiles of merged raw values: the estimate, its order-statistic interval, and the floor below which
//! there is neither.

use model::histogram::Histogram;
use statrs::distribution::{Binomial, DiscreteCDF};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentile {
    pub name: &'static str,
    pub probability: f64,
    /// The fewest independent units that carry it: with fewer, the chance that at most one of them lies
    /// above the true percentile exceeds 5 %, so that the sample contains too little of the tail.
    pub floor: u64,
}

pub const P50: Percentile = Percentile { name: "p50", probability: 0.5, floor: 8 };
pub const P90: Percentile = Percentile { name: "p90", probability: 0.9, floor: 46 };
pub const P95: Percentile = Percentile { name: "p95", probability: 0.95, floor: 93 };
pub const P99: Percentile = Percentile { name: "p99", probability: 0.99, floor: 473 };
pub const P999: Percentile = Percentile { name: "p99.9", probability: 0.999, floor: 4742 };

impl Percentile {
    /// Of a histogram of nanoseconds, in milliseconds; `None` below the floor.
    pub fn of_histogram_ms(self, histogram: &Histogram) -> Option<f64> {
        quantile_ms(histogram, self.probability).filter(|_| histogram.count() >= self.floor)
    }
}

/// Of a histogram of nanoseconds, in milliseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
pub fn quantile_ms(histogram: &Histogram, probability: f64) -> Option<f64> {
    let rank = (probability * histogram.count() as f64).ceil() as u64;
    histogram.at_rank(rank).map(|ns| ns / 1e6)
}

/// Values in order, each found by its rank, from 0.
pub trait Ranked {
    fn count(&self) -> usize;

    /// The value of a rank below [`Ranked::count`].
    fn at(&self, rank: usize) -> f64;
}

impl<T: AsRef<[f64]> + ?Sized> Ranked for T {
    fn count(&self) -> usize {
        self.as_ref().len()
    }

    fn at(&self, rank: usize) -> f64 {
        self.as_ref()[rank]
    }
}

/// The values of several sorted lists together, without a list of all of them.
#[derive(Debug, Clone, Copy)]
pub struct Merged<'a>(pub &'a [Vec<f64>]);

impl Merged<'_> {
    /// How many values are at most the one of this key.
    fn up_to(&self, key: u64) -> usize {
        let of_list = |list: &Vec<f64>| list.partition_point(|&value| key_of(value) <= key);
        self.0.iter().map(of_list).sum()
    }
}

impl Ranked for Merged<'_> {
    fn count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    fn at(&self, rank: usize) -> f64 {
        if let [only] = self.0 {
            return only[rank];
        }
        // The smallest key that more than `rank` values don't exceed is that of the value sought: bisection.
        let ends = self.0.iter().filter_map(|list| Some((*list.first()?, *list.last()?)));
        let (mut low, mut high) = ends.fold((u64::MAX, 0), |(low, high), (first, last)| {
            (low.min(key_of(first)), high.max(key_of(last)))
        });
        while low < high {
            let middle = low + (high - low) / 2;
            if self.up_to(middle) > rank { high = middle } else { low = middle + 1 }
        }
        value_of(low)
    }
}

const SIGN: u64 = 1 << 63;

/// A whole number for each value, in the same order (IEEE 754, totalOrder).
fn key_of(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn value_of(key: u64) -> f64 {
    f64::from_bits(if key & SIGN == 0 { !key } else { key & !SIGN })
}

/// The quantile of sorted values after Hyndman and Fan's definition 7 (The American Statistician 50,
/// 1996), the default of NumPy and R; `None` without values.
pub fn quantile(sorted: &(impl Ranked + ?Sized), probability: f64) -> Option<f64> {
    let last = sorted.count().checked_sub(1)?;
    let position = probability.clamp(0.0, 1.0) * last as f64;
    let below = sorted.at(index(position.floor(), last));
    let above = sorted.at(index(position.ceil(), last));
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
    sorted: &(impl Ranked + ?Sized),
    units: u64,
    probability: f64,
    alpha: f64,
) -> (Option<f64>, Option<f64>) {
    let Some(last) = sorted.count().checked_sub(1) else { return (None, None) };
    let per_unit = sorted.count() as f64 / units.max(1) as f64;
    let (low, high) = enclosing_ranks(units, probability, alpha);
    (
        low.map(|rank| sorted.at(index(((rank - 1) as f64 * per_unit).floor(), last))),
        high.map(|rank| sorted.at(index((rank as f64 * per_unit).ceil() - 1.0, last))),
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

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to `last`")]
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
        let nothing: [f64; 0] = [];
        assert_eq!(quantile(nothing.as_slice(), 0.5), None);
        assert_eq!(quantile([7.0].as_slice(), 0.99), Some(7.0));
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
        fn lists_that_are_never_put_together_have_the_ranks_of_one(
            mut lists in prop::collection::vec(prop::collection::vec(-1e3..1e6, 0..40), 1..5),
        ) {
            let mut one = lists.concat();
            one.sort_by(f64::total_cmp);
            for list in &mut lists {
                list.sort_by(f64::total_cmp);
            }
            let merged = Merged(&lists);
            prop_assert_eq!(merged.count(), one.len());
            for (rank, value) in one.iter().enumerate() {
                prop_assert_eq!(merged.at(rank).to_bits(), value.to_bits());
            }
        }

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
