//! Reads the settings of generation that a model's files ask for.
//!
//! As in transformers 5.24: `generation_config.json` counts if there is one, otherwise the same keys
//! of `config.json`. Generation is greedy, so only the decoder's start and the ending tokens are
//! honored. Other settings that would change the tokens become a note.

use crate::config::OneOrMany;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationConfig {
    /// The decoder's first input.
    pub start_id: u32,
    /// Tokens that end a row. Empty if the file names none: rows end at their limit.
    pub eos_ids: Vec<u32>,
    /// Remarks for the report.
    pub notes: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not a generation config")]
    Json(#[from] serde_json::Error),
    #[error(
        "no decoder_start_token_id and no bos_token_id: add the token that starts a summary, which is 0 for T5"
    )]
    NoStart,
    #[error("{key} = {id}: outside the vocabulary of {vocabulary}")]
    TokenId { key: &'static str, id: u32, vocabulary: usize },
    #[error("eos_token_id is an empty list: no row could end")]
    NoEos,
}

#[derive(Deserialize)]
struct Raw {
    decoder_start_token_id: Option<u32>,
    bos_token_id: Option<u32>,
    eos_token_id: Option<OneOrMany>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl GenerationConfig {
    /// `file`: the name of the file, for notes.
    pub fn parse(text: &[u8], file: &str, vocabulary: usize) -> Result<Self, Error> {
        let raw: Raw = serde_json::from_slice(text)?;
        let known = |key, id: u32| {
            let is_known = usize::try_from(id).is_ok_and(|id| id < vocabulary);
            is_known.then_some(id).ok_or(Error::TokenId { key, id, vocabulary })
        };
        let start_id = match (raw.decoder_start_token_id, raw.bos_token_id) {
            (Some(id), _) => known("decoder_start_token_id", id)?,
            (None, Some(id)) => known("bos_token_id", id)?,
            (None, None) => return Err(Error::NoStart),
        };
        let mut notes = Vec::new();
        let eos_ids = match raw.eos_token_id {
            None => {
                notes.push(format!(
                    "{file} names no eos_token_id: as in transformers, summaries end at the token limit only"
                ));
                Vec::new()
            }
            Some(ids) => {
                let ids = ids.into_vec();
                if ids.is_empty() {
                    return Err(Error::NoEos);
                }
                ids.into_iter().map(|id| known("eos_token_id", id)).collect::<Result<_, _>>()?
            }
        };
        notes.extend(not_honored(&raw.others, file));
        Ok(Self { start_id, eos_ids, notes })
    }
}

/// When a setting changes the tokens of greedy generation or replaces it.
#[derive(Clone, Copy)]
enum Acts {
    /// With any value but this number.
    Unless(f64),
    /// With a value other than null, false or empty.
    IfSet,
}

/// The settings of transformers 5.24 that act by themselves (`GenerationConfig`,
/// `_get_logits_processor`). The limits of a campaign replace `max_length` and `max_new_tokens`.
const SETTINGS: [(&str, Acts); 29] = [
    ("begin_suppress_tokens", Acts::IfSet),
    ("bad_words_ids", Acts::IfSet),
    ("constraints", Acts::IfSet),
    ("do_sample", Acts::IfSet),
    ("dola_layers", Acts::IfSet),
    ("encoder_no_repeat_ngram_size", Acts::Unless(0.0)),
    ("encoder_repetition_penalty", Acts::Unless(1.0)),
    ("exponential_decay_length_penalty", Acts::IfSet),
    ("force_bos_token_to_be_generated", Acts::IfSet),
    ("force_words_ids", Acts::IfSet),
    ("forced_bos_token_id", Acts::IfSet),
    ("forced_eos_token_id", Acts::IfSet),
    ("guidance_scale", Acts::Unless(1.0)),
    ("max_time", Acts::IfSet),
    ("min_length", Acts::Unless(0.0)),
    ("min_new_tokens", Acts::Unless(0.0)),
    ("no_repeat_ngram_size", Acts::Unless(0.0)),
    ("num_beam_groups", Acts::Unless(1.0)),
    ("num_beams", Acts::Unless(1.0)),
    ("num_return_sequences", Acts::Unless(1.0)),
    ("penalty_alpha", Acts::Unless(0.0)),
    ("prompt_lookup_num_tokens", Acts::IfSet),
    ("remove_invalid_values", Acts::IfSet),
    ("repetition_penalty", Acts::Unless(1.0)),
    ("sequence_bias", Acts::IfSet),
    ("stop_strings", Acts::IfSet),
    ("suppress_tokens", Acts::IfSet),
    ("token_healing", Acts::IfSet),
    ("watermarking_config", Acts::IfSet),
];

/// Settings that act only beside another one.
const SAMPLING: [&str; 9] = [
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "top_h",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
    "renormalize_logits",
];
const BEAMS: [&str; 3] = ["length_penalty", "early_stopping", "diversity_penalty"];

fn acts(value: &Value, when: Acts) -> bool {
    match (value, when) {
        (Value::Null | Value::Bool(false), _) => false,
        (Value::Number(number), Acts::Unless(neutral)) => number.as_f64() != Some(neutral),
        (Value::Array(list), _) => !list.is_empty(),
        (Value::Object(keys), _) => !keys.is_empty(),
        (Value::String(text), _) => !text.is_empty(),
        (Value::Bool(true) | Value::Number(_), _) => true,
    }
}

fn not_honored(settings: &Map<String, Value>, file: &str) -> Option<String> {
    let is_on = |key: &str, when| settings.get(key).is_some_and(|value| acts(value, when));
    let mut keys: Vec<&str> =
        SETTINGS.iter().filter(|(key, when)| is_on(key, *when)).map(|(key, _)| *key).collect();
    let sets = |keys: &[&'static str]| -> Vec<&'static str> {
        keys.iter()
            .copied()
            .filter(|key| settings.get(*key).is_some_and(|it| !it.is_null()))
            .collect()
    };
    if keys.contains(&"do_sample") {
        keys.extend(sets(&SAMPLING));
    }
    if keys.contains(&"num_beams") {
        keys.extend(sets(&BEAMS));
    }
    if keys.is_empty() {
        return None;
    }
    let asked: Vec<String> = keys
        .iter()
        .map(|key| format!("{key} = {}", shortened(&settings[*key].to_string())))
        .collect();
    Some(format!(
        "{file} asks for {}, not honored: generation is greedy, so transformers would generate other tokens",
        asked.join(", ")
    ))
}

/// Lists of tokens can be long.
fn shortened(value: &str) -> String {
    const MOST: usize = 40;
    if value.chars().count() <= MOST {
        return value.to_owned();
    }
    value.chars().take(MOST).chain("...".chars()).collect()
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
        assert!(error.starts_with("no decoder_start_token_id and no bos_token_id"), "{error}");
        let error = parse(r#"{"decoder_start_token_id": 9, "eos_token_id": 1}"#).unwrap_err();
        assert_eq!(error.to_string(), "decoder_start_token_id = 9: outside the vocabulary of 9");
        assert!(matches!(
            parse(r#"{"decoder_start_token_id": 0, "eos_token_id": []}"#),
            Err(Error::NoEos)
        ));
    }

    fn notes(settings: &str) -> Vec<String> {
        let text = format!(r#"{{"decoder_start_token_id": 0, "eos_token_id": 1, {settings}}}"#);
        parse(&text).unwrap().notes
    }

    #[test]
    fn settings_that_change_the_tokens_are_noted_with_their_values() {
        assert_eq!(
            notes(r#""num_beams": 4, "min_length": 30, "length_penalty": 2.0, "top_p": 0.9"#),
            [
                "generation_config.json asks for min_length = 30, num_beams = 4, length_penalty = 2.0, \
              not honored: generation is greedy, so transformers would generate other tokens"
            ]
        );
        let sampled = notes(r#""do_sample": true, "temperature": 0.7"#).concat();
        assert!(sampled.contains("do_sample = true, temperature = 0.7"), "{sampled}");
        let words =
            notes(r#""bad_words_ids": [[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19]]"#);
        assert!(words[0].contains("bad_words_ids = [[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16..."));
    }

    #[test]
    fn settings_that_change_nothing_are_passed_over() {
        let neutral = r#""_from_model_config": true, "transformers_version": "4.23.1",
            "pad_token_id": 0, "max_length": 20, "max_new_tokens": 64, "min_length": 0,
            "num_beams": 1, "no_repeat_ngram_size": 0, "repetition_penalty": 1.0,
            "do_sample": false, "temperature": 0.5, "top_k": 50, "length_penalty": 2.0,
            "suppress_tokens": [], "bad_words_ids": null, "use_cache": true"#;
        assert_eq!(notes(neutral), [""; 0]);
    }
}
