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

/// A text that is safe to show: control characters and marks that change the writing direction become U+FFFD.
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
            let cells: Vec<String> = summary.cells.iter().map(|id| names.label(id)).collect();
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
        title: "Sample summaries".to_owned(),
        lead: "The first measured dialogues, as many as the matrix allows. Equal summaries are grouped.".to_owned(),
        blocks,
        detail: Detail::Page,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(shown("a\u{1b}[2J\n\tb\u{202e}c", 100), "a\u{fffd}[2J\n\tb\u{fffd}c");
        assert_eq!(shown("\u{645}\u{631}\u{62d}\u{628}\u{627}", 100), "مرحبا");
    }
}
