//! The encoder: prompts in, the residual stream of all their tokens out.
//!
//! Prompts are concatenated without padding. Each attends only to itself, so no mask is needed and
//! prompts do not affect each other.

use super::Error;
use super::layers::{Attention, FeedForward, Linear, Loader, Norm, add, attend};
use crate::config::{Config, Stack};
use crate::position::Buckets;
use candle_core::{Device, Tensor};

#[derive(Debug)]
pub(super) struct Encoder {
    blocks: Vec<(Attention, FeedForward)>,
    final_norm: Norm,
    heads: usize,
    bias: Bias,
}

/// The bias of the longest prompt so far; shorter prompts use its corner.
#[derive(Debug)]
struct Bias {
    buckets: Buckets,
    /// `[buckets, heads]`.
    weight: Vec<f32>,
    /// `[heads, longest, longest]`.
    square: Option<Tensor>,
}

impl Encoder {
    pub(super) fn load(loader: &Loader<'_>, buckets: Buckets) -> Result<Self, Error> {
        let config: &Config = &loader.checkpoint.config;
        let stack = Stack::Encoder;
        let blocks = (0..config.encoder.blocks)
            .map(|block| {
                Ok((loader.self_attention(stack, block)?, loader.feed_forward(stack, block)?))
            })
            .collect::<Result<_, Error>>()?;
        let weight = loader.checkpoint.tensors.tensor(&config.family.positions(stack))?;
        Ok(Self {
            blocks,
            final_norm: loader.norm(&config.family.last_norm(stack))?,
            heads: config.encoder.heads,
            bias: Bias { buckets, weight, square: None },
        })
    }

    /// `x`: the embedding of all prompts, `[tokens, d_model]`. `lengths`: tokens per prompt.
    pub(super) fn forward(
        &mut self,
        x: Tensor,
        lengths: &[usize],
    ) -> Result<Tensor, candle_core::Error> {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let bias = self.bias.square(longest, self.heads, x.device())?;
        let mut x = x;
        for (attention, feed_forward) in &self.blocks {
            x = add(&x, &self.attend(attention, &x, lengths, &bias)?)?;
            x = feed_forward.forward(&x)?;
        }
        self.final_norm.forward(&x)
    }

    pub(super) fn linears(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.blocks.iter_mut().flat_map(|(attention, feed_forward)| {
            attention.linears().into_iter().chain(feed_forward.linears())
        })
    }

    fn attend(
        &self,
        attention: &Attention,
        x: &Tensor,
        lengths: &[usize],
        bias: &Tensor,
    ) -> Result<Tensor, candle_core::Error> {
        let qkv = attention.into.forward(&attention.norm.forward(x)?)?;
        let inner = qkv.dim(1)? / 3;
        let mut start = 0;
        let mut mixed = Vec::with_capacity(lengths.len());
        for &length in lengths {
            // [3, heads, length, d_kv]
            let parts = qkv
                .narrow(0, start, length)?
                .reshape((length, 3, self.heads, inner / self.heads))?
                .permute((1, 2, 0, 3))?
                .contiguous()?;
            let corner = bias.narrow(1, 0, length)?.narrow(2, 0, length)?;
            let heads = attend(&parts.get(0)?, &parts.get(1)?, &parts.get(2)?, Some(&corner))?;
            mixed.push(heads.transpose(0, 1)?.reshape((length, inner))?);
            start += length;
        }
        attention.out.forward(&Tensor::cat(&mixed, 0)?)
    }
}

impl Bias {
    /// At least `length` in both dimensions.
    fn square(
        &mut self,
        length: usize,
        heads: usize,
        device: &Device,
    ) -> Result<Tensor, candle_core::Error> {
        if let Some(square) = self.square.as_ref().filter(|square| square.dims()[1] >= length) {
            return Ok(square.clone());
        }
        let table = self.buckets.table(&self.weight, heads, length - 1, length - 1);
        let mut values = Vec::with_capacity(heads * length * length);
        for offsets in table.chunks_exact(2 * length - 1) {
            for query in 0..length {
                // For this query the first key is at offset -query.
                values.extend_from_slice(&offsets[length - 1 - query..][..length]);
            }
        }
        let square = Tensor::from_vec(values, (heads, length, length), device)?;
        self.square = Some(square.clone());
        Ok(square)
    }
}
