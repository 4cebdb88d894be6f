//! Encoder-decoder models on the CPU: packed weights, prompts concatenated without padding, no allocation per step.
//!
//! `kernels` does the arithmetic; this module sequences it. A row's results do not depend on the
//! other rows: every product sums in one order for any number of rows.

mod decoder;
mod encoder;
mod input;
mod layers;
mod norm;
mod relative_bias;
mod work;

use super::checkpoint::Checkpoint;
use super::config::{Biases, Config, Family, Stack};
use super::layout::HEAD_BIAS;
use super::position;
use ::layers::{Embedding, Linear, LoraBuffers, TokenHead, group};
use checkpoint::{Error, lora::Adapter};
use decoder::Decoder;
use encoder::Encoder;
use generation::compute::{self, Compute, NextToken, ScoredStep};
use generation::roofline::{Limits, Roofline};
use input::Input;
use kernels::{Dispatch, Kernels, Rows, Storage};
use layers::{Loader, Workspace};
use model::engine::Dtype;
use model::failure::Failure;
use std::sync::Arc;
use stopwatch::Stopwatch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// All other products.
    pub most: Storage,
    /// The feed-forward output, whose inputs have outliers in T5 and PEGASUS.
    pub wo: Storage,
    pub head: Storage,
    pub embedding: Storage,
    pub cache: Storage,
}

impl Precision {
    /// The residual stream, norms, softmax and sums are f32 for every dtype.
    pub fn of(dtype: Dtype, family: Family) -> Self {
        let all = |most, cache| Self { most, wo: most, head: most, embedding: most, cache };
        match dtype {
            Dtype::F32 => all(Storage::F32, Storage::F32),
            Dtype::F16 => all(Storage::F16, Storage::F16),
            Dtype::Bf16 => all(Storage::Bf16, Storage::F16),
            Dtype::Int8 => {
                let all = all(Storage::Int8, Storage::F16);
                match family {
                    // A norm after every sum keeps activations small.
                    Family::Bart => all,
                    Family::T5 | Family::Pegasus => Self { wo: Storage::Bf16, ..all },
                }
            }
            Dtype::Q4 | Dtype::Gguf => unreachable!("refused when the model is opened"),
        }
    }
}

/// Whether rows can join a running batch. Here each row has its own memory in the caches.
pub const CONTINUOUS_BATCHING: bool = true;

/// Whether several tokens of a row can be computed in one step. They are what single steps give.
pub const VERIFIES_DRAFTS: bool = true;

/// Describes the implementation. T5's description has no family: results of earlier builds, which
/// had no other, stay comparable.
pub fn kernel(family: Family, dispatch: &Dispatch, dtype: Dtype) -> String {
    let family = match family {
        Family::T5 => String::new(),
        Family::Bart | Family::Pegasus => format!("{family}, "),
    };
    format!("fleetmark cpu, {family}{}, {dtype}", dispatch.name)
}

#[derive(Debug)]
pub struct CpuModel {
    kernels: Kernels,
    config: Config,
    dtype: Dtype,
    /// Of the encoder and of the decoder, which usually share one embedding.
    inputs: [Input; 2],
    encoder: Encoder,
    decoder: Decoder,
    head: TokenHead,
    weight_bytes: usize,
    adapter_bytes: usize,
    head_scale: Option<f32>,
    rows: StepBuffers,
    /// Peak.
    cache_bytes: usize,
}

#[derive(Debug)]
struct StepBuffers {
    /// The residual stream, `[tokens, d_model]`.
    x: Rows,
    /// The output of a stack, `[tokens, d_model]`.
    out: Rows,
    /// Of the encoder and of the decoder.
    workspaces: [Workspace; 2],
}

impl CpuModel {
    /// Packs the weights and starts the threads.
    pub fn load(
        checkpoint: &Checkpoint,
        dtype: Dtype,
        dispatch: &'static Dispatch,
        threads: usize,
    ) -> Result<Self, Error> {
        let config = &checkpoint.config;
        let precision = Precision::of(dtype, config.family);
        let loader = Loader { checkpoint, dispatch, precision };
        let mut encoder = Encoder::load(&loader)?;
        let mut decoder = Decoder::load(&loader)?;
        let embedding = |shared| Embedding::new(precision.embedding, config.d_model, shared);
        let shape = (config.vocabulary, config.d_model);
        let head_bias =
            (config.biases == Biases::All).then(|| checkpoint.tensors.tensor(HEAD_BIAS));
        let head_bias = head_bias.transpose()?;
        let pack = |values: &[f32]| {
            TokenHead::pack(dispatch, precision.head, shape, values, head_bias.clone())
        };
        // The largest tensors, one at a time.
        let names = [Stack::Encoder, Stack::Decoder].map(|stack| checkpoint.embedding(stack));
        let mut head = None;
        let mut load = |name: &str| -> Result<Arc<Embedding>, Error> {
            let values = checkpoint.tensors.tensor(name)?;
            if name == checkpoint.tensors.head() {
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
            None => pack(&checkpoint.tensors.tensor(checkpoint.tensors.head())?),
        };
        let inputs = [
            Input::load(&loader, Stack::Encoder, of_encoder)?,
            Input::load(&loader, Stack::Decoder, of_decoder)?,
        ];
        let workspace = |stack| {
            let shape = config.stack(stack);
            Workspace {
                normed: Rows::new(config.d_model),
                projected: Rows::new(3 * shape.inner()),
                attended: Rows::new(shape.inner()),
                inner: Rows::new(shape.d_ff),
                lora_buffers: LoraBuffers::new(0, 0),
            }
        };
        let rows = StepBuffers {
            x: Rows::new(config.d_model),
            out: Rows::new(config.d_model),
            workspaces: [Stack::Encoder, Stack::Decoder].map(workspace),
        };
        let linears: usize =
            encoder.linears().chain(decoder.linears()).map(|linear| linear.bytes()).sum();
        Ok(Self {
            kernels: Kernels::new(dispatch, threads),
            config: config.clone(),
            dtype,
            weight_bytes: linears
                + head.bytes()
                + embedding_bytes
                + inputs.iter().map(Input::table_bytes).sum::<usize>(),
            inputs,
            encoder,
            decoder,
            head,
            adapter_bytes: 0,
            head_scale: Some(config.head_scale).filter(|scale| (scale - 1.0).abs() > f32::EPSILON),
            rows,
            cache_bytes: 0,
        })
    }

    fn set_unmerged(&mut self, adapter: Option<&Adapter>) -> Result<(), Error> {
        self.head.adapt(adapter)?;
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
        self.adapter_bytes = factors + self.head.adapter_bytes();
        let sums = [self.encoder.sums(), self.decoder.sums()];
        for (workspace, sums) in self.rows.workspaces.iter_mut().zip(sums) {
            workspace.lora_buffers = LoraBuffers::new(rank, sums);
        }
        Ok(())
    }

    /// Runs one token of each row through the decoder, up to the head.
    fn decode(&mut self, tokens: &[u32]) {
        self.decode_several(tokens, tokens.iter().map(|_| 1));
    }

    /// Runs tokens of each row through the decoder, up to the head, including the scale.
    fn decode_several(&mut self, tokens: &[u32], lengths: impl Iterator<Item = usize>) {
        self.decoder.expect(lengths);
        let Self { kernels, rows, .. } = self;
        let StepBuffers { x, out, workspaces: [_, workspace], .. } = rows;
        let positions = self.decoder.token_positions();
        self.inputs[1].forward(kernels, tokens.iter(), positions, x, &mut workspace.normed);
        self.decoder.step(kernels, x, workspace, out);
        if let Some(scale) = self.head_scale {
            for row in 0..out.count() {
                out.row_mut(row).iter_mut().for_each(|x| *x *= scale);
            }
        }
    }
}

impl Compute for CpuModel {
    fn encode(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        self.decoder.retain(&[]);
        self.add(prompts, max_steps)
    }

    fn continuous_batching(&self) -> bool {
        CONTINUOUS_BATCHING
    }

    fn add(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.len()).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0).max(max_steps);
        position::check(&self.config, longest)?;
        let mut first = self.decoder.rows();
        self.decoder.add(&lengths, max_steps);
        self.cache_bytes = self.cache_bytes.max(self.decoder.cache_bytes());
        let StepBuffers { x, out, workspaces: [workspace, _], .. } = &mut self.rows;
        let mut prompts = prompts;
        for ranges in group::all(&lengths) {
            let (grouped, others) = prompts.split_at(ranges.len());
            prompts = others;
            let tokens: Vec<u32> = grouped.concat();
            let positions = ranges.iter().flat_map(|prompt| 0..prompt.len());
            let normed = &mut workspace.normed;
            self.inputs[0].forward(&self.kernels, tokens.iter(), positions, x, normed);
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
        self.head.next(&mut self.kernels, &self.rows.out, best);
        Ok(())
    }

    fn step_scored(
        &mut self,
        step: &ScoredStep<'_>,
        best: &mut Vec<NextToken>,
        logits: &mut Vec<f32>,
    ) -> Result<(), Failure> {
        self.decode_several(step.tokens, step.lengths.iter().copied());
        let out = &self.rows.out;
        self.head.next_and_logits(&mut self.kernels, out, step.scored, best, logits);
        Ok(())
    }

    fn step_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Failure> {
        self.decode(tokens);
        Ok(self.head.logits(&mut self.kernels, &self.rows.out))
    }

    fn verifies_drafts(&self) -> bool {
        VERIFIES_DRAFTS
    }

    fn forget(&mut self, tokens: &[usize]) -> Result<(), Failure> {
        self.decoder.forget(tokens);
        Ok(())
    }

    fn retain(&mut self, rows: &[usize]) -> Result<(), Failure> {
        self.decoder.retain(rows);
        Ok(())
    }

    fn reorder(&mut self, rows: &[usize]) -> Result<(), Failure> {
        self.decoder.reorder(rows);
        self.cache_bytes = self.cache_bytes.max(self.decoder.cache_bytes());
        Ok(())
    }

    fn adapt(&mut self, adapter: Option<&Adapter>) -> Result<(), compute::Error> {
        let outcome = self.set_unmerged(adapter);
        if outcome.is_err() {
            self.set_unmerged(None)?;
        }
        Ok(outcome?)
    }

    fn kernel(&self) -> String {
        kernel(self.config.family, self.kernels.dispatch(), self.dtype)
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
        let head = self.head.head();
        step_weights.push(head.searched());
        let model = work::Model {
            config: &self.config,
            precision: Precision::of(self.dtype, self.config.family),
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
