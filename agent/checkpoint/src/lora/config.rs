//! Parses and checks PEFT's `adapter_config.json`.
//!
//! Unsupported settings that would change the result are errors. Keys that are null, false, empty
//! or informational are ignored. Checked against peft 0.21.2.

use super::pattern::{self, Pattern};
use super::targets::{self, Targets};
use serde_json::{Map, Value};

/// Keys that do not change what a saved adapter computes.
const RECORDS: [&str; 20] = [
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "eva_config",
    "fan_in_fan_out",
    "inference_mode",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "revision",
    "runtime_config",
    "task_type",
    "transformers_version",
];

/// Keys that are evaluated.
const READ: [&str; 10] = [
    "alpha_pattern",
    "exclude_modules",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "modules_to_save",
    "rank_pattern",
    "target_modules",
    "use_rslora",
];

/// Initializations that do not modify the base.
const KEEPS_BASE: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// Ranks and scaling of an adapter's modules.
#[derive(Debug)]
pub struct LoraConfig {
    rank: usize,
    alpha: f64,
    ranks: Vec<(Pattern, usize)>,
    alphas: Vec<(Pattern, f64)>,
    by_root: bool,
    /// `ensure_weight_tying`.
    keeps_tie: bool,
    saved: Vec<String>,
    targets: Targets,
    base: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not an adapter config")]
    Json(#[from] serde_json::Error),
    #[error("unsupported peft_type {0}: expected \"LORA\"")]
    Kind(String),
    #[error("{key} must be {expected}")]
    Type { key: &'static str, expected: &'static str },
    #[error(
        "{key} = {value} is not supported: merge the adapter into its model with peft and use the merged model"
    )]
    Unsupported { key: String, value: String },
    #[error(transparent)]
    Pattern(#[from] pattern::Error),
    #[error(transparent)]
    Targets(#[from] targets::Error),
}

impl LoraConfig {
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let raw: Map<String, Value> = serde_json::from_slice(text)?;
        let kind = raw.get("peft_type").unwrap_or(&Value::Null);
        if kind != "LORA" {
            return Err(Error::Kind(kind.to_string()));
        }
        refuse_unsupported(&raw)?;
        let whole = |value: &Value| value.as_u64().and_then(|rank| usize::try_from(rank).ok());
        let rank = raw.get("r").and_then(whole).filter(|rank| *rank > 0);
        let alpha = raw.get("lora_alpha").and_then(Value::as_f64);
        let saved = match raw.get("modules_to_save") {
            None | Some(Value::Null) => Vec::new(),
            Some(list) => serde_json::from_value(list.clone()).map_err(|_| Error::Type {
                key: "modules_to_save",
                expected: "a list of module names",
            })?,
        };
        Ok(Self {
            rank: rank.ok_or(Error::Type { key: "r", expected: "a whole number above 0" })?,
            alpha: alpha.ok_or(Error::Type { key: "lora_alpha", expected: "a number" })?,
            ranks: patterns(&raw, "rank_pattern", whole)?,
            alphas: patterns(&raw, "alpha_pattern", Value::as_f64)?,
            by_root: raw.get("use_rslora").is_some_and(is_set),
            keeps_tie: raw.get("ensure_weight_tying").is_some_and(is_set),
            saved,
            targets: Targets::parse(&raw)?,
            base: raw.get("base_model_name_or_path").and_then(Value::as_str).map(str::to_owned),
        })
    }

    pub fn rank(&self, module: &str) -> Result<usize, Error> {
        Ok(first(&self.ranks, module)?.unwrap_or(self.rank))
    }

    /// The factor of `B A`.
    pub fn scaling(&self, module: &str) -> Result<f32, Error> {
        let alpha = first(&self.alphas, module)?.unwrap_or(self.alpha);
        let rank = self.rank(module)? as f64;
        let scaling = alpha / if self.by_root { rank.sqrt() } else { rank };
        #[expect(clippy::cast_possible_truncation, reason = "weights are merged in f32")]
        Ok(scaling as f32)
    }

    /// For a base whose head is tied to the embedding: an error if the adapter changes both.
    pub fn check_untied(&self) -> Result<(), Error> {
        if self.keeps_tie {
            let (key, value) = ("ensure_weight_tying".to_owned(), "true".to_owned());
            return Err(Error::Unsupported { key, value });
        }
        Ok(())
    }

    /// Whether peft gives this module an adapter. It ignores the tensors of others.
    pub fn targets(&self, module: &str) -> Result<bool, Error> {
        Ok(!self.is_saved(module) && self.targets.contain(module)?)
    }

    /// Whether a module was trained in full.
    pub fn is_saved(&self, module: &str) -> bool {
        let last = |name: &String| module == name || module.ends_with(&format!(".{name}"));
        self.saved.iter().any(last)
    }

    /// The model it was trained on, according to the file.
    pub fn base(&self) -> Option<&str> {
        self.base.as_deref().filter(|base| !base.is_empty())
    }
}

/// The value of the first pattern that matches.
fn first<T: Copy>(patterns: &[(Pattern, T)], module: &str) -> Result<Option<T>, Error> {
    for (pattern, value) in patterns {
        if pattern.matches(module)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

fn patterns<T>(
    raw: &Map<String, Value>,
    key: &'static str,
    value: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<(Pattern, T)>, Error> {
    match raw.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(patterns)) => patterns
            .iter()
            .map(|(pattern, found)| {
                let found = value(found)
                    .ok_or(Error::Type { key, expected: "a number for every pattern" })?;
                Ok((Pattern::of_ends(key, pattern)?, found))
            })
            .collect(),
        Some(_) => Err(Error::Type { key, expected: "an object" }),
    }
}

/// Whether a value is other than null, false, zero or empty.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is_set) => *is_set,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(keys) => !keys.is_empty(),
    }
}

fn refuse_unsupported(raw: &Map<String, Value>) -> Result<(), Error> {
    let saves = raw.get("modules_to_save").is_some_and(is_set);
    for (key, value) in raw {
        let is_fine = match key.as_str() {
            // Some initializations subtract a part of the base.
            "init_lora_weights" => !value.is_string() || KEEPS_BASE.iter().any(|way| value == way),
            "ensure_weight_tying" => !is_set(value) || !saves,
            key => !is_set(value) || RECORDS.contains(&key) || READ.contains(&key),
        };
        if !is_fine {
            return Err(Error::Unsupported { key: key.clone(), value: value.to_string() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &str) -> Result<LoraConfig, Error> {
        LoraConfig::parse(
            format!(r#"{{"peft_type": "LORA", "r": 4, "lora_alpha": 8{more}}}"#).as_bytes(),
        )
    }

    #[test]
    fn the_first_pattern_that_matches_the_end_of_a_name_decides() {
        let config = parse(
            r#", "rank_pattern": {"block.1.layer.1.EncDecAttention.v": 6, "v": 2},
                "alpha_pattern": {".*decoder.*q": 20}, "use_rslora": false"#,
        )
        .unwrap();
        assert_eq!(config.rank("decoder.block.1.layer.1.EncDecAttention.v").unwrap(), 6);
        assert_eq!(config.rank("decoder.block.0.layer.1.EncDecAttention.v").unwrap(), 2);
        assert_eq!(config.rank("decoder.block.0.layer.1.EncDecAttention.kv").unwrap(), 4);
        let scaling = |module| config.scaling(module).unwrap();
        assert!((scaling("decoder.block.0.layer.0.SelfAttention.q") - 5.0).abs() < 1e-6);
        assert!((scaling("encoder.block.0.layer.0.SelfAttention.q") - 2.0).abs() < 1e-6);
    }

    #[test]
    fn patterns_can_look_ahead_and_behind() {
        let config =
            parse(r#", "rank_pattern": {"^(?!encoder).*\\.q$": 6, "(?<=EncDecAttention\\.)v": 2}"#)
                .unwrap();
        let rank = |module| config.rank(module).unwrap();
        assert_eq!(rank("decoder.block.0.layer.0.SelfAttention.q"), 6);
        assert_eq!(rank("encoder.block.0.layer.0.SelfAttention.q"), 4);
        assert_eq!(rank("decoder.block.0.layer.1.EncDecAttention.v"), 2);
        assert_eq!(rank("decoder.block.0.layer.0.SelfAttention.v"), 4);
        let invalid = parse(r#", "rank_pattern": {"(?!": 6}"#).unwrap_err().to_string();
        assert_eq!(invalid, "rank_pattern: invalid pattern `(?!`");
    }

    #[test]
    fn rank_stabilized_adapters_are_scaled_by_the_root() {
        assert!(
            (parse(r#", "use_rslora": true"#).unwrap().scaling("q").unwrap() - 4.0).abs() < 1e-6
        );
    }

    #[test]
    fn keys_that_are_off_are_passed_over() {
        let off = r#", "use_dora": false, "layer_replication": null, "target_parameters": [],
            "kasa_config": null, "a_key_of_the_future": {}, "megatron_core": "megatron.core",
            "qalora_group_size": 16, "init_lora_weights": true, "ensure_weight_tying": false"#;
        assert!(parse(off).is_ok());
    }

    #[test]
    fn keys_that_change_the_result_are_refused_by_name() {
        for (key, value) in [
            ("use_dora", "true"),
            ("use_qalora", "true"),
            ("lora_bias", "true"),
            ("layer_replication", "[[0,2]]"),
            ("target_parameters", "[\"wi\"]"),
            ("trainable_token_indices", "[5]"),
            ("init_lora_weights", "\"pissa\""),
            ("a_key_of_the_future", "1"),
        ] {
            let error = parse(&format!(r#", "{key}": {value}"#)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{key} = {value} is not supported")), "{error}");
        }
        let other = LoraConfig::parse(br#"{"peft_type": "IA3"}"#).unwrap_err().to_string();
        assert_eq!(other, "unsupported peft_type \"IA3\": expected \"LORA\"");
        assert_eq!(
            parse(r#", "rank_pattern": {"q": 0.5}"#).unwrap_err().to_string(),
            "rank_pattern must be a number for every pattern"
        );
    }
}
