//! Request and response bodies: the format of Hugging Face's inference containers, plus timing and
//! token counts.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invocation {
    /// Complete prompts.
    inputs: Inputs,
    parameters: Option<Parameters>,
    stream: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Inputs {
    One(String),
    Several(Vec<String>),
}

impl Inputs {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Several(texts) => texts,
        }
    }
}

/// Decoding is greedy; only the limits are adjustable. Other settings of transformers and of
/// Hugging Face's containers are accepted with values that change nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub(super) struct Parameters {
    max_new_tokens: Option<u32>,
    max_input_tokens: Option<u32>,
    /// Whether to return token ids.
    pub(super) details: bool,
    pub(super) truncation: Truncation,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Truncation {
    #[default]
    Allowed,
    /// Longer prompts are refused.
    Forbidden,
}

/// The values of a setting that change nothing.
enum Neutral {
    Is(bool),
    Equals(f64),
    Empty,
    /// Any value: it acts only beside a setting that is refused.
    Any,
}

const NEUTRAL: [(&str, Neutral); 21] = [
    ("bad_words_ids", Neutral::Empty),
    ("best_of", Neutral::Equals(1.0)),
    ("decoder_input_details", Neutral::Is(false)),
    ("diversity_penalty", Neutral::Any),
    ("do_sample", Neutral::Is(false)),
    ("early_stopping", Neutral::Any),
    ("encoder_no_repeat_ngram_size", Neutral::Equals(0.0)),
    ("length_penalty", Neutral::Any),
    ("min_length", Neutral::Equals(0.0)),
    ("min_new_tokens", Neutral::Equals(0.0)),
    ("no_repeat_ngram_size", Neutral::Equals(0.0)),
    ("num_beam_groups", Neutral::Equals(1.0)),
    ("num_beams", Neutral::Equals(1.0)),
    ("num_return_sequences", Neutral::Equals(1.0)),
    ("repetition_penalty", Neutral::Equals(1.0)),
    ("return_full_text", Neutral::Is(false)),
    ("seed", Neutral::Any),
    ("stop", Neutral::Empty),
    ("stop_sequences", Neutral::Empty),
    ("use_cache", Neutral::Any),
    ("watermark", Neutral::Is(false)),
];

/// Some servers sample if one of these is set, so it needs `do_sample: false` or these values.
const SAMPLING: [(&str, f64); 4] =
    [("temperature", 1.0), ("top_k", 50.0), ("top_p", 1.0), ("typical_p", 1.0)];

impl TryFrom<Map<String, Value>> for Parameters {
    type Error = String;

    fn try_from(mut given: Map<String, Value>) -> Result<Self, String> {
        given.retain(|_, value| !value.is_null());
        let mut tokens = |key: &str| match given.remove(key) {
            None => Ok(None),
            Some(value) => match value.as_u64().map(u32::try_from) {
                Some(Ok(tokens)) => Ok(Some(tokens)),
                _ => Err(format!("parameters.{key}: expected a number of tokens, found {value}")),
            },
        };
        let (max_new_tokens, max_input_tokens) =
            (tokens("max_new_tokens")?, tokens("max_input_tokens")?);
        let details = match given.remove("details") {
            None => false,
            Some(Value::Bool(details)) => details,
            Some(value) => {
                return Err(format!("parameters.details: expected true or false, found {value}"));
            }
        };
        let truncation = match given.remove("truncation") {
            None | Some(Value::Bool(true)) => Truncation::Allowed,
            Some(Value::Bool(false)) => Truncation::Forbidden,
            Some(Value::String(how)) if how == "only_first" || how == "longest_first" => {
                Truncation::Allowed
            }
            Some(Value::String(how)) if how == "do_not_truncate" => Truncation::Forbidden,
            Some(value) => {
                return Err(format!(
                    "parameters.truncation: expected true or false, found {value}"
                ));
            }
        };
        for (key, value) in &given {
            check_neutral(key, value, &given)?;
        }
        Ok(Self { max_new_tokens, max_input_tokens, details, truncation })
    }
}

/// Whether one of the settings changes nothing.
fn check_neutral(key: &str, value: &Value, settings: &Map<String, Value>) -> Result<(), String> {
    let refused = |expected: &str| {
        Err(format!(
            "parameters.{key} = {value} is not supported: generation is greedy; expected {expected}"
        ))
    };
    if let Some((_, neutral)) = SAMPLING.iter().find(|(known, _)| *known == key) {
        let is_greedy = settings.get("do_sample") == Some(&Value::Bool(false));
        if is_greedy || value.as_f64() == Some(*neutral) {
            return Ok(());
        }
        return refused(&format!("{neutral}, or do_sample = false"));
    }
    let Some((_, neutral)) = NEUTRAL.iter().find(|(known, _)| *known == key) else {
        return Err(format!(
            "unknown parameter `{key}`: expected max_new_tokens, max_input_tokens, details or truncation"
        ));
    };
    match neutral {
        Neutral::Any => Ok(()),
        Neutral::Is(neutral) if value == neutral => Ok(()),
        Neutral::Is(neutral) => refused(&neutral.to_string()),
        Neutral::Equals(neutral) if value.as_f64() == Some(*neutral) => Ok(()),
        Neutral::Equals(neutral) => refused(&neutral.to_string()),
        Neutral::Empty if value.as_array().is_some_and(Vec::is_empty) => Ok(()),
        Neutral::Empty => refused("an empty list"),
    }
}

/// Limits in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_input_tokens: u32,
    pub max_new_tokens: u32,
}

impl Invocation {
    /// The complete prompts, and how to decode them.
    pub(super) fn into_parts(self) -> (Vec<String>, Parameters) {
        (self.inputs.into_vec(), self.parameters.unwrap_or_default())
    }

    pub(super) fn limits(&self, most: Limits) -> Result<Limits, String> {
        if self.stream == Some(true) {
            return Err("stream = true is not supported: expected false".to_owned());
        }
        let within = |name: &str, asked: Option<u32>, most: u32| match asked {
            None => Ok(most),
            Some(asked) if (1..=most).contains(&asked) => Ok(asked),
            Some(asked) => Err(format!("parameters.{name}: expected 1 to {most}, found {asked}")),
        };
        let (max_new_tokens, max_input_tokens) = self
            .parameters
            .as_ref()
            .map_or((None, None), |given| (given.max_new_tokens, given.max_input_tokens));
        Ok(Limits {
            max_input_tokens: within("max_input_tokens", max_input_tokens, most.max_input_tokens)?,
            max_new_tokens: within("max_new_tokens", max_new_tokens, most.max_new_tokens)?,
        })
    }
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Summary {
    pub(super) generated_text: Option<String>,
    pub(super) input_tokens: Option<u32>,
    /// Including `</s>`.
    pub(super) output_tokens: Option<u32>,
    /// `eos` or `length`.
    pub(super) finish: &'static str,
    /// From the arrival of the request, including queueing.
    pub(super) server_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_ids: Option<Vec<u32>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Limits = Limits { max_input_tokens: 512, max_new_tokens: 200 };

    fn limits(body: &str) -> Result<Limits, String> {
        let invocation: Invocation =
            serde_json::from_str(body).map_err(|error| error.to_string())?;
        invocation.limits(MOST)
    }

    #[test]
    fn what_is_not_asked_for_is_the_most() {
        assert_eq!(limits(r#"{"inputs": "a"}"#), Ok(MOST));
        let asked = limits(r#"{"inputs": ["a", "b"], "parameters": {"max_new_tokens": 3}}"#);
        assert_eq!(asked, Ok(Limits { max_new_tokens: 3, ..MOST }));
    }

    #[test]
    fn settings_that_change_nothing_are_accepted() {
        let neutral = r#"{"inputs": "a", "parameters": {"do_sample": false, "num_beams": 1,
            "truncation": true, "temperature": 0.7, "top_p": 0.9, "num_return_sequences": 1,
            "repetition_penalty": 1.0, "length_penalty": 2.0, "early_stopping": true,
            "no_repeat_ngram_size": 0, "return_full_text": false, "stop": [], "min_length": null}}"#;
        assert_eq!(limits(neutral), Ok(MOST));
        assert_eq!(limits(r#"{"inputs": "a", "parameters": {"temperature": 1.0}}"#), Ok(MOST));
        assert_eq!(limits(r#"{"inputs": "a", "parameters": null, "stream": false}"#), Ok(MOST));
        assert!(limits(r#"{"inputs": "a", "stream": true}"#).is_err());
        let truncation = |value: &str| {
            let body = format!(r#"{{"inputs": "a", "parameters": {{"truncation": {value}}}}}"#);
            serde_json::from_str::<Invocation>(&body).map(|it| it.into_parts().1.truncation).ok()
        };
        assert_eq!(truncation("\"longest_first\""), Some(Truncation::Allowed));
        assert_eq!(truncation("false"), Some(Truncation::Forbidden));
        assert_eq!(truncation("\"do_not_truncate\""), Some(Truncation::Forbidden));
        assert_eq!(truncation("3"), None);
    }

    #[test]
    fn settings_that_would_change_the_tokens_are_refused_with_their_value() {
        for (parameters, reason) in [
            (
                r#""do_sample": true"#,
                "do_sample = true is not supported: generation is greedy; expected false",
            ),
            (
                r#""num_beams": 4"#,
                "num_beams = 4 is not supported: generation is greedy; expected 1",
            ),
            (r#""temperature": 0.5"#, "expected 1, or do_sample = false"),
            (r#""stop": ["."]"#, "expected an empty list"),
            (r#""max_length": 20"#, "unknown parameter `max_length`: expected max_new_tokens"),
            (
                r#""max_new_tokens": "3""#,
                "max_new_tokens: expected a number of tokens, found \"3\"",
            ),
        ] {
            let body = format!(r#"{{"inputs": "a", "parameters": {{{parameters}}}}}"#);
            let error = limits(&body).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn what_nobody_acts_on_is_refused_by_name() {
        let sampling = limits(r#"{"inputs": "a", "parameters": {"do_sample": true}}"#);
        assert!(sampling.unwrap_err().contains("do_sample"));
        let long = limits(r#"{"inputs": "a", "parameters": {"max_new_tokens": 201}}"#);
        assert_eq!(long.unwrap_err(), "parameters.max_new_tokens: expected 1 to 200, found 201");
    }
}
