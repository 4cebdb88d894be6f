//! Models with the shapes of published checkpoints and random weights: meaningful speed, no
//! quality.

use super::{Error, given_tokenizer};
use engine::files::{Blob, Model, Weights};

const SEED: u64 = 1;

/// Name, `d_model`, heads, `d_ff`, blocks per stack.
const SHAPES: [(&str, usize, usize, usize, usize); 2] =
    [("flan-t5-small", 512, 6, 1024, 8), ("flan-t5-base", 768, 12, 2048, 12)];

pub(super) fn find(name: &str, tokenizer: Option<&str>) -> Result<Model, Error> {
    let Some((name, d_model, heads, d_ff, blocks)) = SHAPES.iter().find(|shape| shape.0 == name)
    else {
        return Err(Error::unknown("dummy model", name, &SHAPES.map(|shape| shape.0).join(", ")));
    };
    let config = config_json(&[
        ("d_model", *d_model),
        ("d_kv", 64),
        ("d_ff", *d_ff),
        ("num_heads", *heads),
        ("num_layers", *blocks),
        ("vocab_size", 32128),
    ]);
    Ok(Model {
        config: Blob::held(&format!("dummy:{name}/config.json"), config),
        generation: None,
        weights: Weights::Seeded(SEED),
        tokenizer: given_tokenizer(tokenizer)?,
        pieces: None,
        revision: None,
        notes: vec![format!("dummy:{name} has random weights")],
    })
}

pub(super) fn config_json(sizes: &[(&str, usize)]) -> Vec<u8> {
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
