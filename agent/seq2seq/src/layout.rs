//! Names and shapes of the tensors of each family.
//!
//! A linear layer and a norm are named by their weight; [`bias_of`] names the bias.

use crate::config::{Biases, Config, Family, Gate, NormKind, Positions, Stack};
use crate::position;
use checkpoint::{Filling, HEAD, Layout, bias_of};
use std::collections::BTreeMap;

/// The bias of the head, `[1, vocabulary]`.
pub const HEAD_BIAS: &str = "final_logits_bias";

/// A layer of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    SelfAttention,
    /// In the decoder only.
    CrossAttention,
    FeedForward,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projection {
    Query,
    Key,
    Value,
    Out,
}

impl Projection {
    const ALL: [Self; 4] = [Self::Query, Self::Key, Self::Value, Self::Out];
}

/// The weights of a feed-forward layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedForwardNames {
    /// Each `[d_ff, d_model]`: two if the layer is gated.
    pub into: Vec<String>,
    /// `[d_model, d_ff]`.
    pub out: String,
}

impl Stack {
    pub(super) fn layers(self) -> &'static [Layer] {
        match self {
            Self::Encoder => &[Layer::SelfAttention, Layer::FeedForward],
            Self::Decoder => &[Layer::SelfAttention, Layer::CrossAttention, Layer::FeedForward],
        }
    }
}

impl Family {
    /// The embedding, `[vocabulary, d_model]`.
    pub fn shared(self) -> &'static str {
        match self {
            Self::T5 => "shared.weight",
            Self::Bart | Self::Pegasus => "model.shared.weight",
        }
    }

    /// The embedding of a stack if it is not tied to the shared one, `[vocabulary, d_model]`.
    pub fn embedding(self, stack: Stack) -> &'static str {
        match (self, stack) {
            (Self::T5, Stack::Encoder) => "encoder.embed_tokens.weight",
            (Self::T5, Stack::Decoder) => "decoder.embed_tokens.weight",
            (_, Stack::Encoder) => "model.encoder.embed_tokens.weight",
            (_, Stack::Decoder) => "model.decoder.embed_tokens.weight",
        }
    }

    /// An attention projection: queries, keys and values are `[inner, d_model]`, the output is
    /// `[d_model, inner]`.
    pub fn attention(
        self,
        stack: Stack,
        block: usize,
        layer: Layer,
        projection: Projection,
    ) -> String {
        let is_cross = layer == Layer::CrossAttention;
        if self == Self::T5 {
            let (layer, attention) =
                if is_cross { (1, "EncDecAttention") } else { (0, "SelfAttention") };
            let part = match projection {
                Projection::Query => "q",
                Projection::Key => "k",
                Projection::Value => "v",
                Projection::Out => "o",
            };
            return format!("{stack}.block.{block}.layer.{layer}.{attention}.{part}.weight");
        }
        let attention = if is_cross { "encoder_attn" } else { "self_attn" };
        let part = match projection {
            Projection::Query => "q_proj",
            Projection::Key => "k_proj",
            Projection::Value => "v_proj",
            Projection::Out => "out_proj",
        };
        format!("model.{stack}.layers.{block}.{attention}.{part}.weight")
    }

    pub fn feed_forward(self, stack: Stack, block: usize, gate: Gate) -> FeedForwardNames {
        if self == Self::T5 {
            let layer = stack.layers().len() - 1;
            let name =
                |part| format!("{stack}.block.{block}.layer.{layer}.DenseReluDense.{part}.weight");
            let into = match gate {
                Gate::Gated => vec![name("wi_0"), name("wi_1")],
                Gate::Plain => vec![name("wi")],
            };
            return FeedForwardNames { into, out: name("wo") };
        }
        let name = |part| format!("model.{stack}.layers.{block}.{part}.weight");
        FeedForwardNames { into: vec![name("fc1")], out: name("fc2") }
    }

    /// The norm of a layer, `[d_model]`.
    pub fn norm(self, stack: Stack, block: usize, layer: Layer) -> String {
        if self == Self::T5 {
            let place = stack.layers().iter().position(|other| *other == layer);
            let place = place.expect("the stack has the layer");
            return format!("{stack}.block.{block}.layer.{place}.layer_norm.weight");
        }
        let norm = match layer {
            Layer::SelfAttention => "self_attn_layer_norm",
            Layer::CrossAttention => "encoder_attn_layer_norm",
            Layer::FeedForward => "final_layer_norm",
        };
        format!("model.{stack}.layers.{block}.{norm}.weight")
    }

    /// The norm after the embedding, `[d_model]`.
    pub fn embedding_norm(self, stack: Stack) -> String {
        format!("model.{stack}.layernorm_embedding.weight")
    }

    /// The norm after the last block, `[d_model]`.
    pub fn last_norm(self, stack: Stack) -> String {
        match self {
            Self::T5 => format!("{stack}.final_layer_norm.weight"),
            Self::Bart | Self::Pegasus => format!("model.{stack}.layer_norm.weight"),
        }
    }

    /// Relative biases, shared by all blocks, `[buckets, heads]`; or a vector for each position,
    /// `[offset + positions, d_model]`.
    pub fn positions(self, stack: Stack) -> String {
        match self {
            Self::T5 => {
                format!("{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight")
            }
            Self::Bart | Self::Pegasus => format!("model.{stack}.embed_positions.weight"),
        }
    }
}

impl Layout for Config {
    fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let config = self;
        let (family, d_model) = (config.family, config.d_model);
        let mut layout = Tensors { config, shapes: BTreeMap::new() };
        layout.shapes.insert(family.shared().to_owned(), vec![config.vocabulary, d_model]);
        if config.biases == Biases::All {
            layout.shapes.insert(HEAD_BIAS.to_owned(), vec![1, config.vocabulary]);
        }
        for stack in [Stack::Encoder, Stack::Decoder] {
            let shape = config.stack(stack);
            let positions = match config.positions {
                Positions::Relative { buckets, .. } => vec![buckets, shape.heads],
                Positions::Learned { count, offset } => vec![count + offset, d_model],
                Positions::Sinusoidal { count } => vec![count, d_model],
            };
            layout.shapes.insert(family.positions(stack), positions);
            if config.norms.after_embedding {
                layout.norm(family.embedding_norm(stack));
            }
            if config.norms.after_blocks {
                layout.norm(family.last_norm(stack));
            }
            for block in 0..shape.blocks {
                for layer in stack.layers() {
                    layout.norm(family.norm(stack, block, *layer));
                    if *layer == Layer::FeedForward {
                        let names = family.feed_forward(stack, block, config.gate);
                        for name in names.into {
                            layout.linear(name, shape.d_ff, d_model);
                        }
                        layout.linear(names.out, d_model, shape.d_ff);
                        continue;
                    }
                    for projection in Projection::ALL {
                        let name = family.attention(stack, block, *layer, projection);
                        if projection == Projection::Out {
                            layout.linear(name, d_model, shape.inner());
                        } else {
                            layout.linear(name, shape.inner(), d_model);
                        }
                    }
                }
            }
        }
        layout.shapes
    }

    fn embedding(&self) -> &'static str {
        self.family.shared()
    }

    fn tied_embeddings(&self) -> &'static [&'static str] {
        match self.family {
            Family::T5 => &["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"],
            Family::Bart | Family::Pegasus => {
                &["model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"]
            }
        }
    }

    fn claims_tied_head(&self) -> bool {
        self.claims_tied_head
    }

    fn head_bias(&self) -> Option<&'static str> {
        Some(HEAD_BIAS)
    }

    fn prefix(&self) -> Option<&'static str> {
        match self.family {
            Family::T5 => None,
            Family::Bart | Family::Pegasus => Some("model."),
        }
    }

    /// T5's cross-attention has no position bias.
    fn is_unused(&self, name: &str) -> bool {
        let unused: &[&str] = match self.family {
            Family::T5 => {
                &["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"]
            }
            Family::Bart | Family::Pegasus => &["model.encoder.version", "model.decoder.version"],
        };
        unused.contains(&name)
    }

    fn untrained(&self, name: &str) -> Option<Vec<f32>> {
        let is_of = |stack| name == self.family.positions(stack);
        match self.positions {
            _ if name == HEAD_BIAS => Some(vec![0.0; self.vocabulary]),
            Positions::Sinusoidal { count } if is_of(Stack::Encoder) || is_of(Stack::Decoder) => {
                Some(position::sinusoids(count, self.d_model))
            }
            _ => None,
        }
    }

    fn filling(&self, name: &str) -> Filling {
        if name.ends_with(".bias") {
            return Filling::Constant(0.0);
        }
        if name.ends_with("layer_norm.weight") || name.ends_with("layernorm_embedding.weight") {
            return Filling::Constant(1.0);
        }
        let deviation = deviation(self, name);
        if name.ends_with(".fc2.weight") {
            // The mean of the activations would be a sum that is the same for every token, and
            // each norm after it would leave less of what differs.
            Filling::Opposites(deviation)
        } else {
            Filling::Normal(deviation)
        }
    }
}

fn deviation(config: &Config, name: &str) -> f32 {
    let by_width = |width: usize| (width as f32).powf(-0.5);
    let part = name.trim_end_matches(".weight").rsplit('.').next().unwrap_or_default();
    let stack = if name.contains("decoder.") { &config.decoder } else { &config.encoder };
    match part {
        "relative_attention_bias" => 1.5,
        "q" => 3.0 * by_width(config.d_model * stack.head_width),
        "o" => by_width(stack.inner()),
        "wo" => by_width(stack.d_ff),
        // Scaled by the width of a head later.
        "q_proj" => 3.0 * by_width(config.d_model),
        // Norms follow the sums of BART's layers: with less of this, summaries would repeat one
        // token; with more, f32 would not be precise enough.
        "fc2" => 2.0 * by_width(stack.d_ff),
        // The head as well, and a norm follows the embedding.
        "shared" | "embed_positions" if config.family != Family::T5 => {
            4.0 * by_width(config.d_model)
        }
        _ if name == HEAD => 4.0 * by_width(config.d_model),
        "shared" => 1.0,
        _ => by_width(config.d_model),
    }
}

struct Tensors<'a> {
    config: &'a Config,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl Tensors<'_> {
    fn linear(&mut self, name: String, outputs: usize, inputs: usize) {
        if self.config.biases == Biases::All {
            self.shapes.insert(bias_of(&name), vec![outputs]);
        }
        self.shapes.insert(name, vec![outputs, inputs]);
    }

    fn norm(&mut self, name: String) {
        let d_model = self.config.d_model;
        if self.config.norms.kind == NormKind::Layer {
            self.shapes.insert(bias_of(&name), vec![d_model]);
        }
        self.shapes.insert(name, vec![d_model]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(config: &str) -> usize {
        let config = Config::parse(config.as_bytes()).unwrap();
        config.shapes().values().map(|shape| shape.iter().product::<usize>()).sum()
    }

    /// Of the published models, with the bias of the logits, which is a buffer there.
    #[test]
    fn a_model_has_as_many_parameters_as_the_published_one() {
        let base = r#"{"model_type": "bart", "d_model": 768, "encoder_layers": 6, "decoder_layers": 6,
            "encoder_attention_heads": 12, "decoder_attention_heads": 12, "encoder_ffn_dim": 3072,
            "decoder_ffn_dim": 3072}"#;
        assert_eq!(count(base), 139_420_416 + 50_265);
        let cnn = r#"{"model_type": "bart", "vocab_size": 50264}"#;
        assert_eq!(count(cnn), 406_290_432 + 50_264);
        // With the positions, which are computed.
        let pegasus = r#"{"model_type": "pegasus", "vocab_size": 96103, "encoder_layers": 16,
            "decoder_layers": 16, "max_position_embeddings": 512}"#;
        assert_eq!(count(pegasus), 568_699_904 + 2 * 512 * 1024 + 96_103);
    }
}
