//! Layers shared by encoder and decoder: checked tensors in, weights in the GPU's memory out.

use super::{Error, Precision};
use crate::checkpoint::{Checkpoint, Stacked};
use crate::config::{Activation, Config, Gate, NormKind, NormPlace, Positions, Stack};
use crate::layout::{Layer, Projection};
use crate::position::{Buckets, Direction};
use ::layers::QueryScale;
use checkpoint::bias_of;
use gpu::{Bias, Buffer, Destination, Gpu, Kernels, Product, TileProduct, Weights};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Loader<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) gpu: &'a Arc<Gpu>,
    pub(super) precision: Precision,
}

#[derive(Debug)]
pub(super) struct Norm {
    gain: Buffer<f32>,
    bias: Option<Buffer<f32>>,
    epsilon: f32,
}

impl Norm {
    pub(super) fn get(&self) -> gpu::Norm<'_> {
        gpu::Norm { gain: &self.gain, bias: self.bias.as_ref(), epsilon: self.epsilon }
    }
}

/// A linear layer.
#[derive(Debug)]
pub(super) struct Linear {
    weights: Arc<Weights>,
    bias: Option<Buffer<f32>>,
}

impl Linear {
    pub(super) fn new(weights: Arc<Weights>, bias: Option<Buffer<f32>>) -> Self {
        Self { weights, bias }
    }

    pub(super) fn inputs(&self) -> usize {
        self.weights.inputs()
    }

    pub(super) fn outputs(&self) -> usize {
        self.weights.outputs()
    }

    pub(super) fn bytes(&self) -> usize {
        self.weights.bytes() + self.bias_bytes()
    }

    pub(super) fn bias_bytes(&self) -> usize {
        self.bias.as_ref().map_or(0, Buffer::bytes)
    }

    /// For a few rows, which `to` depends on.
    pub(super) fn product<'a>(
        &'a self,
        x: &'a Buffer<f32>,
        rows: usize,
        to: Destination<'a>,
    ) -> Product<'a> {
        Product {
            x,
            rows,
            norm: None,
            factor: 1.0,
            kept: None,
            weights: &self.weights,
            bias: self.bias.as_ref(),
            to,
        }
    }

    /// For many rows.
    pub(super) fn tile<'a>(
        &'a self,
        x: &'a Buffer<f32>,
        rows: usize,
        rounds: bool,
    ) -> TileProduct<'a> {
        TileProduct { x, rows, weights: &self.weights, bias: self.bias.as_ref(), rounds }
    }
}

/// What a layer's output is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Residual {
    /// The rows before the norm.
    Sums,
    /// The rows after the norm: a norm that follows a sum is the next layer's first step.
    Normed,
}

impl Residual {
    /// Every family has a norm before each layer and one after the last: of the embedding or of the
    /// last block, where norms follow sums.
    pub(super) fn of(config: &Config) -> Self {
        let norms = config.norms;
        let follow = norms.place == NormPlace::AfterSum;
        assert!(norms.after_embedding == follow && norms.after_blocks != follow, "{norms:?}");
        match norms.place {
            NormPlace::BeforeLayer => Self::Sums,
            NormPlace::AfterSum => Self::Normed,
        }
    }
}

/// Every layer norms its input first.
#[derive(Debug)]
pub(super) struct Attention {
    pub(super) norm: Norm,
    /// To queries, keys and values side by side; to queries alone if keys come from prompts.
    pub(super) into: Linear,
    pub(super) out: Linear,
}

impl Attention {
    pub(super) fn bytes(&self) -> usize {
        self.into.bytes() + self.out.bytes()
    }
}

#[derive(Debug)]
pub(super) struct FeedForward {
    pub(super) norm: Norm,
    pub(super) into: Linear,
    pub(super) form: gpu::Form,
    pub(super) activation: gpu::Activation,
    pub(super) out: Linear,
}

impl FeedForward {
    pub(super) fn bytes(&self) -> usize {
        self.into.bytes() + self.out.bytes()
    }
}

/// The input of a stack: tokens and positions in, the residual stream out.
#[derive(Debug)]
pub(super) struct Input {
    embedding: Arc<Weights>,
    scale: f32,
    /// Added to the embedding, `[positions, d_model]`.
    table: Option<Buffer<f32>>,
}

impl Input {
    /// `[rows, d_model]`, before any norm.
    pub(super) fn forward(
        &self,
        kernels: &Kernels,
        tokens: &Buffer<i32>,
        position: &Buffer<i32>,
        rows: usize,
        to: &mut Buffer<f32>,
    ) -> Result<(), Error> {
        let Self { embedding, scale, table } = self;
        let positions = table.as_ref().map(|table| gpu::Positions { table, position });
        let embed = gpu::Embed { tokens, embedding, rows, scale: *scale, positions };
        Ok(kernels.embed(&embed, to)?)
    }

    pub(super) fn table_bytes(&self) -> usize {
        self.table.as_ref().map_or(0, Buffer::bytes)
    }
}

impl Loader<'_> {
    pub(super) fn config(&self) -> &Config {
        &self.checkpoint.config
    }

    /// Stacks tensors for one product. `queries`: if the first of them are queries.
    fn linear(&self, names: &[String], queries: Option<QueryScale>) -> Result<Linear, Error> {
        let Stacked { inputs, values, bias } = self.checkpoint.stacked(names, queries)?;
        let weights = Weights::new(self.gpu, self.precision.most, inputs, &values)?;
        let bias = bias.map(|bias| Buffer::from_slice(self.gpu, &bias)).transpose()?;
        Ok(Linear::new(Arc::new(weights), bias))
    }

    /// A tensor in f32.
    pub(super) fn vector(&self, name: &str) -> Result<Buffer<f32>, Error> {
        Ok(Buffer::from_slice(self.gpu, &self.checkpoint.tensors.tensor(name)?)?)
    }

    fn norm(&self, name: &str) -> Result<Norm, Error> {
        let norms = self.config().norms;
        let bias = match norms.kind {
            NormKind::Rms => None,
            NormKind::Layer => Some(self.vector(&bias_of(name))?),
        };
        Ok(Norm { gain: self.vector(name)?, bias, epsilon: norms.epsilon })
    }

    /// The norm of a layer's input. Where norms follow sums, that is the norm of the layer before, or
    /// of the embedding.
    fn input_norm(&self, stack: Stack, block: usize, layer: Layer) -> Result<Norm, Error> {
        let Config { family, norms, .. } = self.config();
        let name = match norms.place {
            NormPlace::BeforeLayer => family.norm(stack, block, layer),
            NormPlace::AfterSum => {
                let place = stack.layers().iter().position(|other| *other == layer);
                match place.expect("the stack has the layer").checked_sub(1) {
                    Some(before) => family.norm(stack, block, stack.layers()[before]),
                    None if block > 0 => family.norm(stack, block - 1, Layer::FeedForward),
                    None => family.embedding_norm(stack),
                }
            }
        };
        self.norm(&name)
    }

    /// The norm of a stack's output.
    pub(super) fn last_norm(&self, stack: Stack) -> Result<Norm, Error> {
        let config = self.config();
        let last = config.stack(stack).blocks - 1;
        self.norm(&match config.norms.place {
            NormPlace::BeforeLayer => config.family.last_norm(stack),
            NormPlace::AfterSum => config.family.norm(stack, last, Layer::FeedForward),
        })
    }

    pub(super) fn input(&self, stack: Stack, embedding: Arc<Weights>) -> Result<Input, Error> {
        let config = self.config();
        let table = || self.checkpoint.tensors.tensor(&config.family.positions(stack));
        let table = match config.positions {
            Positions::Relative { .. } => None,
            Positions::Learned { offset, .. } => Some(table()?.split_off(offset * config.d_model)),
            Positions::Sinusoidal { .. } => Some(table()?),
        };
        let table = table.map(|table| Buffer::from_slice(self.gpu, &table)).transpose()?;
        Ok(Input { embedding, scale: config.embedding_scale, table })
    }

    pub(super) fn projections(
        &self,
        stack: Stack,
        block: usize,
        layer: Layer,
        projections: &[Projection],
    ) -> Result<Linear, Error> {
        let config = self.config();
        let names: Vec<String> = projections
            .iter()
            .map(|projection| config.family.attention(stack, block, layer, *projection))
            .collect();
        self.linear(&names, self.checkpoint.query_scale(stack, projections))
    }

    pub(super) fn attention(
        &self,
        stack: Stack,
        block: usize,
        layer: Layer,
    ) -> Result<Attention, Error> {
        let into: &[Projection] = match layer {
            Layer::CrossAttention => &[Projection::Query],
            _ => &[Projection::Query, Projection::Key, Projection::Value],
        };
        Ok(Attention {
            norm: self.input_norm(stack, block, layer)?,
            into: self.projections(stack, block, layer, into)?,
            out: self.projections(stack, block, layer, &[Projection::Out])?,
        })
    }

    pub(super) fn feed_forward(&self, stack: Stack, block: usize) -> Result<FeedForward, Error> {
        let config = self.config();
        let names = config.family.feed_forward(stack, block, config.gate);
        Ok(FeedForward {
            norm: self.input_norm(stack, block, Layer::FeedForward)?,
            into: self.linear(&names.into, None)?,
            form: match config.gate {
                Gate::Plain => gpu::Form::Plain,
                Gate::Gated => gpu::Form::Gated,
            },
            activation: match config.activation {
                Activation::Relu => gpu::Activation::Relu,
                Activation::Gelu => gpu::Activation::Gelu,
                Activation::GeluTanh => gpu::Activation::GeluTanh,
                Activation::Silu => unreachable!("config.json was refused: no family has SiLU"),
            },
            out: self.linear(&[names.out], None)?,
        })
    }
}

/// Biases of attention scores by relative position, for the distances met so far.
#[derive(Debug)]
pub(super) struct RelativeBias {
    gpu: Arc<Gpu>,
    buckets: Buckets,
    /// `[buckets, heads]`.
    weight: Vec<f32>,
    heads: usize,
    /// `[heads, offsets]`.
    values: Buffer<f32>,
    offsets: usize,
    zero: usize,
}

impl RelativeBias {
    /// `None` if positions are not relative.
    pub(super) fn load(loader: &Loader<'_>, stack: Stack) -> Result<Option<Self>, Error> {
        let config = loader.config();
        let direction = match stack {
            Stack::Encoder => Direction::Both,
            Stack::Decoder => Direction::Back,
        };
        let Some(buckets) = Buckets::new(config.positions, direction) else { return Ok(None) };
        Ok(Some(Self {
            gpu: Arc::clone(loader.gpu),
            buckets,
            weight: loader.checkpoint.tensors.tensor(&config.family.positions(stack))?,
            heads: config.stack(stack).heads,
            values: Buffer::zeroed(loader.gpu, 0)?,
            offsets: 0,
            zero: 0,
        }))
    }

    /// Extends the table to so many positions before a query, and after it. Returns whether it
    /// changed.
    pub(super) fn cover(&mut self, before: usize, after: usize) -> Result<bool, Error> {
        if before <= self.zero && self.offsets > 0 {
            return Ok(false);
        }
        let values = self.buckets.table(&self.weight, self.heads, before, after);
        self.values = Buffer::from_slice(&self.gpu, &values)?;
        (self.offsets, self.zero) = (before + 1 + after, before);
        Ok(true)
    }

    /// `position`: of each row's query among its keys.
    pub(super) fn at<'a>(&'a self, position: &'a Buffer<i32>) -> Bias<'a> {
        Bias { values: &self.values, offsets: self.offsets, zero: self.zero, position }
    }
}

pub(super) fn to_i32(value: usize) -> i32 {
    i32::try_from(value).expect("places and ids fit into 31 bits")
}
