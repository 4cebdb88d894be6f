//! The model `builtin:tiny` and its adapter, built into the program. Trained by `tools/train_tiny`.

use super::{Error, given_tokenizer};
use engine::files::{Adapter, Blob, ChatFiles, Model, TokenizerFiles, Weights};

pub(super) fn find(name: &str, tokenizer: Option<&str>) -> Result<Model, Error> {
    let own = self::tokenizer(name)?;
    let weights = held("builtin:tiny/model.safetensors", include_bytes!("tiny/model.safetensors"));
    Ok(Model {
        config: held("builtin:tiny/config.json", include_bytes!("tiny/config.json")),
        generation: None,
        weights: Weights::Stored(vec![weights]),
        tokenizer: Some(TokenizerFiles::Whole(given_tokenizer(tokenizer)?.unwrap_or(own))),
        pieces: None,
        chat: ChatFiles::default(),
        revision: None,
        notes: Vec::new(),
    })
}

pub(super) fn tokenizer(model: &str) -> Result<Blob, Error> {
    if model != "tiny" {
        return Err(Error::unknown("builtin model", model, "tiny"));
    }
    Ok(held("builtin:tiny/tokenizer.json", include_bytes!("tiny/tokenizer.json")))
}

pub(super) fn find_adapter(name: &str) -> Result<Adapter, Error> {
    if name != "tiny-minutes" {
        return Err(Error::unknown("builtin adapter", name, "tiny-minutes"));
    }
    Ok(Adapter {
        config: held(
            "builtin:tiny-minutes/adapter_config.json",
            include_bytes!("tiny/minutes/adapter_config.json"),
        ),
        weights: held(
            "builtin:tiny-minutes/adapter_model.safetensors",
            include_bytes!("tiny/minutes/adapter_model.safetensors"),
        ),
        revision: None,
    })
}

fn held(name: &str, bytes: &[u8]) -> Blob {
    Blob::held(name, bytes.to_vec())
}
