//! Request and response bodies: the format of Hugging Face's inference containers, plus timing and
//! token counts.

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invocation {
    /// Complete prompts.
    pub(super) inputs: Inputs,
    #[serde(default)]
    pub(super) parameters: Parameters,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Inputs {
    One(String),
    Several(Vec<String>),
}

impl Inputs {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Several(texts) => texts,
        }
    }
}

/// Decoding is greedy; only the limits are adjustable.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Parameters {
    max_new_tokens: Option<u32>,
    max_input_tokens: Option<u32>,
    /// Whether to return token ids.
    pub(super) details: bool,
}

/// Limits in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_input_tokens: u32,
    pub max_new_tokens: u32,
}

impl Invocation {
    pub(super) fn limits(&self, most: Limits) -> Result<Limits, String> {
        let within = |name: &str, asked: Option<u32>, most: u32| match asked {
            None => Ok(most),
            Some(asked) if (1..=most).contains(&asked) => Ok(asked),
            Some(asked) => Err(format!("parameters.{name}: expected 1 to {most}, found {asked}")),
        };
        let Parameters { max_new_tokens, max_input_tokens, .. } = self.parameters;
        Ok(Limits {
            max_input_tokens: within("max_input_tokens", max_input_tokens, most.max_input_tokens)?,
            max_new_tokens: within("max_new_tokens", max_new_tokens, most.max_new_tokens)?,
        })
    }
}

#[derive(Debug, Serialize)]
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
    fn what_nobody_acts_on_is_refused_by_name() {
        let sampling = limits(r#"{"inputs": "a", "parameters": {"do_sample": true}}"#);
        assert!(sampling.unwrap_err().contains("do_sample"));
        let long = limits(r#"{"inputs": "a", "parameters": {"max_new_tokens": 201}}"#);
        assert_eq!(long.unwrap_err(), "parameters.max_new_tokens: expected 1 to 200, found 201");
    }
}
