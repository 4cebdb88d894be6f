//! Summaries against their references.

use super::observations::CellSamples;
use matrix::plan::Plan;
use model::output_ids::OutputIds;
use rayon::prelude::*;
use records::{AgentRow, DialogueRow, SampleRow};
use stats::quality::agreement::Unit;
use stats::quality::rouge::rouge;
use stats::quality::{self, Agreement, Quality, Rouge, Scored};
use std::collections::{BTreeMap, HashMap};

/// Scores summaries against their references. Decoding is deterministic, so runs repeat their texts: what was scored last of a
/// dialogue is kept, with its text.
#[derive(Debug)]
pub struct Scorer<'a> {
    dialogues: &'a [DialogueRow],
    /// By cell: random weights have no quality.
    means_something: Vec<bool>,
    known: HashMap<u32, (Box<str>, Rouge)>,
}

impl<'a> Scorer<'a> {
    pub fn new(plan: &Plan, agents: &[AgentRow], dialogues: &'a [DialogueRow]) -> Self {
        let means_something = (plan.cells.iter())
            .map(|cell| super::facts_of(agents, cell).is_some_and(|facts| !facts.random_weights))
            .collect();
        Self { dialogues, means_something, known: HashMap::new() }
    }

    /// Scores every summary, in the order of the samples. None where quality means nothing: random weights, texts that
    /// were not read, or no reference. All cores work on it: a million summaries are to be scored in seconds.
    pub fn score(&mut self, rows: &[SampleRow]) -> Vec<Option<Rouge>> {
        let scores: Vec<Option<Rouge>> = rows.par_iter().map(|row| self.score_one(row)).collect();
        for (SampleRow { key, sample, .. }, score) in rows.iter().zip(&scores) {
            if let Some((text, score)) = sample.text.as_deref().zip(*score)
                && self.known_score(key.sample, text).is_none()
            {
                self.known.insert(key.sample, (text.into(), score));
            }
        }
        scores
    }

    fn known_score(&self, sample: u32, text: &str) -> Option<Rouge> {
        let (known, score) = self.known.get(&sample)?;
        (**known == *text).then_some(*score)
    }

    fn score_one(&self, SampleRow { key, is_counted, sample }: &SampleRow) -> Option<Rouge> {
        let is_scored = *is_counted && self.means_something[key.cell as usize];
        let text = sample.text.as_deref().filter(|_| is_scored)?;
        self.known_score(key.sample, text).or_else(|| {
            let reference = self.dialogues.get(key.sample as usize)?.summary.as_deref()?;
            Some(rouge(reference, text))
        })
    }
}

/// The quality of a cell; null where nothing was scored.
pub(super) fn of(scored: &[Scored], seed: u64) -> Option<Quality> {
    (!scored.is_empty()).then(|| quality::quality(scored, seed))
}

/// How far two cells write the same, token by token if both sides have tokens, else word by word; null where neither
/// was read. Decoding is deterministic: one summary per dialogue is enough.
pub(super) fn agreement(baseline: &CellSamples, candidate: &CellSamples) -> Option<Agreement> {
    let ids = |ids: &OutputIds| ids.iter().collect::<Vec<u32>>();
    let words = |text: &String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let by_ids = in_both(&baseline.output_ids, &candidate.output_ids, ids);
    let by_words = in_both(&baseline.texts, &candidate.texts, words);
    // One unit for all dialogues: a campaign that an older release began has both kinds.
    if by_ids.len() >= by_words.len() {
        compared(Unit::Tokens, &by_ids)
    } else {
        compared(Unit::Words, &by_words)
    }
}

/// What both sides have of a dialogue, cut into units.
fn in_both<T, U>(
    baseline: &BTreeMap<u32, T>,
    candidate: &BTreeMap<u32, T>,
    cut: impl Fn(&T) -> Vec<U>,
) -> Vec<(Vec<U>, Vec<U>)> {
    let other = |sample: &u32| candidate.get(sample).map(&cut);
    (baseline.iter())
        .filter_map(|(sample, before)| other(sample).map(|after| (cut(before), after)))
        .collect()
}

fn compared<U: PartialEq>(unit: Unit, pairs: &[(Vec<U>, Vec<U>)]) -> Option<Agreement> {
    let slices = pairs.iter().map(|(before, after)| (before.as_slice(), after.as_slice()));
    (!pairs.is_empty()).then(|| quality::agreement(unit, slices))
}
