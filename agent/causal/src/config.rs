//! Parses `config.json` of decoder-only models, in the forms of transformers 4 and 5.
//!
//! What would change the result and is not implemented is an error that names the key. The keys of
//! generation are read by [`generation::generation_config`].

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::fmt;

/// `model_type` of the families.
pub const MODEL_TYPES: [&str; 4] = ["qwen2", "qwen3", "llama", "mistral"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Qwen2,
    Qwen3,
    Llama,
    Mistral,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub family: Family,
    /// Rows of the embedding and the head; tokenizers may have fewer tokens.
    pub vocabulary: usize,
    /// Of the residual stream.
    pub width: usize,
    pub blocks: usize,
    /// Of the queries.
    pub heads: usize,
    /// Of keys and values. Each serves as many queries as the others.
    pub key_heads: usize,
    /// Elements of one head's query, key or value.
    pub head_width: usize,
    /// Width inside the feed-forward layers.
    pub d_ff: usize,
    /// Added to the mean square in norms.
    pub epsilon: f32,
    /// Whether queries and keys are normed by head.
    pub has_head_norms: bool,
    pub biases: Biases,
    pub rope: RopeConfig,
    /// How many tokens a prompt and its output may have together.
    pub positions: usize,
    /// Whether the configuration ties the head to the embedding.
    pub claims_tied_head: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Biases {
    None,
    QueryKeyValue,
    /// Of queries, keys, values and the output.
    Attention,
}

/// Rotary positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeConfig {
    pub theta: f64,
    pub scaling: Option<Llama3Scaling>,
}

/// Stretches the waves that are longer than the context in training.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Llama3Scaling {
    pub factor: f64,
    #[serde(rename = "low_freq_factor")]
    pub low: f64,
    #[serde(rename = "high_freq_factor")]
    pub high: f64,
    #[serde(rename = "original_max_position_embeddings")]
    pub original: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not the config of a model")]
    Json(#[from] serde_json::Error),
    #[error("unsupported model_type `{0}`: expected {list}", list = MODEL_TYPES.join(", "))]
    ModelType(String),
    #[error("architectures = {found}: expected [\"{expected}\"]")]
    Architecture { found: String, expected: &'static str },
    #[error("{key} = {value} is not supported: expected {expected}")]
    Unsupported { key: String, value: String, expected: &'static str },
    #[error("{key} is missing: expected {expected}")]
    Missing { key: &'static str, expected: &'static str },
    #[error("{key} = {value}: expected {expected}")]
    Value { key: &'static str, value: String, expected: &'static str },
    #[error("{key} = {found}: expected {least} to {most}")]
    Range { key: &'static str, found: usize, least: usize, most: usize },
    #[error("num_key_value_heads = {key_heads}: does not divide num_attention_heads = {heads}")]
    Heads { heads: usize, key_heads: usize },
    #[error("head_dim = {0}: expected an even number")]
    Odd(usize),
}

impl Family {
    fn of(model_type: &str) -> Option<Self> {
        Some(match model_type {
            "qwen2" => Self::Qwen2,
            "qwen3" => Self::Qwen3,
            "llama" => Self::Llama,
            "mistral" => Self::Mistral,
            _ => return None,
        })
    }

    /// The class in transformers.
    fn class(self) -> &'static str {
        match self {
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Llama => "llama",
            Self::Mistral => "mistral",
        })
    }
}

/// When a key that is not supported changes the result.
#[derive(Clone, Copy)]
enum Acts {
    /// With any value but this word.
    Unless(&'static str),
    /// With a value other than null, false or empty.
    IfSet,
}

/// Keys of these and related architectures that are not supported, and the value without effect.
const UNSUPPORTED: [(&str, Acts, &str); 16] = [
    ("attn_logit_softcapping", Acts::IfSet, "null"),
    ("attention_chunk_size", Acts::IfSet, "null"),
    ("attention_multiplier", Acts::IfSet, "null"),
    ("embedding_multiplier", Acts::IfSet, "null"),
    ("final_logit_softcapping", Acts::IfSet, "null"),
    ("hidden_act", Acts::Unless("silu"), "silu"),
    ("logits_scaling", Acts::IfSet, "null"),
    ("mlp_bias", Acts::IfSet, "false"),
    ("moe_intermediate_size", Acts::IfSet, "a model without experts"),
    ("no_rope_layers", Acts::IfSet, "null"),
    ("num_experts", Acts::IfSet, "a model without experts"),
    ("num_local_experts", Acts::IfSet, "a model without experts"),
    ("qk_layernorm", Acts::IfSet, "false"),
    ("quantization_config", Acts::IfSet, "weights in F32, F16 or BF16"),
    ("residual_multiplier", Acts::IfSet, "null"),
    ("use_sliding_window", Acts::IfSet, "false"),
];

const SIZE: &str = "a number above 0";

/// The largest known models have a fraction of these.
const MOST_ROWS: usize = 1 << 24;
const MOST_WIDTH: usize = 1 << 20;
const MOST_BLOCKS: usize = 1 << 12;

impl Config {
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let keys = Keys(serde_json::from_slice(text)?);
        let model_type: String = keys.read("model_type", "a word")?.unwrap_or_default();
        let family = Family::of(&model_type).ok_or(Error::ModelType(model_type))?;
        keys.check_class(family)?;
        keys.check_supported()?;
        let positions = keys.size("max_position_embeddings", MOST_ROWS)?;
        keys.check_window(family, positions)?;
        let (width, heads) =
            (keys.size("hidden_size", MOST_WIDTH)?, keys.size("num_attention_heads", MOST_BLOCKS)?);
        let key_heads = keys.optional_size("num_key_value_heads", MOST_BLOCKS)?.unwrap_or(heads);
        if !heads.is_multiple_of(key_heads) {
            return Err(Error::Heads { heads, key_heads });
        }
        let head_width = match (keys.optional_size("head_dim", MOST_WIDTH)?, family) {
            (Some(width), _) => width,
            (None, Family::Qwen3) => 128,
            (None, _) => width / heads,
        };
        if head_width == 0 || !head_width.is_multiple_of(2) {
            return Err(Error::Odd(head_width));
        }
        let has_bias = keys.read("attention_bias", "true or false")?.unwrap_or(false);
        let biases = match family {
            Family::Qwen2 => Biases::QueryKeyValue,
            Family::Qwen3 | Family::Llama if has_bias => Biases::Attention,
            Family::Qwen3 | Family::Llama | Family::Mistral => Biases::None,
        };
        Ok(Self {
            family,
            vocabulary: keys.size("vocab_size", MOST_ROWS)?,
            width,
            blocks: keys.size("num_hidden_layers", MOST_BLOCKS)?,
            heads,
            key_heads,
            head_width,
            d_ff: keys.size("intermediate_size", MOST_WIDTH)?,
            epsilon: keys.epsilon()?,
            has_head_norms: family == Family::Qwen3,
            biases,
            rope: keys.rope()?,
            positions,
            claims_tied_head: keys.read("tie_word_embeddings", "true or false")?.unwrap_or(false),
        })
    }

    /// Width of all queries together.
    pub fn queries(&self) -> usize {
        self.heads * self.head_width
    }

    /// Width of all keys together, and of all values.
    pub fn keys(&self) -> usize {
        self.key_heads * self.head_width
    }
}

struct Keys(Map<String, Value>);

impl Keys {
    /// A value other than null.
    fn value(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn read<T: DeserializeOwned>(
        &self,
        key: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let wrong = |_| Error::Value { key, value: value.to_string(), expected };
        T::deserialize(value).map(Some).map_err(wrong)
    }

    fn optional_size(&self, key: &'static str, most: usize) -> Result<Option<usize>, Error> {
        let Some(found) = self.read(key, SIZE)? else { return Ok(None) };
        let fits = (1..=most).contains(&found);
        fits.then_some(Some(found)).ok_or(Error::Range { key, found, least: 1, most })
    }

    fn size(&self, key: &'static str, most: usize) -> Result<usize, Error> {
        self.optional_size(key, most)?.ok_or(Error::Missing { key, expected: SIZE })
    }

    #[expect(clippy::cast_possible_truncation, reason = "norms are computed in f32")]
    fn epsilon(&self) -> Result<f32, Error> {
        let (key, expected) = ("rms_norm_eps", "a number between 0 and 1, exclusive");
        let epsilon: f64 = self.read(key, expected)?.unwrap_or(1e-6);
        if epsilon > 0.0 && epsilon < 1.0 {
            return Ok(epsilon as f32);
        }
        Err(Error::Value { key, value: epsilon.to_string(), expected })
    }

    /// Other classes, such as one with a head for classes of texts, have other layers.
    fn check_class(&self, family: Family) -> Result<(), Error> {
        let (key, expected) = ("architectures", family.class());
        let Some(found) = self.value(key) else { return Ok(()) };
        let is_class = |name: &Value| name.as_str() == Some(expected);
        if found.as_array().is_some_and(|names| names.iter().any(is_class)) {
            return Ok(());
        }
        Err(Error::Architecture { found: found.to_string(), expected })
    }

    fn unsupported(&self, key: &str, expected: &'static str) -> Error {
        let value = self.0.get(key).unwrap_or(&Value::Null).to_string();
        Error::Unsupported { key: key.to_owned(), value, expected }
    }

    fn check_supported(&self) -> Result<(), Error> {
        let acts = |key: &str, when: Acts| match (self.value(key), when) {
            (None | Some(Value::Bool(false)), _) => false,
            (Some(value), Acts::Unless(word)) => value.as_str() != Some(word),
            (Some(Value::Array(list)), _) => !list.is_empty(),
            (Some(Value::Object(keys)), _) => !keys.is_empty(),
            (Some(_), Acts::IfSet) => true,
        };
        match UNSUPPORTED.into_iter().find(|(key, when, _)| acts(key, *when)) {
            Some((key, _, expected)) => Err(self.unsupported(key, expected)),
            None => Ok(()),
        }
    }

    /// A window limits what a token sees. Llama and, unless `use_sliding_window` is on, Qwen have
    /// none, whatever `sliding_window` says.
    fn check_window(&self, family: Family, positions: usize) -> Result<(), Error> {
        let key = "layer_types";
        let is_full = |layer: &Value| layer.as_str() == Some("full_attention");
        let are_full = |layers: &Vec<Value>| layers.iter().all(is_full);
        if self.value(key).is_some_and(|layers| !layers.as_array().is_some_and(are_full)) {
            return Err(self.unsupported(key, "full_attention in every layer"));
        }
        let key = "sliding_window";
        let window: Option<usize> = self.read(key, SIZE)?;
        match window.filter(|window| family == Family::Mistral && *window < positions) {
            Some(_) => Err(self.unsupported(key, "null")),
            None => Ok(()),
        }
    }

    /// `rope_parameters` of transformers 5, or `rope_theta` and `rope_scaling` of transformers 4.
    fn rope(&self) -> Result<RopeConfig, Error> {
        let expected = "an object of numbers";
        let own: Map<String, Value> = self
            .read("rope_parameters", expected)?
            .or(self.read("rope_scaling", expected)?)
            .unwrap_or_default();
        let key = if self.value("rope_parameters").is_some() {
            "rope_parameters"
        } else {
            "rope_scaling"
        };
        let named = |name: &str| own.get(name).filter(|value| !value.is_null());
        let theta = named("rope_theta").or(self.value("rope_theta"));
        let theta = match theta.map(|value| (value, value.as_f64())) {
            None => 10_000.0,
            Some((_, Some(theta))) if theta > 1.0 && theta.is_finite() => theta,
            Some((value, _)) => {
                let (key, expected) = ("rope_theta", "a number above 1");
                return Err(Error::Value { key, value: value.to_string(), expected });
            }
        };
        for place in [named("partial_rotary_factor"), self.value("partial_rotary_factor")] {
            if place.is_some_and(|factor| factor.as_f64() != Some(1.0)) {
                let value = place.unwrap_or(&Value::Null).to_string();
                let key = "partial_rotary_factor".to_owned();
                return Err(Error::Unsupported { key, value, expected: "1.0" });
            }
        }
        let kind = named("rope_type").or(named("type")).unwrap_or(&Value::Null);
        let scaling = match kind.as_str() {
            Some("default") | None if kind.is_null() || kind.is_string() => None,
            Some("llama3") => {
                let value = Value::Object(own.clone());
                let wrong = |_| Error::Value {
                    key,
                    value: Value::Object(own.clone()).to_string(),
                    expected: "factor, low_freq_factor, high_freq_factor and \
                               original_max_position_embeddings",
                };
                let scaling = Llama3Scaling::deserialize(value).map_err(wrong)?;
                let Llama3Scaling { factor, low, high, original } = scaling;
                if !(factor >= 1.0 && low > 0.0 && high > low && original > 0) {
                    let value = Value::Object(own.clone()).to_string();
                    let expected = "factor at least 1, and high_freq_factor above low_freq_factor \
                                    above 0";
                    return Err(Error::Value { key, value, expected });
                }
                Some(scaling)
            }
            _ => {
                let key = format!("{key}.rope_type");
                let expected = "default or llama3";
                return Err(Error::Unsupported { key, value: kind.to_string(), expected });
            }
        };
        Ok(RopeConfig { theta, scaling })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA: &str = r#""model_type": "llama", "vocab_size": 100, "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 256"#;

    fn with(keys: &str) -> Result<Config, Error> {
        Config::parse(format!("{{{LLAMA}, {keys}}}").as_bytes())
    }

    #[test]
    fn both_forms_of_positions_are_the_same() {
        let scaling = r#""factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64, "rope_type": "llama3""#;
        let four = with(&format!(r#""rope_theta": 5e5, "rope_scaling": {{{scaling}}}"#)).unwrap();
        let five =
            with(&format!(r#""rope_parameters": {{{scaling}, "rope_theta": 5e5}}"#)).unwrap();
        let expected = Llama3Scaling { factor: 8.0, low: 1.0, high: 4.0, original: 64 };
        assert_eq!(four.rope, RopeConfig { theta: 5e5, scaling: Some(expected) });
        assert_eq!(four, five);
        let plain = RopeConfig { theta: 1e6, scaling: None };
        for keys in [
            r#""rope_theta": 1e6, "rope_scaling": null"#,
            r#""rope_parameters": {"rope_type": "default", "rope_theta": 1e6}"#,
        ] {
            assert_eq!(with(keys).unwrap().rope, plain, "{keys}");
        }
        assert_eq!(
            with(r#""rope_scaling": null"#).unwrap().rope.theta.to_bits(),
            1e4_f64.to_bits()
        );
    }

    #[test]
    fn heads_are_as_wide_as_the_config_or_the_family_says() {
        let qwen3 = LLAMA.replace("llama", "qwen3");
        let parse = |text: String| Config::parse(text.as_bytes()).unwrap();
        assert_eq!(parse(format!("{{{LLAMA}}}")).head_width, 8);
        assert_eq!(parse(format!("{{{qwen3}}}")).head_width, 128);
        let own = parse(format!(r#"{{{qwen3}, "head_dim": 24}}"#));
        assert_eq!((own.head_width, own.queries(), own.keys()), (24, 96, 48));
        assert_eq!((own.has_head_norms, own.biases), (true, Biases::None));
        let qwen2 = parse(format!("{{{}}}", LLAMA.replace("llama", "qwen2")));
        assert_eq!((qwen2.has_head_norms, qwen2.biases), (false, Biases::QueryKeyValue));
        assert_eq!(with(r#""attention_bias": true"#).unwrap().biases, Biases::Attention);
    }

    #[test]
    fn what_changes_the_result_is_refused_by_name() {
        let error = |keys: &str| with(keys).unwrap_err().to_string();
        for (keys, expected) in [
            (r#""hidden_act": "gelu""#, "hidden_act = \"gelu\" is not supported: expected silu"),
            (
                r#""num_local_experts": 8"#,
                "num_local_experts = 8 is not supported: expected a model without experts",
            ),
            (
                r#""final_logit_softcapping": 30.0"#,
                "final_logit_softcapping = 30.0 is not supported: expected null",
            ),
            (r#""mlp_bias": true"#, "mlp_bias = true is not supported: expected false"),
            (
                r#""layer_types": ["full_attention", "sliding_attention"]"#,
                "layer_types = [\"full_attention\",\"sliding_attention\"] is not supported: expected \
                 full_attention in every layer",
            ),
            (
                r#""rope_scaling": {"type": "yarn", "factor": 4.0}"#,
                "rope_scaling.rope_type = \"yarn\" is not supported: expected default or llama3",
            ),
            (
                r#""rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}"#,
                "partial_rotary_factor = 0.5 is not supported: expected 1.0",
            ),
            (
                r#""architectures": ["LlamaForSequenceClassification"]"#,
                "architectures = [\"LlamaForSequenceClassification\"]: expected [\"LlamaForCausalLM\"]",
            ),
            (
                r#""rms_norm_eps": 0"#,
                "rms_norm_eps = 0: expected a number between 0 and 1, exclusive",
            ),
            (r#""head_dim": 7"#, "head_dim = 7: expected an even number"),
        ] {
            assert_eq!(error(keys), expected, "{keys}");
        }
        let qwen = |keys: &str| {
            Config::parse(format!("{{{}, {keys}}}", LLAMA.replace("llama", "qwen2")).as_bytes())
        };
        let window = qwen(r#""use_sliding_window": true, "sliding_window": 128"#).unwrap_err();
        assert!(window.to_string().starts_with("use_sliding_window = true is not supported"));
        qwen(r#""use_sliding_window": false, "sliding_window": 128, "max_window_layers": 1"#)
            .unwrap();
    }

    #[test]
    fn a_window_of_mistral_counts_if_it_is_shorter_than_the_context() {
        let mistral = |window: &str| {
            let keys = LLAMA.replace("llama", "mistral");
            Config::parse(format!(r#"{{{keys}, "sliding_window": {window}}}"#).as_bytes())
        };
        mistral("null").unwrap();
        mistral("256").unwrap();
        let error = mistral("128").unwrap_err().to_string();
        assert_eq!(error, "sliding_window = 128 is not supported: expected null");
    }

    #[test]
    fn sizes_that_do_not_fit_are_errors() {
        let change = |from: &str, to: &str| {
            Config::parse(format!("{{{}}}", LLAMA.replace(from, to)).as_bytes())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            change("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3"),
            "num_key_value_heads = 3: does not divide num_attention_heads = 4"
        );
        assert_eq!(
            change("\"hidden_size\": 32,", ""),
            "hidden_size is missing: expected a number above 0"
        );
        assert_eq!(
            change("\"vocab_size\": 100", "\"vocab_size\": 0"),
            "vocab_size = 0: expected 1 to 16777216"
        );
        assert_eq!(
            change("llama", "gemma"),
            "unsupported model_type `gemma`: expected qwen2, qwen3, llama, mistral"
        );
    }
}
