//! Engines: what is loaded, and what was found.

use super::given;
use crate::wire;
use model::endpoint::Endpoint;
use model::engine::{AskedEngine, EngineFacts, EngineSpec};
use model::generation::Generation;
use model::words::Unknown;

impl From<&AskedEngine> for wire::Engine {
    fn from(asked: &AskedEngine) -> Self {
        let spec = &asked.spec;
        Self {
            model: spec.model.clone(),
            revision: spec.revision.clone().unwrap_or_default(),
            adapter: spec.adapter.clone().unwrap_or_default(),
            tokenizer: spec.tokenizer.clone().unwrap_or_default(),
            dtype: spec.dtype.as_str().to_owned(),
            adapter_mode: spec.adapter_mode.as_str().to_owned(),
            endpoint: spec.endpoint.as_ref().map(Into::into),
            engine: spec.engine.as_str().to_owned(),
            generation: Some((&asked.generation).into()),
        }
    }
}

impl TryFrom<wire::Engine> for AskedEngine {
    type Error = Unknown;

    fn try_from(wire: wire::Engine) -> Result<Self, Unknown> {
        let spec = EngineSpec {
            dtype: wire.dtype.parse()?,
            adapter_mode: wire.adapter_mode.parse()?,
            model: wire.model,
            revision: given(wire.revision),
            adapter: given(wire.adapter),
            tokenizer: given(wire.tokenizer),
            endpoint: wire.endpoint.map(Endpoint::from),
            engine: given(wire.engine).map(|word| word.parse()).transpose()?.unwrap_or_default(),
        };
        let generation = Generation::try_from(wire.generation.unwrap_or_default())?;
        Ok(Self { spec, generation })
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
            synthetic_time: facts.synthetic_time,
            continuous_batching: facts.continuous_batching,
            notes: facts.notes,
            decoding: facts.decoding.map(Into::into),
            prompt: facts.prompt.unwrap_or_default(),
            system: facts.system,
        }
    }
}

impl TryFrom<wire::EngineFacts> for EngineFacts {
    type Error = Unknown;

    fn try_from(wire: wire::EngineFacts) -> Result<Self, Unknown> {
        Ok(Self {
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
            synthetic_time: wire.synthetic_time,
            continuous_batching: wire.continuous_batching,
            notes: wire.notes,
            decoding: wire.decoding.map(TryInto::try_into).transpose()?,
            prompt: given(wire.prompt),
            system: wire.system,
        })
    }
}
