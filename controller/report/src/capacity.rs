//! What a target carries under the objective, in a sentence. Every format shows the same one.

use plot::number::digits;
use results::CapacityOf;
use stats::slo::Capacity;

/// The sentence.
pub(super) fn capacity(of: &CapacityOf) -> String {
    let CapacityOf { model, target, dtype, max_batch_size, slo, .. } = of;
    let who = format!("{model}.{dtype}.b{max_batch_size}@{target}");
    let limit = format!("p{} within {} ms", slo.percentile, digits(slo.request_latency_ms));
    let highest = of.request_rates.last().copied().unwrap_or_default();
    match &of.capacity {
        Capacity::Met { request_rate } if *request_rate >= highest => format!(
            "{who} keeps {limit} at {request_rate} requests/s, the highest rate that was offered: it may carry more"
        ),
        Capacity::Met { request_rate } => {
            format!("{who} keeps {limit} up to {request_rate} requests/s")
        }
        Capacity::NeverMet => format!("{who} keeps {limit} at none of the rates"),
        Capacity::Undecided { reason } => {
            format!("whether {who} keeps {limit} is undecided: {reason}")
        }
    }
}
