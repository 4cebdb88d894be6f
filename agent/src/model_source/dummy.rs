//! Models with the shapes of published checkpoints and random weights: meaningful speed, no
//! quality.

use super::{Error, given_tokenizer};
use engine::files::{Blob, ChatFiles, Model, TokenizerFiles, Weights};

const SEED: u64 = 1;

/// The sizes of a published model.
enum Shape {
    FlanT5(Seq2Seq),
    Bart(Seq2Seq),
    Causal(Causal),
}

/// Of both stacks.
struct Seq2Seq {
    d_model: usize,
    heads: usize,
    d_ff: usize,
    /// Per stack.
    blocks: usize,
    vocabulary: usize,
}

struct Causal {
    model_type: &'static str,
    width: usize,
    d_ff: usize,
    blocks: usize,
    heads: usize,
    key_heads: usize,
    head_width: usize,
    vocabulary: usize,
    positions: usize,
    eos: &'static [u32],
}

const QWEN2: Causal = Causal {
    model_type: "qwen2",
    width: 896,
    d_ff: 4864,
    blocks: 24,
    heads: 14,
    key_heads: 2,
    head_width: 64,
    vocabulary: 151_936,
    positions: 32_768,
    eos: &[151_645, 151_643],
};

const SHAPES: [(&str, Shape); 8] = [
    (
        "flan-t5-small",
        Shape::FlanT5(Seq2Seq { d_model: 512, heads: 6, d_ff: 1024, blocks: 8, vocabulary: 32128 }),
    ),
    (
        "flan-t5-base",
        Shape::FlanT5(Seq2Seq {
            d_model: 768,
            heads: 12,
            d_ff: 2048,
            blocks: 12,
            vocabulary: 32128,
        }),
    ),
    (
        "bart-base",
        Shape::Bart(Seq2Seq { d_model: 768, heads: 12, d_ff: 3072, blocks: 6, vocabulary: 50265 }),
    ),
    (
        "bart-large-cnn",
        Shape::Bart(Seq2Seq {
            d_model: 1024,
            heads: 16,
            d_ff: 4096,
            blocks: 12,
            vocabulary: 50264,
        }),
    ),
    ("qwen2.5-0.5b", Shape::Causal(QWEN2)),
    (
        "qwen2.5-1.5b",
        Shape::Causal(Causal {
            width: 1536,
            d_ff: 8960,
            blocks: 28,
            heads: 12,
            head_width: 128,
            ..QWEN2
        }),
    ),
    (
        "qwen3-0.6b",
        Shape::Causal(Causal {
            model_type: "qwen3",
            width: 1024,
            d_ff: 3072,
            blocks: 28,
            heads: 16,
            key_heads: 8,
            head_width: 128,
            positions: 40_960,
            ..QWEN2
        }),
    ),
    (
        "llama-3.2-1b",
        Shape::Causal(Causal {
            model_type: "llama",
            width: 2048,
            d_ff: 8192,
            blocks: 16,
            heads: 32,
            key_heads: 8,
            head_width: 64,
            vocabulary: 128_256,
            positions: 131_072,
            eos: &[128_001, 128_008, 128_009],
        }),
    ),
];

pub(super) fn find(name: &str, tokenizer: Option<&str>) -> Result<Model, Error> {
    let Some((_, shape)) = SHAPES.iter().find(|(shape, _)| *shape == name) else {
        let names: Vec<&str> = SHAPES.iter().map(|(name, _)| *name).collect();
        return Err(Error::unknown("dummy model", name, &names.join(", ")));
    };
    let config = match shape {
        Shape::FlanT5(shape) => t5_config(&[
            ("d_model", shape.d_model),
            ("d_kv", 64),
            ("d_ff", shape.d_ff),
            ("num_heads", shape.heads),
            ("num_layers", shape.blocks),
            ("vocab_size", shape.vocabulary),
        ]),
        Shape::Bart(shape) => bart_config(shape),
        Shape::Causal(shape) => causal_config(shape),
    };
    Ok(Model {
        config: Blob::held(&format!("dummy:{name}/config.json"), config),
        generation: None,
        weights: Weights::Seeded(SEED),
        tokenizer: given_tokenizer(tokenizer)?.map(TokenizerFiles::Whole),
        pieces: None,
        chat: ChatFiles::default(),
        revision: None,
        notes: vec![format!("dummy:{name} has random weights")],
    })
}

fn bart_config(shape: &Seq2Seq) -> Vec<u8> {
    let config = serde_json::json!({
        "model_type": "bart",
        "activation_function": "gelu",
        "d_model": shape.d_model,
        "encoder_attention_heads": shape.heads,
        "decoder_attention_heads": shape.heads,
        "encoder_ffn_dim": shape.d_ff,
        "decoder_ffn_dim": shape.d_ff,
        "encoder_layers": shape.blocks,
        "decoder_layers": shape.blocks,
        "max_position_embeddings": 1024,
        "vocab_size": shape.vocabulary,
        "decoder_start_token_id": 2,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
    });
    config.to_string().into_bytes()
}

fn t5_config(sizes: &[(&str, usize)]) -> Vec<u8> {
    let mut config = serde_json::json!({
        "model_type": "t5",
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": false,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
    });
    for (key, size) in sizes {
        config[*key] = (*size).into();
    }
    config.to_string().into_bytes()
}

fn causal_config(shape: &Causal) -> Vec<u8> {
    let rope = match shape.model_type {
        "llama" => serde_json::json!({
            "rope_type": "llama3",
            "rope_theta": 500_000.0,
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        }),
        _ => serde_json::json!({ "rope_type": "default", "rope_theta": 1_000_000.0 }),
    };
    let config = serde_json::json!({
        "model_type": shape.model_type,
        "hidden_act": "silu",
        "hidden_size": shape.width,
        "intermediate_size": shape.d_ff,
        "num_hidden_layers": shape.blocks,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_heads,
        "head_dim": shape.head_width,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.positions,
        "rms_norm_eps": 1e-6,
        "rope_parameters": rope,
        "tie_word_embeddings": true,
        "eos_token_id": shape.eos,
    });
    config.to_string().into_bytes()
}
