//! Sweeps of request rates -> the capacity of each target under the objective.

use super::StoredCampaign;
use crate::schema::{CapacityOf, Cell};
use matrix::plan;
use stats::slo::{Slo, capacity};
use stats::{Estimate, Limitation};

/// One for each model, target, dtype and maximum batch size that was measured in `server`.
pub(super) fn capacities(
    read: &StoredCampaign<'_>,
    slo: Option<Slo>,
    cells: &[Cell],
) -> Vec<CapacityOf> {
    let Some(slo) = slo else { return Vec::new() };
    let plan = &read.campaign.plan;
    let rate = |cell: &plan::Cell| cell.load.filter(|load| load.sustained.is_none())?.request_rate;
    let key = |cell: &plan::Cell| (cell.model, cell.target, cell.dtype, cell.batch_size);
    let swept =
        || plan.cells.iter().zip(cells).filter_map(|(cell, view)| Some((cell, view, rate(cell)?)));
    let mut keys = Vec::new();
    for (cell, ..) in swept() {
        if !keys.contains(&key(cell)) {
            keys.push(key(cell));
        }
    }
    keys.into_iter()
        .map(|wanted| {
            let its: Vec<(f64, Estimate)> = swept()
                .filter(|(cell, ..)| key(cell) == wanted)
                .map(|(_, view, rate)| (rate, percentile(view, slo)))
                .collect();
            let at_rates: Vec<(f64, &Estimate)> =
                its.iter().map(|(rate, estimate)| (*rate, estimate)).collect();
            let (model, target, dtype, batch_size) = wanted;
            let mut request_rates: Vec<f64> = its.iter().map(|(rate, _)| *rate).collect();
            request_rates.sort_by(f64::total_cmp);
            CapacityOf {
                model: read.campaign.matrix.models[model].name.clone(),
                target: read.campaign.matrix.targets[target].name.to_string(),
                dtype: dtype.to_string(),
                max_batch_size: batch_size,
                slo,
                request_rates,
                capacity: capacity(slo, &at_rates),
            }
        })
        .collect()
}

/// The percentile of the objective. Rejected arrivals and failed requests aren't part of it, so with any
/// of them there is no upper bound.
fn percentile(cell: &Cell, slo: Slo) -> Estimate {
    let n = cell.estimates.latency_ms.p50.n;
    let unreported = || Estimate::missing(n, Limitation::PercentileNotEstimated);
    let estimate = cell.estimates.latency_ms.percentile(slo.percentile);
    let estimate = estimate.cloned().unwrap_or_else(unreported);
    let reason = match (cell.not_sent.unwrap_or_default(), cell.failed_samples) {
        (0, 0) => return estimate,
        (0, count) => Limitation::FailedRequests { count },
        (count, _) => Limitation::RejectedArrivals { count },
    };
    Estimate { ci_high: None, reason: Some(reason), ..estimate }
}
