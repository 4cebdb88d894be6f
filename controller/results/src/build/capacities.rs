//! Sweeps of request rates -> the capacity of each target under the objective.

use super::StoredCampaign;
use crate::schema::{CapacityOf, Cell};
use matrix::plan;
use model::engine::Dtype;
use stats::slo::{Kept, Slo, capacity};
use stats::validity::Status;

/// One for each model, target, dtype, number of beams and maximum batch size that was measured in `server`.
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
        let Some(rate) = load.and_then(|load| load.request_rate) else { continue };
        let key = Key::of(cell);
        match sweeps.iter_mut().find(|(known, _)| *known == key) {
            Some((_, rates)) => rates.push((rate, index)),
            None => sweeps.push((key, vec![(rate, index)])),
        }
    }
    let capacity_of = |(key, mut rates): (Key, Vec<(f64, usize)>)| {
        rates.sort_by(|a, b| a.0.total_cmp(&b.0));
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
            max_batch_size: key.batch_size,
            slo,
            request_rates: rates.iter().map(|(rate, _)| *rate).collect(),
            capacity,
        }
    };
    sweeps.into_iter().map(capacity_of).collect()
}

/// What is swept together.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Key {
    model: usize,
    target: usize,
    dtype: Dtype,
    num_beams: Option<u32>,
    batch_size: u32,
}

impl Key {
    fn of(cell: &plan::Cell) -> Self {
        let plan::Cell { model, target, dtype, num_beams, batch_size, .. } = *cell;
        Self { model, target, dtype, num_beams, batch_size }
    }
}

fn demote(cell: &mut Cell) {
    if let Some(goodput) = cell.goodput.as_mut().filter(|goodput| goodput.kept == Kept::Kept) {
        goodput.kept = Kept::Undecided;
    }
}
