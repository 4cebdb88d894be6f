//! Decoder-only models on the CPU: packed weights, prompts back to back without padding, no
//! allocation per step but those of the head.
//!
//! A prompt is computed up to its last token but one when it joins; the last one is the first token
//! of its row's steps. A row's results do not depend on the other rows: every product sums in one
//! order for any number of rows.

mod block;
mod work;

use crate::checkpoint::Checkpoint;
use crate::config::{Config, Family};
use crate::layout::{EMBEDDING, LAST_NORM};
use crate::rope;
use block::{Block, Workspace};
use checkpoint::Error;
use checkpoint::lora::Adapter;
use generation::compute::{self, Compute, NextToken, ScoredStep};
use generation::roofline::{Limits, Roofline};
use kernels::{Cache, Dispatch, Heads, Kernels, Layout, NewTokens, Rope, Rows, Storage};
use layers::{Embedding, Linear, LoraBuffers, StoredAs, TokenHead, group, pack_blocks};
use model::engine::Dtype;
use model::failure::{Failure, Kind, Retry};
use std::ops::Range;
use stopwatch::Stopwatch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// All other products.
    pub most: StoredAs,
    /// The feed-forward output, whose inputs have outliers.
    pub down: StoredAs,
    /// The head, and the embedding except for int8, which is too coarse for it.
    pub head: StoredAs,
    pub cache: Storage,
}

impl Precision {
    /// The residual stream, norms, positions, softmax and sums are f32 for every dtype.
    pub fn of(dtype: Dtype) -> Self {
        let all = |most, cache| {
            let most = StoredAs::Storage(most);
            Self { most, down: most, head: most, cache }
        };
        match dtype {
            Dtype::F32 => all(Storage::F32, Storage::F32),
            Dtype::F16 => all(Storage::F16, Storage::F16),
            Dtype::Bf16 => all(Storage::Bf16, Storage::F16),
            Dtype::Int8 => {
                Self { down: StoredAs::Storage(Storage::Bf16), ..all(Storage::Int8, Storage::F16) }
            }
            // As in most files with 4 bits, the tokens have more of them.
            Dtype::Q4 => {
                Self { head: StoredAs::Storage(Storage::Q8), ..all(Storage::Q4, Storage::F16) }
            }
            Dtype::Gguf => {
                let most = StoredAs::File;
                Self { most, down: most, head: most, cache: Storage::F16 }
            }
        }
    }
}

/// Whether rows can join a running batch. Here each row has its own memory in the cache.
pub const CONTINUOUS_BATCHING: bool = true;

/// Whether several tokens of a row can be computed in one step. They are what single steps give.
pub const VERIFIES_DRAFTS: bool = true;

/// Describes the implementation.
pub fn kernel(family: Family, dispatch: &Dispatch, dtype: Dtype) -> String {
    format!("fleetmark cpu, {family}, {}, {dtype}", dispatch.name)
}

#[derive(Debug)]
pub struct CpuModel {
    kernels: Kernels,
    config: Config,
    dtype: Dtype,
    /// Of most products and of the feed-forward output.
    storages: [Storage; 2],
    /// `None` if the head's rows are the embeddings.
    embedding: Option<Embedding>,
    blocks: Vec<Block>,
    /// Zero-padded like rows.
    last_norm: Vec<f32>,
    head: TokenHead,
    rope: Rope,
    cache: Cache,
    /// Of each row: tokens whose keys and values the cache holds.
    positions: Vec<usize>,
    buffers: Buffers,
    weight_bytes: usize,
    adapter_bytes: usize,
    /// Peak.
    cache_bytes: usize,
}

#[derive(Debug)]
struct Buffers {
    /// The residual stream, `[tokens, width]`.
    x: Rows,
    /// The input of the head, `[tokens, width]`.
    out: Rows,
    workspace: Workspace,
    /// The tokens of each row, as rows of `x`.
    sequences: Vec<Range<usize>>,
    /// The position of each row of `x`.
    token_positions: Vec<usize>,
}

impl CpuModel {
    /// Packs the weights and starts the threads.
    pub fn load(
        checkpoint: &Checkpoint,
        dtype: Dtype,
        dispatch: &'static Dispatch,
        threads: usize,
    ) -> Result<Self, Error> {
        let Checkpoint { config, tensors } = checkpoint;
        let precision = Precision::of(dtype);
        // The largest tensors first, one at a time, so that their values in f32 are gone before the
        // others take memory.
        let embedding = embedding(checkpoint, dispatch, precision.head)?;
        let head = head(checkpoint, dispatch, precision.head)?;
        let mut blocks = (0..config.blocks)
            .map(|block| Block::load(checkpoint, dispatch, precision, block))
            .collect::<Result<Vec<_>, Error>>()?;
        let last_norm = block::gain(tensors, LAST_NORM)?;
        let linears: usize =
            blocks.iter_mut().flat_map(Block::linears).map(|linear| linear.bytes()).sum();
        let heads = Heads { count: config.key_heads, width: config.head_width };
        let buffers = Buffers {
            x: Rows::new(config.width),
            out: Rows::new(config.width),
            workspace: Workspace::new(config),
            sequences: Vec::new(),
            token_positions: Vec::new(),
        };
        Ok(Self {
            kernels: Kernels::new(dispatch, threads),
            config: config.clone(),
            dtype,
            storages: blocks[0].storages(),
            weight_bytes: linears + head.bytes() + embedding.as_ref().map_or(0, Embedding::bytes),
            embedding,
            last_norm,
            head,
            rope: Rope::new(rope::frequencies(&config.rope, config.head_width)),
            cache: Cache::new(dispatch, precision.cache, config.blocks, heads),
            blocks,
            positions: Vec::new(),
            buffers,
            adapter_bytes: 0,
            cache_bytes: 0,
        })
    }

    fn set_unmerged(&mut self, adapter: Option<&Adapter>) -> Result<(), Error> {
        self.head.adapt(adapter)?;
        let mut linears: Vec<&mut Linear> =
            self.blocks.iter_mut().flat_map(Block::linears).collect();
        // One rank for all, so that all share the buffer between the factors.
        let rank = adapter.map_or(0, |adapter| {
            linears.iter().map(|linear| linear.rank(adapter)).max().unwrap_or(0)
        });
        for linear in &mut linears {
            linear.adapt(adapter, rank)?;
        }
        let factors: usize = linears.iter().map(|linear| linear.adapter_bytes()).sum();
        self.adapter_bytes = factors + self.head.adapter_bytes();
        let sums = self.blocks[0].sums();
        self.buffers.workspace.lora_buffers = LoraBuffers::new(rank, sums);
        Ok(())
    }

    fn check_lengths(&self, prompts: &[&[u32]], steps: usize) -> Result<(), Failure> {
        let longest = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
        let limit = self.config.positions;
        if longest + steps <= limit + 1 {
            return Ok(());
        }
        Err(Failure {
            retry: Retry::Never,
            kind: Kind::Input,
            detail: format!(
                "{longest} tokens of a prompt and {steps} of a summary: this model has {limit} positions for both"
            ),
        })
    }

    /// Runs new tokens of consecutive rows through the blocks. `buffers.sequences` says which tokens
    /// are whose. Leaves the residual stream in `buffers.x`.
    fn forward(&mut self, tokens: &[u32], first_row: usize) {
        let Buffers { x, workspace, sequences, token_positions, .. } = &mut self.buffers;
        let sequences = sequences.as_slice();
        let rows = first_row..first_row + sequences.len();
        let held = &self.positions[rows.clone()];
        token_positions.clear();
        for (sequence, held) in sequences.iter().zip(held) {
            token_positions.extend(*held..held + sequence.len());
        }
        match &self.embedding {
            Some(embedding) => embedding.rows(tokens.iter(), x),
            None => self.head.rows(tokens.iter(), x),
        }
        for (layer, block) in self.blocks.iter().enumerate() {
            block.project(&mut self.kernels, x, workspace);
            block.rotate(&self.kernels, &self.rope, token_positions, workspace);
            let Workspace { projected, attended, .. } = workspace;
            let query_heads = self.config.heads;
            let new =
                NewTokens { layer, first_row, sequences, positions: held, projected, query_heads };
            self.kernels.attend_causal(&mut self.cache, &new, attended);
            block.finish(&mut self.kernels, x, workspace);
        }
        for (held, sequence) in self.positions[rows].iter_mut().zip(sequences) {
            *held += sequence.len();
        }
    }

    /// Runs one token of each row, up to the head.
    fn decode(&mut self, tokens: &[u32]) {
        self.decode_several(tokens, tokens.iter().map(|_| 1));
    }

    /// Runs tokens of each row, up to the head.
    fn decode_several(&mut self, tokens: &[u32], lengths: impl Iterator<Item = usize>) {
        let sequences = &mut self.buffers.sequences;
        sequences.clear();
        sequences.extend(group::ranges(lengths));
        self.forward(tokens, 0);
        let Buffers { x, out, .. } = &mut self.buffers;
        self.kernels.rms_norm(x, &self.last_norm, self.config.epsilon, out);
    }
}

/// `None` if the head's rows are the embeddings.
fn embedding(
    checkpoint: &Checkpoint,
    dispatch: &'static Dispatch,
    form: StoredAs,
) -> Result<Option<Embedding>, Error> {
    let Checkpoint { config, tensors } = checkpoint;
    if tensors.head() == EMBEDDING && form != StoredAs::Storage(Storage::Int8) {
        return Ok(None);
    }
    Ok(Some(match form {
        StoredAs::File | StoredAs::Storage(Storage::Q4 | Storage::Q8) => {
            let names = [EMBEDDING.to_owned()];
            Embedding::of(form.pack(tensors, dispatch, Layout::Plain, &names)?)
        }
        StoredAs::Storage(storage) => {
            Embedding::new(storage, config.width, tensors.tensor(EMBEDDING)?)
        }
    }))
}

fn head(
    checkpoint: &Checkpoint,
    dispatch: &'static Dispatch,
    form: StoredAs,
) -> Result<TokenHead, Error> {
    let Checkpoint { config, tensors } = checkpoint;
    let name = tensors.head();
    let storage = match form {
        StoredAs::Storage(storage) if storage.is_blocks() => {
            let weights = form.pack(tensors, dispatch, Layout::Plain, &[name.to_owned()])?;
            return Ok(TokenHead::of(weights, storage));
        }
        StoredAs::Storage(storage) => storage,
        StoredAs::File => {
            let names = [name.to_owned()];
            if let Some(weights) = pack_blocks(tensors, dispatch, Layout::Plain, &names)? {
                return Ok(TokenHead::of(weights, Storage::F32));
            }
            tensors.exact_storage(name)
        }
    };
    let shape = (config.vocabulary, config.width);
    Ok(TokenHead::pack(dispatch, storage, shape, &tensors.tensor(name)?, None))
}

impl Compute for CpuModel {
    fn encode(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        self.retain(&[])?;
        self.add(prompts, max_steps)
    }

    fn continues_prompts(&self) -> bool {
        true
    }

    fn continuous_batching(&self) -> bool {
        CONTINUOUS_BATCHING
    }

    fn add(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        self.check_lengths(prompts, max_steps)?;
        // All but the last token of each, which is the first step's.
        let mut prompts: Vec<&[u32]> =
            prompts.iter().map(|prompt| &prompt[..prompt.len() - 1]).collect();
        let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.len()).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        self.rope.cover(longest + max_steps);
        let mut first_row = self.positions.len();
        self.cache.add_rows(lengths.iter().map(|length| length + max_steps));
        self.positions.resize(first_row + lengths.len(), 0);
        self.cache_bytes = self.cache_bytes.max(self.cache.bytes());
        for ranges in group::all(&lengths) {
            let others = prompts.split_off(ranges.len());
            let tokens: Vec<u32> = prompts.concat();
            prompts = others;
            let rows = ranges.len();
            self.buffers.sequences = ranges;
            if !tokens.is_empty() {
                self.forward(&tokens, first_row);
            }
            first_row += rows;
        }
        Ok(())
    }

    fn step(&mut self, tokens: &[u32], best: &mut Vec<NextToken>) -> Result<(), Failure> {
        self.decode(tokens);
        self.head.next(&mut self.kernels, &self.buffers.out, best);
        Ok(())
    }

    fn step_scored(
        &mut self,
        step: &ScoredStep<'_>,
        best: &mut Vec<NextToken>,
        logits: &mut Vec<f32>,
    ) -> Result<(), Failure> {
        self.decode_several(step.tokens, step.lengths.iter().copied());
        let out = &self.buffers.out;
        self.head.next_and_logits(&mut self.kernels, out, step.scored, best, logits);
        Ok(())
    }

    fn step_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Failure> {
        self.decode(tokens);
        Ok(self.head.logits(&mut self.kernels, &self.buffers.out))
    }

    fn verifies_drafts(&self) -> bool {
        VERIFIES_DRAFTS
    }

    fn forget(&mut self, tokens: &[usize]) -> Result<(), Failure> {
        self.positions.iter_mut().zip(tokens).for_each(|(held, tokens)| *held -= tokens);
        Ok(())
    }

    fn retain(&mut self, rows: &[usize]) -> Result<(), Failure> {
        self.cache.retain_rows(rows);
        for (place, row) in rows.iter().enumerate() {
            self.positions[place] = self.positions[*row];
        }
        self.positions.truncate(rows.len());
        Ok(())
    }

    fn reorder(&mut self, rows: &[usize]) -> Result<(), Failure> {
        self.cache.fork_rows(rows, &self.positions);
        self.positions = rows.iter().map(|row| self.positions[*row]).collect();
        self.cache_bytes = self.cache_bytes.max(self.cache.bytes());
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
        let blocks: Vec<_> = self.blocks.iter().flat_map(Block::weights).collect();
        let prompt_bytes = blocks.iter().map(|weights| weights.bytes()).sum();
        let mut step_weights = blocks;
        step_weights.push(self.head.head().searched());
        let [most, down] = self.storages;
        let model = work::Model {
            config: &self.config,
            most,
            down,
            cache: Precision::of(self.dtype).cache,
            prompt_bytes,
            step_bytes: step_weights.iter().map(|weights| weights.bytes()).sum(),
            search: self.head.head().searched().storage(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use engine::files::Weights;

    /// A tied embedding with the share of all parameters that Qwen2.5-0.5B's has, 28%.
    #[test]
    fn a_tied_embedding_is_held_once_beside_its_copy_for_the_search() {
        let text = r#"{"model_type": "qwen2", "hidden_size": 128, "num_attention_heads": 4,
            "num_key_value_heads": 2, "intermediate_size": 640, "num_hidden_layers": 4,
            "vocab_size": 3584, "max_position_embeddings": 64, "tie_word_embeddings": true}"#;
        let config = Config::parse(text.as_bytes()).unwrap();
        let checkpoint = Checkpoint::open(&config, Weights::Seeded(1)).unwrap();
        let parameters = checkpoint.tensors.parameters() as f64;
        let share = (config.vocabulary * config.width) as f64 / parameters;
        assert!((share - 0.28).abs() < 0.01, "{share}");
        for (dtype, width) in [(Dtype::F32, 4.0), (Dtype::F16, 2.0), (Dtype::Bf16, 2.0)] {
            let model = CpuModel::load(&checkpoint, dtype, Dispatch::best(), 1).unwrap();
            // The weights, and an int8 copy of the embedding. Norms and biases stay f32.
            let expected = parameters * (width + share);
            let found = model.weight_bytes() as f64;
            assert!((found / expected - 1.0).abs() < 0.01, "{dtype}: {found} of {expected}");
            assert!(found < 1.2 * width * parameters, "{dtype}: {found}");
        }
    }
}
