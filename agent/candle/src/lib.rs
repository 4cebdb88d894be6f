//! The models of candle-transformers as they are: an engine to compare with, not to serve with.
//!
//! Prompts, limits and stop rules are those of `generation`, the weights those of `checkpoint`, so that
//! nothing but the computation differs. One request at a time, greedy, on the CPU, in f32 or with the
//! blocks of a GGUF file; everything else is an error. What is known to be wrong in candle is a note of
//! the engine.

mod blocks;
mod compute;
mod settings;

use ::checkpoint::Tensors;
use compute::OneRow;
use engine::files::{self, Blob, ModelSource, Weights};
use generation::compute::{self as seam, Compute};
use generation::tokenizer::PromptForm;
use generation::{Architecture, Opened};
use model::engine::{Dtype, EngineName, EngineSpec};
use seq2seq::config::Family;
use settings::Settings;

/// The release of candle-transformers.
pub const VERSION: &str = "0.11.1";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Model(Box<generation::Error>),
    #[error("engine candle has no model_type `{found}`: expected {list}, or engine native", list = EngineName::OF_CANDLE.join(", "))]
    ModelType { found: String },
    #[error(
        "engine candle computes in f32, or with the blocks of a GGUF file: set dtype f32 or gguf instead of {dtype}, or engine native"
    )]
    Dtype { dtype: Dtype },
    #[error("engine candle has no unmerged adapters: set adapter mode merged, or engine native")]
    Unmerged,
    #[error(
        "engine candle can't merge an adapter into the blocks of a GGUF file: set dtype f32, or engine native"
    )]
    AdaptedBlocks,
    #[error("engine candle ignores {key} of {file}: use engine native")]
    Ignored { file: String, key: &'static str },
}

impl From<generation::Error> for Error {
    fn from(error: generation::Error) -> Self {
        Self::Model(Box::new(error))
    }
}

/// The threads that candle computes blocks and the attention of Qwen3 with, whoever calls it.
pub fn own_threads() -> usize {
    // The caller works as well.
    candle_core::utils::barrier_pool().n_workers() + 1
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Checks the files of a model of this type, except the values of its weights.
pub fn open(
    spec: &EngineSpec,
    source: &'static dyn ModelSource,
    model: files::Model,
    model_type: &str,
) -> Result<Opened, Error> {
    if !EngineName::OF_CANDLE.contains(&model_type) {
        return Err(Error::ModelType { found: model_type.to_owned() });
    }
    if !EngineName::DTYPES_OF_CANDLE.contains(&spec.dtype) {
        return Err(Error::Dtype { dtype: spec.dtype });
    }
    if spec.unmerged().is_some() {
        return Err(Error::Unmerged);
    }
    if spec.adapter.is_some() && spec.dtype == Dtype::Gguf {
        return Err(Error::AdaptedBlocks);
    }
    let file = model.config.name().to_owned();
    let text = model.config.text().map_err(generation::Error::from)?;
    let settings = Settings::parse(&text, model_type, spec.dtype);
    let settings =
        settings.map_err(|source| generation::Error::Config { file: file.clone(), source })?;
    if let Some(key) = settings.ignored() {
        return Err(Error::Ignored { file, key });
    }
    Ok(generation::open(spec, source, model, |file, weights| {
        Ok(Box::new(Candle::open(settings, file, weights)?))
    })?)
}

/// A model that candle has, with the tensors that fit it.
#[derive(Debug)]
struct Candle {
    settings: Settings,
    tensors: Tensors,
    prompt: String,
}

impl Candle {
    fn open(settings: Settings, file: &Blob, weights: Weights) -> Result<Self, generation::Error> {
        let (tensors, prompt) = match &settings {
            Settings::T5(config) => {
                let text = file.text()?;
                let prompt = seq2seq::config::default_prompt(text.as_bytes(), Family::T5);
                let unusable = |source: seq2seq::config::Error| generation::Error::Config {
                    file: file.name().to_owned(),
                    source: source.into(),
                };
                let tensors = Tensors::open(Box::new(config.clone()), weights)?;
                (tensors, prompt.map_err(unusable)?)
            }
            Settings::Causal(config) | Settings::Blocks(config) => {
                let tensors = Tensors::open(Box::new(config.clone()), weights)?;
                (tensors, causal::DEFAULT_PROMPT.to_owned())
            }
        };
        Ok(Self { settings, tensors, prompt })
    }
}

impl Architecture for Candle {
    fn tensors(&self) -> &Tensors {
        &self.tensors
    }

    fn tensors_mut(&mut self) -> &mut Tensors {
        &mut self.tensors
    }

    fn vocabulary(&self) -> usize {
        match &self.settings {
            Settings::T5(config) => config.vocabulary,
            Settings::Causal(config) | Settings::Blocks(config) => config.vocabulary,
        }
    }

    fn prompt_form(&self) -> PromptForm {
        match &self.settings {
            Settings::T5(config) => config.prompt_form(),
            Settings::Causal(config) => PromptForm::of_tokenizer(config.positions),
            Settings::Blocks(config) => PromptForm::of_tokenizer(blocks::positions(config)),
        }
    }

    fn default_prompt(&self) -> &str {
        &self.prompt
    }

    fn device(&self) -> &'static str {
        "cpu"
    }

    fn kernel(&self, _: Dtype) -> String {
        self.settings.kernel()
    }

    fn dtypes(&self) -> &'static [Dtype] {
        let all = EngineName::DTYPES_OF_CANDLE;
        if self.tensors.gguf_file().is_some() { all } else { &all[..1] }
    }

    fn continuous_batching(&self) -> bool {
        false
    }

    fn continues_prompts(&self) -> bool {
        !matches!(self.settings, Settings::T5(_))
    }

    fn is_greedy_only(&self) -> bool {
        true
    }

    fn notes(&self) -> Vec<String> {
        self.settings.defects()
    }

    fn load(&self, _: Dtype, threads: usize) -> Result<Box<dyn Compute>, seam::Error> {
        let loaded = OneRow::load(&self.settings, &self.tensors, threads);
        let row = loaded.map_err(|error| match error {
            compute::Error::Checkpoint(error) => seam::Error::Checkpoint(error),
            other => seam::Error::Device(other.into()),
        })?;
        Ok(Box::new(row))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_that_of_the_lock_file() {
        let lock = include_str!("../../../Cargo.lock");
        let locked = format!("name = \"candle-transformers\"\nversion = \"{}\"\n", super::VERSION);
        assert!(lock.contains(&locked));
    }
}
