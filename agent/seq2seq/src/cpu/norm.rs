//! Norms, before a layer or after the sum of its input and output.

use crate::config::NormPlace;
use kernels::{Affine, Kernels, Rows};

/// Gains and biases are zero-padded like rows.
#[derive(Debug)]
pub(super) enum Norm {
    Rms { gain: Vec<f32>, epsilon: f32 },
    Layer { gain: Vec<f32>, bias: Vec<f32>, epsilon: f32 },
}

impl Norm {
    pub(super) fn forward(&self, kernels: &Kernels, x: &Rows, to: &mut Rows) {
        match self {
            Self::Rms { gain, epsilon } => kernels.rms_norm(x, gain, *epsilon, to),
            Self::Layer { gain, bias, epsilon } => {
                kernels.layer_norm(x, &Affine { gain, bias }, *epsilon, to);
            }
        }
    }

    /// Norms `x` by way of `buffer`, a matrix of the same width.
    pub(super) fn replace(&self, kernels: &Kernels, x: &mut Rows, buffer: &mut Rows) {
        self.forward(kernels, x, buffer);
        std::mem::swap(x, buffer);
    }
}

/// The norm of one layer of a block.
#[derive(Debug)]
pub(super) struct LayerNorm {
    pub(super) norm: Norm,
    pub(super) place: NormPlace,
}

impl LayerNorm {
    /// The layer's input: `x`, or the norm of it in `buffer`.
    pub(super) fn input<'a>(
        &self,
        kernels: &Kernels,
        x: &'a Rows,
        buffer: &'a mut Rows,
    ) -> &'a Rows {
        match self.place {
            NormPlace::BeforeLayer => {
                self.norm.forward(kernels, x, buffer);
                buffer
            }
            NormPlace::AfterSum => x,
        }
    }

    /// Completes `x`, the sum of the layer's input and output.
    pub(super) fn finish(&self, kernels: &Kernels, x: &mut Rows, buffer: &mut Rows) {
        match self.place {
            NormPlace::BeforeLayer => {}
            NormPlace::AfterSum => self.norm.replace(kernels, x, buffer),
        }
    }
}
