//! What models were asked for, and what they decoded with.

use super::{Entry, Results};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

impl Results {
    /// The prompt of a model, with its placeholder for the dialogue; `None` if it is unknown.
    pub fn prompt<'a>(&'a self, entry: &'a Entry) -> Option<&'a str> {
        let own = entry.engine.as_ref().and_then(|engine| engine.prompt.as_deref());
        own.or(self.environment.generation.prompt.as_deref())
    }
}

impl Entry {
    /// The number of beams, a level of the factor or the model's own; `None` if it is unknown.
    pub fn beams(&self) -> Option<u32> {
        let decoding = || self.engine.as_ref()?.decoding.as_ref();
        self.num_beams.or_else(|| decoding().map(|decoding| decoding.num_beams))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Generation {
    /// Holds `{dialogue}` once. Null if the matrix states none: `engine.prompt` has that of each model.
    pub prompt: Option<String>,
    /// The system message before the prompt. Null if the matrix states none for all models: `engine.system` has that
    /// of each model.
    #[serde(default)]
    pub system: Option<String>,
    /// Prompts are cut to it.
    pub max_input_tokens: u32,
    /// Null if the matrix states none: `engine.decoding` has the limit of each model.
    pub max_new_tokens: Option<u32>,
    /// `eos` or `reference`.
    pub stop: String,
}

/// Settings of generation, with the names and meaning of transformers: those of the matrix, of the model's files, and
/// the defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decoding {
    pub max_new_tokens: u32,
    pub min_new_tokens: u32,
    /// 1: greedy.
    pub num_beams: u32,
    /// 1 without beams.
    pub length_penalty: f64,
    /// `false`, `true` or `never`; `false` without beams.
    pub early_stopping: String,
    /// 0: off.
    pub no_repeat_ngram_size: u32,
    /// 1: off.
    pub repetition_penalty: f64,
    pub decoder_start_token_id: u32,
    pub forced_bos_token_id: Option<u32>,
    pub forced_eos_token_id: Vec<u32>,
    pub suppress_tokens: Vec<u32>,
    /// How tokens are sampled; null where the best one is taken.
    #[serde(default)]
    pub sampling: Option<Sampling>,
    /// The most tokens that are looked up in the prompt and checked in one step; 0: off. It changes no token.
    #[serde(default)]
    pub prompt_lookup_num_tokens: u32,
    /// The settings that differ from greedy decoding, on one line.
    pub summary: String,
}

impl From<&model::generation::Decoding> for Decoding {
    fn from(decoding: &model::generation::Decoding) -> Self {
        Self {
            max_new_tokens: decoding.max_new_tokens,
            min_new_tokens: decoding.min_new_tokens,
            num_beams: decoding.num_beams,
            length_penalty: decoding.length_penalty,
            early_stopping: decoding.early_stopping.to_string(),
            no_repeat_ngram_size: decoding.no_repeat_ngram_size,
            repetition_penalty: decoding.repetition_penalty,
            decoder_start_token_id: decoding.decoder_start_token_id,
            forced_bos_token_id: decoding.forced_bos_token_id,
            forced_eos_token_id: decoding.forced_eos_token_id.clone(),
            suppress_tokens: decoding.suppress_tokens.clone(),
            sampling: decoding.sampling.map(Into::into),
            prompt_lookup_num_tokens: decoding.prompt_lookup_num_tokens,
            summary: decoding.to_string(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sampling {
    pub temperature: f64,
    /// 0: off.
    pub top_k: u32,
    /// 1: off.
    pub top_p: f64,
    /// Together with the prompt, it determines the tokens of a summary.
    pub seed: u64,
}

impl From<model::generation::Sampling> for Sampling {
    fn from(sampling: model::generation::Sampling) -> Self {
        let model::generation::Sampling { temperature, top_k, top_p, seed } = sampling;
        Self { temperature, top_k, top_p, seed }
    }
}
