//! The encoder: a group of prompts in, concatenated without padding, their encodings out.

use super::Error;
use super::layers::{
    Attention, FeedForward, Input, Linear, Loader, Norm, RelativeBias, Residual, to_i32,
};
use crate::config::Stack;
use crate::layout::Layer;
use gpu::{Buffer, Gate, Gpu, Kernels, Keys, Storage, TileProduct};
use std::ops::Range;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Encoder {
    input: Input,
    blocks: Vec<(Attention, FeedForward)>,
    residual: Residual,
    last_norm: Norm,
    heads: usize,
    width: usize,
    bias: Option<RelativeBias>,
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
    pub(super) fn load(loader: &Loader<'_>, input: Input) -> Result<Self, Error> {
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
            input,
            blocks,
            residual: Residual::of(config),
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
        if let Some(bias) = &mut self.bias {
            bias.cover(longest, longest)?;
        }
        self.buffers.fill(tokens, prompts, places)?;
        self.tokens = tokens.len();
        let (rows, rounds, residual) = (tokens.len(), self.rounds, self.residual);
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
        self.input.forward(kernels, ids, position, rows, x)?;
        // Adds the output of a layer.
        let out = |product: &TileProduct<'_>, x: &mut Buffer<f32>, normed: &mut Buffer<f32>| {
            if residual == Residual::Normed {
                std::mem::swap(x, normed);
            }
            kernels.tile_add(product, x)
        };
        for (attention, feed_forward) in &self.blocks {
            kernels.norm(x, rows, attention.norm.get(), normed)?;
            kernels.tile_store(&attention.into.tile(normed, rows, rounds), projected)?;
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
                bias: self.bias.as_ref().map(|bias| bias.at(position)),
            };
            kernels.attend(&attend, attended)?;
            out(&attention.out.tile(attended, rows, rounds), x, normed)?;

            kernels.norm(x, rows, feed_forward.norm.get(), normed)?;
            kernels.tile_store(&feed_forward.into.tile(normed, rows, rounds), sums)?;
            let FeedForward { form, activation, .. } = *feed_forward;
            let width = feed_forward.out.inputs();
            kernels.gate(&Gate { x: sums, rows, width, form, activation }, activated)?;
            // These inputs have outliers beyond the range of f16.
            out(&feed_forward.out.tile(activated, rows, false), x, normed)?;
        }
        kernels.norm(x, rows, self.last_norm.get(), normed)?;
        Ok(())
    }

    /// The encodings of the last group, by a linear layer.
    pub(super) fn encoded<'a>(&'a self, linear: &'a Linear) -> TileProduct<'a> {
        linear.tile(&self.buffers.normed, self.tokens, self.rounds)
    }

    /// Of each token of the last group in the cache of prompts.
    pub(super) fn places(&self) -> &Buffer<i32> {
        &self.buffers.place
    }

    pub(super) fn weight_bytes(&self) -> usize {
        let blocks = self.blocks.iter();
        let bytes =
            blocks.map(|(attention, feed_forward)| attention.bytes() + feed_forward.bytes());
        bytes.sum::<usize>() + self.input.table_bytes()
    }
}
