//! Evidence that a mean is at or above a threshold, or below it, which may be looked at after every observation.
//!
//! Each hypothesis is played against: before an observation x in [0, 1], a stake λ is chosen from the earlier ones, and
//! the wealth is multiplied by 1 + λ (x - threshold), or by 1 + λ (threshold - x). As long as the hypothesis holds, the
//! expected factor is at most 1, so that the wealth ever exceeds 1/α with a probability of at most α (Ville's
//! inequality). Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", *Journal of the Royal
//! Statistical Society B* 86, 2024. Stakes follow their approximation of Kelly's rule (section B.3).

/// The largest stakes, as shares of those that may lose everything. A mean below a threshold near 1 shows itself in few
/// observations, and a lost stake there is larger than any single win on the other side.
const MOST_ABOVE: f64 = 0.9;
const MOST_BELOW: f64 = 0.5;

/// The wealth against both hypotheses about one mean.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bets {
    threshold: f64,
    count: f64,
    sum: f64,
    squares: f64,
    /// Natural logarithm of the wealth against "the mean is below the threshold".
    pub(super) above: f64,
    /// Of the wealth against "the mean is at least the threshold".
    pub(super) below: f64,
}

impl Bets {
    /// `threshold` is between 0 and 1.
    pub(super) fn new(threshold: f64) -> Self {
        Self { threshold, count: 0.0, sum: 0.0, squares: 0.0, above: 0.0, below: 0.0 }
    }

    /// Adds an observation, from 0 to 1.
    pub(super) fn add(&mut self, x: f64) {
        let edge = self.smoothed_mean() - self.threshold;
        let stake = edge / (self.variance() + edge * edge);
        let above = stake.clamp(0.0, MOST_ABOVE / self.threshold);
        let below = (-stake).clamp(0.0, MOST_BELOW / (1.0 - self.threshold));
        self.above += (above * (x - self.threshold)).ln_1p();
        self.below += (below * (self.threshold - x)).ln_1p();
        self.count += 1.0;
        self.sum += x;
        self.squares += x * x;
    }

    pub(super) fn count(&self) -> f64 {
        self.count
    }

    /// `None` without observations.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }

    /// With one observation at the threshold in addition, so that the first one is not bet on.
    pub(super) fn smoothed_mean(&self) -> f64 {
        (self.threshold + self.sum) / (self.count + 1.0)
    }

    /// With one observation in addition that has the variance of a request.
    pub(super) fn variance(&self) -> f64 {
        let mean = self.smoothed_mean();
        let around = self.squares - 2.0 * mean * self.sum + self.count * mean * mean;
        (self.threshold * (1.0 - self.threshold) + around) / (self.count + 1.0)
    }
}

/// The expected natural logarithm of the factor of one bet, where the mean is `mean` with this variance. `None` where
/// the mean is on the other side.
pub(super) fn growth(threshold: f64, mean: f64, variance: f64, side: Side) -> Option<f64> {
    let (edge, most) = match side {
        Side::Above => (mean - threshold, MOST_ABOVE / threshold),
        Side::Below => (threshold - mean, MOST_BELOW / (1.0 - threshold)),
    };
    let second = variance + edge * edge;
    let stake = (edge / second).min(most);
    let growth = stake * edge - stake * stake * second / 2.0;
    (edge > 0.0 && growth > 0.0).then_some(growth)
}

/// Where the mean is thought to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Above,
    Below,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wealth_grows_on_the_true_side_only() {
        let mut bets = Bets::new(0.95);
        for _ in 0..120 {
            bets.add(1.0);
        }
        assert!(bets.above > 40_f64.ln() && bets.below <= 0.0, "{bets:?}");
        let mut bets = Bets::new(0.95);
        for _ in 0..6 {
            bets.add(0.2);
        }
        assert!(bets.below > 40_f64.ln() && bets.above <= 0.0, "{bets:?}");
    }

    #[test]
    fn a_mean_at_the_threshold_rarely_looks_like_another() {
        // 20 requests at a time, each good with the probability of the threshold.
        let mut wrong = 0;
        let mut state = 1_u64;
        let mut is_good = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 11) as f64 / (1_u64 << 53) as f64) < 0.95
        };
        for _ in 0..400 {
            let mut bets = Bets::new(0.95);
            let mut is_wrong = false;
            for _ in 0..300 {
                let good = (0..20).filter(|_| is_good()).count();
                bets.add(good as f64 / 20.0);
                is_wrong |= bets.above > 40_f64.ln() || bets.below > 40_f64.ln();
            }
            wrong += u32::from(is_wrong);
        }
        // Twice 2.5% at most.
        assert!(wrong <= 20, "{wrong} of 400");
    }
}
