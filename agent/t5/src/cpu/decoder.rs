//! The decoder: one token per row in, the residual stream out. Holds the key-value caches of the
//! active rows.

use super::layers::{Attention, FeedForward, Loader, Norm, Workspace};
use super::linear::{Linear, LoraBuffers};
use crate::checkpoint::{Error, Stack, cross_attention};
use crate::position::{Buckets, Direction};
use kernels::{Appended, Bias, Cache, Epilogue, Heads, Kernels, Rows, Step, Weights};
use std::ops::Range;

#[derive(Debug)]
pub(super) struct Decoder {
    blocks: Vec<Block>,
    final_norm: Norm,
    heads: Heads,
    buckets: Buckets,
    /// `[buckets, heads]`.
    bias_weight: Vec<f32>,
    /// For the largest number of steps so far.
    bias: Bias,
    /// Self-attention cache.
    own: Cache,
    /// Cross-attention cache.
    prompt: Cache,
    /// Keys and values of one group of prompts, `[tokens, 2 * inner]`.
    memory: Rows,
    /// `[rows, inner]`.
    queries: Rows,
    /// Steps taken by each row.
    positions: Vec<usize>,
}

#[derive(Debug)]
struct Block {
    attention: Attention,
    cross: CrossAttention,
    feed_forward: FeedForward,
}

#[derive(Debug)]
struct CrossAttention {
    norm: Norm,
    query: Linear,
    /// To keys and values side by side.
    memory: Linear,
    out: Linear,
}

impl Decoder {
    pub(super) fn load(loader: &Loader<'_>) -> Result<Self, Error> {
        let config = &loader.checkpoint.config;
        let stack = Stack::Decoder;
        let block = |block| {
            let name = |part: &str| cross_attention(block, part);
            Ok(Block {
                attention: loader.self_attention(stack, block)?,
                cross: CrossAttention {
                    norm: loader.norm(&stack.norm(block, 1))?,
                    query: loader.linear(vec![name("q")], config.d_model)?,
                    memory: loader.linear(vec![name("k"), name("v")], config.d_model)?,
                    out: loader.linear(vec![name("o")], config.inner())?,
                },
                feed_forward: loader.feed_forward(stack, block)?,
            })
        };
        let heads = Heads { count: config.heads, width: config.d_kv };
        let cache =
            || Cache::new(loader.dispatch, loader.precision.cache, config.decoder_blocks, heads);
        Ok(Self {
            blocks: (0..config.decoder_blocks).map(block).collect::<Result<_, Error>>()?,
            final_norm: loader.norm(&stack.final_norm())?,
            heads,
            buckets: Buckets {
                count: config.buckets,
                max_distance: config.max_distance,
                direction: Direction::Back,
            },
            bias_weight: loader.checkpoint.tensor(&stack.position_bias())?,
            bias: Bias::default(),
            own: cache(),
            prompt: cache(),
            memory: Rows::new(2 * config.inner()),
            queries: Rows::new(config.inner()),
            positions: Vec::new(),
        })
    }

    pub(super) fn add(&mut self, lengths: &[usize], max_steps: usize) {
        if max_steps > self.bias.offsets {
            let (weight, heads) = (&self.bias_weight, self.heads.count);
            let table = self.buckets.table(weight, heads, max_steps - 1, 0);
            self.bias = Bias { values: table, offsets: max_steps, zero: max_steps - 1 };
        }
        self.own.add_rows(lengths.iter().map(|_| max_steps));
        self.prompt.add_rows(lengths.iter().copied());
        self.positions.resize(self.positions.len() + lengths.len(), 0);
    }

    pub(super) fn rows(&self) -> usize {
        self.positions.len()
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

    /// `x`: the embedding of each row's token, `[rows, d_model]`. Writes the input of the head.
    pub(super) fn step(
        &mut self,
        kernels: &mut Kernels,
        x: &mut Rows,
        workspace: &mut Workspace,
        to: &mut Rows,
    ) {
        let inner = self.heads.count * self.heads.width;
        for (layer, block) in self.blocks.iter().enumerate() {
            let Block { attention, cross, feed_forward } = block;
            attention.norm.forward(kernels, x, &mut workspace.normed);
            let Workspace { normed, projected, lora_buffers, .. } = workspace;
            attention.into.forward(kernels, normed, Epilogue::Store, lora_buffers, projected);
            let own = Step {
                layer,
                projected: &workspace.projected,
                appended: Some(Appended { keys: inner, values: 2 * inner }),
                bias: Some(&self.bias),
                positions: &self.positions,
            };
            kernels.attend_cached(&mut self.own, &own, &mut workspace.attended);
            attention.out.forward(
                kernels,
                &workspace.attended,
                Epilogue::Add,
                &mut workspace.lora_buffers,
                x,
            );

            cross.norm.forward(kernels, x, &mut workspace.normed);
            let (queries, lora_buffers) = (&mut self.queries, &mut workspace.lora_buffers);
            cross.query.forward(kernels, &workspace.normed, Epilogue::Store, lora_buffers, queries);
            let prompt = Step {
                layer,
                projected: &self.queries,
                appended: None,
                bias: None,
                positions: &self.positions,
            };
            kernels.attend_cached(&mut self.prompt, &prompt, &mut workspace.attended);
            cross.out.forward(
                kernels,
                &workspace.attended,
                Epilogue::Add,
                &mut workspace.lora_buffers,
                x,
            );

            feed_forward.forward(kernels, x, workspace);
        }
        self.positions.iter_mut().for_each(|position| *position += 1);
        self.final_norm.forward(kernels, x, to);
    }

    pub(super) fn retain(&mut self, rows: &[usize]) {
        self.own.retain_rows(rows);
        self.prompt.retain_rows(rows);
        for (place, row) in rows.iter().enumerate() {
            self.positions[place] = self.positions[*row];
        }
        self.positions.truncate(rows.len());
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
