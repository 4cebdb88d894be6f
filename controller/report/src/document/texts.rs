//! Dialogues with their summaries: as many as the matrix allows, and none unless it does.

use super::naming::Names;
use super::{Block, Reach, Section, shortened};
use results::Results;

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

/// A text as it may stand on a page: what steers a terminal or turns the direction of a line shows as a sign that
/// stands for no letter.
fn shown(text: &str, longest: usize) -> String {
    let acts = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    shortened(&text.replace(acts, "\u{fffd}"), longest)
}

pub(super) fn section(results: &Results, names: &Names<'_>) -> Option<Section> {
    let dialogue = |sample: &results::SampleText| {
        let summaries = sample.summaries.iter().map(|summary| {
            let cells: Vec<String> = summary.cells.iter().map(|id| names.whole(id)).collect();
            (shown(&cells.join("; "), LONGEST), shown(&summary.text, LONGEST))
        });
        Block::Dialogue(Dialogue {
            id: shown(&sample.sample_id, 200),
            text: shown(&sample.dialogue, LONGEST),
            reference: sample.reference.as_ref().map(|text| shown(text, LONGEST)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_seen_and_does_nothing() {
        assert_eq!(shown("a\u{1b}[2J\n\tb\u{202e}c", 100), "a\u{fffd}[2J\n\tb\u{fffd}c");
        assert_eq!(shown("\u{645}\u{631}\u{62d}\u{628}\u{627}", 100), "مرحبا");
    }
}
