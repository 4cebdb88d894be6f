//! Dialogues with their summaries, as many as the matrix allows (none by default).

use super::naming::Names;
use super::{Block, Detail, Section, shortened};
use results::Results;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialogue {
    pub id: String,
    pub text: String,
    pub reference: Option<String>,
    pub summaries: Vec<(String, String)>,
}

/// Longer texts are cut on a page.
const LONGEST: usize = 4_000;

pub(super) fn section(results: &Results, names: &Names<'_>) -> Option<Section> {
    let dialogue = |sample: &results::SampleText| {
        let summaries = sample.summaries.iter().map(|summary| {
            let cells: Vec<String> = summary.cells.iter().map(|id| names.label(id)).collect();
            (shortened(&cells.join("; "), LONGEST), shortened(&summary.text, LONGEST))
        });
        Block::Dialogue(Dialogue {
            id: shortened(&sample.sample_id, 200),
            text: shortened(&sample.dialogue, LONGEST),
            reference: sample.reference.as_ref().map(|text| shortened(text, LONGEST)),
            summaries: summaries.collect(),
        })
    };
    let blocks: Vec<Block> = results.sample_texts.iter().map(dialogue).collect();
    (!blocks.is_empty()).then(|| Section {
        id: "texts",
        title: "Sample summaries".to_owned(),
        lead: "The first measured dialogues, as many as the matrix allows. Equal summaries are grouped.".to_owned(),
        blocks,
        detail: Detail::Page,
    })
}
