//! Encoder-decoder models: T5, BART and PEGASUS.
//!
//! [`open`] reads the configuration and checks the tensors; `generation` does the rest.

pub mod candle;
pub mod checkpoint;
pub mod config;
pub mod cpu;
pub mod device;
pub mod gpu;
pub mod layout;
pub mod position;

use crate::gpu::{GpuModel, Launches};
use ::checkpoint::Tensors;
use checkpoint::Checkpoint;
use config::Config;
use cpu::CpuModel;
use device::Device;
use engine::files::{Model, ModelSource};
use generation::compute::{self, Compute};
use generation::tokenizer::PromptForm;
use generation::{Architecture, Error, Opened};
use model::engine::{Dtype, EngineSpec};

/// Checks the files of a model, except the values of its weights.
pub fn open(
    spec: &EngineSpec,
    source: &'static dyn ModelSource,
    model: Model,
    device: &Device,
) -> Result<Opened, Error> {
    generation::open(spec, source, model, |file, weights| {
        let unusable = |source: config::Error| Error::Config {
            file: file.name().to_owned(),
            source: source.into(),
        };
        let text = file.text()?;
        let config = Config::parse(text.as_bytes()).map_err(unusable)?;
        let prompt = config::default_prompt(text.as_bytes(), config.family).map_err(unusable)?;
        if device.gpu().is_some() {
            let fits = crate::gpu::check(&config, spec);
            fits.map_err(|error| Error::Device(error.into()))?;
        }
        let checkpoint = Checkpoint::open(&config, weights)?;
        Ok(Box::new(EncoderDecoder { checkpoint, prompt, device: device.clone() }))
    })
}

#[derive(Debug)]
struct EncoderDecoder {
    checkpoint: Checkpoint,
    /// With the placeholder for the dialogue.
    prompt: String,
    device: Device,
}

impl Architecture for EncoderDecoder {
    fn tensors(&self) -> &Tensors {
        &self.checkpoint.tensors
    }

    fn tensors_mut(&mut self) -> &mut Tensors {
        &mut self.checkpoint.tensors
    }

    fn vocabulary(&self) -> usize {
        self.checkpoint.config.vocabulary
    }

    fn prompt_form(&self) -> PromptForm {
        self.checkpoint.config.prompt_form()
    }

    fn default_prompt(&self) -> &str {
        &self.prompt
    }

    fn device(&self) -> &str {
        self.device.name()
    }

    fn kernel(&self, dtype: Dtype) -> String {
        let family = self.checkpoint.config.family;
        match self.device.gpu() {
            Some(_) => crate::gpu::kernel(family, dtype),
            None => cpu::kernel(family, kernels::Dispatch::best(), dtype),
        }
    }

    fn continuous_batching(&self) -> bool {
        match self.device.gpu() {
            Some(_) => crate::gpu::CONTINUOUS_BATCHING,
            None => cpu::CONTINUOUS_BATCHING,
        }
    }

    fn verifies_drafts(&self) -> bool {
        self.device.gpu().is_none() && cpu::VERIFIES_DRAFTS
    }

    fn load(&self, dtype: Dtype, threads: usize) -> Result<Box<dyn Compute>, compute::Error> {
        let checkpoint = &self.checkpoint;
        Ok(match self.device.gpu() {
            Some(gpu) => Box::new(GpuModel::load(checkpoint, gpu, dtype, Launches::Graph)?),
            None => {
                Box::new(CpuModel::load(checkpoint, dtype, kernels::Dispatch::best(), threads)?)
            }
        })
    }
}
