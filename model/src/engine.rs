//! An inference engine: what to load, and what the agent found.

use crate::endpoint::Endpoint;
use crate::generation::{Decoding, Generation};
use crate::words;
use serde::{Deserialize, Serialize};

words!(
    /// The format of stored weights and of the matrix products.
    Dtype, "dtype", {
        F32 = "f32",
        /// IEEE 754 half precision.
        F16 = "f16",
        Bf16 = "bf16",
        /// With one scale per row.
        Int8 = "int8",
        /// 4 bits with a scale for each group of 32.
        Q4 = "q4",
        /// As a GGUF file has them.
        Gguf = "gguf",
    }
);

words!(
    /// Whose implementation computes a model that an agent loads.
    #[derive(Default)]
    EngineName, "engine", {
        /// Fleetmark's own.
        #[default]
        Native = "native",
        /// The models of candle-transformers as they are.
        Candle = "candle",
    }
);

impl EngineName {
    /// `model_type` of the models that candle's engine computes.
    pub const OF_CANDLE: [&str; 4] = ["t5", "qwen2", "qwen3", "llama"];

    /// Those that candle's engine computes in: the blocks are those of a GGUF file.
    pub const DTYPES_OF_CANDLE: &[Dtype] = &[Dtype::F32, Dtype::Gguf];
}

words!(
    /// How a LoRA adapter's weights are applied.
    #[derive(Default)]
    AdapterMode, "adapter mode", {
        /// Added to the base weights when the model is loaded.
        #[default]
        Merged = "merged",
        /// Kept apart from the base weights, so that adapters can be swapped without a reload.
        Unmerged = "unmerged",
    }
);

/// The model, adapter, tokenizer and dtype that an agent loads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EngineSpec {
    /// `builtin:tiny`, `dummy:flan-t5-base`, `scripted:FILE`, a directory, a hub id, `https://...`
    pub model: String,
    /// Commit or branch of a hub id.
    pub revision: Option<String>,
    /// A PEFT LoRA adapter.
    pub adapter: Option<String>,
    /// Ignored without an adapter.
    pub adapter_mode: AdapterMode,
    /// Replaces the model's own tokenizer.
    pub tokenizer: Option<String>,
    /// For an endpoint: as declared in the matrix.
    pub dtype: Dtype,
    /// How to query the model if it is an endpoint.
    pub endpoint: Option<Endpoint>,
    /// Of a model that the agent loads.
    #[serde(default)]
    pub engine: EngineName,
}

impl EngineSpec {
    pub fn unmerged(&self) -> Option<&str> {
        self.adapter.as_deref().filter(|_| self.adapter_mode == AdapterMode::Unmerged)
    }

    /// The same engine without its adapter.
    #[must_use]
    pub fn base(&self) -> Self {
        Self { adapter: None, adapter_mode: AdapterMode::default(), ..self.clone() }
    }
}

/// An engine, and what it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct AskedEngine {
    pub spec: EngineSpec,
    pub generation: Generation,
}

/// What an agent found out about an engine. A null hash or revision is "does not apply".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EngineFacts {
    /// Over all weight and configuration files; null for an endpoint, whose files are out of reach.
    pub model_sha256: Option<String>,
    /// The endpoint's address; then what is measured is not the agent's machine.
    pub endpoint: Option<String>,
    pub adapter_sha256: Option<String>,
    /// Null if the model takes and returns token ids only.
    pub tokenizer_sha256: Option<String>,
    /// The commit that was loaded, for hub ids.
    pub revision: Option<String>,
    /// `cpu`, `cuda:0`, or [`EngineFacts::ENDPOINT`].
    pub device: String,
    /// The implementation of the computation, such as `t5 avx512`.
    pub kernel: String,
    pub parameters: u64,
    /// Size of the weights in this dtype.
    pub model_size_bytes: u64,
    /// The summaries have no meaning.
    pub random_weights: bool,
    /// Times come from a script, not from a clock.
    pub synthetic_time: bool,
    /// Requests can join a batch that is being decoded.
    pub continuous_batching: bool,
    /// What the engine decodes with. Null for an endpoint and a script, and in campaigns of earlier
    /// versions.
    #[serde(default)]
    pub decoding: Option<Decoding>,
    /// With its placeholder for the dialogue. Null in campaigns of earlier versions, whose matrix has
    /// the prompt of all models.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The system message that is asked for. Null without one, and in campaigns of earlier versions,
    /// which had none.
    #[serde(default)]
    pub system: Option<String>,
    pub notes: Vec<String>,
}

impl EngineFacts {
    /// [`EngineFacts::device`] of an endpoint.
    pub const ENDPOINT: &str = "endpoint";

    /// Whether the model runs on a GPU of the agent's machine.
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
        assert_eq!(
            error.to_string(),
            "unknown dtype `fp8`: expected one of f32, f16, bf16, int8, q4, gguf"
        );
    }
}
