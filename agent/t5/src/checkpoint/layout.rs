//! Names and shapes of T5's tensors.

use crate::config::{Config, Gate};
use std::{collections::BTreeMap, fmt};

/// The embedding, `[vocabulary, d_model]`.
pub const SHARED: &str = "shared.weight";
/// The head if it is not tied to the embedding, `[vocabulary, d_model]`.
pub const HEAD: &str = "lm_head.weight";
/// In old files, and unused: cross-attention has no position bias.
pub(super) const UNUSED: &str =
    "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    Encoder,
    Decoder,
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoder => "encoder",
            Self::Decoder => "decoder",
        })
    }
}

impl Stack {
    /// The embedding of this stack if it is not tied to [`SHARED`], `[vocabulary, d_model]`.
    pub(super) fn embedding(self) -> &'static str {
        match self {
            Self::Encoder => "encoder.embed_tokens.weight",
            Self::Decoder => "decoder.embed_tokens.weight",
        }
    }

    /// Self-attention: `q`, `k`, `v` are `[inner, d_model]`, `o` is `[d_model, inner]`.
    pub fn self_attention(self, block: usize, part: &str) -> String {
        format!("{self}.block.{block}.layer.0.SelfAttention.{part}.weight")
    }

    /// Feed-forward: `wi_0`, `wi_1`, `wi` are `[d_ff, d_model]`, `wo` is `[d_model, d_ff]`.
    pub fn feed_forward(self, block: usize, part: &str) -> String {
        format!("{self}.block.{block}.layer.{}.DenseReluDense.{part}.weight", self.layers() - 1)
    }

    /// The norm before a layer, `[d_model]`.
    pub fn norm(self, block: usize, layer: usize) -> String {
        format!("{self}.block.{block}.layer.{layer}.layer_norm.weight")
    }

    /// The norm after the last block, `[d_model]`.
    pub fn final_norm(self) -> String {
        format!("{self}.final_layer_norm.weight")
    }

    /// The relative position bias, shared by all blocks, `[buckets, heads]`.
    pub fn position_bias(self) -> String {
        format!("{self}.block.0.layer.0.SelfAttention.relative_attention_bias.weight")
    }

    /// Layers per block: attention, in the decoder cross-attention, and feed-forward.
    fn layers(self) -> usize {
        match self {
            Self::Encoder => 2,
            Self::Decoder => 3,
        }
    }
}

/// A cross-attention projection, shaped like those of self-attention.
pub fn cross_attention(block: usize, part: &str) -> String {
    format!("decoder.block.{block}.layer.1.EncDecAttention.{part}.weight")
}

/// All tensors except an own head and own embeddings of the stacks, with their shapes.
pub(super) fn layout(config: &Config) -> BTreeMap<String, Vec<usize>> {
    let (d_model, d_ff, inner) = (config.d_model, config.d_ff, config.inner());
    let mut layout = BTreeMap::from([(SHARED.to_owned(), vec![config.vocabulary, d_model])]);
    for (stack, blocks) in
        [(Stack::Encoder, config.encoder_blocks), (Stack::Decoder, config.decoder_blocks)]
    {
        layout.insert(stack.position_bias(), vec![config.buckets, config.heads]);
        layout.insert(stack.final_norm(), vec![d_model]);
        for block in 0..blocks {
            for layer in 0..stack.layers() {
                layout.insert(stack.norm(block, layer), vec![d_model]);
            }
            let mut attention = |name: &dyn Fn(&str) -> String| {
                for part in ["q", "k", "v"] {
                    layout.insert(name(part), vec![inner, d_model]);
                }
                layout.insert(name("o"), vec![d_model, inner]);
            };
            attention(&|part| stack.self_attention(block, part));
            if stack == Stack::Decoder {
                attention(&|part| cross_attention(block, part));
            }
            let into: &[&str] = match config.gate {
                Gate::Gated => &["wi_0", "wi_1"],
                Gate::Plain => &["wi"],
            };
            for part in into {
                layout.insert(stack.feed_forward(block, part), vec![d_ff, d_model]);
            }
            layout.insert(stack.feed_forward(block, "wo"), vec![d_model, d_ff]);
        }
    }
    layout
}
