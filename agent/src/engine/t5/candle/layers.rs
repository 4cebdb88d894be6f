//! The layers that encoder and decoder share: checked weights in, candle tensors out.

use super::Error;
use crate::engine::t5::checkpoint::{Checkpoint, Stack};
use crate::engine::t5::config::{Activation, Gate};
use candle_core::{D, Device, Tensor};

/// Puts a checkpoint's tensors on a device.
pub(super) struct Loader<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) device: &'a Device,
}

impl Loader<'_> {
    /// The layers of these names below each other, as one.
    pub(super) fn linear(&self, names: &[String], inputs: usize) -> Result<Linear, Error> {
        let values = self.checkpoint.stacked(names)?;
        let outputs = values.len() / inputs;
        Ok(Linear(Tensor::from_vec(values, (outputs, inputs), self.device)?))
    }

    pub(super) fn norm(&self, name: &str) -> Result<Norm, Error> {
        let values = self.checkpoint.tensor(name)?;
        let width = values.len();
        Ok(Norm {
            weight: Tensor::from_vec(values, width, self.device)?,
            epsilon: self.checkpoint.config().epsilon,
        })
    }

    pub(super) fn self_attention(&self, stack: Stack, block: usize) -> Result<Attention, Error> {
        let config = self.checkpoint.config();
        let name = |part: &str| stack.self_attention(block, part);
        Ok(Attention {
            norm: self.norm(&stack.norm(block, 0))?,
            into: self.linear(&[name("q"), name("k"), name("v")], config.d_model)?,
            out: self.linear(&[name("o")], config.inner())?,
        })
    }

    pub(super) fn feed_forward(&self, stack: Stack, block: usize) -> Result<FeedForward, Error> {
        let config = self.checkpoint.config();
        let name = |part: &str| stack.feed_forward(block, part);
        let into = match config.gate {
            Gate::Gated => vec![name("wi_0"), name("wi_1")],
            Gate::Plain => vec![name("wi")],
        };
        let layer = match stack {
            Stack::Encoder => 1,
            Stack::Decoder => 2,
        };
        Ok(FeedForward {
            norm: self.norm(&stack.norm(block, layer))?,
            into: self.linear(&into, config.d_model)?,
            out: self.linear(&[name("wo")], config.d_ff)?,
            activation: config.activation,
            gate: config.gate,
        })
    }
}

/// `x Wᵀ`; the weight is `[outputs, inputs]`.
#[derive(Debug)]
pub(super) struct Linear(Tensor);

impl Linear {
    /// Over a weight that something else holds too.
    pub(super) fn over(weight: Tensor) -> Self {
        Self(weight)
    }

    /// `[rows, inputs]` to `[rows, outputs]`. Two dimensions only: CUDA would read the weight once per
    /// batch entry otherwise.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, candle_core::Error> {
        x.matmul(&self.0.t()?)
    }
}

/// Division by the root of the mean square; no mean is taken off and no bias added.
#[derive(Debug)]
pub(super) struct Norm {
    weight: Tensor,
    epsilon: f32,
}

impl Norm {
    /// `[rows, d_model]` to the same.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, candle_core::Error> {
        candle_nn::ops::rms_norm(x, &self.weight, self.epsilon)
    }
}

/// A norm and the projections of self-attention.
#[derive(Debug)]
pub(super) struct Attention {
    pub(super) norm: Norm,
    /// To queries, keys and values side by side.
    pub(super) into: Linear,
    pub(super) out: Linear,
}

/// `softmax(q kᵀ + bias) v`, without T5's missing scale. `[.., queries, d_kv]`, bias broadcast to the scores.
pub(super) fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor, candle_core::Error> {
    let mut scores = q.matmul(&k.transpose(D::Minus2, D::Minus1)?)?;
    if let Some(bias) = bias {
        scores = scores.broadcast_add(bias)?;
    }
    candle_nn::ops::softmax_last_dim(&scores)?.matmul(v)
}

/// The layer after attention, with its norm and the residual.
#[derive(Debug)]
pub(super) struct FeedForward {
    norm: Norm,
    into: Linear,
    out: Linear,
    activation: Activation,
    gate: Gate,
}

impl FeedForward {
    /// `[rows, d_model]` to the same.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, candle_core::Error> {
        let inner = self.into.forward(&self.norm.forward(x)?)?;
        let inner = match self.gate {
            Gate::Plain => self.activate(&inner)?,
            Gate::Gated => {
                let width = inner.dim(1)? / 2;
                let open = self.activate(&inner.narrow(1, 0, width)?.contiguous()?)?;
                (open * inner.narrow(1, width, width)?)?
            }
        };
        x + self.out.forward(&inner)?
    }

    fn activate(&self, x: &Tensor) -> Result<Tensor, candle_core::Error> {
        match self.activation {
            Activation::Relu => x.relu(),
            Activation::Gelu => x.gelu_erf(),
            Activation::GeluTanh => x.gelu(),
        }
    }
}
