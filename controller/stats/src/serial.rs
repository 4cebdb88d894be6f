//! Autocorrelation in time, and the effective number of independent units.

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Serial {
    /// The autocorrelation at lag 1, pooled over the series; `None` where nothing varies.
    pub lag1: Option<f64>,
    pub values: usize,
}

impl Serial {
    /// Measures series, each in order of time and about its own mean.
    pub fn of(series: &[Vec<f64>]) -> Self {
        let (mut products, mut squares, mut values) = (0.0, 0.0, 0);
        for one in series {
            let mean = super::interval::mean(one).unwrap_or_default();
            squares += one.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            products += one.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>();
            values += one.len();
        }
        Self { lag1: (squares > 0.0).then(|| products / squares), values }
    }

    /// How many of `units` are left, n (1 - r) / (1 + r) for a first-order autoregression (Bayley and
    /// Hammersley 1946), where the autocorrelation is above what chance yields in 95% of series. Never
    /// more than `units`: an alternating series is not rewarded.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count"
    )]
    pub fn effective(&self, units: u64) -> u64 {
        let chance = 1.645 / (self.values.max(1) as f64).sqrt();
        match self.lag1 {
            Some(lag1) if lag1 > chance => {
                let lag1 = lag1.min(0.999);
                ((units as f64 * (1.0 - lag1) / (1.0 + lag1)) as u64).max(1)
            }
            _ => units,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alternating_series_keeps_its_n() {
        let series: Vec<f64> = (0..100).map(|i| f64::from(i % 2)).collect();
        let serial = Serial::of(&[series]);
        assert!(serial.lag1.unwrap() < -0.9);
        assert_eq!(serial.effective(100), 100);
    }

    #[test]
    fn half_a_correlation_leaves_a_third() {
        let serial = Serial { lag1: Some(0.5), values: 300 };
        assert_eq!(serial.effective(300), 100);
    }

    #[test]
    fn what_does_not_vary_has_no_autocorrelation() {
        assert_eq!(Serial::of(&[vec![2.0; 9]]).lag1, None);
    }
}
