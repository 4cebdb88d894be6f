//! A configuration and the tensors that fit it.

use crate::config::Config;
use checkpoint::{Error, Tensors, lora};
use engine::files::{self, Weights};

#[derive(Debug)]
pub struct Checkpoint {
    pub config: Config,
    pub tensors: Tensors,
}

impl Checkpoint {
    /// Checks names and shapes of all tensors without reading values.
    pub fn open(config: &Config, weights: Weights) -> Result<Self, Error> {
        let tensors = Tensors::open(Box::new(config.clone()), weights)?;
        Ok(Self { config: config.clone(), tensors })
    }

    /// Merges an adapter into the weights of `model` as tensors are read.
    pub fn adapt(mut self, files: files::Adapter, model: &str) -> Result<Self, lora::Error> {
        self.tensors.adapt(files, model)?;
        Ok(self)
    }
}
