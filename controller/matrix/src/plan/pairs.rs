//! Pairs of cells that a campaign compares: other targets against the first, models against their baselines, dtypes,
//! numbers of beams and lengths of drafts against the first. Both cells of a pair measure the same requests in the same rounds.

use super::{Cell, Plan};
use crate::Matrix;

/// What the cells of a pair differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairKind {
    Target,
    Model,
    Dtype,
    NumBeams,
    PromptLookup,
}

/// Indices into [`Plan::cells`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellPair {
    pub baseline: usize,
    pub candidate: usize,
    pub kind: PairKind,
}

pub fn pairs(plan: &Plan, matrix: &Matrix) -> Vec<CellPair> {
    let find = |wanted: Cell| {
        plan.cells.iter().position(|cell| {
            (cell.target, cell.model, cell.dtype) == (wanted.target, wanted.model, wanted.dtype)
                && (cell.batch_size, cell.scenario) == (wanted.batch_size, wanted.scenario)
                && (cell.load, cell.num_beams) == (wanted.load, wanted.num_beams)
                && cell.prompt_lookup_num_tokens == wanted.prompt_lookup_num_tokens
        })
    };
    let mut pairs = Vec::new();
    // A sustained load keeps no samples that could be paired.
    let paired = plan.cells.iter().enumerate().filter(|(_, cell)| cell.sustained().is_none());
    for (candidate, cell) in paired {
        if cell.target > 0
            && let Some(baseline) = find(Cell { target: 0, ..cell.clone() })
        {
            pairs.push(CellPair { baseline, candidate, kind: PairKind::Target });
        }
        let base = matrix.models[cell.model].baseline.as_ref();
        let base = base.and_then(|name| matrix.models.iter().position(|model| model.name == *name));
        if let Some(baseline) = base.and_then(|model| find(Cell { model, ..cell.clone() })) {
            pairs.push(CellPair { baseline, candidate, kind: PairKind::Model });
        }
        let first_dtype = matrix.targets[cell.target].dtypes[0];
        if cell.dtype != first_dtype
            && let Some(baseline) = find(Cell { dtype: first_dtype, ..cell.clone() })
        {
            pairs.push(CellPair { baseline, candidate, kind: PairKind::Dtype });
        }
        let first_beams = matrix.num_beams.first().copied();
        if cell.num_beams != first_beams
            && let Some(baseline) = find(Cell { num_beams: first_beams, ..cell.clone() })
        {
            pairs.push(CellPair { baseline, candidate, kind: PairKind::NumBeams });
        }
        let prompt_lookup_num_tokens = matrix.prompt_lookup_num_tokens.first().copied();
        if cell.prompt_lookup_num_tokens != prompt_lookup_num_tokens
            && let Some(baseline) = find(Cell { prompt_lookup_num_tokens, ..cell.clone() })
        {
            pairs.push(CellPair { baseline, candidate, kind: PairKind::PromptLookup });
        }
    }
    pairs
}
