//! Layers shared by encoder and decoder: checked tensors in, packed weights out.

use super::Precision;
use super::norm::{LayerNorm, Norm};
use crate::checkpoint::{Checkpoint, Stacked};
use crate::config::{Config, Gate, NormKind, Stack};
use crate::layout::{Layer, Projection};
use checkpoint::{Error, bias_of};
use kernels::{Dispatch, Epilogue, Heads, Kernels, Layout, Rows, Storage, Weights};
use layers::{Linear, LoraBuffers, QueryScale};

#[derive(Debug)]
pub(super) struct Loader<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) dispatch: &'static Dispatch,
    pub(super) precision: Precision,
}

/// How the tensors of a linear layer are packed.
#[derive(Debug, Clone, Copy)]
struct Form {
    storage: Storage,
    layout: Layout,
    /// If the first of the stacked tensors are queries.
    queries: Option<QueryScale>,
}

impl Loader<'_> {
    pub(super) fn config(&self) -> &Config {
        &self.checkpoint.config
    }

    pub(super) fn heads(&self, stack: Stack) -> Heads {
        let shape = self.config().stack(stack);
        Heads { count: shape.heads, width: shape.head_width }
    }

    /// Stacks tensors for one product.
    fn linear(&self, form: Form, names: Vec<String>) -> Result<Linear, Error> {
        let Stacked { inputs, values, bias } = self.checkpoint.stacked(&names, form.queries)?;
        let shape = (values.len() / inputs, inputs);
        let mut weights = Weights::pack(self.dispatch, form.storage, form.layout, shape, &values);
        if let Some(bias) = bias {
            weights = weights.with_bias(&bias);
        }
        Ok(Linear::new(weights, names, form.queries))
    }

    pub(super) fn norm(&self, name: &str) -> Result<Norm, Error> {
        let norms = self.config().norms;
        let padded = |name: &str| -> Result<Vec<f32>, Error> {
            let mut values = self.checkpoint.tensors.tensor(name)?;
            values.resize(Rows::new(values.len()).padded(), 0.0);
            Ok(values)
        };
        let gain = padded(name)?;
        Ok(match norms.kind {
            NormKind::Rms => Norm::Rms { gain, epsilon: norms.epsilon },
            NormKind::Layer => {
                Norm::Layer { gain, bias: padded(&bias_of(name))?, epsilon: norms.epsilon }
            }
        })
    }

    /// The norm after the last block.
    pub(super) fn last_norm(&self, stack: Stack) -> Result<Option<Norm>, Error> {
        let config = self.config();
        let name = config.norms.after_blocks.then(|| config.family.last_norm(stack));
        name.map(|name| self.norm(&name)).transpose()
    }

    fn layer_norm(&self, stack: Stack, block: usize, layer: Layer) -> Result<LayerNorm, Error> {
        let config = self.config();
        let norm = self.norm(&config.family.norm(stack, block, layer))?;
        Ok(LayerNorm { norm, place: config.norms.place })
    }

    /// Projections of an attention layer for one product.
    fn projections(
        &self,
        stack: Stack,
        block: usize,
        layer: Layer,
        projections: &[Projection],
    ) -> Result<Linear, Error> {
        let config = self.config();
        let name =
            |projection: &Projection| config.family.attention(stack, block, layer, *projection);
        let queries = self.checkpoint.query_scale(stack, projections);
        let form = Form { storage: self.precision.most, layout: Layout::Plain, queries };
        self.linear(form, projections.iter().map(name).collect())
    }

    pub(super) fn self_attention(&self, stack: Stack, block: usize) -> Result<Attention, Error> {
        let layer = Layer::SelfAttention;
        let into = [Projection::Query, Projection::Key, Projection::Value];
        Ok(Attention {
            norm: self.layer_norm(stack, block, layer)?,
            into: self.projections(stack, block, layer, &into)?,
            out: self.projections(stack, block, layer, &[Projection::Out])?,
        })
    }

    pub(super) fn cross_attention(&self, block: usize) -> Result<CrossAttention, Error> {
        let (stack, layer) = (Stack::Decoder, Layer::CrossAttention);
        let project =
            |projections: &[Projection]| self.projections(stack, block, layer, projections);
        Ok(CrossAttention {
            norm: self.layer_norm(stack, block, layer)?,
            query: project(&[Projection::Query])?,
            memory: project(&[Projection::Key, Projection::Value])?,
            out: project(&[Projection::Out])?,
        })
    }

    pub(super) fn feed_forward(&self, stack: Stack, block: usize) -> Result<FeedForward, Error> {
        let config = self.config();
        let names = config.family.feed_forward(stack, block, config.gate);
        let (layout, epilogue) = match config.gate {
            Gate::Gated => (Layout::Gated, Epilogue::Gate(config.activation)),
            Gate::Plain => (Layout::Plain, Epilogue::Apply(config.activation)),
        };
        let into = Form { storage: self.precision.most, layout, queries: None };
        let out = Form { storage: self.precision.wo, layout: Layout::Plain, queries: None };
        Ok(FeedForward {
            norm: self.layer_norm(stack, block, Layer::FeedForward)?,
            into: self.linear(into, names.into)?,
            epilogue,
            out: self.linear(out, vec![names.out])?,
        })
    }
}

#[derive(Debug)]
pub(super) struct Attention {
    pub(super) norm: LayerNorm,
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
pub(super) struct CrossAttention {
    pub(super) norm: LayerNorm,
    pub(super) query: Linear,
    /// To keys and values side by side.
    pub(super) memory: Linear,
    pub(super) out: Linear,
}

#[derive(Debug)]
pub(super) struct FeedForward {
    norm: LayerNorm,
    into: Linear,
    epilogue: Epilogue,
    out: Linear,
}

impl FeedForward {
    /// Adds the layer's result to the residual stream.
    pub(super) fn forward(&self, kernels: &mut Kernels, x: &mut Rows, workspace: &mut Workspace) {
        let Workspace { normed, inner, lora_buffers, .. } = workspace;
        let input = self.norm.input(kernels, x, normed);
        self.into.forward(kernels, input, self.epilogue, lora_buffers, inner);
        self.out.forward(kernels, inner, Epilogue::Add, lora_buffers, x);
        self.norm.finish(kernels, x, normed);
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
    /// `[rows, d_ff]`, of the stack that uses it.
    pub(super) inner: Rows,
    pub(super) lora_buffers: LoraBuffers,
}
