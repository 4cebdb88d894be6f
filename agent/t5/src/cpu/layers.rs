//! Weights of the layers that encoder and decoder share: checked tensors in, packed weights out.

use super::Precision;
use super::product::{Product, Spare};
use crate::checkpoint::{Checkpoint, Error, Stack};
use crate::config::{Activation, Gate};
use kernels::{Finish, Function, Kernels, Layout, Rows, Table, Weights};

/// Packs a checkpoint's tensors.
#[derive(Debug)]
pub(super) struct Loader<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) table: &'static Table,
    pub(super) precision: Precision,
}

impl Loader<'_> {
    /// The tensors of these names below each other, as one matrix.
    pub(super) fn product(&self, names: Vec<String>, inputs: usize) -> Result<Product, Error> {
        let values = self.checkpoint.stacked(&names)?;
        let shape = (values.len() / inputs, inputs);
        let weights = Weights::pack(self.table, self.precision.most, Layout::Plain, shape, &values);
        Ok(Product::new(weights, names))
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
            into: self.product(vec![name("q"), name("k"), name("v")], config.d_model)?,
            out: self.product(vec![name("o")], config.inner())?,
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
        let into = Weights::pack(self.table, self.precision.most, layout, shape, &into);
        let out_name = name("wo");
        let out = self.checkpoint.tensor(&out_name)?;
        let out_shape = (config.d_model, config.d_ff);
        let out = Weights::pack(self.table, self.precision.wo, Layout::Plain, out_shape, &out);
        Ok(FeedForward {
            norm: self.norm(&stack.norm(block, layer))?,
            into: Product::new(into, names),
            finish,
            out: Product::new(out, vec![out_name]),
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
    pub(super) into: Product,
    pub(super) out: Product,
}

impl Attention {
    pub(super) fn products(&mut self) -> [&mut Product; 2] {
        [&mut self.into, &mut self.out]
    }
}

/// The layer after attention, with its norm and the residual.
#[derive(Debug)]
pub(super) struct FeedForward {
    norm: Norm,
    into: Product,
    finish: Finish,
    out: Product,
}

impl FeedForward {
    /// Adds the layer's result to the residual stream.
    pub(super) fn forward(&self, kernels: &mut Kernels, x: &mut Rows, room: &mut Room) {
        self.norm.forward(kernels, x, &mut room.normed);
        let Room { normed, inner, spare, .. } = room;
        self.into.forward(kernels, normed, self.finish, spare, inner);
        self.out.forward(kernels, inner, Finish::Add, spare, x);
    }

    pub(super) fn products(&mut self) -> [&mut Product; 2] {
        [&mut self.into, &mut self.out]
    }

    /// The products, to look at.
    pub(super) fn read(&self) -> [&Product; 2] {
        [&self.into, &self.out]
    }

    /// Sums of a row, before the function.
    pub(super) fn sums(&self) -> usize {
        self.into.sums()
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
    /// What adapters need.
    pub(super) spare: Spare,
}
