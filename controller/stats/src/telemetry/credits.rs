//! Spent CPU credits of a burstable instance, inferred from steal: the machine had its processors for a while, and
//! then, without a break, it did not.
//!
//! AWS counts credits outside of the machine; inside, a machine without credits sees its time stolen while it wants
//! to run (user guide of EC2, "Burstable performance instances"). A noisy neighbor comes and goes; this stays.

use model::telemetry::{Metric, Readings};

/// Below this share nothing is stolen.
const QUIET: f64 = 0.02;
/// Above this share a machine is held back: a t3's baseline is 5 to 40 % of its processors.
const STOLEN: f64 = 0.20;
/// It must have run quietly for so long before.
const QUIET_S: f64 = 10.0;
/// And be held back for so long without a break.
const STOLEN_S: f64 = 20.0;

/// Watches the windows of one agent in their order.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Credits {
    seconds: f64,
    quiet_s: f64,
    stolen_s: f64,
    spent_after_s: Option<f64>,
}

impl Credits {
    pub fn add(&mut self, seconds: f64, readings: &Readings) {
        self.seconds += seconds;
        let (Some(total), Some(steal)) =
            (readings.of(Metric::HostCpuTotalNs), readings.of(Metric::HostCpuStealNs))
        else {
            return;
        };
        let share = if total > 0.0 { steal / total } else { 0.0 };
        if share < QUIET {
            self.quiet_s += seconds;
        }
        if share < STOLEN {
            self.stolen_s = 0.0;
        } else if self.quiet_s >= QUIET_S {
            self.stolen_s += seconds;
        }
        if self.stolen_s >= STOLEN_S && self.spent_after_s.is_none() {
            self.spent_after_s = Some(self.seconds - self.stolen_s);
        }
    }

    /// After how many seconds of windows the credits seem to be spent; null if nothing indicates it.
    pub fn spent_after_s(&self) -> Option<f64> {
        self.spent_after_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(steal_by_second: impl Iterator<Item = f64>) -> Option<f64> {
        let mut credits = Credits::default();
        for share in steal_by_second {
            let mut readings = Readings::default();
            readings.set(Metric::HostCpuTotalNs, 2e9);
            readings.set(Metric::HostCpuStealNs, share * 2e9);
            credits.add(1.0, &readings);
        }
        credits.spent_after_s()
    }

    #[test]
    fn steal_that_sets_in_and_stays_looks_like_spent_credits() {
        let shares = (0..100).map(|second| if second < 40 { 0.0 } else { 0.6 });
        assert_eq!(spent(shares), Some(40.0));
    }

    #[test]
    fn a_neighbor_that_comes_and_goes_does_not() {
        let shares = (0..300).map(|second| if second % 15 < 5 { 0.6 } else { 0.0 });
        assert_eq!(spent(shares), None);
        assert_eq!(spent((0..100).map(|_| 0.6)), None, "it never ran freely");
    }
}
