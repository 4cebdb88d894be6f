//! Files of dialogues: JSON Lines in, checked lines and the engine's inputs out.

use crate::cli::ModelOptions;
use crate::model_source;
use anyhow::{Context, bail};
use serde::Deserialize;
use std::fs;
use std::path::Path;
use t5::device::Device;
use t5::generate::Until;
use t5::{self, Input, T5};

/// The prompt around every dialogue.
const PROMPT: &str = "Summarize: ";

/// One line.
#[derive(Debug)]
pub(super) struct Line {
    /// Its id as it stands in the file, a text or a number; null where it has none.
    pub(super) id: serde_json::Value,
    content: Content,
    /// The file and the line's number, from 1.
    pub(super) place: String,
}

/// What is to be summarized.
#[derive(Debug)]
enum Content {
    /// Goes into the prompt.
    Dialogue(String),
    /// Is the prompt.
    Ids(Vec<u32>),
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    id: serde_json::Value,
    dialogue: Option<String>,
    input_ids: Option<Vec<u32>>,
}

/// Reads all lines of a file. Empty lines are passed over.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let bytes = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    let text =
        String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))?;
    let mut lines = Vec::new();
    for (number, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let place = format!("{} line {number}", path.display());
        let raw: Raw = serde_json::from_str(text).with_context(|| {
            format!("{place}: neither {{\"id\", \"dialogue\"}} nor {{\"id\", \"input_ids\"}}")
        })?;
        let content = match (raw.dialogue, raw.input_ids) {
            (Some(dialogue), None) => Content::Dialogue(dialogue),
            (None, Some(ids)) => Content::Ids(ids),
            _ => bail!("{place}: give either \"dialogue\" or \"input_ids\""),
        };
        lines.push(Line { id: raw.id, content, place });
    }
    if lines.is_empty() {
        bail!("{} holds no dialogues", path.display());
    }
    Ok(lines)
}

/// Loads the model, and before that checks that it can serve these lines.
pub(super) fn load(model: &ModelOptions, lines: &[Line]) -> anyhow::Result<T5> {
    let mut opened =
        t5::open(&model.spec(), &model_source::Sources)?.on(&Device::open(&model.device)?)?;
    if lines.iter().any(|line| matches!(line.content, Content::Dialogue(_))) {
        opened = opened.serves_text()?;
    }
    Ok(opened.load(model.threads())?)
}

impl Line {
    /// What the engine takes: a prompt cut to `limit` tokens, and what ends its summary.
    pub(super) fn input(&self, engine: &T5, limit: usize, until: Until) -> anyhow::Result<Input> {
        let prompt = match &self.content {
            Content::Dialogue(dialogue) => engine.prompt(&format!("{PROMPT}{dialogue}"), limit),
            Content::Ids(ids) => engine.prompt_of_ids(ids.clone(), limit),
        };
        Ok(Input { prompt: prompt.with_context(|| self.place.clone())?, until })
    }
}
