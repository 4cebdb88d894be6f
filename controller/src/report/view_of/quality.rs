//! Summaries against their references.

use super::observations::Observed;
use crate::plan::Plan;
use crate::statistics::quality::rouge::rouge;
use crate::statistics::quality::{self, Agreement, Quality, Rouge, Scored};
use crate::store::{AgentRow, DialogueRow, SampleRow};
use std::collections::HashMap;

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

/// How far two cells write the same, word by word; null where texts were not read. Decoding is greedy: one
/// summary of a dialogue stands for all.
pub(super) fn agreement(baseline: &Observed, candidate: &Observed) -> Option<Agreement> {
    let words = |text: &String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let pairs: Vec<_> = (baseline.texts.iter())
        .filter_map(|(sample, before)| {
            candidate.texts.get(sample).map(|after| (words(before), words(after)))
        })
        .collect();
    let pairs = || pairs.iter().map(|(before, after)| (before.as_slice(), after.as_slice()));
    (pairs().next().is_some()).then(|| quality::agreement(pairs()))
}
