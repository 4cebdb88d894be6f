//! The decoder: one or several tokens per row in, the residual stream out. Holds the key-value caches of the
//! active rows.

use super::layers::{Attention, CrossAttention, FeedForward, Loader, Workspace};
use super::norm::Norm;
use super::relative_bias::RelativeBias;
use crate::config::Stack;
use checkpoint::Error;
use kernels::{Appended, Cache, Epilogue, Heads, Kernels, Rows, Step, Weights};
use layers::{Linear, LoraBuffers, group};
use std::ops::Range;

#[derive(Debug)]
pub(super) struct Decoder {
    blocks: Vec<Block>,
    last_norm: Option<Norm>,
    heads: Heads,
    /// For the largest number of steps so far.
    bias: Option<RelativeBias>,
    /// Self-attention cache.
    own: Cache,
    /// Cross-attention cache.
    prompt: Cache,
    /// Keys and values of one group of prompts, `[tokens, 2 * inner]`.
    memory: Rows,
    /// `[tokens, inner]`.
    queries: Rows,
    /// Of each row: tokens whose keys and values the cache holds.
    positions: Vec<usize>,
    /// Of each row: the tokens of the step, as rows of the residual stream.
    sequences: Vec<Range<usize>>,
}

#[derive(Debug)]
struct Block {
    attention: Attention,
    cross: CrossAttention,
    feed_forward: FeedForward,
}

impl Decoder {
    pub(super) fn load(loader: &Loader<'_>) -> Result<Self, Error> {
        let stack = Stack::Decoder;
        let shape = loader.config().stack(stack);
        let block = |block| {
            Ok(Block {
                attention: loader.self_attention(stack, block)?,
                cross: loader.cross_attention(block)?,
                feed_forward: loader.feed_forward(stack, block)?,
            })
        };
        let heads = loader.heads(stack);
        let cache = || Cache::new(loader.dispatch, loader.precision.cache, shape.blocks, heads);
        Ok(Self {
            blocks: (0..shape.blocks).map(block).collect::<Result<_, Error>>()?,
            last_norm: loader.last_norm(stack)?,
            heads,
            bias: RelativeBias::load(loader, stack)?,
            own: cache(),
            prompt: cache(),
            memory: Rows::new(2 * shape.inner()),
            queries: Rows::new(shape.inner()),
            positions: Vec::new(),
            sequences: Vec::new(),
        })
    }

    pub(super) fn add(&mut self, lengths: &[usize], max_steps: usize) {
        if let Some(bias) = &mut self.bias {
            bias.cover(max_steps - 1, 0);
        }
        self.own.add_rows(lengths.iter().map(|_| max_steps));
        self.prompt.add_rows(lengths.iter().copied());
        self.positions.resize(self.positions.len() + lengths.len(), 0);
    }

    pub(super) fn rows(&self) -> usize {
        self.positions.len()
    }

    /// Sets how many tokens each row takes in the next step.
    pub(super) fn expect(&mut self, lengths: impl Iterator<Item = usize>) {
        self.sequences.clear();
        self.sequences.extend(group::ranges(lengths));
    }

    /// Of each token of the next step.
    pub(super) fn token_positions(&self) -> impl Iterator<Item = usize> {
        let rows = self.positions.iter().zip(&self.sequences);
        rows.flat_map(|(held, tokens)| *held..held + tokens.len())
    }

    /// Drops the last tokens of each row.
    pub(super) fn forget(&mut self, tokens: &[usize]) {
        self.positions.iter_mut().zip(tokens).for_each(|(held, tokens)| *held -= tokens);
    }

    /// Stores the keys and values of encoded prompts, the rows from `first_row` on.
    pub(super) fn remember(
        &mut self,
        kernels: &mut Kernels,
        encoded: &Rows,
        first_row: usize,
        prompts: &[Range<usize>],
        lora_buffers: &mut LoraBuffers,
    ) {
        for (layer, block) in self.blocks.iter().enumerate() {
            let memory = &mut self.memory;
            block.cross.memory.forward(kernels, encoded, Epilogue::Store, lora_buffers, memory);
            kernels.fill(&mut self.prompt, layer, first_row, prompts, &self.memory);
        }
    }

    /// `x`: the embedding of the expected tokens, `[tokens, d_model]`. Writes the input of the head.
    pub(super) fn step(
        &mut self,
        kernels: &mut Kernels,
        x: &mut Rows,
        workspace: &mut Workspace,
        to: &mut Rows,
    ) {
        let inner = self.heads.count * self.heads.width;
        let bias = self.bias.as_ref().map(RelativeBias::bias);
        for (layer, block) in self.blocks.iter().enumerate() {
            let Block { attention, cross, feed_forward } = block;
            let Workspace { normed, projected, attended, lora_buffers, .. } = &mut *workspace;
            let input = attention.norm.input(kernels, x, normed);
            attention.into.forward(kernels, input, Epilogue::Store, lora_buffers, projected);
            let sequences = &self.sequences;
            let own = Step {
                layer,
                sequences,
                projected,
                appended: Some(Appended { keys: inner, values: 2 * inner }),
                bias,
                positions: &self.positions,
            };
            kernels.attend_cached(&mut self.own, &own, attended);
            attention.out.forward(kernels, attended, Epilogue::Add, lora_buffers, x);
            attention.norm.finish(kernels, x, normed);

            let input = cross.norm.input(kernels, x, normed);
            let queries = &mut self.queries;
            cross.query.forward(kernels, input, Epilogue::Store, lora_buffers, queries);
            let prompt = Step {
                layer,
                sequences,
                projected: &self.queries,
                appended: None,
                bias: None,
                positions: &self.positions,
            };
            kernels.attend_cached(&mut self.prompt, &prompt, attended);
            cross.out.forward(kernels, attended, Epilogue::Add, lora_buffers, x);
            cross.norm.finish(kernels, x, normed);

            feed_forward.forward(kernels, x, workspace);
        }
        for (held, tokens) in self.positions.iter_mut().zip(&self.sequences) {
            *held += tokens.len();
        }
        match &self.last_norm {
            Some(norm) => norm.forward(kernels, x, to),
            None => std::mem::swap(x, to),
        }
    }

    pub(super) fn retain(&mut self, rows: &[usize]) {
        self.own.retain_rows(rows);
        self.prompt.retain_rows(rows);
        for (place, row) in rows.iter().enumerate() {
            self.positions[place] = self.positions[*row];
        }
        self.positions.truncate(rows.len());
    }

    pub(super) fn sums(&self) -> usize {
        self.blocks[0].feed_forward.sums()
    }

    /// Row `i` continues the old row `rows[i]`. Rows of one prompt share its keys and values.
    pub(super) fn reorder(&mut self, rows: &[usize]) {
        self.own.fork_rows(rows, &self.positions);
        self.prompt.share_rows(rows);
        self.positions = rows.iter().map(|row| self.positions[*row]).collect();
    }

    pub(super) fn cache_bytes(&self) -> usize {
        self.own.bytes() + self.prompt.bytes()
    }

    /// Bytes of the weights that project encodings to keys and values.
    pub(super) fn memory_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.cross.memory.read_bytes()).sum()
    }

    /// The weights that every step reads.
    pub(super) fn step_weights(&self) -> Vec<&Weights> {
        let linears = self.blocks.iter().flat_map(|Block { attention, cross, feed_forward }| {
            let [into, out] = feed_forward.read();
            [&attention.into, &attention.out, &cross.query, &cross.out, into, out]
        });
        linears.flat_map(Linear::weights).collect()
    }

    pub(super) fn linears(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.blocks.iter_mut().flat_map(|block| {
            let CrossAttention { query, memory, out, .. } = &mut block.cross;
            let cross = [query, memory, out];
            let others = block.attention.linears().into_iter();
            others.chain(cross).chain(block.feed_forward.linears())
        })
    }
}
