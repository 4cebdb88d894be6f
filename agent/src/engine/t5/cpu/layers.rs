//! Weights of the layers that encoder and decoder share: checked tensors in, packed weights out.

use super::Precision;
use crate::engine::t5::checkpoint::{Checkpoint, Error, Stack};
use crate::engine::t5::config::{Activation, Gate};
use crate::engine::t5::kernels::{Finish, Function, Kernels, Layout, Rows, Table, Weights};

/// Packs a checkpoint's tensors.
#[derive(Debug)]
pub(super) struct Loader<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) table: &'static Table,
    pub(super) precision: Precision,
}

impl Loader<'_> {
    /// The tensors of these names below each other, as one matrix.
    pub(super) fn weights(&self, names: &[String], inputs: usize) -> Result<Weights, Error> {
        let values = self.checkpoint.stacked(names)?;
        let shape = (values.len() / inputs, inputs);
        Ok(Weights::pack(self.table, self.precision.most, Layout::Plain, shape, &values))
    }

    pub(super) fn norm(&self, name: &str) -> Result<Norm, Error> {
        let mut gain = self.checkpoint.tensor(name)?;
        gain.resize(Rows::new(gain.len()).padded(), 0.0);
        Ok(Norm { gain, epsilon: self.checkpoint.config().epsilon })
    }

    pub(super) fn self_attention(&self, stack: Stack, block: usize) -> Result<Attention, Error> {
        let config = self.checkpoint.config();
        let name = |part: &str| stack.self_attention(block, part);
        Ok(Attention {
            norm: self.norm(&stack.norm(block, 0))?,
            into: self.weights(&[name("q"), name("k"), name("v")], config.d_model)?,
            out: self.weights(&[name("o")], config.inner())?,
        })
    }

    pub(super) fn feed_forward(&self, stack: Stack, block: usize) -> Result<FeedForward, Error> {
        let config = self.checkpoint.config();
        let name = |part: &str| stack.feed_forward(block, part);
        let layer = match stack {
            Stack::Encoder => 1,
            Stack::Decoder => 2,
        };
        let function = match config.activation {
            Activation::Relu => Function::Relu,
            Activation::Gelu => Function::Gelu,
            Activation::GeluTanh => Function::GeluTanh,
        };
        let (names, layout, finish) = match config.gate {
            Gate::Gated => (vec!["wi_0", "wi_1"], Layout::Gated, Finish::Gate(function)),
            Gate::Plain => (vec!["wi"], Layout::Plain, Finish::Apply(function)),
        };
        let names: Vec<String> = names.into_iter().map(name).collect();
        let into = self.checkpoint.stacked(&names)?;
        let shape = (into.len() / config.d_model, config.d_model);
        let out = self.checkpoint.tensor(&stack.feed_forward(block, "wo"))?;
        let out_shape = (config.d_model, config.d_ff);
        Ok(FeedForward {
            norm: self.norm(&stack.norm(block, layer))?,
            into: Weights::pack(self.table, self.precision.most, layout, shape, &into),
            finish,
            out: Weights::pack(self.table, self.precision.wo, Layout::Plain, out_shape, &out),
        })
    }
}

/// Division by the root of the mean square, times a gain.
#[derive(Debug)]
pub(super) struct Norm {
    /// Padded with zeros as rows are.
    gain: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    pub(super) fn forward(&self, kernels: &Kernels, x: &Rows, to: &mut Rows) {
        kernels.rms_norm(x, &self.gain, self.epsilon, to);
    }
}

/// A norm and the projections of self-attention.
#[derive(Debug)]
pub(super) struct Attention {
    pub(super) norm: Norm,
    /// To queries, keys and values side by side.
    pub(super) into: Weights,
    pub(super) out: Weights,
}

/// The layer after attention, with its norm and the residual.
#[derive(Debug)]
pub(super) struct FeedForward {
    norm: Norm,
    into: Weights,
    finish: Finish,
    out: Weights,
}

impl FeedForward {
    /// Adds the layer's result to the residual stream.
    pub(super) fn forward(&self, kernels: &mut Kernels, x: &mut Rows, room: &mut Room) {
        self.norm.forward(kernels, x, &mut room.normed);
        kernels.multiply(&self.into, &room.normed, self.finish, &mut room.inner);
        kernels.multiply(&self.out, &room.inner, Finish::Add, x);
    }

    pub(super) fn weights(&self) -> [&Weights; 2] {
        [&self.into, &self.out]
    }

    pub(super) fn bytes(&self) -> usize {
        self.weights().iter().map(|weights| weights.bytes()).sum()
    }
}

/// Rows that every layer writes anew.
#[derive(Debug)]
pub(super) struct Room {
    /// `[rows, d_model]`.
    pub(super) normed: Rows,
    /// Queries, keys and values, `[rows, 3 * inner]`.
    pub(super) projected: Rows,
    /// `[rows, inner]`.
    pub(super) attended: Rows,
    /// `[rows, d_ff]`.
    pub(super) inner: Rows,
}
