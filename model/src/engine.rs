//! An engine: what is loaded, and what was found.

use crate::endpoint::Endpoint;
use crate::words;
use serde::{Deserialize, Serialize};

words!(
    /// How weights are stored and multiplied.
    Dtype, "dtype", {
        /// 32-bit float.
        F32 = "f32",
        /// 16-bit IEEE float.
        F16 = "f16",
        /// 16-bit brain float.
        Bf16 = "bf16",
        /// 8-bit integer with a scale per row.
        Int8 = "int8",
    }
);

words!(
    /// What becomes of an adapter's weights.
    AdapterMode, "adapter mode", {
        /// They are added to the base's weights when the model is loaded.
        Merged = "merged",
        /// They stay beside the base's weights, and can be exchanged without loading those again.
        Unmerged = "unmerged",
    }
);

#[expect(clippy::derivable_impls, reason = "the words of an enum come from a macro")]
impl Default for AdapterMode {
    fn default() -> Self {
        Self::Merged
    }
}

/// What an agent is to load: model, adapter, tokenizer and dtype.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EngineSpec {
    /// `builtin:tiny`, `dummy:flan-t5-base`, `scripted:FILE`, a directory, a hub id, `https://...` ...
    pub model: String,
    /// Commit or branch of a hub id.
    pub revision: Option<String>,
    /// A PEFT LoRA adapter.
    pub adapter: Option<String>,
    /// What becomes of its weights; means nothing without one.
    #[serde(default)]
    pub adapter_mode: AdapterMode,
    /// Where the model brings no tokenizer, or another is wanted.
    pub tokenizer: Option<String>,
    /// How weights are stored and multiplied; of an endpoint, what the matrix says of it.
    pub dtype: Dtype,
    /// How it is asked, where `model` is an endpoint.
    #[serde(default)]
    pub endpoint: Option<Endpoint>,
}

impl EngineSpec {
    /// The adapter that stays beside the base's weights.
    pub fn unmerged(&self) -> Option<&str> {
        self.adapter.as_deref().filter(|_| self.adapter_mode == AdapterMode::Unmerged)
    }

    /// The same without its adapter.
    #[must_use]
    pub fn base(&self) -> Self {
        Self { adapter: None, adapter_mode: AdapterMode::default(), ..self.clone() }
    }
}

/// What an agent found when it looked at an engine's files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EngineFacts {
    /// Over all weight and configuration files; null where the model is an endpoint: nobody here sees its files.
    pub model_sha256: Option<String>,
    /// Where the model is asked, if it isn't in the agent: what is measured is not the agent's machine.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Null without an adapter.
    pub adapter_sha256: Option<String>,
    /// Null where the model serves token ids only.
    pub tokenizer_sha256: Option<String>,
    /// The commit that was loaded, for hub ids.
    pub revision: Option<String>,
    /// `cpu`, `cuda:0`; `endpoint` where nobody here knows.
    pub device: String,
    /// Which implementation computes.
    pub kernel: String,
    /// How many weights the model has.
    pub parameters: u64,
    /// The weights in this dtype.
    pub model_size_bytes: u64,
    /// The model has no quality.
    pub random_weights: bool,
    /// Times come from a script, not from a clock.
    pub played: bool,
    /// Requests may enter while others are decoded.
    #[serde(default)]
    pub admits: bool,
    /// What a reader of the report should know.
    pub notes: Vec<String>,
}

impl EngineFacts {
    /// What [`EngineFacts::device`] says of an endpoint.
    pub const ENDPOINT: &str = "endpoint";

    /// Whether it infers on a GPU of the agent's machine.
    pub fn is_on_gpu(&self) -> bool {
        self.endpoint.is_none() && self.device != "cpu"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_dtype_lists_the_known_ones() {
        let error = "fp8".parse::<Dtype>().unwrap_err();
        assert_eq!(error.to_string(), "unknown dtype \"fp8\": one of f32, f16, bf16, int8");
    }
}
