//! Decoder-only models: Qwen2 and 2.5, Qwen3, Llama 3.x and what has their architecture.
//!
//! [`open`] reads the configuration and checks the tensors; `generation` does the rest.

pub mod checkpoint;
pub mod config;
pub mod cpu;
mod layout;
mod rope;

use ::checkpoint::Tensors;
use checkpoint::Checkpoint;
use config::Config;
use cpu::CpuModel;
use engine::files::{Model, ModelSource};
use generation::compute::{self, Compute};
use generation::tokenizer::PromptForm;
use generation::{Architecture, Error, Opened};
use model::engine::{Dtype, EngineSpec};

/// The prompt of a model if none is specified, within its chat template.
pub const DEFAULT_PROMPT: &str = "Summarize: {dialogue}";

/// Checks the files of a model, except the values of its weights.
pub fn open(
    spec: &EngineSpec,
    source: &'static dyn ModelSource,
    model: Model,
) -> Result<Opened, Error> {
    generation::open(spec, source, model, |file, weights| {
        let unusable = |source: config::Error| Error::Config {
            file: file.name().to_owned(),
            source: source.into(),
        };
        let config = Config::parse(file.text()?.as_bytes()).map_err(unusable)?;
        Ok(Box::new(Checkpoint::open(&config, weights)?))
    })
}

impl Architecture for Checkpoint {
    fn tensors(&self) -> &Tensors {
        &self.tensors
    }

    fn tensors_mut(&mut self) -> &mut Tensors {
        &mut self.tensors
    }

    fn vocabulary(&self) -> usize {
        self.config.vocabulary
    }

    fn prompt_form(&self) -> PromptForm {
        PromptForm::of_tokenizer(self.config.positions)
    }

    fn default_prompt(&self) -> &'static str {
        DEFAULT_PROMPT
    }

    fn device(&self) -> &'static str {
        "cpu"
    }

    fn kernel(&self, dtype: Dtype) -> String {
        cpu::kernel(self.config.family, kernels::Dispatch::best(), dtype)
    }

    fn dtypes(&self) -> &'static [Dtype] {
        let all = &[Dtype::Gguf, Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Int8, Dtype::Q4];
        if self.tensors.gguf_file().is_some() { all } else { &all[1..] }
    }

    fn continuous_batching(&self) -> bool {
        cpu::CONTINUOUS_BATCHING
    }

    fn verifies_drafts(&self) -> bool {
        cpu::VERIFIES_DRAFTS
    }

    fn continues_prompts(&self) -> bool {
        true
    }

    fn load(&self, dtype: Dtype, threads: usize) -> Result<Box<dyn Compute>, compute::Error> {
        Ok(Box::new(CpuModel::load(self, dtype, kernels::Dispatch::best(), threads)?))
    }
}
