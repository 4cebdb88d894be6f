//! Dialogues with their summaries: as many as the matrix allows, and none unless it does.

use super::super::view::Results;
use super::naming::Names;
use super::{Block, Reach, Section, shortened};

/// A dialogue with its summaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialogue {
    /// Its id.
    pub id: String,
    /// Its text.
    pub text: String,
    /// Its reference summary.
    pub reference: Option<String>,
    /// Cells and the summaries that they brought.
    pub summaries: Vec<(String, String)>,
}

/// Longer texts are cut on a page.
const LONGEST: usize = 4_000;

pub(super) fn section(results: &Results, names: &Names<'_>) -> Option<Section> {
    let dialogue = |sample: &super::super::view::SampleText| {
        let summaries = sample.summaries.iter().map(|summary| {
            let cells: Vec<String> = summary.cells.iter().map(|id| names.whole(id)).collect();
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
        title: "What the models wrote".to_owned(),
        lead: "The first measured dialogues, as many as the matrix allows. Equal summaries stand together.".to_owned(),
        blocks,
        reach: Reach::Page,
    })
}
