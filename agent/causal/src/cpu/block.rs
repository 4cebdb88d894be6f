//! One block: attention and a gated feed-forward layer, each after a norm.

use super::Precision;
use crate::checkpoint::Checkpoint;
use crate::config::{Biases, Config};
use crate::layout::BlockNames;
use checkpoint::{Error, Tensors, bias_of};
use kernels::{
    Activation, Dispatch, Epilogue, Kernels, Layout, Rope, RotatedHeads, Rows, Storage, Weights,
};
use layers::{Linear, LoraBuffers, StoredAs};

#[derive(Debug)]
pub(super) struct Block {
    attention_norm: Vec<f32>,
    /// To queries, keys and values side by side.
    into: Linear,
    /// Gains of each head's queries and keys.
    head_norms: Option<[Vec<f32>; 2]>,
    out: Linear,
    feed_forward_norm: Vec<f32>,
    /// The gate and what it multiplies.
    gate: Linear,
    down: Linear,
    heads: usize,
    key_heads: usize,
    head_width: usize,
    epsilon: f32,
}

/// Buffers that every block overwrites.
#[derive(Debug)]
pub(super) struct Workspace {
    /// `[tokens, width]`.
    normed: Rows,
    /// Queries, keys and values, `[tokens, queries + 2 * keys]`.
    pub(super) projected: Rows,
    /// `[tokens, queries]`.
    pub(super) attended: Rows,
    /// `[tokens, d_ff]`.
    inner: Rows,
    pub(super) lora_buffers: LoraBuffers,
}

impl Workspace {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            normed: Rows::new(config.width),
            projected: Rows::new(config.queries() + 2 * config.keys()),
            attended: Rows::new(config.queries()),
            inner: Rows::new(config.d_ff),
            lora_buffers: LoraBuffers::new(0, 0),
        }
    }
}

/// The gain of a norm, zero-padded like rows.
pub(super) fn gain(tensors: &Tensors, name: &str) -> Result<Vec<f32>, Error> {
    let mut values = tensors.tensor(name)?;
    values.resize(Rows::new(values.len()).padded(), 0.0);
    Ok(values)
}

impl Block {
    pub(super) fn load(
        checkpoint: &Checkpoint,
        dispatch: &'static Dispatch,
        precision: Precision,
        block: usize,
    ) -> Result<Self, Error> {
        let Checkpoint { config, tensors } = checkpoint;
        let names = BlockNames::of(block);
        let linear = |form: StoredAs, layout: Layout, names: Vec<String>, has_bias: bool| {
            let mut weights = form.pack(tensors, dispatch, layout, &names)?;
            if has_bias {
                let names: Vec<String> = names.iter().map(|name| bias_of(name)).collect();
                weights = weights.with_bias(&tensors.stacked(&names)?);
            }
            Ok::<_, Error>(Linear::new(weights, names, None))
        };
        let most = precision.most;
        let head_norms = || -> Result<[Vec<f32>; 2], Error> {
            Ok([tensors.tensor(&names.query_norm)?, tensors.tensor(&names.key_norm)?])
        };
        let head_norms = config.has_head_norms.then(head_norms).transpose()?;
        let into = vec![names.query, names.key, names.value];
        Ok(Self {
            attention_norm: gain(tensors, &names.attention_norm)?,
            into: linear(most, Layout::Plain, into, config.biases != Biases::None)?,
            head_norms,
            out: linear(most, Layout::Plain, vec![names.out], config.biases == Biases::Attention)?,
            feed_forward_norm: gain(tensors, &names.feed_forward_norm)?,
            gate: linear(most, Layout::Gated, names.into.to_vec(), false)?,
            down: linear(precision.down, Layout::Plain, vec![names.down], false)?,
            heads: config.heads,
            key_heads: config.key_heads,
            head_width: config.head_width,
            epsilon: config.epsilon,
        })
    }

    /// Queries, keys and values of the norm of `x`.
    pub(super) fn project(&self, kernels: &mut Kernels, x: &Rows, workspace: &mut Workspace) {
        let Workspace { normed, projected, lora_buffers, .. } = workspace;
        kernels.rms_norm(x, &self.attention_norm, self.epsilon, normed);
        self.into.forward(kernels, normed, Epilogue::Store, lora_buffers, projected);
    }

    /// Norms the heads of queries and keys if the model does, rotates them, and scales queries.
    pub(super) fn rotate(
        &self,
        kernels: &Kernels,
        rope: &Rope,
        positions: &[usize],
        workspace: &mut Workspace,
    ) {
        let gain = |place: usize| self.head_norms.as_ref().map(|gains| gains[place].as_slice());
        let queries = RotatedHeads {
            start: 0,
            count: self.heads,
            gain: gain(0),
            epsilon: self.epsilon,
            scale: (self.head_width as f32).powf(-0.5),
        };
        let keys = RotatedHeads {
            start: self.heads * self.head_width,
            count: self.key_heads,
            gain: gain(1),
            epsilon: self.epsilon,
            scale: 1.0,
        };
        kernels.rotate(&mut workspace.projected, positions, rope, &queries);
        kernels.rotate(&mut workspace.projected, positions, rope, &keys);
    }

    /// Adds what attention found, and the feed-forward layer's result, to `x`.
    pub(super) fn finish(&self, kernels: &mut Kernels, x: &mut Rows, workspace: &mut Workspace) {
        let Workspace { normed, attended, inner, lora_buffers, .. } = workspace;
        self.out.forward(kernels, attended, Epilogue::Add, lora_buffers, x);
        kernels.rms_norm(x, &self.feed_forward_norm, self.epsilon, normed);
        let gate = Epilogue::Gate(Activation::Silu);
        self.gate.forward(kernels, normed, gate, lora_buffers, inner);
        self.down.forward(kernels, inner, Epilogue::Add, lora_buffers, x);
    }

    /// The storages of most products and of the feed-forward output.
    pub(super) fn storages(&self) -> [Storage; 2] {
        [&self.gate, &self.down].map(Linear::storage)
    }

    /// Raw sums of the gate.
    pub(super) fn sums(&self) -> usize {
        self.gate.sums()
    }

    pub(super) fn linears(&mut self) -> [&mut Linear; 4] {
        [&mut self.into, &mut self.out, &mut self.gate, &mut self.down]
    }

    /// What every product reads.
    pub(super) fn weights(&self) -> impl Iterator<Item = &Weights> {
        [&self.into, &self.out, &self.gate, &self.down].into_iter().flat_map(Linear::weights)
    }
}
