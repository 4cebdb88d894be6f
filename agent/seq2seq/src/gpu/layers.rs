//! Layers shared by encoder and decoder: checked tensors in, weights in the GPU's memory out.

use super::{Error, Precision};
use crate::checkpoint::Checkpoint;
use crate::config::{Activation, Config, Gate, Stack};
use crate::layout::{Layer, Projection};
use crate::position::{Buckets, Direction};
use gpu::{Bias, Buffer, Gpu, Weights};
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
    epsilon: f32,
}

impl Norm {
    pub(super) fn get(&self) -> gpu::Norm<'_> {
        gpu::Norm { gain: &self.gain, epsilon: self.epsilon }
    }
}

#[derive(Debug)]
pub(super) struct Attention {
    pub(super) norm: Norm,
    /// To queries, keys and values side by side; to queries alone if keys come from prompts.
    pub(super) into: Weights,
    pub(super) out: Weights,
}

#[derive(Debug)]
pub(super) struct FeedForward {
    pub(super) norm: Norm,
    pub(super) into: Weights,
    pub(super) form: gpu::Form,
    pub(super) activation: gpu::Activation,
    pub(super) out: Weights,
}

impl FeedForward {
    pub(super) fn bytes(&self) -> usize {
        self.into.bytes() + self.out.bytes()
    }
}

impl Loader<'_> {
    pub(super) fn config(&self) -> &Config {
        &self.checkpoint.config
    }

    pub(super) fn linear(&self, names: &[String]) -> Result<Weights, Error> {
        let inputs = self.checkpoint.tensors.inputs(&names[0]);
        let values = self.checkpoint.tensors.stacked(names)?;
        Ok(Weights::new(self.gpu, self.precision.most, inputs, &values)?)
    }

    pub(super) fn norm(&self, name: &str) -> Result<Norm, Error> {
        let gain = Buffer::from_slice(self.gpu, &self.checkpoint.tensors.tensor(name)?)?;
        Ok(Norm { gain, epsilon: self.config().norms.epsilon })
    }

    pub(super) fn last_norm(&self, stack: Stack) -> Result<Norm, Error> {
        self.norm(&self.config().family.last_norm(stack))
    }

    pub(super) fn projections(
        &self,
        stack: Stack,
        block: usize,
        layer: Layer,
        projections: &[Projection],
    ) -> Result<Weights, Error> {
        let family = self.config().family;
        let names: Vec<String> = projections
            .iter()
            .map(|projection| family.attention(stack, block, layer, *projection))
            .collect();
        self.linear(&names)
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
            norm: self.norm(&self.config().family.norm(stack, block, layer))?,
            into: self.projections(stack, block, layer, into)?,
            out: self.projections(stack, block, layer, &[Projection::Out])?,
        })
    }

    pub(super) fn feed_forward(&self, stack: Stack, block: usize) -> Result<FeedForward, Error> {
        let config = self.config();
        let names = config.family.feed_forward(stack, block, config.gate);
        Ok(FeedForward {
            norm: self.norm(&config.family.norm(stack, block, Layer::FeedForward))?,
            into: self.linear(&names.into)?,
            form: match config.gate {
                Gate::Plain => gpu::Form::Plain,
                Gate::Gated => gpu::Form::Gated,
            },
            activation: match config.activation {
                Activation::Relu => gpu::Activation::Relu,
                Activation::Gelu => gpu::Activation::Gelu,
                Activation::GeluTanh => gpu::Activation::GeluTanh,
                Activation::Silu => unreachable!("config.json was refused: T5 has no SiLU"),
            },
            out: self.linear(&[names.out])?,
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
    pub(super) fn load(loader: &Loader<'_>, stack: Stack) -> Result<Self, Error> {
        let config = loader.config();
        let direction = match stack {
            Stack::Encoder => Direction::Both,
            Stack::Decoder => Direction::Back,
        };
        Ok(Self {
            gpu: Arc::clone(loader.gpu),
            buckets: Buckets::new(config.positions, direction)
                .ok_or(Error::Family(config.family))?,
            weight: loader.checkpoint.tensors.tensor(&config.family.positions(stack))?,
            heads: config.stack(stack).heads,
            values: Buffer::zeroed(loader.gpu, 0)?,
            offsets: 0,
            zero: 0,
        })
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
