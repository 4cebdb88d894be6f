//! Sweeps of loads -> the capacity of each target under the objective.

use super::StoredCampaign;
use crate::capacity::{CapacityOf, CapacitySearch};
use crate::schema::Cell;
use matrix::{Varied, plan};
use model::engine::Dtype;
use stats::Limitation;
use stats::search::{Progress, RunShares, Search, Standing};
use stats::slo::{Capacity, Kept, Slo, capacity};
use stats::validity::Status;
use std::collections::BTreeMap;

/// One for each model, target, dtype, number of beams, prompt lookup and maximum batch size that was measured in `server`.
///
/// Settles the attainment of the swept cells as well: a rate above the capacity isn't known to keep the objective, even
/// if its own requests did.
pub(super) fn settle(
    read: &StoredCampaign<'_>,
    slo: Option<Slo>,
    cells: &mut [Cell],
) -> Vec<CapacityOf> {
    let Some(slo) = slo else { return Vec::new() };
    for cell in cells.iter_mut().filter(|cell| cell.validity.status == Status::Invalid) {
        demote(cell);
    }
    let plan = &read.campaign.plan;
    let mut sweeps: Vec<(Key, Vec<(f64, usize)>)> = Vec::new();
    for (index, cell) in plan.cells.iter().enumerate() {
        let load = cell.load.filter(|load| load.sustained.is_none());
        let Some(load) = load.map(|load| load.offered()) else { continue };
        let key = Key::of(cell);
        match sweeps.iter_mut().find(|(known, _)| *known == key) {
            Some((_, loads)) => loads.push((load, index)),
            None => sweeps.push((key, vec![(load, index)])),
        }
    }
    let rule = super::search_rule(&read.campaign.matrix);
    let capacity_of = |(key, mut rates): (Key, Vec<(f64, usize)>)| {
        rates.sort_by(|a, b| a.0.total_cmp(&b.0));
        if let Some(rule) = &rule {
            let candidates = Candidates { key, loads: &rates };
            return searched(read, &slo, rule, &candidates, cells);
        }
        let kept = |index: usize| cells[index].goodput.as_ref().map(|goodput| goodput.kept);
        let at_rates: Vec<(f64, Kept)> =
            rates.iter().filter_map(|&(rate, index)| Some((rate, kept(index)?))).collect();
        let capacity = capacity(&at_rates);
        for &(rate, index) in &rates {
            if !capacity.carries(rate) {
                demote(&mut cells[index]);
            }
        }
        CapacityOf {
            model: read.campaign.matrix.models[key.model].name.clone(),
            target: read.campaign.matrix.targets[key.target].name.to_string(),
            dtype: key.dtype.to_string(),
            num_beams: key.num_beams,
            prompt_lookup_num_tokens: key.prompt_lookup_num_tokens,
            max_batch_size: key.batch_size,
            slo,
            request_rates: rates.iter().map(|(rate, _)| *rate).collect(),
            capacity,
            search: None,
        }
    };
    sweeps.into_iter().map(capacity_of).collect()
}

/// Cells of a search.
struct Candidates<'a> {
    key: Key,
    /// With their indices in the plan, ascending; at least one.
    loads: &'a [(f64, usize)],
}

/// The capacity that a search found, from the stored samples as the campaign itself decided.
fn searched(
    read: &StoredCampaign<'_>,
    slo: &Slo,
    rule: &Search,
    candidates: &Candidates<'_>,
    cells: &mut [Cell],
) -> CapacityOf {
    let &Candidates { key, loads: candidates } = candidates;
    let matrix = &read.campaign.matrix;
    let mut runs = BTreeMap::new();
    for (load, &(_, cell)) in candidates.iter().enumerate() {
        let planned = super::planned_run(&read.campaign.plan, matrix, cell);
        for run in read.observed[cell].cell.runs() {
            runs.insert((load, run.run), RunShares::new(run.rows(), slo, planned));
        }
    }
    let loads = candidates.iter().map(|(load, _)| *load).collect();
    let Progress { steps, standing, .. } = rule.over(loads).follow(&runs);
    let Standing { low, high, resolution } = standing;
    for &(load, cell) in candidates {
        let is_invalid = cells[cell].validity.status == Status::Invalid;
        let Some(goodput) = cells[cell].goodput.as_mut() else { continue };
        goodput.kept = match (low, high) {
            (Some(low), _) if load <= low && !is_invalid => Kept::Kept,
            (_, Some(high)) if load >= high => Kept::Missed,
            _ => Kept::Undecided,
        };
    }
    let vary = matrix.search().map(|search| search.vary).unwrap_or_default();
    let capacity = match (low, high) {
        (Some(low), _) => met(vary, low),
        (None, Some(high)) if high <= candidates[0].0 => Capacity::NeverMet,
        _ if runs.is_empty() => Capacity::Undecided { reason: Limitation::NothingMeasured },
        _ => Capacity::Undecided { reason: Limitation::IntervalContainsLimit },
    };
    let measured = candidates.iter().filter(|(_, cell)| !read.observed[*cell].cell.is_empty());
    let measured = measured.filter(|_| vary == Varied::RequestRate);
    let usd_per_hour = cells[candidates[0].1].cost.usd_per_hour;
    // How many requests a closed loop comes to was measured: its cells have the cost.
    let usd =
        |load: f64| (vary == Varied::RequestRate).then_some(usd_per_hour / 3600.0 / load * 1000.0);
    CapacityOf {
        model: matrix.models[key.model].name.clone(),
        target: matrix.targets[key.target].name.to_string(),
        dtype: key.dtype.to_string(),
        num_beams: key.num_beams,
        prompt_lookup_num_tokens: key.prompt_lookup_num_tokens,
        max_batch_size: key.batch_size,
        slo: *slo,
        request_rates: measured.map(|(rate, _)| *rate).collect(),
        capacity,
        search: Some(CapacitySearch {
            vary,
            low,
            high,
            resolution,
            usd_per_1000_requests_low: high.and_then(usd),
            usd_per_1000_requests_high: low.and_then(usd),
            steps,
        }),
    }
}

fn met(vary: Varied, load: f64) -> Capacity {
    match vary {
        Varied::RequestRate => Capacity::Met { request_rate: load },
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was a whole number"
        )]
        Varied::Concurrency => Capacity::MetInFlight { concurrency: load as u32 },
    }
}

/// What is swept together.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Key {
    model: usize,
    target: usize,
    dtype: Dtype,
    num_beams: Option<u32>,
    prompt_lookup_num_tokens: Option<u32>,
    batch_size: u32,
}

impl Key {
    fn of(cell: &plan::Cell) -> Self {
        let plan::Cell { model, target, dtype, batch_size, .. } = *cell;
        let plan::Cell { num_beams, prompt_lookup_num_tokens, .. } = *cell;
        Self { model, target, dtype, num_beams, prompt_lookup_num_tokens, batch_size }
    }
}

fn demote(cell: &mut Cell) {
    if let Some(goodput) = cell.goodput.as_mut().filter(|goodput| goodput.kept == Kept::Kept) {
        goodput.kept = Kept::Undecided;
    }
}
