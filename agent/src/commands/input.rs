//! Reads files of dialogues in JSON Lines format.

use crate::{engines, options::ModelOptions};
use anyhow::{Context, bail};
use generation::generate::StopRule;
use generation::{Input, LanguageModel};
use model::generation::Decoding;
use ops::text_file;
use seq2seq::device::Device;
use serde::Deserialize;
use std::{path::Path, sync::Arc};

#[derive(Debug)]
pub(super) struct Line {
    /// As in the file: a string or a number, or null.
    pub(super) id: serde_json::Value,
    content: Content,
    /// File and line number, for errors.
    pub(super) place: String,
}

#[derive(Debug)]
enum Content {
    Dialogue(String),
    /// The complete prompt.
    Ids(Vec<u32>),
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    id: serde_json::Value,
    dialogue: Option<String>,
    input_ids: Option<Vec<u32>>,
}

pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let text = text_file::read(path)?;
    let mut lines = Vec::new();
    for (number, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let place = format!("{} line {number}", path.display());
        let raw: Raw = serde_json::from_str(text).with_context(|| {
            format!("{place}: expected {{\"id\", \"dialogue\"}} or {{\"id\", \"input_ids\"}}")
        })?;
        let content = match (raw.dialogue, raw.input_ids) {
            (Some(dialogue), None) => Content::Dialogue(dialogue),
            (None, Some(ids)) => Content::Ids(ids),
            _ => bail!("{place}: expected either \"dialogue\" or \"input_ids\""),
        };
        lines.push(Line { id: raw.id, content, place });
    }
    if lines.is_empty() {
        bail!("{} contains no dialogues", path.display());
    }
    Ok(lines)
}

/// How lines become inputs.
pub(super) struct Asked<'a> {
    /// In tokens; longer prompts are truncated.
    pub(super) limit: usize,
    pub(super) stop_rule: StopRule,
    pub(super) system: Option<&'a str>,
    pub(super) decoding: &'a Arc<Decoding>,
}

/// Loads the model after checking that it can process these lines.
pub(super) fn load(model: &ModelOptions, lines: &[Line]) -> anyhow::Result<LanguageModel> {
    let mut opened = engines::open(&model.spec(), &Device::open(&model.device)?)?;
    if lines.iter().any(|line| matches!(line.content, Content::Dialogue(_))) {
        opened = opened.serves_text()?;
    }
    Ok(opened.load(super::threads(model.threads))?)
}

impl Line {
    /// The truncated prompt, with its stop rule.
    pub(super) fn input(&self, engine: &LanguageModel, asked: &Asked<'_>) -> anyhow::Result<Input> {
        let Asked { limit, stop_rule, system, decoding } = *asked;
        let prompt = match &self.content {
            Content::Dialogue(dialogue) => engine.prompt_of(system, dialogue, limit),
            Content::Ids(_) if system.is_some() => {
                bail!("{}: \"input_ids\" are a whole prompt: remove --system", self.place)
            }
            Content::Ids(ids) => engine.prompt_of_ids(ids.clone(), limit),
        };
        let prompt = prompt.with_context(|| self.place.clone())?;
        Ok(Input { prompt, stop_rule, decoding: Arc::clone(decoding) })
    }
}
