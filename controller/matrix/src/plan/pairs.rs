//! Pairs of cells that a campaign compares: other targets against the first, models against their baselines, dtypes
//! against the first. Both cells of a pair measure the same requests in the same rounds.

use super::{Cell, Plan};
use crate::Matrix;

/// What the cells of a pair differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairKind {
    Target,
    Model,
    Dtype,
}

/// Indices into [`Plan::cells`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellPair {
    pub baseline: usize,
    pub candidate: usize,
    pub kind: PairKind,
}

pub fn pairs(plan: &Plan, matrix: &Matrix) -> Vec<CellPair> {
    let find = |wanted: &Cell, target: usize, model: usize, dtype| {
        plan.cells.iter().position(|cell| {
            (cell.target, cell.model, cell.dtype) == (target, model, dtype)
                && (cell.batch_size, cell.scenario) == (wanted.batch_size, wanted.scenario)
                && cell.load == wanted.load
        })
    };
    let mut pairs = Vec::new();
    // A sustained load keeps no samples that could be paired.
    let paired = plan.cells.iter().enumerate().filter(|(_, cell)| cell.sustained().is_none());
    for (candidate, cell) in paired {
        if cell.target > 0
            && let Some(baseline) = find(cell, 0, cell.model, cell.dtype)
        {
            pairs.push(CellPair { baseline, candidate, kind: PairKind::Target });
        }
        let base = matrix.models[cell.model].baseline.as_ref();
        let base = base.and_then(|name| matrix.models.iter().position(|model| model.name == *name));
        if let Some(baseline) = base.and_then(|model| find(cell, cell.target, model, cell.dtype)) {
            pairs.push(CellPair { baseline, candidate, kind: PairKind::Model });
        }
        let first_dtype = matrix.targets[cell.target].dtypes[0];
        if cell.dtype != first_dtype
            && let Some(baseline) = find(cell, cell.target, cell.model, first_dtype)
        {
            pairs.push(CellPair { baseline, candidate, kind: PairKind::Dtype });
        }
    }
    pairs
}
