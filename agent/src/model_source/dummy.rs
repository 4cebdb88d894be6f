//! Models with the shapes of published checkpoints and random weights: meaningful speed, no
//! quality.

use super::{Error, given_tokenizer};
use engine::files::{Blob, Model, TokenizerFiles, Weights};

const SEED: u64 = 1;

/// Of both stacks.
struct Shape {
    name: &'static str,
    family: Family,
    d_model: usize,
    heads: usize,
    d_ff: usize,
    /// Per stack.
    blocks: usize,
    vocabulary: usize,
}

enum Family {
    FlanT5,
    Bart,
}

const SHAPES: [Shape; 4] = [
    Shape {
        name: "flan-t5-small",
        family: Family::FlanT5,
        d_model: 512,
        heads: 6,
        d_ff: 1024,
        blocks: 8,
        vocabulary: 32128,
    },
    Shape {
        name: "flan-t5-base",
        family: Family::FlanT5,
        d_model: 768,
        heads: 12,
        d_ff: 2048,
        blocks: 12,
        vocabulary: 32128,
    },
    Shape {
        name: "bart-base",
        family: Family::Bart,
        d_model: 768,
        heads: 12,
        d_ff: 3072,
        blocks: 6,
        vocabulary: 50265,
    },
    Shape {
        name: "bart-large-cnn",
        family: Family::Bart,
        d_model: 1024,
        heads: 16,
        d_ff: 4096,
        blocks: 12,
        vocabulary: 50264,
    },
];

pub(super) fn find(name: &str, tokenizer: Option<&str>) -> Result<Model, Error> {
    let Some(shape) = SHAPES.iter().find(|shape| shape.name == name) else {
        let names: Vec<&str> = SHAPES.iter().map(|shape| shape.name).collect();
        return Err(Error::unknown("dummy model", name, &names.join(", ")));
    };
    let config = match shape.family {
        Family::FlanT5 => t5_config(&[
            ("d_model", shape.d_model),
            ("d_kv", 64),
            ("d_ff", shape.d_ff),
            ("num_heads", shape.heads),
            ("num_layers", shape.blocks),
            ("vocab_size", shape.vocabulary),
        ]),
        Family::Bart => bart_config(shape),
    };
    Ok(Model {
        config: Blob::held(&format!("dummy:{name}/config.json"), config),
        generation: None,
        weights: Weights::Seeded(SEED),
        tokenizer: given_tokenizer(tokenizer)?.map(TokenizerFiles::Whole),
        pieces: None,
        revision: None,
        notes: vec![format!("dummy:{name} has random weights")],
    })
}

fn bart_config(shape: &Shape) -> Vec<u8> {
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
