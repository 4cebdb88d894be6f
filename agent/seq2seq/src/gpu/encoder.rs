//! The encoder: a group of prompts in, concatenated without padding, their encodings out.

use super::Error;
use super::layers::{Attention, FeedForward, Loader, Norm, RelativeBias, to_i32};
use crate::config::Stack;
use crate::layout::Layer;
use gpu::{Buffer, Gate, Gpu, Kernels, Keys, Storage, TileProduct, Weights};
use std::ops::Range;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Encoder {
    embedding: Arc<Weights>,
    blocks: Vec<(Attention, FeedForward)>,
    last_norm: Norm,
    heads: usize,
    width: usize,
    bias: RelativeBias,
    /// Whether inputs of most products are rounded to f16.
    rounds: bool,
    buffers: Buffers,
    /// Tokens of the last group.
    tokens: usize,
}

/// Of a group of prompts, one row for each token.
#[derive(Debug)]
struct Buffers {
    gpu: Arc<Gpu>,
    sizes: Sizes,
    rows: usize,
    ids: Buffer<i32>,
    /// Of each token's prompt: its first row and its length.
    first: Buffer<i32>,
    count: Buffer<i32>,
    /// In the prompt.
    position: Buffer<i32>,
    /// In the cache of prompts.
    place: Buffer<i32>,
    /// The residual stream, `[rows, d_model]`.
    x: Buffer<f32>,
    normed: Buffer<f32>,
    /// Queries, keys and values, `[rows, 3 * inner]`.
    projected: Buffer<f32>,
    attended: Buffer<f32>,
    /// Before the activation, `[rows, d_ff]` or twice as wide.
    sums: Buffer<f32>,
    activated: Buffer<f32>,
}

#[derive(Debug, Clone, Copy)]
struct Sizes {
    d_model: usize,
    inner: usize,
    sums: usize,
    d_ff: usize,
}

impl Buffers {
    fn new(gpu: &Arc<Gpu>, sizes: Sizes, rows: usize) -> Result<Self, Error> {
        let ints = || Buffer::zeroed(gpu, rows);
        let floats = |width: usize| Buffer::zeroed(gpu, rows * width);
        Ok(Self {
            gpu: Arc::clone(gpu),
            sizes,
            rows,
            ids: ints()?,
            first: ints()?,
            count: ints()?,
            position: ints()?,
            place: ints()?,
            x: floats(sizes.d_model)?,
            normed: floats(sizes.d_model)?,
            projected: floats(3 * sizes.inner)?,
            attended: floats(sizes.inner)?,
            sums: floats(sizes.sums)?,
            activated: floats(sizes.d_ff)?,
        })
    }

    /// Writes what is known of each token.
    fn fill(
        &mut self,
        tokens: &[u32],
        prompts: &[Range<usize>],
        places: &[usize],
    ) -> Result<(), Error> {
        if tokens.len() > self.rows {
            *self = Self::new(&self.gpu, self.sizes, tokens.len())?;
        }
        let of_prompts = |value: &dyn Fn(&Range<usize>, usize) -> usize| -> Vec<i32> {
            let rows =
                prompts.iter().flat_map(|prompt| prompt.clone().map(move |row| (prompt, row)));
            rows.map(|(prompt, row)| to_i32(value(prompt, row))).collect()
        };
        let ids: Vec<i32> = tokens.iter().map(|id| id.cast_signed()).collect();
        self.ids.write(0, &ids)?;
        self.first.write(0, &of_prompts(&|prompt, _| prompt.start))?;
        self.count.write(0, &of_prompts(&|prompt, _| prompt.len()))?;
        self.position.write(0, &of_prompts(&|prompt, row| row - prompt.start))?;
        let in_cache = prompts.iter().zip(places);
        let in_cache = in_cache.flat_map(|(prompt, place)| *place..place + prompt.len());
        self.place.write(0, &in_cache.map(to_i32).collect::<Vec<_>>())?;
        Ok(())
    }
}

impl Encoder {
    pub(super) fn load(loader: &Loader<'_>, embedding: Arc<Weights>) -> Result<Self, Error> {
        let config = loader.config();
        let stack = Stack::Encoder;
        let block = |block| -> Result<_, Error> {
            let attention = loader.attention(stack, block, Layer::SelfAttention)?;
            Ok((attention, loader.feed_forward(stack, block)?))
        };
        let shape = config.encoder;
        let blocks: Vec<_> = (0..shape.blocks).map(block).collect::<Result<_, Error>>()?;
        let sizes = Sizes {
            d_model: config.d_model,
            inner: shape.inner(),
            sums: blocks[0].1.into.outputs(),
            d_ff: shape.d_ff,
        };
        Ok(Self {
            embedding,
            blocks,
            last_norm: loader.last_norm(stack)?,
            heads: shape.heads,
            width: shape.head_width,
            bias: RelativeBias::load(loader, stack)?,
            rounds: loader.precision.most == Storage::F16,
            buffers: Buffers::new(loader.gpu, sizes, 0)?,
            tokens: 0,
        })
    }

    /// Encodes a group. `prompts`: ranges of `tokens`; `places`: of each prompt in the cache.
    pub(super) fn forward(
        &mut self,
        kernels: &Kernels,
        tokens: &[u32],
        prompts: &[Range<usize>],
        places: &[usize],
    ) -> Result<(), Error> {
        let longest = prompts.iter().map(ExactSizeIterator::len).max().unwrap_or(1);
        self.bias.cover(longest, longest)?;
        self.buffers.fill(tokens, prompts, places)?;
        self.tokens = tokens.len();
        let (rows, rounds) = (tokens.len(), self.rounds);
        let Buffers {
            ids,
            first,
            count,
            position,
            x,
            normed,
            projected,
            attended,
            sums,
            activated,
            ..
        } = &mut self.buffers;
        kernels.embed(ids, &self.embedding, rows, x)?;
        for (attention, feed_forward) in &self.blocks {
            kernels.rms_norm(x, rows, attention.norm.get(), normed)?;
            let product = TileProduct { x: normed, rows, weights: &attention.into, rounds };
            kernels.tile_store(&product, projected)?;
            let attend = gpu::Attention {
                queries: projected,
                keys: Keys::Projected,
                rows,
                heads: self.heads,
                width: self.width,
                first,
                count,
                more: 0,
                most_keys: longest,
                bias: Some(self.bias.at(position)),
            };
            kernels.attend(&attend, attended)?;
            let product = TileProduct { x: attended, rows, weights: &attention.out, rounds };
            kernels.tile_add(&product, x)?;

            kernels.rms_norm(x, rows, feed_forward.norm.get(), normed)?;
            let FeedForward { into, form, activation, out, .. } = feed_forward;
            let product = TileProduct { x: normed, rows, weights: into, rounds };
            kernels.tile_store(&product, sums)?;
            let (form, activation, width) = (*form, *activation, out.inputs());
            kernels.gate(&Gate { x: sums, rows, width, form, activation }, activated)?;
            // These inputs have outliers beyond the range of f16.
            let product = TileProduct { x: activated, rows, weights: out, rounds: false };
            kernels.tile_add(&product, x)?;
        }
        kernels.rms_norm(x, rows, self.last_norm.get(), normed)?;
        Ok(())
    }

    /// The encodings of the last group, by weights.
    pub(super) fn encoded<'a>(&'a self, weights: &'a Weights) -> TileProduct<'a> {
        let (x, rows, rounds) = (&self.buffers.normed, self.tokens, self.rounds);
        TileProduct { x, rows, weights, rounds }
    }

    /// Of each token of the last group in the cache of prompts.
    pub(super) fn places(&self) -> &Buffer<i32> {
        &self.buffers.place
    }

    pub(super) fn weight_bytes(&self) -> usize {
        let blocks = self.blocks.iter();
        let bytes = blocks.map(|(attention, feed_forward)| {
            attention.into.bytes() + attention.out.bytes() + feed_forward.bytes()
        });
        bytes.sum()
    }
}
