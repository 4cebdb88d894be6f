//! What the campaign itself costs: before it starts, while it runs, and when it must stop.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The campaign's own cost so far, against what it may cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spending {
    /// US dollars so far, or expected.
    pub usd: f64,
    /// Hosts that were paid for without a known price add nothing; this counts them.
    pub unpriced_hosts: u64,
    /// `max_usd` of the matrix.
    pub max_usd: Option<f64>,
}

impl Spending {
    pub fn new(max_usd: Option<f64>) -> Self {
        Self { usd: 0.0, unpriced_hosts: 0, max_usd }
    }

    /// Adds a host that was held for `seconds`, measuring or not.
    #[must_use]
    pub fn with_host(self, seconds: f64, usd_per_hour: Option<f64>) -> Self {
        match usd_per_hour {
            Some(price) => Self { usd: self.usd + seconds / 3600.0 * price, ..self },
            None => Self { unpriced_hosts: self.unpriced_hosts + 1, ..self },
        }
    }

    /// Whether the campaign must stop: what it cost, and what the next step adds, is past the limit. A cost that nobody
    /// knows (`None`, or of hosts without a price) doesn't keep to a limit.
    pub fn is_spent(&self, next_usd: Option<f64>) -> bool {
        let is_kept = |most| {
            self.unpriced_hosts == 0 && next_usd.is_some_and(|next_usd| self.usd + next_usd <= most)
        };
        self.max_usd.is_some_and(|most| !is_kept(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_stops_before_the_step_that_is_too_dear() {
        let spending = Spending::new(Some(1.0)).with_host(1800.0, Some(1.5));
        assert!((spending.usd - 0.75).abs() < 1e-12);
        assert!(!spending.is_spent(Some(0.25)));
        assert!(spending.is_spent(Some(0.26)));
        assert!(!Spending::new(None).with_host(1e9, Some(1.0)).is_spent(Some(1.0)));
    }

    #[test]
    fn a_cost_that_nobody_knows_is_not_within_a_limit() {
        let unpriced = |max_usd| Spending::new(max_usd).with_host(60.0, None);
        assert_eq!(unpriced(None).unpriced_hosts, 1);
        assert!(unpriced(Some(1.0)).is_spent(Some(0.0)));
        assert!(Spending::new(Some(1.0)).is_spent(None));
        assert!(!unpriced(None).is_spent(None));
    }
}
