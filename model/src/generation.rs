//! Prompt, limits and settings of decoding: what a matrix asks for, and what an engine decodes
//! with. Names and meaning of the settings are those of transformers' `GenerationConfig`.

use crate::words;
use serde::{Deserialize, Serialize};

pub const DIALOGUE: &str = "{dialogue}";

/// The prompt of endpoints and scripts, whose model is unknown, and of models that were trained
/// with instructions.
pub const INSTRUCTION: &str = "Summarize: {dialogue}";

words!(
    /// When decoding of a summary ends before its length limit.
    Stop, "stop rule", {
        /// At `</s>`.
        Eos = "eos",
        /// After as many tokens as the reference summary has, ignoring `</s>`. For random weights.
        Reference = "reference",
    }
);

words!(
    /// When a beam search ends that has found as many summaries as it has beams.
    #[derive(Default)]
    EarlyStopping, "early_stopping", {
        /// When the best running beam, scored at its present length, is worse than all of them.
        #[default]
        Off = "false",
        /// At once.
        On = "true",
        /// When no running beam can become better, at any length up to the limit.
        Never = "never",
    }
);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Contains [`DIALOGUE`] once. `None`: as the engine prompts its model by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Longer prompts are truncated; `</s>` included.
    pub max_input_tokens: u32,
    pub stop: Stop,
    #[serde(flatten)]
    pub settings: Settings,
}

impl Generation {
    pub fn prompt_or<'a>(&'a self, default: &'a str) -> &'a str {
        self.prompt.as_deref().unwrap_or(default)
    }
}

/// The text of a dialogue's prompt. `prompt` contains [`DIALOGUE`] once.
pub fn fill(prompt: &str, dialogue: &str) -> String {
    prompt.replacen(DIALOGUE, dialogue, 1)
}

/// What is asked for. `None`: as the model's files say, or else the default of [`Decoding`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_new_tokens: Option<u32>,
    /// With the decoder's start token. Yields to `max_new_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_new_tokens: Option<u32>,
    /// With the decoder's start token. Yields to `min_new_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_beams: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_repeat_ngram_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder_start_token_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forced_bos_token_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forced_eos_token_id: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppress_tokens: Option<Vec<u32>>,
    /// Tokens are sampled only where this is asked for, whatever the model's files say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub do_sample: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// 0: off. Only where this is asked for, whatever the model's files say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_lookup_num_tokens: Option<u32>,
    /// The text of a system message before the prompt, which a chat template writes. `None`: what the
    /// template writes without one. Not blank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
}

impl Settings {
    /// The limit of output tokens if nothing states one.
    pub const MAX_NEW_TOKENS: u32 = 200;
    /// No summary is longer.
    pub const MOST_TOKENS: u32 = 4_096;

    /// More beams than this are refused.
    pub const MOST_BEAMS: u32 = 32;

    /// Longer system messages are refused.
    pub const MOST_SYSTEM_BYTES: usize = 64 << 10;

    /// Longer drafts are refused: a step computes the tokens of a draft side by side.
    pub const MOST_DRAFTED: u32 = 16;

    /// The limit of output tokens that is asked for, in either form.
    pub fn token_limit_asked(&self) -> Option<u32> {
        self.max_new_tokens.or(self.max_length.map(|length| length.saturating_sub(1)))
    }

    /// The limit of output tokens, for engines without files that could state one.
    pub fn token_limit(&self) -> u32 {
        self.token_limit_asked().unwrap_or(Self::MAX_NEW_TOKENS)
    }

    /// These settings, and those of `others` where these are silent.
    #[must_use]
    pub fn or(&self, others: &Self) -> Self {
        // A limit in one form also replaces the other form.
        let limit = if self.max_new_tokens.or(self.max_length).is_some() { self } else { others };
        let least = if self.min_new_tokens.or(self.min_length).is_some() { self } else { others };
        Self {
            max_new_tokens: limit.max_new_tokens,
            max_length: limit.max_length,
            min_new_tokens: least.min_new_tokens,
            min_length: least.min_length,
            num_beams: self.num_beams.or(others.num_beams),
            length_penalty: self.length_penalty.or(others.length_penalty),
            early_stopping: self.early_stopping.or(others.early_stopping),
            no_repeat_ngram_size: self.no_repeat_ngram_size.or(others.no_repeat_ngram_size),
            repetition_penalty: self.repetition_penalty.or(others.repetition_penalty),
            decoder_start_token_id: self.decoder_start_token_id.or(others.decoder_start_token_id),
            forced_bos_token_id: self.forced_bos_token_id.or(others.forced_bos_token_id),
            forced_eos_token_id: self
                .forced_eos_token_id
                .clone()
                .or_else(|| others.forced_eos_token_id.clone()),
            suppress_tokens: self
                .suppress_tokens
                .clone()
                .or_else(|| others.suppress_tokens.clone()),
            do_sample: self.do_sample.or(others.do_sample),
            temperature: self.temperature.or(others.temperature),
            top_k: self.top_k.or(others.top_k),
            top_p: self.top_p.or(others.top_p),
            seed: self.seed.or(others.seed),
            prompt_lookup_num_tokens: self
                .prompt_lookup_num_tokens
                .or(others.prompt_lookup_num_tokens),
            system: self.system.clone().or_else(|| others.system.clone()),
        }
    }

    pub fn samples(&self) -> bool {
        self.do_sample == Some(true)
    }

    /// The names of the settings that only engines with files of their own can honor.
    pub fn beyond_limits(&self) -> Vec<&'static str> {
        let set = [
            ("min_new_tokens", self.min_new_tokens.is_some()),
            ("min_length", self.min_length.is_some()),
            ("num_beams", self.num_beams.is_some()),
            ("length_penalty", self.length_penalty.is_some()),
            ("early_stopping", self.early_stopping.is_some()),
            ("no_repeat_ngram_size", self.no_repeat_ngram_size.is_some()),
            ("repetition_penalty", self.repetition_penalty.is_some()),
            ("decoder_start_token_id", self.decoder_start_token_id.is_some()),
            ("forced_bos_token_id", self.forced_bos_token_id.is_some()),
            ("forced_eos_token_id", self.forced_eos_token_id.is_some()),
            ("suppress_tokens", self.suppress_tokens.is_some()),
            ("do_sample", self.do_sample.is_some()),
            ("temperature", self.temperature.is_some()),
            ("top_k", self.top_k.is_some()),
            ("top_p", self.top_p.is_some()),
            ("seed", self.seed.is_some()),
            ("prompt_lookup_num_tokens", self.prompt_lookup_num_tokens.is_some()),
        ];
        set.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
    }
}

/// How tokens are sampled, with the defaults of transformers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Above 0.
    pub temperature: f64,
    /// 0: off.
    pub top_k: u32,
    /// Above 0; 1: off.
    pub top_p: f64,
    /// Together with the prompt, it determines the tokens of a summary.
    pub seed: u64,
}

impl Sampling {
    fn of(settings: &Settings) -> Self {
        Self {
            temperature: settings.temperature.unwrap_or(1.0),
            top_k: settings.top_k.unwrap_or(50),
            top_p: settings.top_p.unwrap_or(1.0),
            seed: settings.seed.unwrap_or(0),
        }
    }
}

/// What an engine decodes with: every setting, after the model's files and the defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decoding {
    pub max_new_tokens: u32,
    pub min_new_tokens: u32,
    /// 1: greedy.
    pub num_beams: u32,
    /// The exponent of the length by which the score of a summary is divided. 1 without beams.
    pub length_penalty: f64,
    pub early_stopping: EarlyStopping,
    /// 0: off.
    pub no_repeat_ngram_size: u32,
    /// 1: off.
    pub repetition_penalty: f64,
    pub decoder_start_token_id: u32,
    /// The first token.
    pub forced_bos_token_id: Option<u32>,
    /// The candidates for the last token allowed by the limit. Empty: any.
    pub forced_eos_token_id: Vec<u32>,
    /// Tokens that are never generated.
    pub suppress_tokens: Vec<u32>,
    /// `None`: the best token is taken.
    #[serde(default)]
    pub sampling: Option<Sampling>,
    /// The most tokens that are looked up in the prompt and checked in one step, which doesn't
    /// change the summary. 0: off.
    #[serde(default)]
    pub prompt_lookup_num_tokens: u32,
}

impl Default for Decoding {
    fn default() -> Self {
        Self {
            max_new_tokens: Settings::MAX_NEW_TOKENS,
            min_new_tokens: 0,
            num_beams: 1,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::Off,
            no_repeat_ngram_size: 0,
            repetition_penalty: 1.0,
            decoder_start_token_id: 0,
            forced_bos_token_id: None,
            forced_eos_token_id: Vec::new(),
            suppress_tokens: Vec::new(),
            sampling: None,
            prompt_lookup_num_tokens: 0,
        }
    }
}

impl Decoding {
    /// `start`: the decoder's start token if the settings name none.
    pub fn of(settings: &Settings, start: u32) -> Self {
        let num_beams = settings.num_beams.unwrap_or(1);
        let has_beams = num_beams > 1;
        let min_length = settings.min_length.map_or(0, |length| length.saturating_sub(1));
        Self {
            max_new_tokens: settings.token_limit(),
            min_new_tokens: settings.min_new_tokens.unwrap_or(min_length),
            num_beams,
            // Without beams both have no effect: they are no difference between two campaigns.
            length_penalty: settings.length_penalty.filter(|_| has_beams).unwrap_or(1.0),
            early_stopping: settings.early_stopping.filter(|_| has_beams).unwrap_or_default(),
            no_repeat_ngram_size: settings.no_repeat_ngram_size.unwrap_or(0),
            repetition_penalty: settings.repetition_penalty.unwrap_or(1.0),
            decoder_start_token_id: settings.decoder_start_token_id.unwrap_or(start),
            forced_bos_token_id: settings.forced_bos_token_id,
            forced_eos_token_id: settings.forced_eos_token_id.clone().unwrap_or_default(),
            suppress_tokens: settings.suppress_tokens.clone().unwrap_or_default(),
            sampling: settings.samples().then(|| Sampling::of(settings)),
            prompt_lookup_num_tokens: settings.prompt_lookup_num_tokens.unwrap_or(0),
        }
    }

    /// Whether each token is the one with the highest logit, whatever came before.
    pub fn is_plain(&self) -> bool {
        let Self { max_new_tokens, decoder_start_token_id, prompt_lookup_num_tokens, .. } = *self;
        let plain = Self::default();
        *self == Self { max_new_tokens, decoder_start_token_id, prompt_lookup_num_tokens, ..plain }
    }
}

/// `greedy`, `sampled` with its parameters, or the settings that differ from greedy decoding without conditions, by name.
impl std::fmt::Display for Decoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let default = Self::default();
        let mut parts = Vec::new();
        let mut part = |name: &str, differs: bool, value: String| {
            if differs {
                parts.push(format!("{name} = {value}"));
            }
        };
        let list = |ids: &[u32]| match ids {
            [id] => id.to_string(),
            ids => {
                let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
                format!("[{}]", ids.join(", "))
            }
        };
        if let Some(Sampling { temperature, top_k, top_p, seed }) = self.sampling {
            part("temperature", true, temperature.to_string());
            part("top_k", true, top_k.to_string());
            part("top_p", true, top_p.to_string());
            part("seed", true, seed.to_string());
        }
        part("num_beams", self.num_beams != 1, self.num_beams.to_string());
        let length_penalty = self.length_penalty.to_string();
        part("length_penalty", self.num_beams != 1, length_penalty);
        part("early_stopping", self.num_beams != 1, self.early_stopping.to_string());
        part("min_new_tokens", self.min_new_tokens != 0, self.min_new_tokens.to_string());
        part(
            "no_repeat_ngram_size",
            self.no_repeat_ngram_size != 0,
            self.no_repeat_ngram_size.to_string(),
        );
        part(
            "repetition_penalty",
            self.repetition_penalty.to_bits() != default.repetition_penalty.to_bits(),
            self.repetition_penalty.to_string(),
        );
        let bos = self.forced_bos_token_id;
        part("forced_bos_token_id", bos.is_some(), bos.unwrap_or(0).to_string());
        let eos = &self.forced_eos_token_id;
        part("forced_eos_token_id", !eos.is_empty(), list(eos));
        let suppressed = &self.suppress_tokens;
        part("suppress_tokens", !suppressed.is_empty(), list(suppressed));
        let looked_up = self.prompt_lookup_num_tokens;
        part("prompt_lookup_num_tokens", looked_up != 0, looked_up.to_string());
        let how = match self.sampling {
            Some(_) => "sampled",
            None if self.num_beams == 1 => "greedy",
            None => "",
        };
        let parts = parts.join(", ");
        let separator = if how.is_empty() || parts.is_empty() { "" } else { ", " };
        write!(f, "{how}{separator}{parts}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialogue_that_holds_the_place_holder_is_not_filled_again() {
        assert_eq!(fill(INSTRUCTION, "A: {dialogue}"), "Summarize: A: {dialogue}");
    }

    #[test]
    fn settings_of_the_matrix_replace_those_of_the_model_one_by_one() {
        let matrix = Settings { num_beams: Some(2), max_length: Some(9), ..Settings::default() };
        let model = Settings {
            num_beams: Some(4),
            length_penalty: Some(2.0),
            max_new_tokens: Some(100),
            min_length: Some(5),
            forced_eos_token_id: Some(vec![2]),
            ..Settings::default()
        };
        let decoding = Decoding::of(&matrix.or(&model), 7);
        let expected = Decoding {
            max_new_tokens: 8,
            min_new_tokens: 4,
            num_beams: 2,
            length_penalty: 2.0,
            decoder_start_token_id: 7,
            forced_eos_token_id: vec![2],
            ..Decoding::default()
        };
        assert_eq!(decoding, expected);
        assert_eq!(
            decoding.to_string(),
            "num_beams = 2, length_penalty = 2, early_stopping = false, min_new_tokens = 4, \
             forced_eos_token_id = 2"
        );
    }

    #[test]
    fn settings_of_beams_mean_nothing_without_them() {
        let settings = Settings {
            length_penalty: Some(2.0),
            early_stopping: Some(EarlyStopping::On),
            ..Settings::default()
        };
        let decoding = Decoding::of(&settings, 3);
        assert!(decoding.is_plain(), "{decoding:?}");
        assert_eq!(decoding.to_string(), "greedy");
        let penalized = Settings { repetition_penalty: Some(1.3), ..settings };
        let decoding = Decoding::of(&penalized, 3);
        assert!(!decoding.is_plain());
        assert_eq!(decoding.to_string(), "greedy, repetition_penalty = 1.3");
    }

    #[test]
    fn sampling_is_off_unless_it_is_asked_for() {
        let model = Settings { temperature: Some(0.7), top_k: Some(9), ..Settings::default() };
        assert!(Decoding::of(&model, 0).is_plain());
        let asked = Settings { do_sample: Some(true), seed: Some(7), ..Settings::default() };
        let decoding = Decoding::of(&asked.or(&model), 0);
        let expected = Sampling { temperature: 0.7, top_k: 9, top_p: 1.0, seed: 7 };
        assert_eq!(decoding.sampling, Some(expected));
        assert!(!decoding.is_plain());
        assert_eq!(
            decoding.to_string(),
            "sampled, temperature = 0.7, top_k = 9, top_p = 1, seed = 7"
        );
        let off = Settings { do_sample: Some(false), ..Settings::default() };
        assert!(Decoding::of(&off.or(&asked), 0).is_plain());
    }

    #[test]
    fn stored_generations_of_before_are_read() {
        let text = r#"{"prompt": "{dialogue}", "max_input_tokens": 8, "max_new_tokens": 9, "stop": "eos"}"#;
        let generation: Generation = serde_json::from_str(text).unwrap();
        let settings = Settings { max_new_tokens: Some(9), ..Settings::default() };
        assert_eq!(generation.settings, settings);
        assert_eq!(generation.prompt.as_deref(), Some(DIALOGUE));
    }
}
