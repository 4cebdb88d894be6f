//! Why a figure or its interval is missing.

use super::counted;
use cost::offered::NoBreakEven;
use plot::number::count;
use stats::Estimate;
use stats::limitation::{Limitation, Unit};

/// Why a value or its interval is missing, or what the interval leaves out.
pub(crate) fn limitation(limitation: Limitation) -> String {
    use Limitation as L;
    let text = match limitation {
        L::OneRun => "only one run: no interval between runs",
        L::WithinOneRun => "only one run: the interval covers the variation within it",
        L::NothingMeasured => "nothing was measured",
        L::NoTimeMeasured => "no time was measured",
        L::NothingCounted => "no request was counted",
        L::TooFewForPercentile { percentile, needed, found, unit } => {
            let (needed, found) = (count(needed), count(found));
            return format!("p{percentile} needs {needed} {}, got {found}", plural(unit));
        }
        L::Correlated { found, effective, unit } => {
            let (found, effective) = (count(found), count(effective));
            return format!(
                "consecutive values are correlated: {found} {} count as {effective}, too few for an interval",
                plural(unit)
            );
        }
        L::TooFew { unit } => return format!("too few {}", plural(unit)),
        L::TooFewDialogues { needed, found } => {
            return format!("an interval needs {needed} dialogues, got {found}");
        }
        L::TooFewWindows => "too few windows",
        L::TooFewTroughs => "too few low points of memory",
        L::NoRequests => "no requests",
        L::NoScores => "no summary was scored",
        L::UncountedTokens => "some summaries have no token count",
        L::EndpointReportsNoTokens => {
            "the endpoint reports no token counts, and the matrix names no tokenizer"
        }
        L::PercentileNotEstimated => "this percentile isn't estimated",
        L::FailedRequests { count } => return format!("{} failed", counted(count, "request")),
        L::RejectedArrivals { count } => {
            return format!("a full queue rejected {}", counted(count, "arrival"));
        }
        L::BatchSizesDiffer => "batch sizes differ, so requests can't be paired",
        L::NoSharedSamples => "no shared samples",
        L::NeverActive => "never active",
        L::AlwaysActive => "active all the time: nothing to compare with",
        L::RateChanges => "the rate of the load changes",
        L::Confounded => "can't be separated from other changes",
        L::NoEnergyReadings => "not measurable here: no energy counter and no power reading",
        L::EnergyGaps => "energy readings cover too little of the measured time",
        L::NoIdlePower => "idle power wasn't measured",
        L::NoCarbonIntensity => "the matrix sets no [telemetry] grams_co2e_per_kwh",
        L::BehindEndpoint => "the machine behind the endpoint isn't observed",
        L::RateMayBeZero => "the rate may be zero: the cost has no upper bound",
        L::IntervalContainsLimit => "the interval at the lowest load contains the limit",
        L::NotAvailable => "not available",
    };
    text.to_owned()
}

fn plural(unit: Unit) -> &'static str {
    match unit {
        Unit::Batches => "batches",
        Unit::DistinctRequests => "distinct requests",
    }
}

/// The limitation of an estimate, if any.
pub(crate) fn reason(estimate: &Estimate) -> Option<String> {
    estimate.reason.map(limitation)
}

/// Why two targets have no known break-even.
pub(crate) fn no_break_even(reason: &NoBreakEven) -> String {
    match reason {
        NoBreakEven::NoInterval { target, why } => {
            let why = limitation(why.unwrap_or(Limitation::NotAvailable));
            format!("the capacity of {target} has no interval ({why})")
        }
        NoBreakEven::CapacityMayBeZero { target } => {
            format!("the capacity of {target} may be zero")
        }
        NoBreakEven::TooManyInstances => {
            "one target would need more than 10,000 instances".to_owned()
        }
    }
}
