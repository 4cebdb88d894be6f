//! T5 on candle tensors, for every device that candle supports.
//!
//! Formulas follow transformers 5.23, `modeling_t5.py`. No gradients are recorded. Tokens stay on
//! the device between steps; only each row's token and its logit are copied to the host.

mod decoder;
mod encoder;
mod layers;

use super::checkpoint::Checkpoint;
use super::config::{Config, Family, Stack};
use super::position::{Buckets, Direction};
use candle_core::{D, DType, Device, Tensor};
use checkpoint::lora::Adapter;
use decoder::{Decoder, State};
use encoder::Encoder;
use generation::compute::{self, Compute, NextToken};
use layers::{Linear, Loader, bytes, on_device};
use model::engine::Dtype;
use model::failure::{Failure, Kind, Retry};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Precision {
    /// All other products, and the caches.
    most: DType,
    /// The feed-forward output and its input, which has outliers beyond the range of f16;
    /// transformers keeps it in f32 too.
    wo: DType,
}

impl Precision {
    fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self { most: DType::F32, wo: DType::F32 }),
            Dtype::F16 => Some(Self { most: DType::F16, wo: DType::F32 }),
            Dtype::Bf16 => Some(Self { most: DType::BF16, wo: DType::BF16 }),
            Dtype::Int8 | Dtype::Q4 | Dtype::Gguf => None,
        }
    }
}

pub fn kernel(device: &Device, dtype: Dtype) -> String {
    let place = if device.is_cuda() { "cuda" } else { "cpu" };
    format!("candle {place}, {dtype}")
}

/// An error unless this implementation has the layers of a model.
pub fn check(config: &Config) -> Result<(), Error> {
    match config.family {
        Family::T5 => Ok(()),
        Family::Bart | Family::Pegasus => Err(Error::Family(config.family)),
    }
}

#[derive(Debug)]
pub struct CandleT5 {
    device: Device,
    dtype: Dtype,
    precision: Precision,
    /// Of the encoder and of the decoder, which usually share one: `[vocabulary, d_model]`.
    embeddings: [Tensor; 2],
    encoder: Encoder,
    decoder: Decoder,
    head: Linear,
    /// From an adapter that changes the head.
    adapted_head: Option<Linear>,
    head_scale: f32,
    state: Option<State>,
    /// The tokens of the last step, on the host and on the device.
    last: Option<(Vec<u32>, Tensor)>,
    weight_bytes: u64,
    adapter_bytes: u64,
    cache_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Checkpoint(#[from] ::checkpoint::Error),
    #[error("cannot load the model on the device")]
    Device(#[from] candle_core::Error),
    #[error("{0} is supported on the CPU only")]
    Dtype(Dtype),
    #[error("models of the family {0} are supported on the CPU only: use device cpu")]
    Family(Family),
}

impl From<Error> for compute::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Checkpoint(error) => Self::Checkpoint(error),
            other => Self::Device(other.into()),
        }
    }
}

impl CandleT5 {
    pub fn load(checkpoint: &Checkpoint, device: Device, dtype: Dtype) -> Result<Self, Error> {
        let config = &checkpoint.config;
        check(config)?;
        let buckets = |direction| {
            Buckets::new(config.positions, direction).ok_or(Error::Family(config.family))
        };
        let precision = Precision::of(dtype).ok_or(Error::Dtype(dtype))?;
        let loader = Loader { checkpoint, device: &device, precision };
        let shape = (config.vocabulary, config.d_model);
        let names = [Stack::Encoder, Stack::Decoder].map(|stack| checkpoint.embedding(stack));
        let load = |name: &str| -> Result<Tensor, Error> {
            Ok(on_device(checkpoint.tensors.tensor(name)?, shape, precision.most, &device)?)
        };
        let of_encoder = load(names[0])?;
        let mut embedding_bytes = bytes(&of_encoder);
        let of_decoder = if names[0] == names[1] {
            of_encoder.clone()
        } else {
            let own = load(names[1])?;
            embedding_bytes += bytes(&own);
            own
        };
        let embeddings = [of_encoder, of_decoder];
        let tied = names.iter().position(|name| *name == checkpoint.tensors.head());
        let (head, head_bytes) = if let Some(stack) = tied {
            (Linear::over(embeddings[stack].clone()), 0)
        } else {
            let head = loader.linear(vec![checkpoint.tensors.head().to_owned()])?;
            let bytes = head.bytes();
            (head, bytes)
        };
        let mut encoder = Encoder::load(&loader, buckets(Direction::Both)?)?;
        let mut decoder = Decoder::load(&loader, buckets(Direction::Back)?)?;
        let linears = encoder.linears().chain(decoder.linears());
        let linears: u64 = linears.map(|linear| linear.bytes()).sum();
        Ok(Self {
            weight_bytes: linears + embedding_bytes + head_bytes,
            encoder,
            decoder,
            embeddings,
            head,
            adapted_head: None,
            head_scale: config.head_scale,
            state: None,
            last: None,
            adapter_bytes: 0,
            cache_bytes: 0,
            device,
            dtype,
            precision,
        })
    }

    fn set_unmerged(&mut self, adapter: Option<&Adapter>) -> Result<(), Error> {
        let head = adapter.map(Adapter::head).transpose()?.flatten();
        let head = head.map(|values| {
            on_device(values, self.embeddings[0].dims2()?, self.precision.most, &self.device)
        });
        self.adapted_head = head.transpose()?.map(Linear::over);
        self.adapter_bytes = self.adapted_head.as_ref().map_or(0, Linear::bytes);
        for linear in self.encoder.linears().chain(self.decoder.linears()) {
            linear.adapt(adapter)?;
            self.adapter_bytes += linear.adapter_bytes();
        }
        Ok(())
    }

    fn begin(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), candle_core::Error> {
        // Frees the previous batch's caches first.
        self.state = None;
        self.last = None;
        let lengths: Vec<usize> = prompts.iter().map(|ids| ids.len()).collect();
        let ids = Tensor::new(prompts.concat(), &self.device)?;
        let embedded = embed(&self.embeddings[0], &ids)?;
        let encoded = self.encoder.forward(embedded, &lengths)?;
        self.state = Some(self.decoder.begin(&encoded, &lengths, max_steps)?);
        Ok(())
    }

    /// `[rows, vocabulary]`, f32.
    fn next_logits(&mut self, tokens: &[u32]) -> Result<Tensor, candle_core::Error> {
        let ids = match self.last.take() {
            Some((last, ids)) if last == tokens => ids,
            _ => Tensor::new(tokens, &self.device)?,
        };
        let embedded = embed(&self.embeddings[1], &ids)?;
        let state = self.state.as_mut().expect("encode comes before step");
        let mut x = self.decoder.step(state, embedded)?;
        self.cache_bytes = self.cache_bytes.max(state.cache_bytes());
        if self.head_scale < 1.0 {
            x = (x * f64::from(self.head_scale))?;
        }
        self.adapted_head.as_ref().unwrap_or(&self.head).forward(&x)?.to_dtype(DType::F32)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "ids were whole numbers before they became f32"
    )]
    fn next_best(&mut self, tokens: &[u32]) -> Result<Vec<NextToken>, candle_core::Error> {
        let logits = self.next_logits(tokens)?;
        let ids = logits.argmax(D::Minus1)?;
        let best = logits.gather(&ids.unsqueeze(1)?, 1)?.squeeze(1)?;
        // One copy to the host for both: f32 is exact for ids below 2^24.
        let both = Tensor::stack(&[&ids.to_dtype(DType::F32)?, &best], 0)?.to_vec2::<f32>()?;
        let best: Vec<NextToken> = both[0]
            .iter()
            .zip(&both[1])
            .map(|(id, logit)| NextToken { id: *id as u32, logit: *logit })
            .collect();
        self.last = Some((best.iter().map(|best| best.id).collect(), ids));
        Ok(best)
    }

    fn keep_rows(&mut self, rows: &[usize]) -> Result<(), candle_core::Error> {
        let places: Vec<u32> =
            rows.iter().map(|row| u32::try_from(*row).expect("a batch has fewer rows")).collect();
        let places = Tensor::new(places, &self.device)?;
        if let Some((tokens, ids)) = self.last.take() {
            let kept = rows.iter().map(|row| tokens[*row]).collect();
            self.last = Some((kept, ids.index_select(&places, 0)?));
        }
        self.state.as_mut().expect("encode comes before keep").retain(&places)
    }
}

impl Compute for CandleT5 {
    fn encode(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        self.begin(prompts, max_steps).map_err(|error| failure(&error))
    }

    fn step(&mut self, tokens: &[u32], best: &mut Vec<NextToken>) -> Result<(), Failure> {
        *best = self.next_best(tokens).map_err(|error| failure(&error))?;
        Ok(())
    }

    fn step_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Failure> {
        self.next_logits(tokens)
            .and_then(|logits| logits.flatten_all()?.to_vec1())
            .map_err(|error| failure(&error))
    }

    fn retain(&mut self, rows: &[usize]) -> Result<(), Failure> {
        self.keep_rows(rows).map_err(|error| failure(&error))
    }

    /// Copies the caches, including those of the prompts.
    fn reorder(&mut self, rows: &[usize]) -> Result<(), Failure> {
        self.keep_rows(rows).map_err(|error| failure(&error))
    }

    fn adapt(&mut self, adapter: Option<&Adapter>) -> Result<(), compute::Error> {
        let outcome = self.set_unmerged(adapter);
        if outcome.is_err() {
            self.set_unmerged(None)?;
        }
        Ok(outcome?)
    }

    fn kernel(&self) -> String {
        kernel(&self.device, self.dtype)
    }

    fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    fn adapter_bytes(&self) -> u64 {
        self.adapter_bytes
    }

    fn cache_bytes(&self) -> u64 {
        self.cache_bytes
    }
}

/// `[ids, d_model]`, f32.
fn embed(embedding: &Tensor, ids: &Tensor) -> Result<Tensor, candle_core::Error> {
    embedding.index_select(ids, 0)?.to_dtype(DType::F32)
}

/// Errors at run time concern the device: another agent may succeed.
fn failure(error: &candle_core::Error) -> Failure {
    let detail = error.to_string();
    let kind = if detail.contains("OUT_OF_MEMORY") { Kind::OutOfMemory } else { Kind::Internal };
    Failure { retry: Retry::OtherAgent, kind, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_logits_the_lowest_id_is_the_best() {
        let logits = Tensor::new(&[[1f32, 3.0, 3.0], [2.0, 2.0, 2.0]], &Device::Cpu).unwrap();
        assert_eq!(logits.argmax(D::Minus1).unwrap().to_vec1::<u32>().unwrap(), [1, 0]);
    }
}
