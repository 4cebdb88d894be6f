//! The metadata of a model's shape as the `config.json` of transformers.

use super::file::File;
use super::metadata;
use super::rope;
use serde_json::{Map, Value, json};

/// The architectures that are read: their name in files and their class in transformers.
const ARCHITECTURES: [(&str, &str); 3] =
    [("llama", "LlamaForCausalLM"), ("qwen2", "Qwen2ForCausalLM"), ("qwen3", "Qwen3ForCausalLM")];

/// Keys of an architecture that are read, or that don't change what is computed.
const KEYS: [&str; 20] = [
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "expert_count",
    "expert_used_count",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "vocab_size",
];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
    #[error(transparent)]
    File(#[from] super::error::Error),
    #[error("architecture `{found}` is not supported: expected llama, qwen2 or qwen3")]
    Architecture { found: String },
    #[error("`{key}` is not supported: it changes what the model computes")]
    Key { key: String },
    #[error("`{key}` = {value} is not supported: expected {expected}")]
    Unsupported { key: String, value: String, expected: String },
    #[error("{kv_heads} key-value heads of {head_dim} values: expected some, of an even size")]
    Heads { head_dim: u32, kv_heads: u32 },
    #[error("there is no tensor `{tensor}`")]
    NoTensor { tensor: &'static str },
    #[error(transparent)]
    Rope(#[from] rope::Error),
}

/// What is needed to map tensors, and the whole as `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub(crate) architecture: &'static str,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) config: Value,
}

impl Shape {
    pub(crate) fn of(file: &File) -> Result<Self, Error> {
        let metadata = &file.metadata;
        let key = "general.architecture";
        let missing = || metadata::Error::Missing { key: key.to_owned() };
        let found = metadata.text(key)?.ok_or_else(missing)?;
        let known = ARCHITECTURES.into_iter().find(|(name, _)| *name == found);
        let (architecture, class) =
            known.ok_or_else(|| Error::Architecture { found: found.to_owned() })?;
        let prefix = format!("{architecture}.");
        let unknown = metadata
            .keys()
            .find(|key| key.strip_prefix(&prefix).is_some_and(|key| !KEYS.contains(&key)));
        if let Some(key) = unknown {
            return Err(Error::Key { key: key.to_owned() });
        }
        let key = |name: &str| format!("{prefix}{name}");
        let size = |name: &str| metadata.size(&key(name));
        if metadata.u32(&key("expert_count"))?.is_some_and(|count| count > 0) {
            return Err(Error::Key { key: key("expert_count") });
        }
        let (width, heads) = (size("embedding_length")?, size("attention.head_count")?);
        let kv_heads = metadata.u32(&key("attention.head_count_kv"))?.unwrap_or(heads);
        let head_dim = metadata.u32(&key("attention.key_length"))?.unwrap_or(width / heads);
        let equal = |name: &str| match metadata.u32(&key(name))? {
            Some(length) if length != head_dim => Err(Error::Unsupported {
                key: key(name),
                value: length.to_string(),
                expected: format!("{head_dim}, the size of a head"),
            }),
            _ => Ok(()),
        };
        if head_dim == 0 || !head_dim.is_multiple_of(2) || kv_heads == 0 {
            return Err(Error::Heads { head_dim, kv_heads });
        }
        equal("attention.value_length")?;
        equal("rope.dimension_count")?;
        let layers = size("block_count")?;
        let tensor = "token_embd.weight";
        let embedding = file.tensor(tensor).ok_or(Error::NoTensor { tensor })?;
        let epsilon = key("attention.layer_norm_rms_epsilon");
        let epsilon = metadata.float(&epsilon)?.ok_or(metadata::Error::Missing { key: epsilon })?;
        let base = metadata.float(&key("rope.freq_base"))?.unwrap_or(10_000.0);
        let mut config = json!({
            "architectures": [class],
            "model_type": architecture,
            "vocab_size": embedding.rows(),
            "hidden_size": width,
            "intermediate_size": size("feed_forward_length")?,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "head_dim": head_dim,
            "hidden_act": "silu",
            "max_position_embeddings": size("context_length")?,
            "rms_norm_eps": epsilon,
            "rope_theta": base,
            "rope_scaling": rope::scaling(file, &prefix, base, head_dim)?,
            "tie_word_embeddings": file.tensor("output.weight").is_none(),
        });
        let map = config.as_object_mut().expect("an object was written");
        if architecture == "llama" {
            map.insert("attention_bias".to_owned(), has(file, "attn_q.bias"));
            map.insert("mlp_bias".to_owned(), has(file, "ffn_up.bias"));
        }
        window(file, &key("attention.sliding_window"), architecture, map)?;
        ids(file, map)?;
        let [layers, heads, kv_heads, head_dim] = [layers, heads, kv_heads, head_dim]
            .map(|size| usize::try_from(size).expect("a pointer has at least 32 bits"));
        Ok(Self { architecture, layers, heads, kv_heads, head_dim, config })
    }
}

fn has(file: &File, tensor: &str) -> Value {
    Value::Bool(file.tensor(&format!("blk.0.{tensor}")).is_some())
}

/// Named as in transformers, so that a model that can't honor it refuses it.
fn window(
    file: &File,
    key: &str,
    architecture: &str,
    config: &mut Map<String, Value>,
) -> Result<(), Error> {
    if let Some(window) = file.metadata.u32(key)?.filter(|window| *window > 0) {
        config.insert("sliding_window".to_owned(), window.into());
        if architecture == "llama" {
            // Llama's configuration has no window; files of Mistral have Llama's architecture.
            config.insert("model_type".to_owned(), "mistral".into());
        } else {
            config.insert("use_sliding_window".to_owned(), true.into());
        }
    }
    Ok(())
}

fn ids(file: &File, config: &mut Map<String, Value>) -> Result<(), Error> {
    for (ours, theirs) in [("bos_token_id", "bos_token_id"), ("eos_token_id", "eos_token_id")] {
        if let Some(id) = file.metadata.u32(&format!("tokenizer.ggml.{theirs}"))? {
            config.insert(ours.to_owned(), id.into());
        }
    }
    Ok(())
}
