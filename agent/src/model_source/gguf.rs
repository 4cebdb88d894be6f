//! A model in one GGUF file, whose metadata take the place of the other files.

use super::{Error, folder, given_tokenizer};
use ::gguf::{File, Model as Contents};
use engine::files::{Blob, ChatFiles, Model, TokenizerFiles, Weights};
use serde_json::Value;
use std::path::Path;

pub(super) fn is_name(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"))
}

/// `name` is the file, in errors.
pub(super) fn find(path: &Path, name: &str, tokenizer: Option<&str>) -> Result<Model, Error> {
    let file = File::open(folder::open(path, name)?).map_err(::gguf::Error::from)?;
    let contents = Contents::new(file)?;
    let part = |part: &str, json: &Value| {
        Blob::held(&format!("{name}:{part}"), json.to_string().into_bytes())
    };
    let mut notes = Vec::new();
    let own = match given_tokenizer(tokenizer)? {
        Some(given) => Some(given),
        None => contents.tokenizer()?.map(|json| part("tokenizer.json", &json)),
    };
    if let (None, Some(kind)) = (&own, contents.tokenizer_kind()?) {
        notes.push(format!("the tokenizer of kind `{kind}` in {name} is not supported"));
    }
    Ok(Model {
        config: part("config.json", contents.config()),
        generation: Some(part("generation_config.json", &contents.generation()?)),
        tokenizer: own.map(TokenizerFiles::Whole),
        pieces: None,
        chat: ChatFiles {
            template: None,
            settings: Some(part("tokenizer_config.json", &contents.tokenizer_config()?)),
        },
        weights: Weights::Gguf(folder::open(path, name)?),
        revision: None,
        notes,
    })
}
