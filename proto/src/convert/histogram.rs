//! Histograms of durations.

use crate::wire;
use model::histogram::{Error, Histogram};

impl TryFrom<wire::Histogram> for Histogram {
    type Error = Error;

    fn try_from(wire: wire::Histogram) -> Result<Self, Error> {
        let wire::Histogram { buckets, counts, sum, sum_of_squares, min, max } = wire;
        if buckets.len() != counts.len() {
            return Err(Error("buckets"));
        }
        let counts = buckets.into_iter().zip(counts).collect();
        Self { counts, sum, sum_of_squares, min, max }.check()
    }
}

impl From<Histogram> for wire::Histogram {
    fn from(histogram: Histogram) -> Self {
        let Histogram { counts, sum, sum_of_squares, min, max } = histogram;
        let (buckets, counts) = counts.into_iter().unzip();
        Self { buckets, counts, sum, sum_of_squares, min, max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        values.into_iter().for_each(|value| histogram.add(value));
        histogram
    }

    #[test]
    fn a_histogram_survives_the_wire() {
        let histogram = of([5, 70, u64::MAX]);
        assert_eq!(Histogram::try_from(wire::Histogram::from(histogram.clone())), Ok(histogram));
    }

    #[test]
    fn what_cant_be_true_is_refused() {
        let good = wire::Histogram::from(of([7]));
        for bad in [
            wire::Histogram { buckets: vec![9999], ..good.clone() },
            wire::Histogram { counts: vec![0], ..good.clone() },
            wire::Histogram { counts: vec![], ..good.clone() },
            wire::Histogram { sum: f64::NAN, ..good.clone() },
            wire::Histogram { min: 9, ..good.clone() },
        ] {
            assert!(Histogram::try_from(bad).is_err());
        }
    }
}
