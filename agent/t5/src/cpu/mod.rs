//! T5 on the CPU: weights packed once, prompts side by side without padding, no allocation in a step.
//!
//! The arithmetic is in `kernels`; here stands which product follows which. A row's figures don't depend on
//! the rows beside it: every product sums in one order, whatever the number of rows.

mod decoder;
mod embedding;
mod encoder;
mod group;
mod layers;
mod product;
mod work;

use super::checkpoint::{Checkpoint, Error, HEAD, SHARED};
use super::compute::{Best, Compute};
use super::config::Config;
use super::lora::Adapter;
use super::roofline::{Limits, Roofline};
use decoder::Decoder;
use embedding::Embedding;
use encoder::Encoder;
use kernels::{Finish, Head, Highest, Kernels, Rows, Storage, Table};
use layers::{Loader, Room};
use model::engine::Dtype;
use model::failure::Failure;
use product::{Product, Spare};
use stopwatch::Stopwatch;

/// How the parts of a model are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// All products that aren't named below.
    pub most: Storage,
    /// The feed-forward layer's output: its inputs have outliers.
    pub wo: Storage,
    /// The head.
    pub head: Storage,
    /// Rows of the embedding.
    pub embedding: Storage,
    /// Keys and values.
    pub cache: Storage,
}

impl Precision {
    /// What a dtype means here. Residual stream, norms, softmax and sums are f32 in all of them.
    pub fn of(dtype: Dtype) -> Self {
        let all = |most, cache| Self { most, wo: most, head: most, embedding: most, cache };
        match dtype {
            Dtype::F32 => all(Storage::F32, Storage::F32),
            Dtype::F16 => all(Storage::F16, Storage::F16),
            Dtype::Bf16 => all(Storage::Bf16, Storage::F16),
            Dtype::Int8 => Self { wo: Storage::Bf16, ..all(Storage::Int8, Storage::F16) },
        }
    }
}

/// Whether rows may come while others are there. Rows have places of their own in the caches.
pub const CONTINUOUS_BATCHING: bool = true;

/// Which implementation computes with this dtype on this machine, for reports.
pub fn kernel(dtype: Dtype) -> String {
    format!("fleetmark cpu, {}, {dtype}", Table::best().name)
}

/// A T5 on the CPU.
#[derive(Debug)]
pub struct CpuT5 {
    kernels: Kernels,
    config: Config,
    dtype: Dtype,
    embedding: Embedding,
    encoder: Encoder,
    decoder: Decoder,
    head: Head,
    /// That of an adapter which brought one.
    adapted_head: Option<Head>,
    /// Rows and columns of a head.
    head_shape: (usize, usize),
    weight_bytes: usize,
    adapter_bytes: usize,
    /// What goes to the head is multiplied by it.
    head_scale: Option<f32>,
    rows: Space,
    /// Most bytes that caches held.
    cache_bytes: usize,
}

/// Rows that every step writes anew.
#[derive(Debug)]
struct Space {
    /// The residual stream, `[rows, d_model]`.
    x: Rows,
    /// What comes out of a stack, `[rows, d_model]`.
    out: Rows,
    room: Room,
    highest: Vec<Highest>,
    /// `[rows, vocabulary]`, where they are asked for.
    logits: Rows,
}

impl CpuT5 {
    /// Packs the weights for `table`, and starts the threads.
    ///
    /// # Errors
    /// Where weights can't be read.
    pub fn load(
        checkpoint: &Checkpoint,
        dtype: Dtype,
        table: &'static Table,
        threads: usize,
    ) -> Result<Self, Error> {
        let config = checkpoint.config();
        let precision = Precision::of(dtype);
        let loader = Loader { checkpoint, table, precision };
        let mut encoder = Encoder::load(&loader)?;
        let mut decoder = Decoder::load(&loader)?;
        let embedding = |shared| Embedding::new(precision.embedding, config.d_model, shared);
        let shape = (config.vocabulary, config.d_model);
        let pack = |values: &[f32]| Head::pack(table, precision.head, shape, values);
        // The two largest tensors: one of them at a time.
        let shared = checkpoint.tensor(SHARED)?;
        let (head, embedding) = match checkpoint.head() {
            SHARED => (pack(&shared), embedding(shared)),
            own => {
                let embedding = embedding(shared);
                (pack(&checkpoint.tensor(own)?), embedding)
            }
        };
        let rows = Space {
            x: Rows::new(config.d_model),
            out: Rows::new(config.d_model),
            room: Room {
                normed: Rows::new(config.d_model),
                projected: Rows::new(3 * config.inner()),
                attended: Rows::new(config.inner()),
                inner: Rows::new(config.d_ff),
                spare: Spare::new(0, encoder.sums()),
            },
            highest: Vec::new(),
            logits: Rows::new(config.vocabulary),
        };
        let products: usize =
            encoder.products().chain(decoder.products()).map(|product| product.bytes()).sum();
        Ok(Self {
            kernels: Kernels::new(table, threads),
            config: config.clone(),
            dtype,
            weight_bytes: products + head.bytes() + embedding.bytes(),
            embedding,
            encoder,
            decoder,
            head,
            adapted_head: None,
            adapter_bytes: 0,
            head_shape: shape,
            head_scale: Some(config.head_scale).filter(|scale| (scale - 1.0).abs() > f32::EPSILON),
            rows,
            cache_bytes: 0,
        })
    }

    fn put_beside(&mut self, adapter: Option<&Adapter>) -> Result<(), Error> {
        let head = adapter.map(|adapter| adapter.replacement(HEAD)).transpose()?.flatten();
        let (table, storage) = (self.kernels.table(), Precision::of(self.dtype).head);
        let pack = |values: Vec<f32>| Head::pack(table, storage, self.head_shape, &values);
        self.adapted_head = head.map(pack);
        let mut products: Vec<&mut Product> =
            self.encoder.products().chain(self.decoder.products()).collect();
        // One width for all, so that all share the rows between the factors.
        let rank = adapter.map_or(0, |adapter| {
            products.iter().map(|product| product.rank(adapter)).max().unwrap_or(0)
        });
        for product in &mut products {
            product.adapt(adapter, rank)?;
        }
        let factors: usize = products.iter().map(|product| product.adapter_bytes()).sum();
        self.adapter_bytes = factors + self.adapted_head.as_ref().map_or(0, Head::bytes);
        self.rows.room.spare = Spare::new(rank, self.encoder.sums());
        Ok(())
    }

    /// Runs the decoder up to the head, whose scale is applied.
    fn decode(&mut self, tokens: &[u32]) {
        let Self { kernels, rows, .. } = self;
        let Space { x, out, room, .. } = rows;
        self.embedding.rows(tokens.iter(), x);
        self.decoder.step(kernels, x, room, out);
        if let Some(scale) = self.head_scale {
            for row in 0..out.count() {
                out.row_mut(row).iter_mut().for_each(|x| *x *= scale);
            }
        }
    }
}

impl Compute for CpuT5 {
    fn encode(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        self.decoder.keep(&[]);
        self.admit(prompts, max_steps)
    }

    fn continuous_batching(&self) -> bool {
        CONTINUOUS_BATCHING
    }

    fn admit(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.len()).collect();
        let mut first = self.decoder.rows();
        self.decoder.admit(&lengths, max_steps);
        self.cache_bytes = self.cache_bytes.max(self.decoder.cache_bytes());
        let Space { x, out, room, .. } = &mut self.rows;
        let mut prompts = prompts;
        for ranges in group::all(&lengths) {
            let (together, others) = prompts.split_at(ranges.len());
            prompts = others;
            let tokens: Vec<u32> = together.concat();
            self.embedding.rows(tokens.iter(), x);
            self.encoder.forward(&mut self.kernels, x, &ranges, room, out);
            self.decoder.remember(&mut self.kernels, out, first, &ranges, &mut room.spare);
            first += ranges.len();
        }
        Ok(())
    }

    fn step(&mut self, tokens: &[u32], best: &mut Vec<Best>) -> Result<(), Failure> {
        self.decode(tokens);
        let Space { out, highest, .. } = &mut self.rows;
        let head = self.adapted_head.as_ref().unwrap_or(&self.head);
        self.kernels.highest(head, out, highest);
        best.clear();
        best.extend(highest.iter().map(|highest| Best {
            id: u32::try_from(highest.column).expect("a vocabulary fits into u32"),
            logit: highest.sum,
        }));
        Ok(())
    }

    fn step_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Failure> {
        self.decode(tokens);
        let Space { out, logits, .. } = &mut self.rows;
        let head = self.adapted_head.as_ref().unwrap_or(&self.head);
        self.kernels.multiply(head.weights(), out, Finish::Store, logits);
        Ok((0..logits.count()).flat_map(|row| logits.row(row).iter().copied()).collect())
    }

    fn keep(&mut self, rows: &[usize]) -> Result<(), Failure> {
        self.decoder.keep(rows);
        Ok(())
    }

    fn adapt(&mut self, adapter: Option<&Adapter>) -> Result<(), super::Error> {
        let outcome = self.put_beside(adapter);
        if outcome.is_err() {
            self.put_beside(None)?;
        }
        Ok(outcome?)
    }

    fn kernel(&self) -> String {
        format!("fleetmark cpu, {}, {}", self.kernels.table().name, self.dtype)
    }

    fn weight_bytes(&self) -> u64 {
        self.weight_bytes as u64
    }

    fn adapter_bytes(&self) -> u64 {
        self.adapter_bytes as u64
    }

    fn cache_bytes(&self) -> u64 {
        self.cache_bytes as u64
    }

    fn roofline(
        &self,
        batches: &[Vec<usize>],
        steps: usize,
        stopwatch: &Stopwatch,
    ) -> Option<Roofline> {
        let mut step_weights = self.decoder.step_weights();
        let head = self.adapted_head.as_ref().unwrap_or(&self.head);
        step_weights.push(head.searched());
        let model = work::Model {
            config: &self.config,
            precision: Precision::of(self.dtype),
            step_bytes: step_weights.iter().map(|weights| weights.bytes()).sum(),
            group_bytes: self.encoder.read_bytes() + self.decoder.memory_bytes(),
            search: head.searched().storage(),
        };
        let phases: Vec<_> =
            batches.iter().flat_map(|lengths| model.phases(lengths, steps)).collect();
        let limits = Limits {
            bandwidth: self.kernels.bandwidth(&step_weights, &|| stopwatch.now_ns()),
            peaks: self.kernels.peaks(&|| stopwatch.now_ns()),
        };
        Some(Roofline::new(&phases, limits))
    }
}
