//! Which modules of the base an adapter's configuration gives an adapter, as in peft 0.21.2
//! (`check_target_module_exists`).

use super::pattern::{self, Pattern};
use serde_json::{Map, Value};

#[derive(Debug)]
pub(super) struct Targets {
    modules: Names,
    excluded: Option<Names>,
    layers: Layers,
}

/// Modules by their last names, or by an expression of their whole names.
#[derive(Debug)]
enum Names {
    AllLinear,
    Last(Vec<String>),
    Whole(Pattern),
}

/// Limits modules that are targeted by their last names.
#[derive(Debug)]
struct Layers {
    /// All if empty.
    indices: Vec<u64>,
    /// The names before the index; any if empty.
    lists: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{key} must be {expected}")]
    Type { key: &'static str, expected: &'static str },
    #[error(transparent)]
    Pattern(#[from] pattern::Error),
}

/// What peft adapts in T5 and mT5, and in BART, if the configuration names nothing.
const DEFAULT: [&str; 4] = ["q", "v", "q_proj", "v_proj"];

impl Targets {
    pub(super) fn parse(raw: &Map<String, Value>) -> Result<Self, Error> {
        let modules = match names(raw, "target_modules")? {
            Some(names) => names,
            None => Names::Last(DEFAULT.map(str::to_owned).to_vec()),
        };
        let whole = |value: &Value| value.as_u64();
        let indices = match raw.get("layers_to_transform") {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(whole).collect(),
            Some(one) => whole(one).map(|index| vec![index]),
        };
        let expected = "a number or a list of numbers";
        let indices = indices.ok_or(Error::Type { key: "layers_to_transform", expected })?;
        let lists = strings(raw, "layers_pattern")?.unwrap_or_default();
        let layers = Layers { indices, lists };
        Ok(Self { modules, excluded: names(raw, "exclude_modules")?, layers })
    }

    pub(super) fn contain(&self, module: &str) -> Result<bool, Error> {
        if let Some(excluded) = &self.excluded
            && excluded.contain(module)?
        {
            return Ok(false);
        }
        let is_limited = match &self.modules {
            Names::Last(names) => !names.iter().any(|name| name == module),
            _ => false,
        };
        Ok(self.modules.contain(module)? && (!is_limited || self.layers.contain(module)))
    }
}

impl Names {
    fn contain(&self, module: &str) -> Result<bool, Error> {
        match self {
            // All but the head.
            Self::AllLinear => Ok(module != "lm_head"),
            Self::Last(names) => Ok(names.iter().any(|name| {
                module
                    .strip_suffix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })),
            Self::Whole(pattern) => Ok(pattern.matches(module)?),
        }
    }
}

impl Layers {
    /// By the first index, after a name of the lists if there are any.
    fn contain(&self, module: &str) -> bool {
        if self.indices.is_empty() {
            return true;
        }
        let parts: Vec<&str> = module.split('.').collect();
        // Without a list, a name comes before the one that is followed by the index.
        let first = usize::from(self.lists.is_empty());
        let index = parts.windows(2).enumerate().skip(first).find_map(|(_, pair)| {
            let is_listed = self.lists.is_empty() || self.lists.iter().any(|list| list == pair[0]);
            is_listed.then(|| pair[1].parse::<u64>().ok()).flatten()
        });
        index.is_some_and(|index| self.indices.contains(&index))
    }
}

fn names(raw: &Map<String, Value>, key: &'static str) -> Result<Option<Names>, Error> {
    Ok(match raw.get(key) {
        Some(Value::String(all)) if all == "all-linear" && key == "target_modules" => {
            Some(Names::AllLinear)
        }
        Some(Value::String(pattern)) if !pattern.is_empty() => {
            Some(Names::Whole(Pattern::of_names(key, pattern)?))
        }
        _ => strings(raw, key)?.map(Names::Last),
    })
}

/// A string or a list of strings; `None` if there is none.
fn strings(raw: &Map<String, Value>, key: &'static str) -> Result<Option<Vec<String>>, Error> {
    let strings: Option<Vec<String>> = match raw.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(one)) if one.is_empty() => return Ok(None),
        Some(Value::String(one)) => Some(vec![one.clone()]),
        Some(Value::Array(list)) => {
            list.iter().map(|name| name.as_str().map(str::to_owned)).collect()
        }
        Some(_) => None,
    };
    let strings = strings.ok_or(Error::Type { key, expected: "a name or a list of names" })?;
    Ok((!strings.is_empty()).then_some(strings))
}

#[cfg(test)]
mod tests {
    use super::*;

    const Q: &str = "decoder.block.1.layer.0.SelfAttention.q";
    const WO: &str = "encoder.block.0.layer.1.DenseReluDense.wo";

    fn contain(config: &str, module: &str) -> bool {
        let raw: Map<String, Value> = serde_json::from_str(config).unwrap();
        Targets::parse(&raw).unwrap().contain(module).unwrap()
    }

    #[test]
    fn modules_are_those_that_peft_adapts() {
        for (config, q, wo) in [
            (r#"{"target_modules": ["q", "wo"]}"#, true, true),
            (r#"{"target_modules": ["SelfAttention.q", "o"]}"#, true, false),
            (r#"{"target_modules": null}"#, true, false),
            (r#"{"target_modules": "all-linear"}"#, true, true),
            (r#"{"target_modules": ".*decoder.*\\.(q|wo)"}"#, true, false),
            (r#"{"target_modules": "(q|wo)"}"#, false, false),
            (r#"{"target_modules": ["q", "wo"], "exclude_modules": ["wo"]}"#, true, false),
            (r#"{"target_modules": ["q", "wo"], "exclude_modules": ".*encoder.*"}"#, true, false),
            (r#"{"target_modules": ["q", "wo"], "layers_to_transform": [1]}"#, true, false),
            (r#"{"target_modules": ["q", "wo"], "layers_to_transform": 0}"#, false, true),
            (
                r#"{"target_modules": ["q", "wo"], "layers_to_transform": [1], "layers_pattern": "layer"}"#,
                false,
                true,
            ),
        ] {
            assert_eq!((contain(config, Q), contain(config, WO)), (q, wo), "{config}");
        }
        assert!(!contain(r#"{"target_modules": "all-linear"}"#, "lm_head"));
        assert!(contain(r#"{"target_modules": ["lm_head"]}"#, "lm_head"));
    }

    #[test]
    fn modules_of_bart_are_targeted_by_their_names_in_transformers() {
        let q = "model.decoder.layers.1.encoder_attn.q_proj";
        let fc2 = "model.encoder.layers.0.fc2";
        for (config, of_q, of_fc2) in [
            (r#"{"target_modules": ["q_proj", "fc2"]}"#, true, true),
            (r#"{"target_modules": null}"#, true, false),
            (r#"{"target_modules": "model\\.decoder.*_proj"}"#, true, false),
            (r#"{"target_modules": ["q_proj", "fc2"], "layers_to_transform": [0]}"#, false, true),
            (
                r#"{"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "layers"}"#,
                true,
                false,
            ),
        ] {
            assert_eq!((contain(config, q), contain(config, fc2)), (of_q, of_fc2), "{config}");
        }
    }

    #[test]
    fn other_types_are_refused() {
        let raw: Map<String, Value> = serde_json::from_str(r#"{"target_modules": 1}"#).unwrap();
        let error = Targets::parse(&raw).unwrap_err().to_string();
        assert_eq!(error, "target_modules must be a name or a list of names");
    }
}
