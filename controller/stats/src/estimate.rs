//! A figure with its n, its 95 % interval, and the reason where one of them is missing.

use super::limitation::Limitation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A figure with its uncertainty. An unknown figure is null, never zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// Null where the data doesn't support one.
    pub value: Option<f64>,
    /// The lower bound of the 95 % interval.
    pub ci_low: Option<f64>,
    /// The upper bound of the 95 % interval.
    pub ci_high: Option<f64>,
    /// Independent units: runs for means and rates, distinct requests (`offline`: batches) for
    /// percentiles.
    pub n: u64,
    /// Why the value or its interval is missing, or what the interval leaves out.
    pub reason: Option<Limitation>,
}

impl Estimate {
    pub fn missing(n: u64, reason: Limitation) -> Self {
        Self { value: None, ci_low: None, ci_high: None, n, reason: Some(reason) }
    }

    pub fn point(value: f64, n: u64, reason: Limitation) -> Self {
        Self { value: Some(value), ..Self::missing(n, reason) }
    }

    pub fn within(value: f64, (ci_low, ci_high): (f64, f64), n: u64) -> Self {
        Self { value: Some(value), ci_low: Some(ci_low), ci_high: Some(ci_high), n, reason: None }
    }

    pub fn interval(&self) -> Option<(f64, f64)> {
        self.ci_low.zip(self.ci_high)
    }

    /// Applies an increasing function to the value and both bounds.
    #[must_use]
    pub fn map(&self, grow: impl Fn(f64) -> f64) -> Self {
        Self {
            value: self.value.map(&grow),
            ci_low: self.ci_low.map(&grow),
            ci_high: self.ci_high.map(&grow),
            ..self.clone()
        }
    }
}
