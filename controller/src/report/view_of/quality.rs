//! Summaries against their references.

use super::observations::Observed;
use crate::plan::Plan;
use crate::statistics::quality::agreement::Unit;
use crate::statistics::quality::rouge::rouge;
use crate::statistics::quality::{self, Agreement, Quality, Rouge, Scored};
use crate::store::{AgentRow, DialogueRow, SampleRow};
use proto::output_ids::OutputIds;
use std::collections::{BTreeMap, HashMap};

/// Scores every summary, in the order of the samples. None where quality means nothing: random weights, texts that
/// were not read, or no reference. Both cores work on it: a million summaries are to be scored in seconds.
pub fn scores(
    plan: &Plan,
    agents: &[AgentRow],
    dialogues: &[DialogueRow],
    samples: &[SampleRow],
) -> Vec<Option<Rouge>> {
    let means_something: Vec<bool> = (plan.cells.iter())
        .map(|cell| super::facts_of(agents, cell).is_some_and(|facts| !facts.random_weights))
        .collect();
    let score = |chunk: &[SampleRow]| {
        // Decoding is greedy, so runs repeat their texts.
        let mut known: HashMap<(u32, &str), Rouge> = HashMap::new();
        let reference = |sample: u32| dialogues.get(sample as usize)?.summary.as_deref();
        let mut scores = Vec::with_capacity(chunk.len());
        for sample in chunk {
            let is_scored = sample.is_counted && means_something[sample.cell as usize];
            let Some(text) = sample.text.as_deref().filter(|_| is_scored) else {
                scores.push(None);
                continue;
            };
            let key = (sample.sample, text);
            let score = (known.get(&key).copied())
                .or_else(|| reference(sample.sample).map(|reference| rouge(reference, text)));
            scores.push(score);
            if let Some(score) = score {
                known.insert(key, score);
            }
        }
        scores
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let chunk = samples.len().div_ceil(cores).max(1);
    std::thread::scope(|scope| {
        let score = &score;
        let chunks: Vec<_> =
            samples.chunks(chunk).map(|chunk| scope.spawn(move || score(chunk))).collect();
        let joined = chunks.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined
            .flat_map(|scores| scores.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// The quality of a cell; null where nothing was scored.
pub(super) fn of(scored: &[Scored], seed: u64) -> Option<Quality> {
    (!scored.is_empty()).then(|| quality::quality(scored, seed))
}

/// How far two cells write the same, token by token where both sides tell them, else word by word; null where neither
/// was read. Decoding is greedy: one summary of a dialogue stands for all.
pub(super) fn agreement(baseline: &Observed, candidate: &Observed) -> Option<Agreement> {
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
