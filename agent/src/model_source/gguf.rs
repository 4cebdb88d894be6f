//! A model in one GGUF file, whose metadata take the place of the other files.

use super::choice::TOKENIZER;
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
    let part = |part: &str, json: &Value| held(name, part, json);
    let mut notes = Vec::new();
    let own = match given_tokenizer(tokenizer)? {
        Some(given) => Some(given),
        None => contents.tokenizer()?.map(|json| part(TOKENIZER, &json)),
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

/// The tokenizer of a file alone, as a `tokenizer.json`.
pub(super) fn tokenizer(path: &Path, name: &str) -> Result<Blob, Error> {
    let file = File::open(folder::open(path, name)?).map_err(::gguf::Error::from)?;
    let contents = Contents::new(file)?;
    let Some(json) = contents.tokenizer()? else {
        return Err(Error::Missing { folder: name.to_owned(), file: TOKENIZER.to_owned() });
    };
    Ok(held(name, TOKENIZER, &json))
}

fn held(name: &str, part: &str, json: &Value) -> Blob {
    Blob::held(&format!("{name}:{part}"), json.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokenizer_of_a_file_is_a_tokenizer_of_its_own() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/gguf/tests/smollm.gguf");
        let blob = super::super::tokenizer(Some(path)).unwrap().unwrap();
        let json: Value = serde_json::from_str(&blob.text().unwrap()).unwrap();
        let file = File::open(folder::open(Path::new(path), path).unwrap()).unwrap();
        assert_eq!(Some(json), Contents::new(file).unwrap().tokenizer().unwrap());
        assert_eq!(blob.name(), format!("{path}:tokenizer.json"));
    }
}
