//! Summaries against their references.

use super::observations::Observed;
use super::{Read, engine_facts};
use crate::plan;
use crate::statistics::quality::rouge::{Rouge, rouge};
use crate::statistics::quality::{self, Agreement, Quality, Scored};
use std::collections::{BTreeMap, HashMap};

/// Scores of a campaign by dialogue and summary: decoding is greedy, so most summaries come once for every run, and are
/// scored once.
pub(super) type Known<'a> = HashMap<(u32, &'a str), Rouge>;

/// Scores every counted summary of a cell. Empty where quality means nothing: random weights, texts that were
/// not read, or no references.
pub(super) fn scores<'a>(
    read: &Read<'a>,
    planned: &plan::Cell,
    observed: &Observed<'a>,
    known: &mut Known<'a>,
) -> Vec<Scored> {
    if engine_facts(read, planned).is_none_or(|facts| facts.random_weights) {
        return Vec::new();
    }
    let counted = observed.samples.iter().filter(|sample| sample.is_counted);
    let scored = counted.filter_map(|sample| {
        let reference = read.dialogues.get(sample.sample as usize)?.summary.as_ref()?;
        let text = sample.text.as_deref()?;
        let rouge = known.entry((sample.sample, text)).or_insert_with(|| rouge(reference, text));
        Some(Scored {
            sample: sample.sample,
            rouge: *rouge,
            tokens: sample.output_tokens,
            reference_tokens: 0,
        })
    });
    scored.collect()
}

/// The quality of a cell; null where nothing was scored. References were not tokenized, so their lengths are null.
pub(super) fn of(scored: &[Scored], seed: u64) -> Option<Quality> {
    (!scored.is_empty()).then(|| Quality {
        reference_len: None,
        length_ratio: None,
        ..quality::quality(scored, seed)
    })
}

/// How far two cells write the same, word by word; null where texts were not read. Decoding is greedy: one
/// summary of a dialogue stands for all.
pub(super) fn agreement(baseline: &Observed<'_>, candidate: &Observed<'_>) -> Option<Agreement> {
    let (before, after) = (words(baseline), words(candidate));
    let pairs: Vec<_> = (before.iter())
        .filter_map(|(sample, words)| Some((words.as_slice(), after.get(sample)?.as_slice())))
        .collect();
    (!pairs.is_empty()).then(|| quality::agreement(pairs))
}

fn words<'a>(observed: &Observed<'a>) -> BTreeMap<u32, Vec<&'a str>> {
    let mut words: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for sample in observed.samples.iter().filter(|sample| sample.is_counted) {
        if let Some(text) = &sample.text {
            words.entry(sample.sample).or_insert_with(|| text.split_whitespace().collect());
        }
    }
    words
}
