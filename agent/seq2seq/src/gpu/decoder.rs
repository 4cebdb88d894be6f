//! The decoder: one token per row in, each row's next token and logits out. Holds the key-value
//! caches of the active rows.

use super::layers::{
    Attention, FeedForward, Input, Linear, Loader, Norm, RelativeBias, Residual, to_i32,
};
use super::{Encoder, Error, Launches};
use crate::config::Stack;
use crate::layout::{Layer, Projection};
use generation::compute::NextToken;
use gpu::{
    Activation, Buffer, Cache, Destination, Fork, Form, Gpu, Graph, Kernels, Keys, NextTokens,
    Product, Ranges, Split,
};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Decoder {
    gpu: Arc<Gpu>,
    input: Input,
    blocks: Vec<Block>,
    residual: Residual,
    last_norm: Norm,
    head: Linear,
    head_scale: f32,
    heads: usize,
    width: usize,
    /// For the largest number of steps so far.
    bias: Option<RelativeBias>,
    /// Self-attention cache, and cross-attention cache.
    own: Places,
    prompt: Places,
    rows: Vec<Row>,
    buffers: Buffers,
    /// The tokens on the GPU, if they are known.
    tokens: Vec<u32>,
    /// The most keys of a row in either cache so far.
    most_keys: [usize; 2],
    launches: Launches,
    /// By number of rows. They name the buffers and caches of now.
    graphs: HashMap<usize, Graph>,
}

#[derive(Debug)]
struct Block {
    attention: Attention,
    cross: Attention,
    /// To keys and values side by side.
    memory: Linear,
    feed_forward: FeedForward,
}

/// A cache and which of its places are taken.
#[derive(Debug)]
struct Places {
    cache: Cache,
    ranges: Ranges,
}

impl Places {
    /// Takes places in a row. Returns the first, and whether the cache moved.
    fn take(&mut self, gpu: &Arc<Gpu>, length: usize) -> Result<(usize, bool), Error> {
        if let Some(place) = self.ranges.take(length) {
            return Ok((place, false));
        }
        // Half as many again, so that growing stays rare.
        let capacity = self.ranges.capacity();
        let places = (capacity + capacity / 2).max(capacity + length).next_multiple_of(64);
        self.cache.grow(gpu, places)?;
        self.ranges.grow(places);
        Ok((self.ranges.take(length).expect("there is room at the end"), true))
    }
}

#[derive(Debug, Clone, Copy)]
struct Row {
    /// The first place in the row's own cache, and how many there are.
    own: usize,
    steps: usize,
    /// The first place of the prompt, and its length.
    prompt: usize,
    length: usize,
    /// Steps taken.
    position: usize,
}

/// One element or vector for each row.
#[derive(Debug)]
struct Buffers {
    rows: usize,
    tokens: Buffer<i32>,
    best: Buffer<f32>,
    position: Buffer<i32>,
    own_first: Buffer<i32>,
    prompt_first: Buffer<i32>,
    prompt_count: Buffer<i32>,
    /// The residual stream, `[rows, d_model]`.
    x: Buffer<f32>,
    /// The same after a norm, if layers add to that.
    normed: Buffer<f32>,
    /// `[rows, inner]`.
    queries: Buffer<f32>,
    attended: Buffer<f32>,
    /// `[rows, d_ff]`.
    activated: Buffer<f32>,
    /// `[rows, vocabulary]`.
    logits: Buffer<f32>,
}

impl Decoder {
    pub(super) fn load(
        loader: &Loader<'_>,
        input: Input,
        head: Linear,
        launches: Launches,
    ) -> Result<Self, Error> {
        let config = loader.config();
        let stack = Stack::Decoder;
        let cross = Layer::CrossAttention;
        let memory = [Projection::Key, Projection::Value];
        let block = |block| -> Result<_, Error> {
            Ok(Block {
                attention: loader.attention(stack, block, Layer::SelfAttention)?,
                cross: loader.attention(stack, block, cross)?,
                memory: loader.projections(stack, block, cross, &memory)?,
                feed_forward: loader.feed_forward(stack, block)?,
            })
        };
        let shape = config.decoder;
        let blocks: Vec<_> = (0..shape.blocks).map(block).collect::<Result<_, Error>>()?;
        let places = || -> Result<Places, Error> {
            let width = 2 * shape.inner();
            let cache = Cache::new(loader.gpu, loader.precision.cache, shape.blocks, width)?;
            Ok(Places { cache, ranges: Ranges::default() })
        };
        let mut decoder = Self {
            gpu: Arc::clone(loader.gpu),
            input,
            blocks,
            residual: Residual::of(config),
            last_norm: loader.last_norm(stack)?,
            head,
            head_scale: config.head_scale,
            heads: shape.heads,
            width: shape.head_width,
            bias: RelativeBias::load(loader, stack)?,
            own: places()?,
            prompt: places()?,
            rows: Vec::new(),
            buffers: Buffers::empty(loader.gpu)?,
            tokens: Vec::new(),
            most_keys: [0; 2],
            launches,
            graphs: HashMap::new(),
        };
        decoder.make_room(1)?;
        Ok(decoder)
    }

    /// Buffers for at least so many rows.
    fn make_room(&mut self, rows: usize) -> Result<(), Error> {
        if rows > self.buffers.rows {
            self.graphs.clear();
            let rows = rows.next_power_of_two();
            let ints = || Buffer::zeroed(&self.gpu, rows);
            let floats = |width: usize| Buffer::zeroed(&self.gpu, rows * width);
            let inner = self.heads * self.width;
            self.buffers = Buffers {
                rows,
                tokens: ints()?,
                best: floats(1)?,
                position: ints()?,
                own_first: ints()?,
                prompt_first: ints()?,
                prompt_count: ints()?,
                x: floats(self.head.inputs())?,
                normed: floats(match self.residual {
                    Residual::Sums => 0,
                    Residual::Normed => self.head.inputs(),
                })?,
                queries: floats(inner)?,
                attended: floats(inner)?,
                activated: floats(self.blocks[0].feed_forward.out.inputs())?,
                logits: floats(self.head.outputs())?,
            };
        }
        Ok(())
    }

    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.own.ranges.clear();
        self.prompt.ranges.clear();
    }

    /// Appends rows for prompts with these lengths.
    pub(super) fn add(&mut self, lengths: &[usize], max_steps: usize) -> Result<(), Error> {
        let longest = lengths.iter().copied().max().unwrap_or(1);
        let mut is_moved = match &mut self.bias {
            Some(bias) => bias.cover(max_steps - 1, 0)?,
            None => false,
        };
        for (most, keys) in self.most_keys.iter_mut().zip([max_steps, longest]) {
            if keys > *most {
                *most = keys.next_multiple_of(64).min(gpu::MOST_KEYS);
                is_moved = true;
            }
        }
        for length in lengths {
            let (own, own_moved) = self.own.take(&self.gpu, max_steps)?;
            let (prompt, prompt_moved) = self.prompt.take(&self.gpu, *length)?;
            is_moved |= own_moved || prompt_moved;
            self.rows.push(Row { own, steps: max_steps, prompt, length: *length, position: 0 });
        }
        if is_moved {
            self.graphs.clear();
        }
        self.make_room(self.rows.len())?;
        self.upload()
    }

    /// Where the prompts of these rows are.
    pub(super) fn prompt_places(&self, rows: Range<usize>) -> Vec<usize> {
        self.rows[rows].iter().map(|row| row.prompt).collect()
    }

    /// Writes what the GPU knows of each row.
    fn upload(&mut self) -> Result<(), Error> {
        self.tokens.clear();
        let of_rows = |value: fn(&Row) -> usize| -> Vec<i32> {
            self.rows.iter().map(|row| to_i32(value(row))).collect()
        };
        let own = of_rows(|row| row.own);
        let prompt = of_rows(|row| row.prompt);
        let length = of_rows(|row| row.length);
        let position = of_rows(|row| row.position);
        self.buffers.own_first.write(0, &own)?;
        self.buffers.prompt_first.write(0, &prompt)?;
        self.buffers.prompt_count.write(0, &length)?;
        self.buffers.position.write(0, &position)?;
        Ok(())
    }

    /// Stores the keys and values of the group that was encoded last.
    pub(super) fn remember(&mut self, kernels: &Kernels, encoder: &Encoder) -> Result<(), Error> {
        for (layer, block) in self.blocks.iter().enumerate() {
            let product = encoder.encoded(&block.memory);
            kernels.tile_cache(&product, &mut self.prompt.cache, layer, encoder.places())?;
        }
        Ok(())
    }

    /// Feeds one token to each row.
    pub(super) fn step(&mut self, kernels: &Kernels, tokens: &[u32]) -> Result<(), Error> {
        assert_eq!(tokens.len(), self.rows.len(), "one token for each row");
        if self.tokens != tokens {
            let ids: Vec<i32> = tokens.iter().map(|id| id.cast_signed()).collect();
            self.buffers.tokens.write(0, &ids)?;
        }
        self.tokens.clear();
        match self.launches {
            Launches::Eager => self.launch(kernels)?,
            Launches::Graph => {
                let rows = tokens.len();
                if !self.graphs.contains_key(&rows) {
                    let gpu = Arc::clone(&self.gpu);
                    let graph = Graph::record(&gpu, || self.launch(kernels))?;
                    self.graphs.insert(rows, graph);
                }
                self.graphs.get_mut(&rows).expect("recorded above").launch()?;
            }
        }
        self.rows.iter_mut().for_each(|row| row.position += 1);
        Ok(())
    }

    /// Everything from the tokens to the next ones.
    fn launch(&mut self, kernels: &Kernels) -> Result<(), Error> {
        let rows = self.rows.len();
        let Buffers {
            rows: _,
            tokens,
            best,
            position,
            own_first,
            prompt_first,
            prompt_count,
            x,
            normed,
            queries,
            attended,
            activated,
            logits,
        } = &mut self.buffers;
        let (heads, width, residual) = (self.heads, self.width, self.residual);
        self.input.forward(kernels, tokens, position, rows, x)?;
        // Norms the input of a layer.
        let into = |x: &Buffer<f32>,
                    normed: &mut Buffer<f32>,
                    norm: &Norm,
                    linear: &Linear,
                    to: Destination<'_>| {
            let kept = (residual == Residual::Normed).then_some(normed);
            let product = linear.product(x, rows, to);
            kernels.product(Product { norm: Some(norm.get()), kept, ..product })
        };
        // Adds the output of a layer.
        let out =
            |from: &Buffer<f32>, linear: &Linear, normed: &Buffer<f32>, x: &mut Buffer<f32>| {
                let to = match residual {
                    Residual::Sums => Destination::Add(x),
                    Residual::Normed => Destination::Sum { to: x, residual: normed },
                };
                kernels.product(linear.product(from, rows, to))
            };
        for (layer, block) in self.blocks.iter().enumerate() {
            let Block { attention, cross, feed_forward, .. } = block;
            let to = Destination::Split(Split {
                queries,
                cache: &mut self.own.cache,
                layer,
                first: own_first,
                position,
            });
            into(x, normed, &attention.norm, &attention.into, to)?;
            let own = gpu::Attention {
                queries,
                keys: Keys::Cache(&self.own.cache, layer),
                rows,
                heads,
                width,
                first: own_first,
                count: position,
                more: 1,
                most_keys: self.most_keys[0],
                bias: self.bias.as_ref().map(|bias| bias.at(position)),
            };
            kernels.attend(&own, attended)?;
            out(attended, &attention.out, normed, x)?;

            let to = Destination::Store(queries, Activation::Identity);
            into(x, normed, &cross.norm, &cross.into, to)?;
            let prompt = gpu::Attention {
                queries,
                keys: Keys::Cache(&self.prompt.cache, layer),
                rows,
                heads,
                width,
                first: prompt_first,
                count: prompt_count,
                more: 0,
                most_keys: self.most_keys[1],
                bias: None,
            };
            kernels.attend(&prompt, attended)?;
            out(attended, &cross.out, normed, x)?;

            let to = match feed_forward.form {
                Form::Gated => Destination::Gate(activated, feed_forward.activation),
                Form::Plain => Destination::Store(activated, feed_forward.activation),
            };
            into(x, normed, &feed_forward.norm, &feed_forward.into, to)?;
            out(activated, &feed_forward.out, normed, x)?;
        }
        let to = Destination::Store(logits, Activation::Identity);
        kernels.product(Product {
            norm: Some(self.last_norm.get()),
            factor: self.head_scale,
            ..self.head.product(x, rows, to)
        })?;
        let next = NextTokens { tokens, best, position };
        kernels.choose(logits, rows, self.head.outputs(), next)?;
        Ok(())
    }

    /// The next tokens of the last step.
    pub(super) fn read_best(&mut self, best: &mut Vec<NextToken>) -> Result<(), Error> {
        let rows = self.rows.len();
        let ids = self.buffers.tokens.read(0..rows)?;
        let logits = self.buffers.best.read(0..rows)?;
        self.tokens.extend(ids.iter().map(|id| id.cast_unsigned()));
        best.clear();
        let next = self.tokens.iter().zip(logits);
        best.extend(next.map(|(id, logit)| NextToken { id: *id, logit }));
        Ok(())
    }

    /// The logits of these rows in the last step, `[rows, vocabulary]`.
    pub(super) fn read_logits(&self, rows: Range<usize>) -> Result<Vec<f32>, Error> {
        let vocabulary = self.head.outputs();
        Ok(self.buffers.logits.read(rows.start * vocabulary..rows.end * vocabulary)?)
    }

    /// Row `i` continues the old row `rows[i]`. Rows of one prompt share its places.
    pub(super) fn reorder(&mut self, kernels: &Kernels, rows: &[usize]) -> Result<(), Error> {
        let old = std::mem::take(&mut self.rows);
        for (place, row) in old.iter().enumerate() {
            if !rows.contains(&place) {
                self.own.ranges.free(row.own);
            }
        }
        let mut is_moved = false;
        let mut is_claimed = vec![false; old.len()];
        let (mut from, mut to, mut count) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let mut new = old[*row];
            if is_claimed[*row] {
                let moved;
                (new.own, moved) = self.own.take(&self.gpu, new.steps)?;
                is_moved |= moved;
                from.push(to_i32(old[*row].own));
                to.push(to_i32(new.own));
                count.push(to_i32(new.position));
            }
            is_claimed[*row] = true;
            self.rows.push(new);
        }
        let mut unused: Vec<usize> = old.iter().map(|row| row.prompt).collect();
        unused.sort_unstable();
        unused.dedup();
        unused.retain(|prompt| self.rows.iter().all(|row| row.prompt != *prompt));
        unused.into_iter().for_each(|prompt| self.prompt.ranges.free(prompt));
        if !from.is_empty() {
            let fork = Fork {
                copies: from.len(),
                from: &Buffer::from_slice(&self.gpu, &from)?,
                to: &Buffer::from_slice(&self.gpu, &to)?,
                count: &Buffer::from_slice(&self.gpu, &count)?,
            };
            kernels.fork(&mut self.own.cache, self.blocks.len(), &fork)?;
            // The lists of places live until the copies have ended.
            self.gpu.synchronize()?;
        }
        if is_moved {
            self.graphs.clear();
        }
        self.make_room(self.rows.len())?;
        self.upload()
    }

    pub(super) fn cache_bytes(&self) -> usize {
        self.own.cache.bytes() + self.prompt.cache.bytes()
    }

    pub(super) fn weight_bytes(&self) -> usize {
        let bytes = self.blocks.iter().map(|block| {
            let Block { attention, cross, memory, feed_forward } = block;
            attention.bytes() + cross.bytes() + memory.bytes() + feed_forward.bytes()
        });
        let blocks: usize = bytes.sum();
        // The weights of the head may be those of the embedding.
        blocks + self.input.table_bytes() + self.head.bias_bytes()
    }

    pub(super) fn nodes(&self, rows: usize) -> Option<usize> {
        self.graphs.get(&rows).map(Graph::nodes)
    }
}

impl Buffers {
    fn empty(gpu: &Arc<Gpu>) -> Result<Self, Error> {
        let ints = || Buffer::zeroed(gpu, 0);
        let floats = || Buffer::zeroed(gpu, 0);
        Ok(Self {
            rows: 0,
            tokens: ints()?,
            best: floats()?,
            position: ints()?,
            own_first: ints()?,
            prompt_first: ints()?,
            prompt_count: ints()?,
            x: floats()?,
            normed: floats()?,
            queries: floats()?,
            attended: floats()?,
            activated: floats()?,
            logits: floats()?,
        })
    }
}
