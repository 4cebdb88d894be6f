//! The decoder: one token of every row in, the residual stream behind them out. Keeps the keys and values
//! of the rows that are still there.

use super::layers::{Attention, FeedForward, Loader, Norm, Room};
use super::product::{Product, Spare};
use crate::checkpoint::{Error, Stack, cross_attention};
use crate::position::{Buckets, Direction};
use kernels::{Appended, Bias, Cache, Finish, Heads, Kernels, Rows, Step, Weights};
use std::ops::Range;

#[derive(Debug)]
pub(super) struct Decoder {
    blocks: Vec<Block>,
    final_norm: Norm,
    heads: Heads,
    buckets: Buckets,
    /// `[buckets, heads]`.
    bias_weight: Vec<f32>,
    /// For the most steps so far.
    bias: Bias,
    /// Keys and values of the tokens so far.
    own: Cache,
    /// Keys and values of the prompts.
    prompt: Cache,
    /// Of one group of prompts, side by side, `[tokens, 2 * inner]`.
    memory: Rows,
    /// `[rows, inner]`.
    queries: Rows,
    /// Steps that each row took.
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
    query: Product,
    /// To keys and values side by side.
    memory: Product,
    out: Product,
}

impl Decoder {
    pub(super) fn load(loader: &Loader<'_>) -> Result<Self, Error> {
        let config = loader.checkpoint.config();
        let stack = Stack::Decoder;
        let block = |block| {
            let name = |part: &str| cross_attention(block, part);
            Ok(Block {
                attention: loader.self_attention(stack, block)?,
                cross: CrossAttention {
                    norm: loader.norm(&stack.norm(block, 1))?,
                    query: loader.product(vec![name("q")], config.d_model)?,
                    memory: loader.product(vec![name("k"), name("v")], config.d_model)?,
                    out: loader.product(vec![name("o")], config.inner())?,
                },
                feed_forward: loader.feed_forward(stack, block)?,
            })
        };
        let heads = Heads { count: config.heads, width: config.d_kv };
        let cache =
            || Cache::new(loader.table, loader.precision.cache, config.decoder_blocks, heads);
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

    /// Lets rows in behind those that are there: their prompts have these lengths.
    pub(super) fn admit(&mut self, lengths: &[usize], max_steps: usize) {
        if max_steps > self.bias.offsets {
            let (weight, heads) = (&self.bias_weight, self.heads.count);
            let table = self.buckets.table(weight, heads, max_steps - 1, 0);
            self.bias = Bias { table, offsets: max_steps, zero: max_steps - 1 };
        }
        self.own.admit(lengths.iter().map(|_| max_steps));
        self.prompt.admit(lengths.iter().copied());
        self.positions.resize(self.positions.len() + lengths.len(), 0);
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.positions.len()
    }

    /// Remembers the encodings of some prompts, which are rows of the batch from `first_row` on.
    pub(super) fn remember(
        &mut self,
        kernels: &mut Kernels,
        encoded: &Rows,
        first_row: usize,
        prompts: &[Range<usize>],
        spare: &mut Spare,
    ) {
        for (layer, block) in self.blocks.iter().enumerate() {
            let memory = &mut self.memory;
            block.cross.memory.forward(kernels, encoded, Finish::Store, spare, memory);
            kernels.fill(&mut self.prompt, layer, first_row, prompts, &self.memory);
        }
    }

    /// `x` is the embedding of each row's token, `[rows, d_model]`; gives what goes to the head.
    pub(super) fn step(
        &mut self,
        kernels: &mut Kernels,
        x: &mut Rows,
        room: &mut Room,
        to: &mut Rows,
    ) {
        let inner = self.heads.count * self.heads.width;
        for (layer, block) in self.blocks.iter().enumerate() {
            let Block { attention, cross, feed_forward } = block;
            attention.norm.forward(kernels, x, &mut room.normed);
            let Room { normed, projected, spare, .. } = room;
            attention.into.forward(kernels, normed, Finish::Store, spare, projected);
            let own = Step {
                layer,
                projected: &room.projected,
                appended: Some(Appended { keys: inner, values: 2 * inner }),
                bias: Some(&self.bias),
                positions: &self.positions,
            };
            kernels.attend_cached(&mut self.own, &own, &mut room.attended);
            attention.out.forward(kernels, &room.attended, Finish::Add, &mut room.spare, x);

            cross.norm.forward(kernels, x, &mut room.normed);
            let (queries, spare) = (&mut self.queries, &mut room.spare);
            cross.query.forward(kernels, &room.normed, Finish::Store, spare, queries);
            let prompt = Step {
                layer,
                projected: &self.queries,
                appended: None,
                bias: None,
                positions: &self.positions,
            };
            kernels.attend_cached(&mut self.prompt, &prompt, &mut room.attended);
            cross.out.forward(kernels, &room.attended, Finish::Add, &mut room.spare, x);

            feed_forward.forward(kernels, x, room);
        }
        self.positions.iter_mut().for_each(|position| *position += 1);
        self.final_norm.forward(kernels, x, to);
    }

    /// Lets go of all rows but those at these places.
    pub(super) fn keep(&mut self, rows: &[usize]) {
        self.own.keep(rows);
        self.prompt.keep(rows);
        for (place, row) in rows.iter().enumerate() {
            self.positions[place] = self.positions[*row];
        }
        self.positions.truncate(rows.len());
    }

    /// Bytes of the caches of the rows that are there.
    pub(super) fn cache_bytes(&self) -> usize {
        self.own.bytes() + self.prompt.bytes()
    }

    /// Bytes of the weights that turn encodings into keys and values.
    pub(super) fn memory_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.cross.memory.read_bytes()).sum()
    }

    /// The weights that every step reads.
    pub(super) fn step_weights(&self) -> Vec<&Weights> {
        let products = self.blocks.iter().flat_map(|Block { attention, cross, feed_forward }| {
            let [into, out] = feed_forward.read();
            [&attention.into, &attention.out, &cross.query, &cross.out, into, out]
        });
        products.flat_map(Product::weights).collect()
    }

    /// All products, in any order.
    pub(super) fn products(&mut self) -> impl Iterator<Item = &mut Product> {
        self.blocks.iter_mut().flat_map(|block| {
            let CrossAttention { query, memory, out, .. } = &mut block.cross;
            let cross = [query, memory, out];
            let others = block.attention.products().into_iter();
            others.chain(cross).chain(block.feed_forward.products())
        })
    }
}
