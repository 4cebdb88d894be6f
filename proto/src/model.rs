//! What is run: dtypes, scenarios, and an engine's description.

use crate::endpoint::Endpoint;
use crate::wire;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A word that isn't in a fixed list.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown {what} \"{found}\": one of {}", expected.join(", "))]
pub struct Unknown {
    /// Which list.
    pub what: &'static str,
    /// The word.
    pub found: String,
    /// The list.
    pub expected: &'static [&'static str],
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, { $($(#[$item_doc:meta])* $item:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$item_doc])* $item),+ }

        impl $name {
            /// All of them, as written.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// Its word, in TOML, on the wire and in reports.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$item => $word),+ }
            }
        }

        impl FromStr for $name {
            type Err = Unknown;

            fn from_str(word: &str) -> Result<Self, Unknown> {
                match word {
                    $($word => Ok(Self::$item),)+
                    _ => Err(Unknown { what: $what, found: word.to_owned(), expected: Self::WORDS }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use words;

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
    /// How requests arrive.
    Scenario, "scenario", {
        /// All requests are there; batches follow each other at once.
        Offline = "offline",
        /// One request at a time.
        SingleStream = "single_stream",
        /// Requests arrive by a rate.
        Server = "server",
        /// Sustained load for a duration.
        Stress = "stress",
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

impl From<&EngineSpec> for wire::Engine {
    fn from(spec: &EngineSpec) -> Self {
        Self {
            model: spec.model.clone(),
            revision: spec.revision.clone().unwrap_or_default(),
            adapter: spec.adapter.clone().unwrap_or_default(),
            tokenizer: spec.tokenizer.clone().unwrap_or_default(),
            dtype: spec.dtype.as_str().to_owned(),
            adapter_mode: spec.adapter_mode.as_str().to_owned(),
            endpoint: spec.endpoint.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<wire::Engine> for EngineSpec {
    type Error = Unknown;

    fn try_from(wire: wire::Engine) -> Result<Self, Unknown> {
        let given = |text: String| (!text.is_empty()).then_some(text);
        Ok(Self {
            dtype: wire.dtype.parse()?,
            // A controller of protocol 1.0 doesn't say.
            adapter_mode: given(wire.adapter_mode)
                .map_or(Ok(AdapterMode::default()), |word| word.parse())?,
            model: wire.model,
            revision: given(wire.revision),
            adapter: given(wire.adapter),
            tokenizer: given(wire.tokenizer),
            endpoint: wire.endpoint.map(Endpoint::from),
        })
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

impl From<EngineFacts> for wire::EngineFacts {
    fn from(facts: EngineFacts) -> Self {
        Self {
            model_sha256: facts.model_sha256.unwrap_or_default(),
            endpoint: facts.endpoint.unwrap_or_default(),
            adapter_sha256: facts.adapter_sha256.unwrap_or_default(),
            tokenizer_sha256: facts.tokenizer_sha256.unwrap_or_default(),
            revision: facts.revision.unwrap_or_default(),
            device: facts.device,
            kernel: facts.kernel,
            parameters: facts.parameters,
            model_size_bytes: facts.model_size_bytes,
            random_weights: facts.random_weights,
            played: facts.played,
            admits: facts.admits,
            notes: facts.notes,
        }
    }
}

impl From<wire::EngineFacts> for EngineFacts {
    fn from(wire: wire::EngineFacts) -> Self {
        let given = |text: String| (!text.is_empty()).then_some(text);
        Self {
            model_sha256: given(wire.model_sha256),
            endpoint: given(wire.endpoint),
            adapter_sha256: given(wire.adapter_sha256),
            tokenizer_sha256: given(wire.tokenizer_sha256),
            revision: given(wire.revision),
            device: wire.device,
            kernel: wire.kernel,
            parameters: wire.parameters,
            model_size_bytes: wire.model_size_bytes,
            random_weights: wire.random_weights,
            played: wire.played,
            admits: wire.admits,
            notes: wire.notes,
        }
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

    #[test]
    fn words_and_serde_agree() {
        for word in Scenario::WORDS {
            let scenario: Scenario = word.parse().unwrap();
            assert_eq!(scenario.as_str(), *word);
        }
    }
}
