//! Settings of generation that transformers has and no engine honors: what asks for one is refused
//! by its name.

use serde_json::{Map, Value};

/// When a setting changes the tokens.
#[derive(Debug, Clone, Copy)]
pub enum Acts {
    /// With any value but this number.
    Unless(f64),
    /// With a value other than null, false or empty.
    IfSet,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value} is not supported: remove it from the file, or set it to {neutral}")]
pub struct Unsupported {
    pub key: &'static str,
    pub value: String,
    pub neutral: &'static str,
}

type Setting = (&'static str, Acts, &'static str);

/// Settings of transformers 5.24 that act by themselves (`GenerationConfig`,
/// `_get_logits_processor`), and the value without effect.
const ALWAYS: [Setting; 20] = [
    ("begin_suppress_tokens", Acts::IfSet, "null"),
    ("bad_words_ids", Acts::IfSet, "null"),
    ("constraints", Acts::IfSet, "null"),
    ("dola_layers", Acts::IfSet, "null"),
    ("encoder_no_repeat_ngram_size", Acts::Unless(0.0), "0"),
    ("encoder_repetition_penalty", Acts::Unless(1.0), "1.0"),
    ("exponential_decay_length_penalty", Acts::IfSet, "null"),
    ("force_words_ids", Acts::IfSet, "null"),
    ("guidance_scale", Acts::Unless(1.0), "null"),
    ("max_time", Acts::IfSet, "null"),
    ("num_beam_groups", Acts::Unless(1.0), "1"),
    ("num_return_sequences", Acts::Unless(1.0), "1"),
    ("penalty_alpha", Acts::Unless(0.0), "null"),
    ("prompt_lookup_num_tokens", Acts::IfSet, "null"),
    ("remove_invalid_values", Acts::IfSet, "false"),
    ("renormalize_logits", Acts::IfSet, "false"),
    ("sequence_bias", Acts::IfSet, "null"),
    ("stop_strings", Acts::IfSet, "null"),
    ("token_healing", Acts::IfSet, "false"),
    ("watermarking_config", Acts::IfSet, "null"),
];

/// The same, while tokens are sampled.
const SAMPLING: [Setting; 5] = [
    ("epsilon_cutoff", Acts::Unless(0.0), "0.0"),
    ("eta_cutoff", Acts::Unless(0.0), "0.0"),
    ("min_p", Acts::IfSet, "null"),
    ("top_h", Acts::IfSet, "null"),
    ("typical_p", Acts::Unless(1.0), "1.0"),
];

/// Acts only beside one of [`ALWAYS`].
const DEPENDENT: [&str; 1] = ["diversity_penalty"];

/// All names.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALWAYS.iter().chain(&SAMPLING).map(|(key, ..)| *key).chain(DEPENDENT)
}

impl Acts {
    pub fn is_on(self, value: Option<&Value>) -> bool {
        match (value, self) {
            (None | Some(Value::Null | Value::Bool(false)), _) => false,
            (Some(Value::Number(number)), Self::Unless(neutral)) => {
                number.as_f64() != Some(neutral)
            }
            (Some(Value::Array(list)), _) => !list.is_empty(),
            (Some(Value::Object(keys)), _) => !keys.is_empty(),
            (Some(Value::String(text)), _) => !text.is_empty(),
            (Some(Value::Bool(true) | Value::Number(_)), _) => true,
        }
    }
}

/// The value of a setting for messages. Lists of tokens can be long.
pub fn shown(value: Option<&Value>) -> String {
    const MOST: usize = 40;
    let value = value.unwrap_or(&Value::Null).to_string();
    if value.chars().count() <= MOST {
        return value;
    }
    value.chars().take(MOST).chain("...".chars()).collect()
}

/// Checks the keys of a `generation_config.json`, or of a `config.json`.
pub fn check(keys: &Map<String, Value>) -> Result<(), Unsupported> {
    first(&ALWAYS, keys)
}

/// Checks the keys that act while tokens are sampled.
pub fn check_sampling(keys: &Map<String, Value>) -> Result<(), Unsupported> {
    first(&SAMPLING, keys)
}

fn first(settings: &[Setting], keys: &Map<String, Value>) -> Result<(), Unsupported> {
    match settings.iter().find(|(key, when, _)| when.is_on(keys.get(*key))) {
        Some(&(key, _, neutral)) => Err(Unsupported { key, value: shown(keys.get(key)), neutral }),
        None => Ok(()),
    }
}
