//! A figure with its n, its interval, and the reason where one of them is missing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a figure of one run has no interval between runs.
pub const ONE_RUN: &str = "one run";

/// A figure that a claim can rest on. What is not known is null, never zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The figure; null where the data cannot carry it.
    pub value: Option<f64>,
    /// The lower end of its 95 % interval.
    pub ci_low: Option<f64>,
    /// The upper end of its 95 % interval.
    pub ci_high: Option<f64>,
    /// How many independent units stand behind it: runs for means and rates, distinct requests (in
    /// `offline`: batches) for percentiles.
    pub n: u64,
    /// Why the value or its interval is missing, or what the interval leaves out.
    pub reason: Option<String>,
}

impl Estimate {
    /// A figure that the data cannot carry.
    pub fn missing(n: u64, reason: impl Into<String>) -> Self {
        Self { value: None, ci_low: None, ci_high: None, n, reason: Some(reason.into()) }
    }

    /// A figure without an interval.
    pub fn point(value: f64, n: u64, reason: impl Into<String>) -> Self {
        Self { value: Some(value), ..Self::missing(n, reason) }
    }

    /// A figure within its interval.
    pub fn within(value: f64, (ci_low, ci_high): (f64, f64), n: u64) -> Self {
        Self { value: Some(value), ci_low: Some(ci_low), ci_high: Some(ci_high), n, reason: None }
    }

    /// The interval, where there is one.
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.ci_low.zip(self.ci_high)
    }

    /// The same figure under a growing function, interval and all.
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
