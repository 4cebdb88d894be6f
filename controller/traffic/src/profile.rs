//! A rate with a daily and weekly profile.

/// Requests per second, constant within an hour.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// For each hour of a day, or of a week from Monday.
    rates: Vec<f64>,
    is_constant: bool,
}

const HOURS_OF_DAY: usize = 24;
const HOUR_S: f64 = 3600.0;

impl Profile {
    /// `rate` is the mean in requests per second; `hours` (24) and `days` (7, from Monday) are weights.
    ///
    /// # Panics
    /// If weights have another number or sum to zero.
    pub fn new(rate: f64, hours: Option<Vec<f64>>, days: Option<Vec<f64>>) -> Self {
        let is_constant = hours.is_none() && days.is_none();
        let hours = hours.unwrap_or_else(|| vec![1.0; HOURS_OF_DAY]);
        let days = days.unwrap_or_else(|| vec![1.0]);
        assert!(hours.len() == HOURS_OF_DAY && matches!(days.len(), 1 | 7));
        let weights: Vec<f64> =
            days.iter().flat_map(|day| hours.iter().map(move |hour| day * hour)).collect();
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        assert!(mean > 0.0, "weights sum to zero");
        let rates = weights.iter().map(|weight| rate * weight / mean).collect();
        Self { rates, is_constant }
    }

    /// Requests per second in each hour of the simulated day or week.
    pub fn rates(&self) -> &[f64] {
        &self.rates
    }

    pub fn is_constant(&self) -> bool {
        self.is_constant
    }

    /// A day or a week, in seconds.
    pub fn span_s(&self) -> f64 {
        self.rates.len() as f64 * HOUR_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_keep_the_mean() {
        let mut hours = vec![1.0; 24];
        hours[9] = 10.0;
        let days = vec![5.0, 5.0, 5.0, 5.0, 5.0, 1.0, 0.0];
        let profile = Profile::new(3.0, Some(hours), Some(days));
        assert_eq!(profile.rates().len(), 168);
        let mean = profile.rates().iter().sum::<f64>() / 168.0;
        assert!((mean - 3.0).abs() < 1e-12);
        assert!((profile.rates()[9] / profile.rates()[10] - 10.0).abs() < 1e-12);
        assert!((profile.rates()[9] / profile.rates()[5 * 24 + 9] - 5.0).abs() < 1e-12);
        assert!(profile.rates()[6 * 24 + 9].abs() < 1e-12);
    }
}
