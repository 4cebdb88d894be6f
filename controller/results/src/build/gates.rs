//! The gates of the matrix, held against every cell.

use super::{StoredCampaign, is_left_out};
use crate::schema::{Cell, Gate, Gates};
use matrix::{GatedMetric, Required};
use stats::Estimate;
use stats::comparison::regression::Outcome;
use stats::limitation::Limitation;
use stats::threshold::{Bound, hold};
use stats::validity::Status;

/// Null without `[gates]`.
pub(super) fn of_campaign(read: &StoredCampaign<'_>, cells: &[Cell]) -> Option<Gates> {
    let matrix = &read.campaign.matrix;
    let gates = matrix.gates.as_ref()?;
    let planned = read.campaign.plan.cells.iter().zip(cells).enumerate();
    let judged: Vec<Gate> = planned
        .filter(|(index, _)| !is_left_out(read, *index))
        .flat_map(|(_, (planned, cell))| {
            let target = &matrix.targets[planned.target].name;
            let thresholds = gates.of(target, &matrix.models[planned.model].name);
            let required = thresholds.require.map(|required| validity(cell, required));
            let limits = thresholds.limits.into_iter();
            required.into_iter().chain(limits.map(|limit| judge(cell, limit))).collect::<Vec<_>>()
        })
        .collect();
    let gates = Gates { passed: true, allow_undecided: gates.allow_undecided, judged };
    Some(Gates { passed: gates.failing().is_empty(), ..gates })
}

fn validity(cell: &Cell, required: Required) -> Gate {
    let status = cell.validity.status;
    let is_kept = match required {
        Required::Valid => status == Status::Valid,
        Required::Usable => status != Status::Invalid,
    };
    Gate {
        cell: cell.cell.clone(),
        gate: "require".to_owned(),
        required: Some(required.to_string()),
        limit: None,
        estimate: None,
        status,
        outcome: if is_kept { Outcome::Passed } else { Outcome::Failed },
    }
}

fn judge(cell: &Cell, matrix::Limit { metric, limit }: matrix::Limit) -> Gate {
    let (estimate, bound) = figure(cell, metric);
    let status = cell.validity.status;
    // The figures of an INVALID cell show nothing.
    let outcome =
        if status == Status::Invalid { Outcome::Failed } else { hold(&estimate, bound, limit) };
    Gate {
        cell: cell.cell.clone(),
        gate: metric.to_string(),
        required: None,
        limit: Some(limit),
        estimate: Some(estimate),
        status,
        outcome,
    }
}

fn figure(cell: &Cell, metric: GatedMetric) -> (Estimate, Bound) {
    let (latency, ttft) = (&cell.estimates.latency_ms, &cell.estimates.ttft_ms);
    let (estimate, bound) = match metric {
        GatedMetric::UsdPer1000Requests => (&cell.cost.usd_per_1000_requests, Bound::AtMost),
        GatedMetric::LatencyMean => (&latency.mean, Bound::AtMost),
        GatedMetric::LatencyP50 => (&latency.p50, Bound::AtMost),
        GatedMetric::LatencyP90 => (&latency.p90, Bound::AtMost),
        GatedMetric::LatencyP95 => (&latency.p95, Bound::AtMost),
        GatedMetric::LatencyP99 => (&latency.p99, Bound::AtMost),
        GatedMetric::TtftMean => (&ttft.mean, Bound::AtMost),
        GatedMetric::TtftP50 => (&ttft.p50, Bound::AtMost),
        GatedMetric::TtftP90 => (&ttft.p90, Bound::AtMost),
        GatedMetric::TtftP95 => (&ttft.p95, Bound::AtMost),
        GatedMetric::TtftP99 => (&ttft.p99, Bound::AtMost),
        GatedMetric::SamplesPerSecond => (&cell.estimates.throughput.per_host, Bound::AtLeast),
        GatedMetric::RougeL => {
            let missing = || Estimate::missing(0, Limitation::NoScores);
            let quality = cell.quality.as_ref().map(|quality| quality.rouge_l.clone());
            return (quality.unwrap_or_else(missing), Bound::AtLeast);
        }
    };
    (estimate.clone(), bound)
}
