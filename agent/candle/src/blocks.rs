//! The models of candle that compute with the blocks of a GGUF file.

use ::checkpoint::Tensors;
use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::{self, MAX_SEQ_LEN};
use candle_transformers::models::{quantized_qwen2, quantized_qwen3};
use causal::config::{Config, Family};
use std::io::BufReader;

/// In ggml's names.
const EMBEDDING: &str = "token_embd.weight";
const HEAD: &str = "output.weight";

pub(super) enum Model {
    Llama(quantized_llama::ModelWeights),
    Qwen2(quantized_qwen2::ModelWeights),
    Qwen3(quantized_qwen3::ModelWeights),
}

/// The longest sequence that candle has rotary angles for.
pub(super) fn positions(config: &Config) -> usize {
    match config.family {
        Family::Llama | Family::Mistral => config.positions.min(MAX_SEQ_LEN),
        Family::Qwen2 | Family::Qwen3 => config.positions,
    }
}

impl Model {
    /// With the size of its weights in bytes.
    pub(super) fn load(config: &Config, tensors: &Tensors) -> candle_core::Result<(Self, u64)> {
        let file = tensors.gguf_file().expect("dtype gguf is refused without a GGUF file");
        let mut reader = BufReader::new(file.reader());
        let content = Content::read(&mut reader)?;
        let weight_bytes = weight_bytes(&content);
        let device = Device::Cpu;
        let model = match config.family {
            Family::Llama | Family::Mistral => Self::Llama(
                quantized_llama::ModelWeights::from_gguf(content, &mut reader, &device)?,
            ),
            Family::Qwen2 => Self::Qwen2(quantized_qwen2::ModelWeights::from_gguf(
                content,
                &mut reader,
                &device,
            )?),
            Family::Qwen3 => Self::Qwen3(quantized_qwen3::ModelWeights::from_gguf(
                content,
                &mut reader,
                &device,
            )?),
        };
        Ok((model, weight_bytes))
    }

    /// Forgets the keys and values of the last request.
    pub(super) fn clear(&mut self) {
        match self {
            Self::Llama(model) => model.clear_kv_cache(),
            Self::Qwen2(model) => model.clear_kv_cache(),
            Self::Qwen3(model) => model.clear_kv_cache(),
        }
    }

    /// The logits after the last of `ids`, `[1, tokens]`, of which `offset` are in the cache.
    pub(super) fn forward(&mut self, ids: &Tensor, offset: usize) -> candle_core::Result<Tensor> {
        match self {
            Self::Llama(model) => model.forward(ids, offset),
            Self::Qwen2(model) => model.forward(ids, offset),
            Self::Qwen3(model) => model.forward(ids, offset),
        }
    }
}

/// candle computes plain numbers in f32, and holds the embedding in f32 beside a head that is tied.
fn weight_bytes(content: &Content) -> u64 {
    let is_tied = !content.tensor_infos.contains_key(HEAD);
    let mut bytes = 0;
    for (name, tensor) in &content.tensor_infos {
        let values = tensor.shape.elem_count();
        let (block, size) = (tensor.ggml_dtype.block_size(), tensor.ggml_dtype.type_size());
        let held = if block == 1 { 4 * values } else { values / block * size };
        if name == EMBEDDING {
            bytes += 4 * values;
        }
        if name != EMBEDDING || is_tied {
            bytes += held;
        }
    }
    bytes as u64
}
