//! Names and shapes of the tensors, which are the same for all families.

use crate::config::{Biases, Config};
use checkpoint::{Filling, HEAD, Layout, bias_of};
use std::collections::BTreeMap;

/// The embedding, `[vocabulary, width]`.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
/// The norm after the last block, `[width]`.
pub(crate) const LAST_NORM: &str = "model.norm.weight";

/// The tensors of one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockNames {
    /// `[width]`.
    pub(crate) attention_norm: String,
    /// Each `[heads * head width, width]`.
    pub(crate) query: String,
    pub(crate) key: String,
    pub(crate) value: String,
    /// Of each head's query and key, `[head width]`.
    pub(crate) query_norm: String,
    pub(crate) key_norm: String,
    /// `[width, heads * head width]`.
    pub(crate) out: String,
    /// `[width]`.
    pub(crate) feed_forward_norm: String,
    /// The gate and what it multiplies, each `[d_ff, width]`.
    pub(crate) into: [String; 2],
    /// `[width, d_ff]`.
    pub(crate) down: String,
}

impl BlockNames {
    pub(crate) fn of(block: usize) -> Self {
        let name = |part| format!("model.layers.{block}.{part}.weight");
        Self {
            attention_norm: name("input_layernorm"),
            query: name("self_attn.q_proj"),
            key: name("self_attn.k_proj"),
            value: name("self_attn.v_proj"),
            query_norm: name("self_attn.q_norm"),
            key_norm: name("self_attn.k_norm"),
            out: name("self_attn.o_proj"),
            feed_forward_norm: name("post_attention_layernorm"),
            into: [name("mlp.gate_proj"), name("mlp.up_proj")],
            down: name("mlp.down_proj"),
        }
    }
}

impl Layout for Config {
    fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let Self { width, d_ff, head_width, .. } = *self;
        let (queries, keys) = (self.queries(), self.keys());
        let mut shapes = BTreeMap::new();
        shapes.insert(EMBEDDING.to_owned(), vec![self.vocabulary, width]);
        shapes.insert(LAST_NORM.to_owned(), vec![width]);
        for block in 0..self.blocks {
            let names = BlockNames::of(block);
            let [gate, up] = names.into;
            let into = [(names.query, queries), (names.key, keys), (names.value, keys)];
            for (name, outputs) in into {
                if self.biases != Biases::None {
                    shapes.insert(bias_of(&name), vec![outputs]);
                }
                shapes.insert(name, vec![outputs, width]);
            }
            if self.biases == Biases::Attention {
                shapes.insert(bias_of(&names.out), vec![width]);
            }
            if self.has_head_norms {
                shapes.insert(names.query_norm, vec![head_width]);
                shapes.insert(names.key_norm, vec![head_width]);
            }
            shapes.insert(names.attention_norm, vec![width]);
            shapes.insert(names.out, vec![width, queries]);
            shapes.insert(names.feed_forward_norm, vec![width]);
            shapes.insert(gate, vec![d_ff, width]);
            shapes.insert(up, vec![d_ff, width]);
            shapes.insert(names.down, vec![width, d_ff]);
        }
        shapes
    }

    fn embedding(&self) -> &'static str {
        EMBEDDING
    }

    fn claims_tied_head(&self) -> bool {
        self.claims_tied_head
    }

    fn prefix(&self) -> Option<&'static str> {
        Some("model.")
    }

    /// Old files hold the frequencies of the positions.
    fn is_unused(&self, name: &str) -> bool {
        name.ends_with(".rotary_emb.inv_freq")
    }

    fn filling(&self, name: &str) -> Filling {
        if name.ends_with(".bias") {
            return Filling::Constant(0.0);
        }
        if name.ends_with("norm.weight") {
            return Filling::Constant(1.0);
        }
        let by_width = |width: usize| (width as f32).powf(-0.5);
        let part = name.trim_end_matches(".weight").rsplit('.').next().unwrap_or_default();
        Filling::Normal(match part {
            "q_proj" => 3.0 * by_width(self.width),
            "o_proj" => by_width(self.queries()),
            "down_proj" => by_width(self.d_ff),
            "embed_tokens" if !self.claims_tied_head => 1.0,
            _ if name == HEAD || name == EMBEDDING => 4.0 * by_width(self.width),
            _ => by_width(self.width),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(config: &str) -> usize {
        let config = Config::parse(config.as_bytes()).unwrap();
        let head = if config.claims_tied_head { 0 } else { config.vocabulary * config.width };
        head + config.shapes().values().map(|shape| shape.iter().product::<usize>()).sum::<usize>()
    }

    /// Of the published models.
    #[test]
    fn a_model_has_as_many_parameters_as_the_published_one() {
        let qwen = r#"{"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896,
            "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
            "num_key_value_heads": 2, "max_position_embeddings": 32768, "tie_word_embeddings": true}"#;
        assert_eq!(count(qwen), 494_032_768);
        let qwen3 = r#"{"model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024,
            "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
            "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40960,
            "tie_word_embeddings": true}"#;
        assert_eq!(count(qwen3), 596_049_920);
        let llama = r#"{"model_type": "llama", "vocab_size": 128256, "hidden_size": 2048,
            "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
            "num_key_value_heads": 8, "max_position_embeddings": 131072, "tie_word_embeddings": true}"#;
        assert_eq!(count(llama), 1_235_814_400);
        let tiny = r#"{"model_type": "llama", "vocab_size": 32000, "hidden_size": 2048,
            "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32,
            "num_key_value_heads": 4, "max_position_embeddings": 2048}"#;
        assert_eq!(count(tiny), 1_100_048_384);
    }
}
