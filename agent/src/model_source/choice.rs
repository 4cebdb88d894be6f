//! Selects the remote files that make up a model, a tokenizer or an adapter.

use super::Error;

pub(super) const CONFIG: &str = "config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// Not read; its presence explains a missing tokenizer.
pub(super) const PIECES: &str = "spiece.model";

pub(super) fn model(place: &str, files: &[String]) -> Result<Vec<String>, Error> {
    let has = |name: &str| files.iter().any(|file| file == name);
    if !has(WEIGHTS) && !has(INDEX) && files.iter().any(|file| file.starts_with("pytorch_model")) {
        return Err(Error::Pickle { folder: place.to_owned() });
    }
    let is_wanted = |file: &&String| match file.as_str() {
        CONFIG | WEIGHTS | TOKENIZER => true,
        PIECES => !has(TOKENIZER),
        other => !has(WEIGHTS) && is_shard(other),
    };
    for needed in [CONFIG, if has(INDEX) { INDEX } else { WEIGHTS }] {
        if !has(needed) {
            return Err(Error::Missing { folder: place.to_owned(), file: needed.to_owned() });
        }
    }
    Ok(files.iter().filter(is_wanted).cloned().collect())
}

pub(super) fn tokenizer(place: &str, files: &[String]) -> Result<Vec<String>, Error> {
    if files.iter().any(|file| file == TOKENIZER) {
        Ok(vec![TOKENIZER.to_owned()])
    } else {
        Err(Error::Missing { folder: place.to_owned(), file: TOKENIZER.to_owned() })
    }
}

/// The adapter files among `files`: those at the root, because training checkpoints are large;
/// otherwise every candidate.
pub(super) fn adapter(files: &[String]) -> Vec<String> {
    let is_wanted = |file: &&String| {
        let name = file.rsplit('/').next().unwrap_or(file);
        ["adapter_config.json", "adapter_model.safetensors"].contains(&name)
    };
    let at = |is_root: bool| {
        let of = files.iter().filter(is_wanted).filter(move |file| file.contains('/') != is_root);
        of.cloned().collect::<Vec<_>>()
    };
    if at(true).is_empty() { at(false) } else { at(true) }
}

pub(super) fn is_model_file(name: &str) -> bool {
    [CONFIG, WEIGHTS, TOKENIZER, PIECES].contains(&name) || is_shard(name)
}

/// `model-00001-of-00002.safetensors`, and the index of tensors.
fn is_shard(file: &str) -> bool {
    let is_part = file.starts_with("model-") && file.ends_with(".safetensors");
    file == INDEX || (is_part && !file.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_model_is_taken_without_what_nobody_reads() {
        let files = texts(&[
            "README.md",
            "config.json",
            "flax_model.msgpack",
            "model.safetensors",
            "model-00001-of-00001.safetensors",
            "pytorch_model.bin",
            "spiece.model",
            "tokenizer.json",
        ]);
        let wanted = texts(&["config.json", "model.safetensors", "tokenizer.json"]);
        assert_eq!(model("x", &files).unwrap(), wanted);
        let files = texts(&[
            "config.json",
            INDEX,
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "spiece.model",
        ]);
        assert_eq!(model("x", &files).unwrap(), files);
    }

    #[test]
    fn what_a_model_lacks_is_told_before_anything_is_fetched() {
        let error = |files: &[&str]| model("org/x", &texts(files)).unwrap_err().to_string();
        assert!(error(&["config.json"]).contains("org/x has no model.safetensors"));
        assert!(error(&["model.safetensors"]).contains("org/x has no config.json"));
        assert!(error(&["config.json", "pytorch_model.bin"]).contains("pytorch_model.bin"));
        assert!(tokenizer("org/x", &texts(&["a"])).is_err());
    }

    #[test]
    fn an_adapter_at_the_root_hides_its_checkpoints() {
        let (root, deep) = ("adapter_config.json", "checkpoint-9/adapter_config.json");
        assert_eq!(adapter(&texts(&[deep, root])), [root]);
        assert_eq!(adapter(&texts(&[deep, "x"])), [deep]);
    }
}
