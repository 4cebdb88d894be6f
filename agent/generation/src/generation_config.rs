//! Reads the settings of generation that a model's files ask for.
//!
//! As in transformers 5.24: `generation_config.json` counts if there is one, otherwise the same keys
//! of `config.json`. What a file asks for and generation cannot do is an error, except sampling,
//! which a request has to ask for: a file's `do_sample` is noted, and its parameters are defaults.

use model::generation::{Decoding, EarlyStopping, Sampling, Settings};
use model::unsupported_generation::{self as unsupported, Acts, Unsupported};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Token ids: a number or a list of numbers.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl OneOrMany {
    pub fn into_vec(self) -> Vec<u32> {
        match self {
            Self::One(id) => vec![id],
            Self::Many(ids) => ids,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct GenerationConfig {
    /// The decoder's first input.
    pub start_id: u32,
    /// Tokens that end a row. Empty if the file names none: rows end at their limit.
    pub eos_ids: Vec<u32>,
    pub settings: Settings,
    /// Remarks for the report.
    pub notes: Vec<String>,
    /// What the file asks of sampling and is not supported.
    unsupported_sampling: Option<Unsupported>,
    vocabulary: usize,
    /// Whether output continues the prompt, so that there is no start token.
    continues_prompts: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the file is not a JSON object of generation settings")]
    Json(#[from] serde_json::Error),
    #[error(
        "the file has neither decoder_start_token_id nor bos_token_id: add the token that the decoder starts with (0 for T5, 2 for BART)"
    )]
    NoStart,
    #[error("{key} = {id}: outside the vocabulary of {vocabulary}")]
    TokenId { key: &'static str, id: u32, vocabulary: usize },
    #[error("{key} is not supported for a model whose output continues the prompt: {remedy}")]
    Continues { key: &'static str, remedy: &'static str },
    #[error("eos_token_id is an empty list: no row could end")]
    NoEos,
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    #[error("do_sample = true with num_beams = {num_beams} is not supported: set num_beams to 1")]
    SampledBeams { num_beams: u32 },
    #[error(
        "prompt_lookup_num_tokens with {key} = {value} is not supported: only greedy decoding can check drafts"
    )]
    Drafted { key: &'static str, value: String },
    #[error("{key} = {value}: expected {expected}")]
    Value { key: &'static str, value: String, expected: &'static str },
}

impl GenerationConfig {
    /// Of a model whose output continues the prompt. Lengths that count the prompt are not used, with
    /// a note.
    pub fn parse_continuing(text: &[u8], file: &str, vocabulary: usize) -> Result<Self, Error> {
        let Keys(mut keys) = Keys(serde_json::from_slice(text)?);
        // It has no start token and so no first token that a file could force.
        keys.insert("decoder_start_token_id".to_owned(), 0.into());
        keys.remove("forced_bos_token_id");
        let mut notes = Vec::new();
        for (key, neutral, instead) in [
            ("max_length", DEFAULT_MAX_LENGTH, "max_new_tokens"),
            ("min_length", 0, "min_new_tokens"),
        ] {
            let value = keys.remove(key).unwrap_or_default();
            if value.as_u64().is_some_and(|length| length != u64::from(neutral)) {
                notes.push(format!(
                    "{file} sets {key} = {value}, which counts the prompt and is not used: set {instead}"
                ));
            }
        }
        let config = Self::of_keys(&Keys(keys), file, vocabulary)?;
        notes.extend_from_slice(&config.notes);
        Ok(Self { notes, continues_prompts: true, ..config })
    }

    /// `file`: the name of the file, for notes.
    pub fn parse(text: &[u8], file: &str, vocabulary: usize) -> Result<Self, Error> {
        Self::of_keys(&Keys(serde_json::from_slice(text)?), file, vocabulary)
    }

    fn of_keys(keys: &Keys, file: &str, vocabulary: usize) -> Result<Self, Error> {
        let (start_id, bos) = (keys.id("decoder_start_token_id")?, keys.id("bos_token_id")?);
        let start_id = start_id.or(bos).ok_or(Error::NoStart)?;
        let mut notes = Vec::new();
        let eos_ids = keys.ids("eos_token_id")?;
        if eos_ids.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::NoEos);
        }
        if eos_ids.is_none() {
            notes.push(format!(
                "{file} names no eos_token_id: as in transformers, summaries end at the token limit only"
            ));
        }
        if keys.is_on("do_sample", Acts::IfSet) {
            notes.push(format!(
                "{file} asks for do_sample = {}: tokens are sampled only where do_sample is requested, so \
                 transformers would generate other tokens",
                keys.shown("do_sample")
            ));
        }
        unsupported::check(&keys.0)?;
        let mut settings = keys.settings()?;
        let legacy_bos = keys.is_on("force_bos_token_to_be_generated", Acts::IfSet);
        if legacy_bos && file == "config.json" {
            settings.forced_bos_token_id = bos;
        }
        let config = Self {
            start_id,
            eos_ids: eos_ids.unwrap_or_default(),
            settings,
            notes,
            unsupported_sampling: unsupported::check_sampling(&keys.0).err(),
            vocabulary,
            continues_prompts: false,
        };
        known("decoder_start_token_id", [config.start_id], vocabulary)?;
        known("eos_token_id", config.eos_ids.iter().copied(), vocabulary)?;
        config.check(&config.settings)?;
        Ok(config)
    }

    /// What a request for `settings` decodes with.
    pub fn decoding(&self, settings: &Settings) -> Result<Decoding, Error> {
        if self.continues_prompts {
            check_continuing(settings)?;
        }
        self.check(settings)?;
        let decoding = Decoding::of(&settings.or(&self.settings), self.start_id);
        if let Some(Sampling { temperature, top_p, .. }) = decoding.sampling {
            let value = |key, value: f64, expected| Error::Value {
                key,
                value: value.to_string(),
                expected,
            };
            if !(temperature > 0.0 && temperature.is_finite()) {
                return Err(value("temperature", temperature, "a number above 0"));
            }
            if !(top_p > 0.0 && top_p <= 1.0) {
                return Err(value("top_p", top_p, "a number above 0, at most 1"));
            }
            if let Some(unsupported) = &self.unsupported_sampling {
                return Err(unsupported.clone().into());
            }
            if decoding.num_beams > 1 {
                return Err(Error::SampledBeams { num_beams: decoding.num_beams });
            }
        }
        if decoding.prompt_lookup_num_tokens > 0 {
            if decoding.num_beams > 1 {
                let value = decoding.num_beams.to_string();
                return Err(Error::Drafted { key: "num_beams", value });
            }
            if decoding.sampling.is_some() {
                return Err(Error::Drafted { key: "do_sample", value: "true".to_owned() });
            }
        }
        Ok(decoding)
    }

    fn check(&self, settings: &Settings) -> Result<(), Error> {
        let vocabulary = self.vocabulary;
        known("decoder_start_token_id", settings.decoder_start_token_id, vocabulary)?;
        known("forced_bos_token_id", settings.forced_bos_token_id, vocabulary)?;
        let ids = |ids: &Option<Vec<u32>>| ids.clone().unwrap_or_default();
        known("forced_eos_token_id", ids(&settings.forced_eos_token_id), vocabulary)?;
        known("suppress_tokens", ids(&settings.suppress_tokens), vocabulary)
    }
}

/// Settings that mean something else, or nothing, if output continues the prompt.
fn check_continuing(settings: &Settings) -> Result<(), Error> {
    for (key, is_set, remedy) in [
        ("max_length", settings.max_length.is_some(), "set max_new_tokens"),
        ("min_length", settings.min_length.is_some(), "set min_new_tokens"),
        ("forced_bos_token_id", settings.forced_bos_token_id.is_some(), "remove it"),
        ("decoder_start_token_id", settings.decoder_start_token_id.is_some(), "remove it"),
    ] {
        if is_set {
            return Err(Error::Continues { key, remedy });
        }
    }
    Ok(())
}

fn known(
    key: &'static str,
    ids: impl IntoIterator<Item = u32>,
    vocabulary: usize,
) -> Result<(), Error> {
    let is_known = |id: &u32| usize::try_from(*id).is_ok_and(|id| id < vocabulary);
    match ids.into_iter().find(|id| !is_known(id)) {
        Some(id) => Err(Error::TokenId { key, id, vocabulary }),
        None => Ok(()),
    }
}

/// The longest limit of a matrix. Some files state the length of the longest document.
const MAX_NEW_TOKENS: u32 = 4_096;

/// The length limit that transformers wrote into every file before version 4.26, asked or not.
const DEFAULT_MAX_LENGTH: u32 = 20;

struct Keys(Map<String, Value>);

impl Keys {
    fn is_on(&self, key: &str, when: Acts) -> bool {
        when.is_on(self.0.get(key))
    }

    fn shown(&self, key: &str) -> String {
        unsupported::shown(self.0.get(key))
    }

    /// `None` for null.
    fn read<T: DeserializeOwned>(
        &self,
        key: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, Error> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value).map(Some).map_err(|_| Error::Value {
                key,
                value: self.shown(key),
                expected,
            }),
        }
    }

    fn id(&self, key: &'static str) -> Result<Option<u32>, Error> {
        self.read(key, "the id of a token")
    }

    fn ids(&self, key: &'static str) -> Result<Option<Vec<u32>>, Error> {
        let ids = self.read(key, "the id of a token, or a list of them")?;
        Ok(ids.map(OneOrMany::into_vec))
    }

    fn count(&self, key: &'static str) -> Result<Option<u32>, Error> {
        self.read(key, "a number that is not negative")
    }

    fn settings(&self) -> Result<Settings, Error> {
        let within = |key, expected, is_valid: fn(f64) -> bool| {
            let value: Option<f64> = self.read(key, expected)?;
            match value.filter(|value| !is_valid(*value)) {
                Some(_) => Err(Error::Value { key, value: self.shown(key), expected }),
                None => Ok(value),
            }
        };
        let num_beams = self.count("num_beams")?;
        let beams = 1..=Settings::MOST_BEAMS;
        if num_beams.is_some_and(|number| !beams.contains(&number)) {
            let value = self.shown("num_beams");
            return Err(Error::Value { key: "num_beams", value, expected: "1 to 32" });
        }
        let early_stopping = match self.0.get("early_stopping") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(false)) => Some(EarlyStopping::Off),
            Some(Value::Bool(true)) => Some(EarlyStopping::On),
            Some(Value::String(word)) if word == "never" => Some(EarlyStopping::Never),
            Some(_) => {
                let (key, expected) = ("early_stopping", "true, false or \"never\"");
                return Err(Error::Value { key, value: self.shown(key), expected });
            }
        };
        let max_length = self.count("max_length")?;
        let max_new_tokens = self.count("max_new_tokens")?;
        Ok(Settings {
            max_new_tokens: max_new_tokens.map(|tokens| tokens.clamp(1, MAX_NEW_TOKENS)),
            max_length: max_length
                .filter(|length| *length != DEFAULT_MAX_LENGTH)
                .map(|length| length.clamp(2, MAX_NEW_TOKENS + 1)),
            min_new_tokens: self.count("min_new_tokens")?,
            min_length: self.count("min_length")?,
            num_beams,
            length_penalty: within("length_penalty", "a number", f64::is_finite)?,
            early_stopping,
            no_repeat_ngram_size: self.count("no_repeat_ngram_size")?,
            repetition_penalty: within("repetition_penalty", "a number above 0", |penalty| {
                penalty > 0.0 && penalty.is_finite()
            })?,
            // The start is read apart, as it has another source as well.
            decoder_start_token_id: None,
            forced_bos_token_id: self.id("forced_bos_token_id")?,
            forced_eos_token_id: self.ids("forced_eos_token_id")?,
            suppress_tokens: self.read("suppress_tokens", "a list of tokens")?,
            do_sample: None,
            // Checked once they act.
            temperature: self.read("temperature", "a number")?,
            top_k: self.count("top_k")?,
            top_p: self.read("top_p", "a number")?,
            seed: None,
            prompt_lookup_num_tokens: None,
            system: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "generation_config.json";

    fn parse(text: &str) -> Result<GenerationConfig, Error> {
        GenerationConfig::parse(text.as_bytes(), FILE, 9)
    }

    #[test]
    fn the_start_and_the_ends_of_a_row_are_read() {
        let one = parse(r#"{"decoder_start_token_id": 3, "eos_token_id": 1}"#).unwrap();
        assert_eq!((one.start_id, one.eos_ids, one.notes), (3, vec![1], vec![]));
        let more = r#"{"decoder_start_token_id": 0, "bos_token_id": 5, "eos_token_id": [1, 7]}"#;
        let more = parse(more).unwrap();
        assert_eq!((more.start_id, more.eos_ids), (0, vec![1, 7]));
        let bos = parse(r#"{"bos_token_id": 5, "eos_token_id": 1}"#).unwrap();
        assert_eq!(bos.start_id, 5);
    }

    #[test]
    fn a_file_without_them_does_as_in_transformers() {
        let endless = parse(r#"{"decoder_start_token_id": 0, "eos_token_id": null}"#).unwrap();
        assert!(endless.eos_ids.is_empty());
        assert_eq!(
            endless.notes,
            [
                "generation_config.json names no eos_token_id: as in transformers, summaries end at the \
              token limit only"
            ]
        );
        let error = parse(r#"{"eos_token_id": 1}"#).unwrap_err().to_string();
        assert!(error.starts_with("the file has neither decoder_start_token_id"), "{error}");
        let error = parse(r#"{"decoder_start_token_id": 9, "eos_token_id": 1}"#).unwrap_err();
        assert_eq!(error.to_string(), "decoder_start_token_id = 9: outside the vocabulary of 9");
        assert!(matches!(
            parse(r#"{"decoder_start_token_id": 0, "eos_token_id": []}"#),
            Err(Error::NoEos)
        ));
    }

    fn with(settings: &str) -> Result<GenerationConfig, Error> {
        parse(&format!(r#"{{"decoder_start_token_id": 0, "eos_token_id": 1, {settings}}}"#))
    }

    #[test]
    fn settings_are_read_and_yield_to_those_of_the_matrix() {
        let config = with(
            r#""num_beams": 4, "length_penalty": 2, "early_stopping": true, "min_length": 6,
            "max_length": 142, "no_repeat_ngram_size": 3, "forced_bos_token_id": 8,
            "forced_eos_token_id": 1, "suppress_tokens": [2, 3], "repetition_penalty": 1.5"#,
        )
        .unwrap();
        let asked = config.decoding(&Settings::default()).unwrap();
        let expected = Decoding {
            max_new_tokens: 141,
            min_new_tokens: 5,
            num_beams: 4,
            length_penalty: 2.0,
            early_stopping: EarlyStopping::On,
            no_repeat_ngram_size: 3,
            repetition_penalty: 1.5,
            decoder_start_token_id: 0,
            forced_bos_token_id: Some(8),
            forced_eos_token_id: vec![1],
            suppress_tokens: vec![2, 3],
            sampling: None,
            prompt_lookup_num_tokens: 0,
        };
        assert_eq!(asked, expected);
        let matrix = Settings {
            num_beams: Some(1),
            max_new_tokens: Some(64),
            decoder_start_token_id: Some(5),
            ..Settings::default()
        };
        let (length_penalty, early_stopping) = (1.0, EarlyStopping::Off);
        let expected = Decoding {
            max_new_tokens: 64,
            num_beams: 1,
            length_penalty,
            early_stopping,
            decoder_start_token_id: 5,
            ..expected
        };
        assert_eq!(config.decoding(&matrix).unwrap(), expected);
        let outside = Settings { suppress_tokens: Some(vec![2, 9]), ..Settings::default() };
        let error = config.decoding(&outside).unwrap_err().to_string();
        assert_eq!(error, "suppress_tokens = 9: outside the vocabulary of 9");
    }

    #[test]
    fn what_is_not_supported_is_an_error_by_name() {
        let error = |settings: &str| with(settings).unwrap_err().to_string();
        assert_eq!(
            error(r#""num_beams": 4, "num_beam_groups": 2"#),
            "num_beam_groups = 2 is not supported: remove it from the file, or set it to 1"
        );
        let words =
            error(r#""bad_words_ids": [[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19]]"#);
        assert!(
            words.starts_with("bad_words_ids = [[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16... is")
        );
        assert_eq!(error(r#""num_beams": 400"#), "num_beams = 400: expected 1 to 32");
        assert_eq!(
            error(r#""min_length": -1"#),
            "min_length = -1: expected a number that is not negative"
        );
        assert!(
            error(r#""early_stopping": "often""#).ends_with("expected true, false or \"never\"")
        );
        assert!(error(r#""repetition_penalty": 0"#).ends_with("expected a number above 0"));
        assert!(error(r#""forced_bos_token_id": 9"#).ends_with("outside the vocabulary of 9"));
    }

    #[test]
    fn a_model_that_continues_prompts_needs_no_start_and_counts_new_tokens_only() {
        let text = br#"{"eos_token_id": [1, 2], "max_length": 2048, "repetition_penalty": 1.1}"#;
        let config = GenerationConfig::parse_continuing(text, FILE, 9).unwrap();
        assert_eq!(config.eos_ids, [1, 2]);
        assert_eq!(
            config.notes,
            [
                "generation_config.json sets max_length = 2048, which counts the prompt and is not used: set \
              max_new_tokens"
            ]
        );
        let expected = Settings { repetition_penalty: Some(1.1), ..Settings::default() };
        assert_eq!(config.settings, expected);
        assert_eq!(config.decoding(&Settings::default()).unwrap().max_new_tokens, 200);
        let asked = Settings { min_length: Some(30), ..Settings::default() };
        assert_eq!(
            config.decoding(&asked).unwrap_err().to_string(),
            "min_length is not supported for a model whose output continues the prompt: set min_new_tokens"
        );
    }

    #[test]
    fn sampling_is_off_unless_requested_and_noted() {
        let config = with(r#""do_sample": true, "temperature": 0.7"#).unwrap();
        assert_eq!(
            config.notes,
            [
                "generation_config.json asks for do_sample = true: tokens are sampled only where do_sample is \
                 requested, so transformers would generate other tokens"
            ]
        );
        assert!(config.decoding(&Settings::default()).unwrap().is_plain());
        let requested = Settings { do_sample: Some(true), ..Settings::default() };
        let sampling = config.decoding(&requested).unwrap().sampling.unwrap();
        assert_eq!((sampling.temperature, sampling.top_k, sampling.top_p), (0.7, 50, 1.0));

        let config = with(r#""typical_p": 0.9, "num_beams": 4"#).unwrap();
        assert_eq!(config.decoding(&Settings::default()).unwrap().num_beams, 4);
        let error = config.decoding(&requested).unwrap_err().to_string();
        assert!(error.starts_with("typical_p = 0.9 is not supported"), "{error}");
        let config = with(r#""num_beams": 4"#).unwrap();
        let error = config.decoding(&requested).unwrap_err().to_string();
        assert!(error.starts_with("do_sample = true with num_beams = 4"), "{error}");
        let config = with(r#""temperature": 0.0"#).unwrap();
        assert!(config.decoding(&Settings::default()).is_ok());
        let error = config.decoding(&requested).unwrap_err().to_string();
        assert_eq!(error, "temperature = 0: expected a number above 0");
    }

    #[test]
    fn a_first_token_is_forced_by_an_old_config_too() {
        let text = br#"{"decoder_start_token_id": 0, "bos_token_id": 4, "eos_token_id": 1,
            "force_bos_token_to_be_generated": true}"#;
        let bos = |file| GenerationConfig::parse(text, file, 9).unwrap().settings;
        assert_eq!(bos("config.json").forced_bos_token_id, Some(4));
        assert_eq!(bos(FILE).forced_bos_token_id, None);
    }

    #[test]
    fn settings_that_change_nothing_are_passed_over() {
        let neutral = r#""_from_model_config": true, "transformers_version": "4.23.1",
            "pad_token_id": 0, "max_length": 20, "min_length": 0,
            "num_beams": 1, "no_repeat_ngram_size": 0, "repetition_penalty": 1.0,
            "do_sample": false, "temperature": 0.5, "top_k": 50, "length_penalty": 2.0,
            "suppress_tokens": [], "bad_words_ids": null, "use_cache": true"#;
        let config = with(neutral).unwrap();
        assert_eq!(config.notes, [""; 0]);
        assert_eq!(config.decoding(&Settings::default()).unwrap(), Decoding::default());
    }
}
