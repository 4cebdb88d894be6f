//! Parses and checks `config.json`: the shape of a model and the recipe of its layers.
//!
//! Accepts the files of transformers 4 and 5 and ignores unknown keys. Each family has a file for
//! its keys and defaults; everything after it reads the recipe only, except for the names of
//! tensors. The keys of generation are read by [`generation::generation_config`].

mod bart;
mod t5;

pub use kernels::Activation;

use generation::generation_config::OneOrMany;
use generation::tokenizer::PromptForm;
use model::generation::{DIALOGUE, INSTRUCTION};
use serde::{Deserialize, Deserializer};
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    Encoder,
    Decoder,
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoder => "encoder",
            Self::Decoder => "decoder",
        })
    }
}

/// Decides the names of tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// T5 and mT5.
    T5,
    Bart,
    Pegasus,
}

impl Family {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::T5 => "t5",
            Self::Bart => "bart",
            Self::Pegasus => "pegasus",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The prompt of a model if none is specified. `text`: its `config.json`.
///
/// T5 was trained with instructions; BART and PEGASUS take the dialogue alone. What
/// `task_specific_params.summarization.prefix` says precedes it, except the `summarize: ` that every
/// checkpoint of T5 copies from the first one, whatever it was trained with.
pub fn default_prompt(text: &[u8], family: Family) -> Result<String, Error> {
    let config: serde_json::Value = serde_json::from_slice(text)?;
    let prefix = config.pointer("/task_specific_params/summarization/prefix");
    let prefix = prefix.and_then(serde_json::Value::as_str).unwrap_or_default();
    Ok(match family {
        Family::T5 if prefix.is_empty() || prefix == "summarize: " => INSTRUCTION.to_owned(),
        Family::T5 | Family::Bart | Family::Pegasus => format!("{prefix}{DIALOGUE}"),
    })
}

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub family: Family,
    /// Width of the residual stream.
    pub d_model: usize,
    pub encoder: StackShape,
    pub decoder: StackShape,
    /// Rows of the embedding and the head; tokenizers may have fewer tokens.
    pub vocabulary: usize,
    pub positions: Positions,
    pub norms: Norms,
    pub biases: Biases,
    pub activation: Activation,
    pub gate: Gate,
    /// Factor of embedded tokens, before positions are added.
    pub embedding_scale: f32,
    pub query_scaling: QueryScaling,
    /// Factor of the decoder's output before the head.
    pub head_scale: f32,
    /// The token that starts every prompt.
    pub prompt_start_id: Option<u32>,
    /// The token that ends every prompt.
    pub prompt_end_id: u32,
    /// Whether the configuration ties the head to the embedding.
    pub claims_tied_head: bool,
}

/// The blocks of the encoder or of the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackShape {
    pub blocks: usize,
    pub heads: usize,
    /// Elements of one head's query, key or value.
    pub head_width: usize,
    /// Width inside the feed-forward layers.
    pub d_ff: usize,
}

impl StackShape {
    /// Width of all heads together.
    pub fn inner(&self) -> usize {
        self.heads * self.head_width
    }
}

/// How attention learns the order of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// Biases of scores by the distance between query and key.
    Relative {
        /// Positions of one bucket share a bias.
        buckets: usize,
        /// Larger distances share the last bucket.
        max_distance: usize,
    },
    /// A trained vector per position, added to the embedding. The table begins with `offset` rows
    /// that no position uses.
    Learned { count: usize, offset: usize },
    /// Sines and cosines, added to the embedding. A table in the checkpoint takes precedence.
    Sinusoidal { count: usize },
}

impl Positions {
    /// How many tokens the encoder and the decoder each accept. `None` if unlimited.
    pub fn limit(&self) -> Option<usize> {
        match self {
            Self::Relative { .. } => None,
            Self::Learned { count, .. } | Self::Sinusoidal { count } => Some(*count),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norms {
    pub kind: NormKind,
    pub place: NormPlace,
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether each stack has one after the embedding.
    pub after_embedding: bool,
    /// Whether each stack has one after its last block.
    pub after_blocks: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// `x / rms(x) * gain`.
    Rms,
    /// `(x - mean(x)) / deviation(x) * gain + bias`.
    Layer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlace {
    /// `x + layer(norm(x))`.
    BeforeLayer,
    /// `norm(x + layer(x))`.
    AfterSum,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Biases {
    None,
    /// Of every linear layer; that of the head is `final_logits_bias`.
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// `wo(act(wi_0 x) * wi_1 x)`.
    Gated,
    /// `wo(act(wi x))`.
    Plain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryScaling {
    None,
    /// By the root of 1 / head width.
    ByWidth,
}

/// `model_type` of the families.
pub const MODEL_TYPES: [&str; 4] = ["t5", "mt5", "bart", "pegasus"];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not the config of a model")]
    Json(#[from] serde_json::Error),
    #[error("unsupported model_type `{0}`: expected {list}", list = MODEL_TYPES.join(", "))]
    ModelType(String),
    #[error("{key} = {found}: expected {least} to {most}")]
    Range { key: &'static str, found: usize, least: usize, most: usize },
    #[error(
        "unsupported feed_forward_proj `{0}`: expected relu, gelu or gelu_new, optionally with the prefix gated-"
    )]
    FeedForward(String),
    #[error("unsupported {key} `{found}`: expected relu, gelu or gelu_new")]
    Activation { key: &'static str, found: String },
    #[error(
        "{key} is null: expected {expected}, or remove the key so that feed_forward_proj decides"
    )]
    Null { key: &'static str, expected: &'static str },
    #[error("layer_norm_epsilon = {0}: expected a number between 0 and 1, exclusive")]
    Epsilon(f64),
    #[error("{key} = {id}: outside the vocabulary of {vocabulary}")]
    TokenId { key: &'static str, id: u32, vocabulary: usize },
    #[error("{key} = {heads}: does not divide d_model = {d_model}")]
    Heads { key: &'static str, heads: usize, d_model: usize },
    #[error("{key} = {found} is not supported for model_type {family}: expected {expected}")]
    Form { key: &'static str, found: bool, expected: bool, family: Family },
}

/// A key that transformers treats differently if it is null than if it is absent.
#[derive(Default)]
enum Key<T> {
    #[default]
    Absent,
    Null,
    Is(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Key<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(value)?.map_or(Self::Null, Self::Is))
    }
}

#[derive(Deserialize)]
struct ModelType {
    model_type: Option<String>,
}

impl Config {
    /// A config without `model_type` is taken for T5's.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let ModelType { model_type } = serde_json::from_slice(text)?;
        match model_type.as_deref() {
            None | Some("t5") => t5::parse(text, t5::Kind::T5),
            Some("mt5") => t5::parse(text, t5::Kind::Mt5),
            Some("bart") => bart::parse(text, Family::Bart),
            Some("pegasus") => bart::parse(text, Family::Pegasus),
            Some(other) => Err(Error::ModelType(other.to_owned())),
        }
    }

    /// What the model expects of its prompts.
    pub fn prompt_form(&self) -> PromptForm {
        PromptForm {
            start: self.prompt_start_id,
            end: Some(self.prompt_end_id),
            longest: self.positions.limit(),
        }
    }

    pub fn stack(&self, stack: Stack) -> &StackShape {
        match stack {
            Stack::Encoder => &self.encoder,
            Stack::Decoder => &self.decoder,
        }
    }

    /// Factor of a stack's queries.
    pub fn query_scale(&self, stack: Stack) -> f32 {
        match self.query_scaling {
            QueryScaling::None => 1.0,
            QueryScaling::ByWidth => (self.stack(stack).head_width as f32).powf(-0.5),
        }
    }
}

fn in_range(key: &'static str, found: usize, least: usize, most: usize) -> Result<usize, Error> {
    let fits = (least..=most).contains(&found);
    fits.then_some(found).ok_or(Error::Range { key, found, least, most })
}

fn in_vocabulary(key: &'static str, id: u32, vocabulary: usize) -> Result<u32, Error> {
    let is_known = usize::try_from(id).is_ok_and(|id| id < vocabulary);
    is_known.then_some(id).ok_or(Error::TokenId { key, id, vocabulary })
}

/// The first of several, or `default`.
fn first_id(ids: Option<OneOrMany>, default: u32) -> u32 {
    ids.and_then(|ids| ids.into_vec().first().copied()).unwrap_or(default)
}

/// By its name in transformers, some of which are names of the same formula.
fn activation(name: &str) -> Option<Activation> {
    Some(match name {
        "relu" => Activation::Relu,
        "gelu" | "gelu_python" => Activation::Gelu,
        "gelu_new" | "gelu_fast" | "gelu_accurate" | "gelu_pytorch_tanh" | "gelu_python_tanh" => {
            Activation::GeluTanh
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_and_the_prefix_of_a_config_decide_the_prompt() {
        let prompt = |prefix: &str, family| {
            let text = format!(
                r#"{{"task_specific_params": {{"summarization": {{{prefix}"num_beams": 4}}}}}}"#
            );
            default_prompt(text.as_bytes(), family).unwrap()
        };
        assert_eq!(default_prompt(b"{}", Family::T5).unwrap(), "Summarize: {dialogue}");
        let stock = r#""prefix": "summarize: ","#;
        assert_eq!(prompt(stock, Family::T5), "Summarize: {dialogue}");
        assert_eq!(prompt(r#""prefix": "minutes: ","#, Family::T5), "minutes: {dialogue}");
        assert_eq!(prompt("", Family::Bart), "{dialogue}");
        assert_eq!(prompt(r#""prefix": null,"#, Family::Pegasus), "{dialogue}");
        assert_eq!(prompt(stock, Family::Bart), "summarize: {dialogue}");
        assert!(default_prompt(b"[", Family::Bart).is_err());
    }
}
