//! Summaries against their references.

use super::observations::Observed;
use super::{Read, engine_facts};
use crate::plan;
use crate::statistics::quality::rouge::rouge;
use crate::statistics::quality::{self, Quality, Scored};

/// Scores every counted summary of a cell. Empty where quality means nothing: random weights, texts that were
/// not read, or no references.
pub(super) fn scores(
    read: &Read<'_>,
    planned: &plan::Cell,
    observed: &Observed<'_>,
) -> Vec<Scored> {
    if engine_facts(read, planned).is_none_or(|facts| facts.random_weights) {
        return Vec::new();
    }
    let counted = observed.samples.iter().filter(|sample| sample.is_counted);
    let scored = counted.filter_map(|sample| {
        let reference = read.dialogues.get(sample.sample as usize)?.summary.as_ref()?;
        Some(Scored {
            sample: sample.sample,
            rouge: rouge(reference, sample.text.as_ref()?),
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
