//! Layers shared by encoder and decoder: checked weights in, candle tensors out.
//!
//! The residual stream, norms and softmax are f32 for every dtype.

use super::{Error, Precision};
use crate::checkpoint::Checkpoint;
use crate::config::{Activation, Gate, Stack};
use crate::layout::{Layer, Projection};
use candle_core::{D, DType, Device, Tensor};
use checkpoint::lora::Adapter;

pub(super) struct Loader<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) device: &'a Device,
    pub(super) precision: Precision,
}

impl Loader<'_> {
    /// Stacks the named tensors into one layer.
    pub(super) fn linear(&self, names: Vec<String>) -> Result<Linear, Error> {
        self.linear_as(self.precision.most, names)
    }

    fn linear_as(&self, dtype: DType, names: Vec<String>) -> Result<Linear, Error> {
        let inputs = self.checkpoint.tensors.inputs(&names[0]);
        let values = self.checkpoint.tensors.stacked(&names)?;
        let shape = (values.len() / inputs, inputs);
        let weight = on_device(values, shape, dtype, self.device)?;
        Ok(Linear { weight, tensors: names, factors: None })
    }

    pub(super) fn norm(&self, name: &str) -> Result<Norm, Error> {
        let values = self.checkpoint.tensors.tensor(name)?;
        let width = values.len();
        Ok(Norm {
            weight: Tensor::from_vec(values, width, self.device)?,
            epsilon: self.checkpoint.config.norms.epsilon,
        })
    }

    pub(super) fn self_attention(&self, stack: Stack, block: usize) -> Result<Attention, Error> {
        let (family, layer) = (self.checkpoint.config.family, Layer::SelfAttention);
        let name = |projection| family.attention(stack, block, layer, projection);
        let into = [Projection::Query, Projection::Key, Projection::Value].map(name);
        Ok(Attention {
            norm: self.norm(&family.norm(stack, block, layer))?,
            into: self.linear(into.to_vec())?,
            out: self.linear(vec![name(Projection::Out)])?,
        })
    }

    pub(super) fn feed_forward(&self, stack: Stack, block: usize) -> Result<FeedForward, Error> {
        let config = &self.checkpoint.config;
        let names = config.family.feed_forward(stack, block, config.gate);
        Ok(FeedForward {
            norm: self.norm(&config.family.norm(stack, block, Layer::FeedForward))?,
            into: self.linear(names.into)?,
            out: self.linear_as(self.precision.wo, vec![names.out])?,
            activation: config.activation,
            gate: config.gate,
        })
    }
}

/// Rounds on the host, so that the device never holds the f32 values.
pub(super) fn on_device(
    values: Vec<f32>,
    shape: (usize, usize),
    dtype: DType,
    device: &Device,
) -> Result<Tensor, candle_core::Error> {
    Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
}

/// `x W'ᵀ`; the weight is `[outputs, inputs]`.
#[derive(Debug)]
pub(super) struct Linear {
    weight: Tensor,
    /// Names of the stacked tensors, which have equally many rows.
    tensors: Vec<String>,
    factors: Option<LoraFactors>,
}

/// An adapter's factors, in the dtype of the weight.
#[derive(Debug)]
struct LoraFactors {
    /// `[rank, inputs]`.
    down: Tensor,
    /// `[outputs, rank]`.
    up: Tensor,
}

impl Linear {
    /// Over a weight shared with another layer.
    pub(super) fn over(weight: Tensor) -> Self {
        Self { weight, tensors: Vec::new(), factors: None }
    }

    /// `[rows, inputs]` of any dtype to `[rows, outputs]` in the weight's dtype. Two dimensions
    /// only: CUDA would otherwise read the weight once per batch entry.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, candle_core::Error> {
        let x = x.to_dtype(self.weight.dtype())?;
        let base = x.matmul(&self.weight.t()?)?;
        match &self.factors {
            None => Ok(base),
            Some(LoraFactors { down, up }) => base + x.matmul(&down.t()?)?.matmul(&up.t()?)?,
        }
    }

    pub(super) fn adapt(&mut self, adapter: Option<&Adapter>) -> Result<(), Error> {
        self.factors = None;
        let rank = |adapter: &Adapter| self.tensors.iter().map(|name| adapter.rank(name)).sum();
        let rank: usize = adapter.map_or(0, rank);
        let Some(adapter) = adapter.filter(|_| rank > 0) else { return Ok(()) };
        let (outputs, inputs) = self.weight.dims2()?;
        let (down, up) = adapter.stacked(&self.tensors, (outputs, inputs), rank)?;
        let (dtype, device) = (self.weight.dtype(), self.weight.device());
        self.factors = Some(LoraFactors {
            down: on_device(down, (rank, inputs), dtype, device)?,
            up: on_device(up, (outputs, rank), dtype, device)?,
        });
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        bytes(&self.weight)
    }

    pub(super) fn adapter_bytes(&self) -> u64 {
        self.factors.as_ref().map_or(0, |factors| bytes(&factors.down) + bytes(&factors.up))
    }
}

pub(super) fn bytes(tensor: &Tensor) -> u64 {
    (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64
}

/// RMS norm, without mean subtraction and bias.
#[derive(Debug)]
pub(super) struct Norm {
    weight: Tensor,
    epsilon: f32,
}

impl Norm {
    /// `[rows, d_model]`, f32.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, candle_core::Error> {
        candle_nn::ops::rms_norm(x, &self.weight, self.epsilon)
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

/// `softmax(q kᵀ + bias) v`; T5 does not scale the scores. `[.., queries, d_kv]`; the bias is f32
/// and broadcast to the scores.
pub(super) fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor, candle_core::Error> {
    let mut scores = q.matmul(&k.transpose(D::Minus2, D::Minus1)?)?.to_dtype(DType::F32)?;
    if let Some(bias) = bias {
        scores = scores.broadcast_add(bias)?;
    }
    candle_nn::ops::softmax_last_dim(&scores)?.to_dtype(v.dtype())?.matmul(v)
}

/// Adds a layer's result to the f32 residual stream.
pub(super) fn add(x: &Tensor, result: &Tensor) -> Result<Tensor, candle_core::Error> {
    x + result.to_dtype(DType::F32)?
}

#[derive(Debug)]
pub(super) struct FeedForward {
    norm: Norm,
    into: Linear,
    out: Linear,
    activation: Activation,
    gate: Gate,
}

impl FeedForward {
    /// `[rows, d_model]`, f32.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, candle_core::Error> {
        // Between the products in the dtype of the second: gated values exceed the range of f16.
        let inner = self.into.forward(&self.norm.forward(x)?)?.to_dtype(self.out.weight.dtype())?;
        let inner = match self.gate {
            Gate::Plain => self.activate(&inner)?,
            Gate::Gated => {
                let width = inner.dim(1)? / 2;
                let open = self.activate(&inner.narrow(1, 0, width)?.contiguous()?)?;
                (open * inner.narrow(1, width, width)?)?
            }
        };
        add(x, &self.out.forward(&inner)?)
    }

    fn activate(&self, x: &Tensor) -> Result<Tensor, candle_core::Error> {
        match self.activation {
            Activation::Relu => x.relu(),
            Activation::Gelu => x.gelu_erf(),
            Activation::Silu => x.silu(),
            Activation::GeluTanh => x.gelu(),
        }
    }

    pub(super) fn linears(&mut self) -> [&mut Linear; 2] {
        [&mut self.into, &mut self.out]
    }
}
