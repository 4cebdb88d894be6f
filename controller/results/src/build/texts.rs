//! Dialogues and summaries: as many as the matrix allows.

use super::StoredCampaign;
use crate::schema::{SampleText, SummaryText};

/// The first measured dialogues with the summaries of every cell's first run. Equal summaries are listed once.
pub(super) fn allowed(read: &StoredCampaign<'_>) -> Vec<SampleText> {
    let most = read.campaign.matrix.report.sample_texts;
    let measured = read.dialogues.iter().filter(|dialogue| dialogue.is_measured).take(most);
    let text = |(ordinal, dialogue): (u32, &records::DialogueRow)| SampleText {
        sample_id: dialogue.sample_id.to_string(),
        dialogue: dialogue.dialogue.clone(),
        reference: dialogue.summary.clone(),
        summaries: summaries(read, ordinal),
    };
    (0..).zip(measured).map(text).collect()
}

fn summaries(read: &StoredCampaign<'_>, ordinal: u32) -> Vec<SummaryText> {
    let mut summaries: Vec<SummaryText> = Vec::new();
    for (planned, observed) in read.campaign.plan.cells.iter().zip(read.observed) {
        let Some(text) = observed.texts.get(&ordinal) else { continue };
        let cell = planned.id.to_string();
        match summaries.iter_mut().find(|known| known.text == *text) {
            Some(known) => known.cells.push(cell),
            None => summaries.push(SummaryText { cells: vec![cell], text: text.clone() }),
        }
    }
    summaries
}
