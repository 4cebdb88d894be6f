//! The encoder: embedded prompts in, concatenated without padding, their encodings out.

use super::layers::{Attention, FeedForward, Loader, Norm, Workspace};
use super::linear::Linear;
use crate::checkpoint::{Error, Stack};
use crate::position::{Buckets, Direction};
use kernels::{Bias, Epilogue, Heads, Kernels, Rows};
use std::ops::Range;

#[derive(Debug)]
pub(super) struct Encoder {
    blocks: Vec<(Attention, FeedForward)>,
    final_norm: Norm,
    heads: Heads,
    buckets: Buckets,
    /// `[buckets, heads]`.
    bias_weight: Vec<f32>,
    /// For the longest prompt so far.
    bias: Bias,
}

impl Encoder {
    pub(super) fn load(loader: &Loader<'_>) -> Result<Self, Error> {
        let config = &loader.checkpoint.config;
        let stack = Stack::Encoder;
        let block =
            |block| Ok((loader.self_attention(stack, block)?, loader.feed_forward(stack, block)?));
        Ok(Self {
            blocks: (0..config.encoder_blocks).map(block).collect::<Result<_, Error>>()?,
            final_norm: loader.norm(&stack.final_norm())?,
            heads: Heads { count: config.heads, width: config.d_kv },
            buckets: Buckets {
                count: config.buckets,
                max_distance: config.max_distance,
                direction: Direction::Both,
            },
            bias_weight: loader.checkpoint.tensor(&stack.position_bias())?,
            bias: Bias::default(),
        })
    }

    /// Encodes `x`, `[tokens, d_model]`, to `to` of that shape. Each prompt is a range of rows.
    pub(super) fn forward(
        &mut self,
        kernels: &mut Kernels,
        x: &mut Rows,
        prompts: &[Range<usize>],
        workspace: &mut Workspace,
        to: &mut Rows,
    ) {
        let longest = prompts.iter().map(ExactSizeIterator::len).max().unwrap_or(1);
        if longest > self.bias.zero {
            let (weight, heads) = (&self.bias_weight, self.heads.count);
            let table = self.buckets.table(weight, heads, longest, longest);
            self.bias = Bias { values: table, offsets: 2 * longest + 1, zero: longest };
        }
        for (attention, feed_forward) in &self.blocks {
            attention.norm.forward(kernels, x, &mut workspace.normed);
            let Workspace { normed, projected, lora_buffers, .. } = workspace;
            attention.into.forward(kernels, normed, Epilogue::Store, lora_buffers, projected);
            let (projected, attended) = (&workspace.projected, &mut workspace.attended);
            kernels.attend_within(projected, prompts, self.heads, &self.bias, attended);
            attention.out.forward(
                kernels,
                &workspace.attended,
                Epilogue::Add,
                &mut workspace.lora_buffers,
                x,
            );
            feed_forward.forward(kernels, x, workspace);
        }
        self.final_norm.forward(kernels, x, to);
    }

    pub(super) fn linears(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.blocks.iter_mut().flat_map(|(attention, feed_forward)| {
            attention.linears().into_iter().chain(feed_forward.linears())
        })
    }

    /// Bytes of the weights read per group of prompts.
    pub(super) fn read_bytes(&self) -> usize {
        let linears = self.blocks.iter().flat_map(|(attention, feed_forward)| {
            let [into, out] = feed_forward.read();
            [&attention.into, &attention.out, into, out]
        });
        linears.map(Linear::read_bytes).sum()
    }

    pub(super) fn sums(&self) -> usize {
        self.blocks[0].1.sums()
    }
}
