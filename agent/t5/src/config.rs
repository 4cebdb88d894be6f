//! Parses and checks `config.json`.
//!
//! Accepts the files of transformers 4 and 5 and ignores unknown keys. Defaults are those of
//! `T5Config` (transformers 5.23, `configuration_t5.py`).

pub use kernels::Activation;

use serde::Deserialize;

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of one head's keys and values.
    pub d_kv: usize,
    pub heads: usize,
    /// Width inside the feed-forward layers.
    pub d_ff: usize,
    pub encoder_blocks: usize,
    pub decoder_blocks: usize,
    /// Rows of the embedding and the head; tokenizers may have fewer tokens.
    pub vocabulary: usize,
    /// Relative position buckets.
    pub buckets: usize,
    /// Larger distances share the last bucket.
    pub max_distance: usize,
    /// Added to the variance in norms.
    pub epsilon: f32,
    pub activation: Activation,
    pub gate: Gate,
    /// The decoder's first input.
    pub start_id: u32,
    /// Tokens that end a row; the first one also ends every prompt.
    pub eos_ids: Vec<u32>,
    /// Whether the configuration ties the head to the embedding.
    pub claims_tied_head: bool,
    /// Factor of the decoder's output before the head: `d_model^-0.5` or 1.
    pub head_scale: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// `wo(act(wi_0 x) * wi_1 x)`.
    Gated,
    /// `wo(act(wi x))`.
    Plain,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not a T5 config")]
    Json(#[from] serde_json::Error),
    #[error("unsupported model_type `{0}`: expected t5 or mt5")]
    ModelType(String),
    #[error("{key} = {found}: expected {least} to {most}")]
    Range { key: &'static str, found: usize, least: usize, most: usize },
    #[error(
        "unsupported feed_forward_proj `{0}`: expected relu, gelu or gelu_new, optionally with the prefix gated-"
    )]
    FeedForward(String),
    #[error("layer_norm_epsilon = {0}: expected a number between 0 and 1, exclusive")]
    Epsilon(f64),
    #[error("{key} = {id}: outside the vocabulary of {vocabulary}")]
    TokenId { key: &'static str, id: u32, vocabulary: usize },
    #[error("eos_token_id is an empty list: no row could end")]
    NoEos,
}

#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    d_model: usize,
    d_kv: usize,
    d_ff: usize,
    num_heads: usize,
    num_layers: usize,
    num_decoder_layers: Option<usize>,
    vocab_size: usize,
    relative_attention_num_buckets: Option<usize>,
    relative_attention_max_distance: Option<usize>,
    layer_norm_epsilon: Option<f64>,
    feed_forward_proj: Option<String>,
    decoder_start_token_id: Option<u32>,
    pad_token_id: Option<u32>,
    eos_token_id: Option<OneOrMany>,
    tie_word_embeddings: Option<bool>,
    scale_decoder_outputs: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl Config {
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let raw: Raw = serde_json::from_slice(text)?;
        if let Some(model_type) = raw.model_type.filter(|kind| kind != "t5" && kind != "mt5") {
            return Err(Error::ModelType(model_type));
        }
        let (activation, gate) = feed_forward(raw.feed_forward_proj.as_deref().unwrap_or("relu"))?;
        let vocabulary = in_range("vocab_size", raw.vocab_size, 2, 1 << 22)?;
        let token_id = |key, id: u32| {
            let known = usize::try_from(id).is_ok_and(|id| id < vocabulary);
            known.then_some(id).ok_or(Error::TokenId { key, id, vocabulary })
        };
        let eos_ids = match raw.eos_token_id {
            None => vec![1],
            Some(OneOrMany::One(id)) => vec![id],
            Some(OneOrMany::Many(ids)) => ids,
        };
        if eos_ids.is_empty() {
            return Err(Error::NoEos);
        }
        for id in &eos_ids {
            token_id("eos_token_id", *id)?;
        }
        let start_id = raw.decoder_start_token_id.or(raw.pad_token_id).unwrap_or(0);
        let d_model = in_range("d_model", raw.d_model, 1, 1 << 16)?;
        let buckets = raw.relative_attention_num_buckets.unwrap_or(32);
        let buckets = in_range("relative_attention_num_buckets", buckets, 4, 1 << 16)?;
        let max_distance = raw.relative_attention_max_distance.unwrap_or(128);
        let epsilon = raw.layer_norm_epsilon.unwrap_or(1e-6);
        let tied = raw.tie_word_embeddings.unwrap_or(true);
        Ok(Self {
            d_model,
            d_kv: in_range("d_kv", raw.d_kv, 1, 1 << 16)?,
            heads: in_range("num_heads", raw.num_heads, 1, 1 << 12)?,
            d_ff: in_range("d_ff", raw.d_ff, 1, 1 << 20)?,
            encoder_blocks: in_range("num_layers", raw.num_layers, 1, 1000)?,
            decoder_blocks: in_range(
                "num_decoder_layers",
                raw.num_decoder_layers.unwrap_or(raw.num_layers),
                1,
                1000,
            )?,
            vocabulary,
            buckets,
            max_distance: in_range(
                "relative_attention_max_distance",
                max_distance,
                buckets / 2 + 1,
                1 << 20,
            )?,
            epsilon: checked_epsilon(epsilon)?,
            activation,
            gate,
            start_id: token_id("decoder_start_token_id", start_id)?,
            eos_ids,
            claims_tied_head: tied,
            head_scale: if raw.scale_decoder_outputs.unwrap_or(tied) {
                (d_model as f32).powf(-0.5)
            } else {
                1.0
            },
        })
    }

    /// Width of all heads together.
    pub fn inner(&self) -> usize {
        self.heads * self.d_kv
    }
}

fn in_range(key: &'static str, found: usize, least: usize, most: usize) -> Result<usize, Error> {
    let fits = (least..=most).contains(&found);
    fits.then_some(found).ok_or(Error::Range { key, found, least, most })
}

#[expect(clippy::cast_possible_truncation, reason = "norms are computed in f32")]
fn checked_epsilon(epsilon: f64) -> Result<f32, Error> {
    if epsilon > 0.0 && epsilon < 1.0 { Ok(epsilon as f32) } else { Err(Error::Epsilon(epsilon)) }
}

/// As in `T5Config.__init__`: the last word is the function, and `gated-gelu` means `gelu_new`.
fn feed_forward(form: &str) -> Result<(Activation, Gate), Error> {
    let (gate, function) = match form.strip_prefix("gated-") {
        Some("gelu") => (Gate::Gated, "gelu_new"),
        Some(function) => (Gate::Gated, function),
        None => (Gate::Plain, form),
    };
    let activation = match function {
        "relu" => Activation::Relu,
        "gelu" => Activation::Gelu,
        "gelu_new" => Activation::GeluTanh,
        _ => return Err(Error::FeedForward(form.to_owned())),
    };
    Ok((activation, gate))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: &str =
        r#""d_model":4,"d_kv":2,"d_ff":8,"num_heads":2,"num_layers":1,"vocab_size":9"#;

    fn parse(more: &str) -> Result<Config, Error> {
        Config::parse(format!("{{{SHAPE}{more}}}").as_bytes())
    }

    #[test]
    fn absent_keys_take_the_defaults_of_transformers() {
        let config = parse("").unwrap();
        assert_eq!((config.buckets, config.max_distance, config.decoder_blocks), (32, 128, 1));
        assert_eq!((config.start_id, config.eos_ids), (0, vec![1]));
        assert_eq!((config.activation, config.gate), (Activation::Relu, Gate::Plain));
        assert!(config.claims_tied_head);
    }

    #[test]
    fn the_scale_follows_its_own_key_before_the_tie() {
        let is_scaled = |more| parse(more).unwrap().head_scale < 1.0;
        assert!(is_scaled(r#","tie_word_embeddings":true"#));
        assert!(!is_scaled(r#","tie_word_embeddings":false"#));
        // A flan-t5 re-saved by transformers 5.
        assert!(!is_scaled(r#","tie_word_embeddings":true,"scale_decoder_outputs":false"#));
        assert!(is_scaled(r#","tie_word_embeddings":false,"scale_decoder_outputs":true"#));
    }

    #[test]
    fn eos_is_a_number_or_a_list() {
        assert_eq!(parse(r#","eos_token_id":2"#).unwrap().eos_ids, [2]);
        assert_eq!(parse(r#","eos_token_id":[1,7]"#).unwrap().eos_ids, [1, 7]);
        assert!(matches!(parse(r#","eos_token_id":[]"#), Err(Error::NoEos)));
    }

    #[test]
    fn the_forms_of_the_feed_forward_layer() {
        for (form, expected) in [
            ("relu", (Activation::Relu, Gate::Plain)),
            ("gelu", (Activation::Gelu, Gate::Plain)),
            ("gated-gelu", (Activation::GeluTanh, Gate::Gated)),
            ("gated-relu", (Activation::Relu, Gate::Gated)),
        ] {
            assert_eq!(feed_forward(form).unwrap(), expected, "{form}");
        }
    }

    #[test]
    fn what_no_t5_has_is_refused_by_name() {
        for (more, message) in [
            (r#","model_type":"bart""#, "unsupported model_type `bart`: expected t5 or mt5"),
            (r#","eos_token_id":9"#, "eos_token_id = 9: outside the vocabulary of 9"),
            (r#","num_decoder_layers":0"#, "num_decoder_layers = 0: expected 1 to 1000"),
            (
                r#","layer_norm_epsilon":0"#,
                "layer_norm_epsilon = 0: expected a number between 0 and 1, exclusive",
            ),
            (
                r#","relative_attention_max_distance":16"#,
                "relative_attention_max_distance = 16: expected 17 to 1048576",
            ),
            (
                r#","feed_forward_proj":"gated-silu""#,
                "unsupported feed_forward_proj `gated-silu`: expected relu, gelu or gelu_new, optionally \
                 with the prefix gated-",
            ),
        ] {
            assert_eq!(parse(more).unwrap_err().to_string(), message);
        }
    }
}
