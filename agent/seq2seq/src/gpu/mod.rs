//! Encoder-decoder models on an NVIDIA GPU: prompts packed without padding, and a decoder step that
//! is one graph.
//!
//! The crate `gpu` does the arithmetic; this module sequences it. A row's results do not depend on
//! the other rows: every product sums in one order for any number of rows. Tokens and positions
//! stay on the GPU between steps; each row's token and its logit are copied to the host.

mod decoder;
mod encoder;
mod layers;
pub mod prediction;

use super::checkpoint::Checkpoint;
use super::config::{Biases, Config, Family, Stack};
use super::layout::HEAD_BIAS;
use super::position;
use ::layers::group;
use checkpoint::lora::Adapter;
use decoder::Decoder;
use encoder::Encoder;
use generation::compute::{self, Compute, NextToken, ScoredStep};
use gpu::{Gpu, HEAD_WIDTH, Kernels, MOST_KEYS, Storage, Weights};
use layers::{Linear, Loader};
use model::engine::{Dtype, EngineSpec};
use model::failure::{Failure, Kind, Retry};
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Precision {
    /// All products.
    most: Storage,
    embedding: Storage,
    cache: Storage,
}

impl Precision {
    /// The residual stream, norms, softmax and sums are f32 for every dtype.
    fn of(dtype: Dtype) -> Self {
        let (f32, f16, bf16) = (Storage::F32, Storage::F16, Storage::Bf16);
        match dtype {
            Dtype::F32 => Self { most: f32, embedding: f32, cache: f32 },
            Dtype::F16 => Self { most: f16, embedding: f16, cache: f16 },
            Dtype::Bf16 => Self { most: bf16, embedding: bf16, cache: f16 },
            Dtype::Int8 => Self { most: Storage::Int8, embedding: f16, cache: f16 },
            Dtype::Q4 | Dtype::Gguf => unreachable!("refused when the model is opened"),
        }
    }
}

/// Whether rows can join a running batch. Here each row has its own memory in the caches.
pub const CONTINUOUS_BATCHING: bool = true;

/// Describes the implementation, as on the CPU: T5's description has no family.
pub fn kernel(family: Family, dtype: Dtype) -> String {
    match family {
        Family::T5 => format!("fleetmark cuda, {dtype}"),
        Family::Bart | Family::Pegasus => format!("fleetmark cuda, {family}, {dtype}"),
    }
}

impl From<Error> for compute::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Checkpoint(error) => Self::Checkpoint(error),
            error => Self::Device(error.into()),
        }
    }
}

/// How the launches of a step reach the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launches {
    /// Recorded once for each number of rows, then replayed.
    Graph,
    /// One by one.
    Eager,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error(transparent)]
    Gpu(#[from] gpu::Error),
    #[error("an unmerged adapter is supported on the CPU only: merge it, or use device cpu")]
    Unmerged,
    #[error("{what} of {found}: at most {most} is supported on a GPU; use device cpu")]
    Size { what: &'static str, found: usize, most: usize },
    #[error("the weights need {needed} bytes of GPU memory, and {free} bytes are free")]
    Memory { needed: usize, free: usize },
}

/// An error unless this implementation takes a model of this size and does what is asked for.
pub fn check(config: &Config, spec: &EngineSpec) -> Result<(), Error> {
    if spec.unmerged().is_some() {
        return Err(Error::Unmerged);
    }
    let at_most = |what, found, most| {
        if found > most { Err(Error::Size { what, found, most }) } else { Ok(()) }
    };
    for stack in [&config.encoder, &config.decoder] {
        at_most("d_kv", stack.head_width, HEAD_WIDTH)?;
        at_most("d_ff", stack.d_ff, Kernels::most_inputs())?;
        at_most("heads x d_kv", stack.inner(), Kernels::most_inputs())?;
    }
    at_most("d_model", config.d_model, Kernels::most_inputs())
}

#[derive(Debug)]
pub struct GpuModel {
    kernels: Kernels,
    config: Config,
    dtype: Dtype,
    encoder: Encoder,
    decoder: Decoder,
    weight_bytes: usize,
    /// Peak.
    cache_bytes: usize,
}

impl GpuModel {
    pub fn load(
        checkpoint: &Checkpoint,
        gpu: &Arc<Gpu>,
        dtype: Dtype,
        launches: Launches,
    ) -> Result<Self, Error> {
        let config = &checkpoint.config;
        let precision = Precision::of(dtype);
        let needed = needed_bytes(checkpoint, precision);
        let (free, _) = gpu.memory()?;
        if needed > free {
            return Err(Error::Memory { needed, free });
        }
        let loader = Loader { checkpoint, gpu, precision };
        // The largest tensors, one at a time.
        let names = [Stack::Encoder, Stack::Decoder].map(|stack| checkpoint.embedding(stack));
        let embed = |name: &str| -> Result<Arc<Weights>, Error> {
            let values = checkpoint.tensors.tensor(name)?;
            Ok(Arc::new(Weights::new(gpu, precision.embedding, config.d_model, &values)?))
        };
        let of_encoder = embed(names[0])?;
        let of_decoder =
            if names[0] == names[1] { Arc::clone(&of_encoder) } else { embed(names[1])? };
        let embeddings = [of_encoder, of_decoder];
        let tied = names.iter().position(|name| *name == checkpoint.tensors.head());
        let head = match tied {
            Some(stack) if precision.embedding == precision.most => Arc::clone(&embeddings[stack]),
            _ => {
                let values = checkpoint.tensors.tensor(checkpoint.tensors.head())?;
                Arc::new(Weights::new(gpu, precision.most, config.d_model, &values)?)
            }
        };
        let mut matrices: Vec<&Arc<Weights>> = embeddings.iter().chain([&head]).collect();
        matrices.sort_by_key(|weights| Arc::as_ptr(weights));
        matrices.dedup_by_key(|weights| Arc::as_ptr(weights));
        let shared_bytes: usize = matrices.iter().map(|weights| weights.bytes()).sum();
        let has_bias = config.biases == Biases::All;
        let head_bias = has_bias.then(|| loader.vector(HEAD_BIAS)).transpose()?;
        let head = Linear::new(head, head_bias);
        let [of_encoder, of_decoder] = embeddings;
        let encoder = Encoder::load(&loader, loader.input(Stack::Encoder, of_encoder)?)?;
        let input = loader.input(Stack::Decoder, of_decoder)?;
        let decoder = Decoder::load(&loader, input, head, launches)?;
        Ok(Self {
            kernels: Kernels::load(gpu)?,
            config: config.clone(),
            dtype,
            weight_bytes: shared_bytes + encoder.weight_bytes() + decoder.weight_bytes(),
            encoder,
            decoder,
            cache_bytes: 0,
        })
    }

    fn join(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Error> {
        let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.len()).collect();
        let first = self.decoder.rows();
        self.decoder.add(&lengths, max_steps)?;
        self.cache_bytes = self.cache_bytes.max(self.decoder.cache_bytes());
        let (mut prompts, mut row) = (prompts, first);
        for ranges in group::all(&lengths) {
            let (grouped, others) = prompts.split_at(ranges.len());
            prompts = others;
            let places = self.decoder.prompt_places(row..row + ranges.len());
            row += ranges.len();
            self.encoder.forward(&self.kernels, &grouped.concat(), &ranges, &places)?;
            self.decoder.remember(&self.kernels, &self.encoder)?;
        }
        Ok(())
    }

    /// Nodes of the graph that replays a step, if this number of rows has one.
    pub fn nodes(&self, rows: usize) -> Option<usize> {
        self.decoder.nodes(rows)
    }
}

/// Bytes of all weights.
fn needed_bytes(checkpoint: &Checkpoint, precision: Precision) -> usize {
    let parameters = usize::try_from(checkpoint.tensors.parameters()).unwrap_or(usize::MAX);
    let Config { vocabulary, d_model, positions, .. } = checkpoint.config;
    // int8 weights and an embedding in f16 are two copies of a tied head.
    let embedding = if precision.most == precision.embedding { 0 } else { vocabulary * d_model };
    // Vectors of positions are f32.
    let tables = 2 * positions.limit().unwrap_or(0) * d_model;
    parameters
        .saturating_mul(precision.most.bytes())
        .saturating_add(embedding * precision.embedding.bytes())
        .saturating_add(tables * (size_of::<f32>() - precision.most.bytes()))
}

/// Errors at run time concern the device: another agent may succeed.
fn failure(error: &Error) -> Failure {
    let is_out_of_memory = matches!(error, Error::Gpu(error) if error.is_out_of_memory());
    let kind = if is_out_of_memory { Kind::OutOfMemory } else { Kind::Internal };
    Failure { retry: Retry::OtherAgent, kind, detail: error.to_string() }
}

fn check_lengths(config: &Config, prompts: &[&[u32]], steps: usize) -> Result<(), Failure> {
    let longest = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0).max(steps);
    position::check(config, longest)?;
    if longest <= MOST_KEYS {
        return Ok(());
    }
    Err(Failure {
        retry: Retry::Never,
        kind: Kind::Input,
        detail: format!("{longest} tokens: at most {MOST_KEYS} are supported on a GPU"),
    })
}

impl Compute for GpuModel {
    fn encode(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        self.decoder.clear();
        self.add(prompts, max_steps)
    }

    fn continuous_batching(&self) -> bool {
        CONTINUOUS_BATCHING
    }

    fn add(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        check_lengths(&self.config, prompts, max_steps)?;
        self.join(prompts, max_steps).map_err(|error| failure(&error))
    }

    fn step(&mut self, tokens: &[u32], best: &mut Vec<NextToken>) -> Result<(), Failure> {
        let outcome = self.decoder.step(&self.kernels, tokens);
        outcome.and_then(|()| self.decoder.read_best(best)).map_err(|error| failure(&error))
    }

    fn step_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Failure> {
        let outcome = self.decoder.step(&self.kernels, tokens);
        outcome
            .and_then(|()| self.decoder.read_logits(0..tokens.len()))
            .map_err(|error| failure(&error))
    }

    fn step_scored(
        &mut self,
        step: &ScoredStep<'_>,
        best: &mut Vec<NextToken>,
        logits: &mut Vec<f32>,
    ) -> Result<(), Failure> {
        self.step(step.tokens, best)?;
        logits.clear();
        let mut row = 0;
        best.retain(|_| {
            row += 1;
            step.scored.binary_search(&(row - 1)).is_err()
        });
        for row in step.scored {
            let of_row = self.decoder.read_logits(*row..row + 1);
            logits.extend(of_row.map_err(|error| failure(&error))?);
        }
        Ok(())
    }

    fn retain(&mut self, rows: &[usize]) -> Result<(), Failure> {
        self.reorder(rows)
    }

    /// Rows of one prompt share its keys and values.
    fn reorder(&mut self, rows: &[usize]) -> Result<(), Failure> {
        self.decoder.reorder(&self.kernels, rows).map_err(|error| failure(&error))?;
        self.cache_bytes = self.cache_bytes.max(self.decoder.cache_bytes());
        Ok(())
    }

    fn adapt(&mut self, adapter: Option<&Adapter>) -> Result<(), compute::Error> {
        match adapter {
            Some(_) => Err(Error::Unmerged.into()),
            None => Ok(()),
        }
    }

    fn kernel(&self) -> String {
        kernel(self.config.family, self.dtype)
    }

    fn weight_bytes(&self) -> u64 {
        self.weight_bytes as u64
    }

    fn adapter_bytes(&self) -> u64 {
        0
    }

    fn cache_bytes(&self) -> u64 {
        self.cache_bytes as u64
    }
}
