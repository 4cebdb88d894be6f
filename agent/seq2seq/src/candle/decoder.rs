//! The decoder: one token per row in, the residual stream out. Holds the key-value caches of the
//! active rows.

use super::Error;
use super::layers::{Attention, FeedForward, Linear, Loader, Norm, add, attend, bytes};
use crate::config::{Config, Stack};
use crate::layout::{Layer, Projection};
use crate::position::Buckets;
use candle_core::{Device, Tensor};

/// Growth of the self-attention cache, in steps.
const GROWTH: usize = 32;

#[derive(Debug)]
pub(super) struct Decoder {
    blocks: Vec<Block>,
    final_norm: Norm,
    heads: usize,
    d_kv: usize,
    buckets: Buckets,
    /// `[buckets, heads]`.
    bias_weight: Vec<f32>,
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

#[derive(Debug)]
pub(super) struct State {
    steps: usize,
    /// `[heads, max_steps]`, by distance; the nearest key is last.
    bias: Tensor,
    /// `[rows, 1, 1, longest]`: 0 for the prompt, negative infinity for padding. `None` for equal
    /// lengths.
    mask: Option<Tensor>,
    /// One per block.
    caches: Vec<Caches>,
}

#[derive(Debug)]
struct Caches {
    /// `[rows, heads, capacity, d_kv]`, filled up to `steps`.
    own: [Tensor; 2],
    /// `[rows, heads, longest, d_kv]`.
    prompt: [Tensor; 2],
}

impl Decoder {
    pub(super) fn load(loader: &Loader<'_>, buckets: Buckets) -> Result<Self, Error> {
        let config: &Config = &loader.checkpoint.config;
        let (family, stack, layer) = (config.family, Stack::Decoder, Layer::CrossAttention);
        let blocks = (0..config.decoder.blocks)
            .map(|block| {
                let name = |projection| family.attention(stack, block, layer, projection);
                let memory = [Projection::Key, Projection::Value].map(name);
                Ok(Block {
                    attention: loader.self_attention(stack, block)?,
                    cross: CrossAttention {
                        norm: loader.norm(&family.norm(stack, block, layer))?,
                        query: loader.linear(vec![name(Projection::Query)])?,
                        memory: loader.linear(memory.to_vec())?,
                        out: loader.linear(vec![name(Projection::Out)])?,
                    },
                    feed_forward: loader.feed_forward(stack, block)?,
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            blocks,
            final_norm: loader.norm(&family.last_norm(stack))?,
            heads: config.decoder.heads,
            d_kv: config.decoder.head_width,
            buckets,
            bias_weight: loader.checkpoint.tensors.tensor(&family.positions(stack))?,
        })
    }

    pub(super) fn linears(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.blocks.iter_mut().flat_map(|block| {
            let CrossAttention { query, memory, out, .. } = &mut block.cross;
            let others = block.attention.linears().into_iter();
            others.chain([query, memory, out]).chain(block.feed_forward.linears())
        })
    }

    /// Starts a batch. `encoded`: the encoder's output for all prompts, `[tokens, d_model]`.
    pub(super) fn begin(
        &self,
        encoded: &Tensor,
        lengths: &[usize],
        max_steps: usize,
    ) -> Result<State, candle_core::Error> {
        let device = encoded.device();
        let table = self.buckets.table(&self.bias_weight, self.heads, max_steps - 1, 0);
        let caches = self
            .blocks
            .iter()
            .map(|block| {
                let memory = block.cross.memory.forward(encoded)?;
                let shape = (lengths.len(), self.heads, GROWTH.min(max_steps), self.d_kv);
                let own = || Tensor::zeros(shape, memory.dtype(), device);
                Ok(Caches { own: [own()?, own()?], prompt: self.by_row(&memory, lengths)? })
            })
            .collect::<Result<_, candle_core::Error>>()?;
        Ok(State {
            steps: 0,
            bias: Tensor::from_vec(table, (self.heads, max_steps), device)?,
            mask: mask(lengths, device)?,
            caches,
        })
    }

    /// Keys and values of the prompts, `[tokens, 2 * inner]`, padded to the longest.
    fn by_row(
        &self,
        memory: &Tensor,
        lengths: &[usize],
    ) -> Result<[Tensor; 2], candle_core::Error> {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut start = 0;
        let mut rows = Vec::with_capacity(lengths.len());
        for &length in lengths {
            rows.push(memory.narrow(0, start, length)?.pad_with_zeros(0, 0, longest - length)?);
            start += length;
        }
        // [2, rows, heads, longest, d_kv]
        let both = Tensor::stack(&rows, 0)?
            .reshape((lengths.len(), longest, 2, self.heads, self.d_kv))?
            .permute((2, 0, 3, 1, 4))?
            .contiguous()?;
        Ok([both.get(0)?.copy()?, both.get(1)?.copy()?])
    }

    /// `x`: the embedding of each row's token, `[rows, d_model]`. Returns the input of the head.
    pub(super) fn step(&self, state: &mut State, x: Tensor) -> Result<Tensor, candle_core::Error> {
        let rows = x.dim(0)?;
        let (place, inner) = (state.steps, self.heads * self.d_kv);
        let max_steps = state.bias.dim(1)?;
        // [heads, 1, steps]
        let bias = state.bias.narrow(1, max_steps - 1 - place, place + 1)?.unsqueeze(1)?;
        let mut x = x;
        for (block, caches) in self.blocks.iter().zip(&mut state.caches) {
            let attention = &block.attention;
            let qkv = attention.into.forward(&attention.norm.forward(&x)?)?;
            let part = |part: usize| {
                qkv.narrow(1, part * inner, inner)?.reshape((rows, self.heads, 1, self.d_kv))
            };
            for (cache, fresh) in caches.own.iter_mut().zip([part(1)?, part(2)?]) {
                if cache.dim(2)? == place {
                    *cache = cache.pad_with_zeros(2, 0, GROWTH.min(max_steps - place))?;
                }
                cache.slice_set(&fresh.contiguous()?, 2, place)?;
            }
            let k = caches.own[0].narrow(2, 0, place + 1)?;
            let v = caches.own[1].narrow(2, 0, place + 1)?;
            let heads = attend(&part(0)?, &k, &v, Some(&bias))?;
            x = add(&x, &attention.out.forward(&heads.reshape((rows, inner))?)?)?;

            let cross = &block.cross;
            let q = cross.query.forward(&cross.norm.forward(&x)?)?;
            let q = q.reshape((rows, self.heads, 1, self.d_kv))?;
            let heads = attend(&q, &caches.prompt[0], &caches.prompt[1], state.mask.as_ref())?;
            x = add(&x, &cross.out.forward(&heads.reshape((rows, inner))?)?)?;

            x = block.feed_forward.forward(&x)?;
        }
        state.steps += 1;
        self.final_norm.forward(&x)
    }
}

/// `[rows, 1, 1, longest]`. `None` if all prompts have the same length.
fn mask(lengths: &[usize], device: &Device) -> Result<Option<Tensor>, candle_core::Error> {
    let longest = lengths.iter().copied().max().unwrap_or(0);
    if lengths.iter().all(|length| *length == longest) {
        return Ok(None);
    }
    let values = lengths
        .iter()
        .flat_map(|length| {
            (0..longest).map(move |key| if key < *length { 0.0 } else { f32::NEG_INFINITY })
        })
        .collect();
    Tensor::from_vec(values, (lengths.len(), 1, 1, longest), device).map(Some)
}

impl State {
    /// Keeps only the rows at these indices, a list of u32 on the device.
    pub(super) fn retain(&mut self, rows: &Tensor) -> Result<(), candle_core::Error> {
        if let Some(mask) = &mut self.mask {
            *mask = mask.index_select(rows, 0)?;
        }
        for caches in &mut self.caches {
            for cache in caches.own.iter_mut().chain(&mut caches.prompt) {
                *cache = cache.index_select(rows, 0)?;
            }
        }
        Ok(())
    }

    pub(super) fn cache_bytes(&self) -> u64 {
        let tensors = self.caches.iter().flat_map(|caches| caches.own.iter().chain(&caches.prompt));
        tensors.map(bytes).sum()
    }
}
