//! Layers shared by encoder and decoder: checked tensors in, packed weights out.

use super::Precision;
use super::linear::{Linear, LoraBuffers};
use crate::checkpoint::{Checkpoint, Error, Stack};
use crate::config::Gate;
use kernels::{Dispatch, Epilogue, Kernels, Layout, Rows, Weights};

#[derive(Debug)]
pub(super) struct Loader<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) dispatch: &'static Dispatch,
    pub(super) precision: Precision,
}

impl Loader<'_> {
    pub(super) fn linear(&self, names: Vec<String>, inputs: usize) -> Result<Linear, Error> {
        let values = self.checkpoint.stacked(&names)?;
        let shape = (values.len() / inputs, inputs);
        let weights =
            Weights::pack(self.dispatch, self.precision.most, Layout::Plain, shape, &values);
        Ok(Linear::new(weights, names))
    }

    pub(super) fn norm(&self, name: &str) -> Result<Norm, Error> {
        let mut gain = self.checkpoint.tensor(name)?;
        gain.resize(Rows::new(gain.len()).padded(), 0.0);
        Ok(Norm { gain, epsilon: self.checkpoint.config.epsilon })
    }

    pub(super) fn self_attention(&self, stack: Stack, block: usize) -> Result<Attention, Error> {
        let config = &self.checkpoint.config;
        let name = |part: &str| stack.self_attention(block, part);
        Ok(Attention {
            norm: self.norm(&stack.norm(block, 0))?,
            into: self.linear(vec![name("q"), name("k"), name("v")], config.d_model)?,
            out: self.linear(vec![name("o")], config.inner())?,
        })
    }

    pub(super) fn feed_forward(&self, stack: Stack, block: usize) -> Result<FeedForward, Error> {
        let config = &self.checkpoint.config;
        let name = |part: &str| stack.feed_forward(block, part);
        let layer = match stack {
            Stack::Encoder => 1,
            Stack::Decoder => 2,
        };
        let (names, layout, epilogue) = match config.gate {
            Gate::Gated => (vec!["wi_0", "wi_1"], Layout::Gated, Epilogue::Gate(config.activation)),
            Gate::Plain => (vec!["wi"], Layout::Plain, Epilogue::Apply(config.activation)),
        };
        let names: Vec<String> = names.into_iter().map(name).collect();
        let into = self.checkpoint.stacked(&names)?;
        let shape = (into.len() / config.d_model, config.d_model);
        let into = Weights::pack(self.dispatch, self.precision.most, layout, shape, &into);
        let out_name = name("wo");
        let out = self.checkpoint.tensor(&out_name)?;
        let out_shape = (config.d_model, config.d_ff);
        let out = Weights::pack(self.dispatch, self.precision.wo, Layout::Plain, out_shape, &out);
        Ok(FeedForward {
            norm: self.norm(&stack.norm(block, layer))?,
            into: Linear::new(into, names),
            epilogue,
            out: Linear::new(out, vec![out_name]),
        })
    }
}

#[derive(Debug)]
pub(super) struct Norm {
    /// Zero-padded like rows.
    gain: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    pub(super) fn forward(&self, kernels: &Kernels, x: &Rows, to: &mut Rows) {
        kernels.rms_norm(x, &self.gain, self.epsilon, to);
    }
}

#[derive(Debug)]
pub(super) struct Attention {
    pub(super) norm: Norm,
    /// To queries, keys and values side by side.
    pub(super) into: Linear,
    pub(super) out: Linear,
}

impl Attention {
    pub(super) fn linears(&mut self) -> [&mut Linear; 2] {
        [&mut self.into, &mut self.out]
    }
}

#[derive(Debug)]
pub(super) struct FeedForward {
    norm: Norm,
    into: Linear,
    epilogue: Epilogue,
    out: Linear,
}

impl FeedForward {
    /// Adds the layer's result to the residual stream.
    pub(super) fn forward(&self, kernels: &mut Kernels, x: &mut Rows, workspace: &mut Workspace) {
        self.norm.forward(kernels, x, &mut workspace.normed);
        let Workspace { normed, inner, lora_buffers, .. } = workspace;
        self.into.forward(kernels, normed, self.epilogue, lora_buffers, inner);
        self.out.forward(kernels, inner, Epilogue::Add, lora_buffers, x);
    }

    pub(super) fn linears(&mut self) -> [&mut Linear; 2] {
        [&mut self.into, &mut self.out]
    }

    pub(super) fn read(&self) -> [&Linear; 2] {
        [&self.into, &self.out]
    }

    pub(super) fn sums(&self) -> usize {
        self.into.sums()
    }
}

/// Buffers that every layer overwrites.
#[derive(Debug)]
pub(super) struct Workspace {
    /// `[rows, d_model]`.
    pub(super) normed: Rows,
    /// Queries, keys and values, `[rows, 3 * inner]`.
    pub(super) projected: Rows,
    /// `[rows, inner]`.
    pub(super) attended: Rows,
    /// `[rows, d_ff]`.
    pub(super) inner: Rows,
    pub(super) lora_buffers: LoraBuffers,
}
