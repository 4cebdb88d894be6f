//! The encoder: embedded prompts in, concatenated without padding, their encodings out.

use super::layers::{Attention, FeedForward, Loader, Workspace};
use super::norm::Norm;
use super::relative_bias::RelativeBias;
use crate::config::Stack;
use checkpoint::Error;
use kernels::{Epilogue, Heads, Kernels, Rows};
use layers::Linear;
use std::ops::Range;

#[derive(Debug)]
pub(super) struct Encoder {
    blocks: Vec<(Attention, FeedForward)>,
    last_norm: Option<Norm>,
    heads: Heads,
    /// For the longest prompt so far.
    bias: Option<RelativeBias>,
}

impl Encoder {
    pub(super) fn load(loader: &Loader<'_>) -> Result<Self, Error> {
        let config = loader.config();
        let stack = Stack::Encoder;
        let block =
            |block| Ok((loader.self_attention(stack, block)?, loader.feed_forward(stack, block)?));
        Ok(Self {
            blocks: (0..config.encoder.blocks).map(block).collect::<Result<_, Error>>()?,
            last_norm: loader.last_norm(stack)?,
            heads: loader.heads(stack),
            bias: RelativeBias::load(loader, stack)?,
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
        if let Some(bias) = &mut self.bias {
            bias.cover(longest, longest);
        }
        let bias = self.bias.as_ref().map(RelativeBias::bias);
        for (attention, feed_forward) in &self.blocks {
            let Workspace { normed, projected, attended, lora_buffers, .. } = workspace;
            let input = attention.norm.input(kernels, x, normed);
            attention.into.forward(kernels, input, Epilogue::Store, lora_buffers, projected);
            kernels.attend_within(projected, prompts, self.heads, bias, attended);
            attention.out.forward(kernels, attended, Epilogue::Add, lora_buffers, x);
            attention.norm.finish(kernels, x, normed);
            feed_forward.forward(kernels, x, workspace);
        }
        match &self.last_norm {
            Some(norm) => norm.forward(kernels, x, to),
            None => std::mem::swap(x, to),
        }
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
