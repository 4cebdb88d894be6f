//! Why a figure or its interval is missing, or what the interval leaves out, as a code with its numbers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a value or its interval is missing, or what the interval leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum Limitation {
    /// A single run doesn't show the variation between runs.
    OneRun,
    /// The interval covers the variation within the one run only.
    WithinOneRun,
    NothingMeasured,
    NoTimeMeasured,
    NothingCounted,
    /// A percentile needs more independent units.
    TooFewForPercentile {
        /// 95 for p95.
        percentile: f64,
        needed: u64,
        found: u64,
        unit: Unit,
    },
    /// Consecutive values are correlated; too few effective units are left for an interval.
    Correlated {
        found: u64,
        /// `found`, corrected for the correlation.
        effective: u64,
        unit: Unit,
    },
    /// Too few units for an interval.
    TooFew {
        unit: Unit,
    },
    /// An interval over dialogues needs more of them.
    TooFewDialogues {
        needed: u64,
        found: u64,
    },
    TooFewWindows,
    /// The rate of the load changes, and what depends on it.
    RateChanges,
    /// Garbage collection leaves too few low points of memory to fit.
    TooFewTroughs,
    NoRequests,
    NoScores,
    /// The token count of some summary is unknown.
    UncountedTokens,
    /// The endpoint reports no token counts, and the matrix names no tokenizer.
    EndpointReportsNoTokens,
    /// The percentile of the objective isn't one that is estimated.
    PercentileNotEstimated,
    /// Failed requests leave no upper bound.
    FailedRequests {
        count: u64,
    },
    /// Arrivals that were rejected by a full queue leave no upper bound.
    RejectedArrivals {
        count: u64,
    },
    BatchSizesDiffer,
    NoSharedSamples,
    /// What may disturb never happened.
    NeverActive,
    /// What may disturb happened all the time: there is nothing to compare with.
    AlwaysActive,
    /// The effect can't be separated from other changes.
    Confounded,
    /// Neither an energy counter nor a power reading is available.
    NoEnergyReadings,
    /// Energy readings cover too little of the measured time.
    EnergyGaps,
    NoIdlePower,
    /// The matrix sets no `[telemetry] grams_co2e_per_kwh`.
    NoCarbonIntensity,
    /// The machine behind an endpoint isn't observed.
    BehindEndpoint,
    /// The rate may be zero, so the cost has no upper bound.
    RateMayBeZero,
    /// The interval at the lowest load contains the limit.
    IntervalContainsLimit,
    /// Only one side of a comparison, or neither, has the figure.
    NotAvailable,
}

/// What is counted for a percentile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Batches,
    DistinctRequests,
}
