//! T5 on the CPU: packed weights, prompts concatenated without padding, no allocation per step.
//!
//! `kernels` does the arithmetic; this module sequences it. A row's results do not depend on the
//! other rows: every product sums in one order for any number of rows.

mod decoder;
mod embedding;
mod encoder;
mod group;
mod layers;
mod linear;
mod work;

use super::checkpoint::{Checkpoint, Error, Stack};
use super::compute::{Compute, NextToken};
use super::config::Config;
use super::lora::Adapter;
use super::roofline::{Limits, Roofline};
use decoder::Decoder;
use embedding::Embedding;
use encoder::Encoder;
use kernels::{Argmax, Dispatch, Epilogue, Head, Kernels, Rows, Storage};
use layers::{Loader, Workspace};
use linear::{Linear, LoraBuffers};
use model::{engine::Dtype, failure::Failure};
use std::sync::Arc;
use stopwatch::Stopwatch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// All other products.
    pub most: Storage,
    /// The feed-forward output, whose inputs have outliers.
    pub wo: Storage,
    pub head: Storage,
    pub embedding: Storage,
    pub cache: Storage,
}

impl Precision {
    /// The residual stream, norms, softmax and sums are f32 for every dtype.
    pub fn of(dtype: Dtype) -> Self {
        let all = |most, cache| Self { most, wo: most, head: most, embedding: most, cache };
        match dtype {
            Dtype::F32 => all(Storage::F32, Storage::F32),
            Dtype::F16 => all(Storage::F16, Storage::F16),
            Dtype::Bf16 => all(Storage::Bf16, Storage::F16),
            Dtype::Int8 => Self { wo: Storage::Bf16, ..all(Storage::Int8, Storage::F16) },
        }
    }
}

/// Whether rows can join a running batch. Here each row has its own memory in the caches.
pub const CONTINUOUS_BATCHING: bool = true;

pub fn kernel(dtype: Dtype) -> String {
    format!("fleetmark cpu, {}, {dtype}", Dispatch::best().name)
}

#[derive(Debug)]
pub struct CpuT5 {
    kernels: Kernels,
    config: Config,
    dtype: Dtype,
    /// Of the encoder and of the decoder, which usually share one.
    embeddings: [Arc<Embedding>; 2],
    encoder: Encoder,
    decoder: Decoder,
    head: Head,
    /// From an adapter that changes the head.
    adapted_head: Option<Head>,
    head_shape: (usize, usize),
    weight_bytes: usize,
    adapter_bytes: usize,
    head_scale: Option<f32>,
    rows: StepBuffers,
    /// Peak.
    cache_bytes: usize,
}

#[derive(Debug)]
struct StepBuffers {
    /// The residual stream, `[rows, d_model]`.
    x: Rows,
    /// The output of a stack, `[rows, d_model]`.
    out: Rows,
    workspace: Workspace,
    argmax: Vec<Argmax>,
    /// `[rows, vocabulary]`, on request.
    logits: Rows,
}

impl CpuT5 {
    /// Packs the weights and starts the threads.
    pub fn load(
        checkpoint: &Checkpoint,
        dtype: Dtype,
        dispatch: &'static Dispatch,
        threads: usize,
    ) -> Result<Self, Error> {
        let config = &checkpoint.config;
        let precision = Precision::of(dtype);
        let loader = Loader { checkpoint, dispatch, precision };
        let mut encoder = Encoder::load(&loader)?;
        let mut decoder = Decoder::load(&loader)?;
        let embedding = |shared| Embedding::new(precision.embedding, config.d_model, shared);
        let shape = (config.vocabulary, config.d_model);
        let pack = |values: &[f32]| Head::pack(dispatch, precision.head, shape, values);
        // The largest tensors, one at a time.
        let names = [Stack::Encoder, Stack::Decoder].map(|stack| checkpoint.embedding(stack));
        let mut head = None;
        let mut load = |name: &str| -> Result<Arc<Embedding>, Error> {
            let values = checkpoint.tensor(name)?;
            if name == checkpoint.head() {
                head = Some(pack(&values));
            }
            Ok(Arc::new(embedding(values)))
        };
        let of_encoder = load(names[0])?;
        let of_decoder =
            if names[0] == names[1] { Arc::clone(&of_encoder) } else { load(names[1])? };
        let mut embedding_bytes = of_encoder.bytes();
        if names[0] != names[1] {
            embedding_bytes += of_decoder.bytes();
        }
        let head = match head {
            Some(head) => head,
            None => pack(&checkpoint.tensor(checkpoint.head())?),
        };
        let rows = StepBuffers {
            x: Rows::new(config.d_model),
            out: Rows::new(config.d_model),
            workspace: Workspace {
                normed: Rows::new(config.d_model),
                projected: Rows::new(3 * config.inner()),
                attended: Rows::new(config.inner()),
                inner: Rows::new(config.d_ff),
                lora_buffers: LoraBuffers::new(0, encoder.sums()),
            },
            argmax: Vec::new(),
            logits: Rows::new(config.vocabulary),
        };
        let linears: usize =
            encoder.linears().chain(decoder.linears()).map(|linear| linear.bytes()).sum();
        Ok(Self {
            kernels: Kernels::new(dispatch, threads),
            config: config.clone(),
            dtype,
            weight_bytes: linears + head.bytes() + embedding_bytes,
            embeddings: [of_encoder, of_decoder],
            encoder,
            decoder,
            head,
            adapted_head: None,
            adapter_bytes: 0,
            head_shape: shape,
            head_scale: Some(config.head_scale).filter(|scale| (scale - 1.0).abs() > f32::EPSILON),
            rows,
            cache_bytes: 0,
        })
    }

    fn set_unmerged(&mut self, adapter: Option<&Adapter>) -> Result<(), Error> {
        let head = adapter.map(Adapter::head).transpose()?.flatten();
        let (dispatch, storage) = (self.kernels.dispatch(), Precision::of(self.dtype).head);
        let pack = |values: Vec<f32>| Head::pack(dispatch, storage, self.head_shape, &values);
        self.adapted_head = head.map(pack);
        let mut linears: Vec<&mut Linear> =
            self.encoder.linears().chain(self.decoder.linears()).collect();
        // One rank for all, so that all share the buffer between the factors.
        let rank = adapter.map_or(0, |adapter| {
            linears.iter().map(|linear| linear.rank(adapter)).max().unwrap_or(0)
        });
        for linear in &mut linears {
            linear.adapt(adapter, rank)?;
        }
        let factors: usize = linears.iter().map(|linear| linear.adapter_bytes()).sum();
        self.adapter_bytes = factors + self.adapted_head.as_ref().map_or(0, Head::bytes);
        self.rows.workspace.lora_buffers = LoraBuffers::new(rank, self.encoder.sums());
        Ok(())
    }

    /// Runs the decoder up to the head, including the scale.
    fn decode(&mut self, tokens: &[u32]) {
        let Self { kernels, rows, .. } = self;
        let StepBuffers { x, out, workspace, .. } = rows;
        self.embeddings[1].rows(tokens.iter(), x);
        self.decoder.step(kernels, x, workspace, out);
        if let Some(scale) = self.head_scale {
            for row in 0..out.count() {
                out.row_mut(row).iter_mut().for_each(|x| *x *= scale);
            }
        }
    }
}

impl Compute for CpuT5 {
    fn encode(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        self.decoder.retain(&[]);
        self.add(prompts, max_steps)
    }

    fn continuous_batching(&self) -> bool {
        CONTINUOUS_BATCHING
    }

    fn add(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.len()).collect();
        let mut first = self.decoder.rows();
        self.decoder.add(&lengths, max_steps);
        self.cache_bytes = self.cache_bytes.max(self.decoder.cache_bytes());
        let StepBuffers { x, out, workspace, .. } = &mut self.rows;
        let mut prompts = prompts;
        for ranges in group::all(&lengths) {
            let (grouped, others) = prompts.split_at(ranges.len());
            prompts = others;
            let tokens: Vec<u32> = grouped.concat();
            self.embeddings[0].rows(tokens.iter(), x);
            self.encoder.forward(&mut self.kernels, x, &ranges, workspace, out);
            self.decoder.remember(
                &mut self.kernels,
                out,
                first,
                &ranges,
                &mut workspace.lora_buffers,
            );
            first += ranges.len();
        }
        Ok(())
    }

    fn step(&mut self, tokens: &[u32], best: &mut Vec<NextToken>) -> Result<(), Failure> {
        self.decode(tokens);
        let StepBuffers { out, argmax, .. } = &mut self.rows;
        let head = self.adapted_head.as_ref().unwrap_or(&self.head);
        self.kernels.argmax(head, out, argmax);
        best.clear();
        best.extend(argmax.iter().map(|argmax| NextToken {
            id: u32::try_from(argmax.column).expect("a vocabulary fits into u32"),
            logit: argmax.sum,
        }));
        Ok(())
    }

    fn step_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Failure> {
        self.decode(tokens);
        let StepBuffers { out, logits, .. } = &mut self.rows;
        let head = self.adapted_head.as_ref().unwrap_or(&self.head);
        self.kernels.gemm(head.weights(), out, Epilogue::Store, logits);
        Ok((0..logits.count()).flat_map(|row| logits.row(row).iter().copied()).collect())
    }

    fn retain(&mut self, rows: &[usize]) -> Result<(), Failure> {
        self.decoder.retain(rows);
        Ok(())
    }

    fn adapt(&mut self, adapter: Option<&Adapter>) -> Result<(), super::Error> {
        let outcome = self.set_unmerged(adapter);
        if outcome.is_err() {
            self.set_unmerged(None)?;
        }
        Ok(outcome?)
    }

    fn kernel(&self) -> String {
        format!("fleetmark cpu, {}, {}", self.kernels.dispatch().name, self.dtype)
    }

    fn weight_bytes(&self) -> u64 {
        self.weight_bytes as u64
    }

    fn adapter_bytes(&self) -> u64 {
        self.adapter_bytes as u64
    }

    fn cache_bytes(&self) -> u64 {
        self.cache_bytes as u64
    }

    fn roofline(
        &self,
        batches: &[Vec<usize>],
        steps: usize,
        stopwatch: &Stopwatch,
    ) -> Option<Roofline> {
        let mut step_weights = self.decoder.step_weights();
        let head = self.adapted_head.as_ref().unwrap_or(&self.head);
        step_weights.push(head.searched());
        let model = work::Model {
            config: &self.config,
            precision: Precision::of(self.dtype),
            step_bytes: step_weights.iter().map(|weights| weights.bytes()).sum(),
            group_bytes: self.encoder.read_bytes() + self.decoder.memory_bytes(),
            search: head.searched().storage(),
        };
        let phases: Vec<_> =
            batches.iter().flat_map(|lengths| model.phases(lengths, steps)).collect();
        let limits = Limits {
            bandwidth: self.kernels.bandwidth(&step_weights, &|| stopwatch.now_ns()),
            peaks: self.kernels.peaks(&|| stopwatch.now_ns()),
        };
        Some(Roofline::new(&phases, limits))
    }
}
