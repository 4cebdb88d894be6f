//! Which cell of one campaign answers to which of the other.

use results::{Cell, Entry, Results};
use std::collections::BTreeSet;

/// A cell and its entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Of<'a> {
    pub(super) entry: &'a Entry,
    pub(super) cell: &'a Cell,
}

/// Baseline and candidate of each pair, and the cells that have no partner.
#[derive(Debug)]
pub(super) struct Matched<'a> {
    pub(super) pairs: Vec<(Of<'a>, Of<'a>)>,
    pub(super) unmatched: Vec<String>,
}

/// Cells of one name and load are partners; a sustained load has none, because it keeps no samples. Else dtype, number of beams, prompt lookup, load, scenario and batch size must agree; the target may differ where each
/// campaign has one only, and the model where the candidate's declares the baseline's as its baseline.
pub(super) fn matched<'a>(baseline: &'a Results, candidate: &'a Results) -> Matched<'a> {
    let mut left: Vec<Of<'a>> = cells(baseline).collect();
    let one_target = [baseline, candidate].iter().all(|results| {
        let targets: BTreeSet<&str> =
            results.results.iter().map(|entry| entry.target.as_str()).collect();
        targets.len() == 1
    });
    let mut unmatched = Vec::new();
    let mut pairs = Vec::new();
    let mut open = Vec::new();
    for of in cells(candidate) {
        let load =
            |of: &Of<'_>| (of.entry.load, of.entry.rate_profile.clone(), of.entry.trace.clone());
        let is_same = |other: &Of<'_>| other.cell.cell == of.cell.cell && load(other) == load(&of);
        match left.iter().position(is_same) {
            Some(place) => pairs.push((left.remove(place), of)),
            None => open.push(of),
        }
    }
    for of in open {
        let answers = |other: &Of<'_>| {
            let (b, c) = (other.entry, of.entry);
            let is_model = b.model == c.model || c.baseline.as_deref() == Some(b.model.as_str());
            (b.dtype == c.dtype && b.scenario == c.scenario && b.load == c.load)
                && b.rate_profile == c.rate_profile
                && b.trace == c.trace
                && b.num_beams == c.num_beams
                && b.prompt_lookup_num_tokens == c.prompt_lookup_num_tokens
                && other.cell.batch_size == of.cell.batch_size
                && (b.target == c.target || one_target)
                && is_model
        };
        match left.iter().position(answers) {
            Some(place) => pairs.push((left.remove(place), of)),
            None => unmatched.push(format!("candidate: {}", of.cell.cell)),
        }
    }
    unmatched.extend(left.iter().map(|of| format!("baseline: {}", of.cell.cell)));
    Matched { pairs, unmatched }
}

fn cells(results: &Results) -> impl Iterator<Item = Of<'_>> {
    results.results.iter().flat_map(|entry| {
        let paired = entry.cells.iter().filter(|cell| cell.stress.is_empty());
        paired.map(move |cell| Of { entry, cell })
    })
}
