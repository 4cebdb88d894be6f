//! Selects the files of a model, a tokenizer or an adapter from a list of files, which is that of a
//! folder, an archive, the hub or S3. One tree is one model, wherever it lies.
//!
//! Training writes a model to the root, beside `checkpoint-N/` and `code/`, or below wrapping
//! folders. The root wins; then the only folder counts, intermediate checkpoints last. Files of
//! different folders never form one model.

use super::Error;
use super::folder::Folder;
use super::tree_path::{file_name, folder_of, is_visible, join, listed, without_checkpoints};
use engine::files::Blob;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

pub(super) const CONFIG: &str = "config.json";
pub(super) const GENERATION: &str = "generation_config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// Of chat models: special tokens by name, and the template that writes their prompts.
pub(super) const TOKENIZER_SETTINGS: &str = "tokenizer_config.json";
/// The template in a file of its own.
pub(super) const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// Byte-level BPE, read together if there is no [`TOKENIZER`].
pub(super) const VOCABULARY: &str = "vocab.json";
pub(super) const MERGES: &str = "merges.txt";
/// Not read; its presence explains a missing tokenizer.
pub(super) const PIECES: &str = "spiece.model";
/// Not read: unpickling can run code. Its presence explains missing weights.
const PICKLE: &str = "pytorch_model";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chosen {
    /// Of the model; empty for the root.
    pub(super) folder: String,
    /// In that folder, without the shards that [`INDEX`] names.
    files: BTreeSet<String>,
}

impl Chosen {
    pub(super) fn has(&self, file: &str) -> bool {
        self.files.contains(file)
    }

    /// With the folder.
    pub(super) fn paths(&self) -> impl Iterator<Item = String> {
        self.files.iter().map(|file| self.path(file))
    }

    pub(super) fn path(&self, file: &str) -> String {
        join(&self.folder, file)
    }
}

/// `place` is named in errors.
pub(super) fn model(place: &str, files: &[String]) -> Result<Chosen, Error> {
    let mut folders: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in files.iter().filter(|file| is_visible(file)) {
        let name = file_name(file);
        if is_model_file(name) {
            folders.entry(folder_of(file)).or_default().insert(name);
        }
    }
    let has_weights = |files: &BTreeSet<&str>| files.iter().any(|name| is_weights(name));
    let is_model = |files: &BTreeSet<&str>| files.contains(CONFIG) && has_weights(files);
    let is_begun = |files: &BTreeSet<&str>| files.iter().any(|name| begins_model(name));
    let folder = if folders.get("").is_some_and(is_begun) {
        ""
    } else {
        let models: Vec<&str> = folders
            .iter()
            .filter(|(_, files)| is_model(files))
            .map(|(folder, _)| *folder)
            .collect();
        match without_checkpoints(models).as_slice() {
            [folder] => folder,
            // What the best candidate lacks is named below.
            [] => {
                folders.iter().find(|(_, files)| is_begun(files)).map_or("", |(folder, _)| folder)
            }
            several => {
                return Err(Error::Several { place: place.to_owned(), folders: listed(several) });
            }
        }
    };
    let found = folders.remove(folder).unwrap_or_default();
    let place = || if folder.is_empty() { place.to_owned() } else { format!("{place}/{folder}") };
    let missing = |file: &str| Error::Missing { folder: place(), file: file.to_owned() };
    if !found.contains(CONFIG) {
        return Err(missing(CONFIG));
    }
    if !found.contains(WEIGHTS) && !found.contains(INDEX) {
        let is_pickle = has_weights(&found);
        return Err(if is_pickle { Error::Pickle { folder: place() } } else { missing(WEIGHTS) });
    }
    let is_read = |name: &&str| match *name {
        INDEX => !found.contains(WEIGHTS),
        PIECES => !found.contains(TOKENIZER),
        VOCABULARY | MERGES => {
            let has_both = found.contains(VOCABULARY) && found.contains(MERGES);
            has_both && !found.contains(TOKENIZER)
        }
        name => !name.starts_with(PICKLE),
    };
    let files = found.iter().copied().filter(is_read).map(str::to_owned).collect();
    Ok(Chosen { folder: folder.to_owned(), files })
}

/// The shard of each tensor.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that an index names, all in its folder. `name` is the index, in errors.
pub(super) fn shards(name: &str, index: &[u8]) -> Result<BTreeSet<String>, Error> {
    let unusable = |source| Error::Index { path: name.to_owned(), source };
    let index: Index = serde_json::from_slice(index).map_err(unusable)?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    for shard in &names {
        let mut parts = Path::new(shard).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
            return Err(Error::ShardName { path: name.to_owned(), name: shard.clone() });
        }
    }
    Ok(names)
}

/// The paths of the shards that the index in a fetched folder names, all of which are in a list of
/// files.
pub(super) fn shards_of(
    folder: &Folder,
    chosen: &Chosen,
    files: &[String],
) -> Result<Vec<String>, Error> {
    let index = folder.open(&chosen.path(INDEX))?;
    shards_among(files, &index, chosen, &folder.below(&chosen.folder))
}

/// The paths of the shards that `index` names, all of which are among `files`. `folder` is that of the model, in errors.
pub(super) fn shards_among(
    files: &[String],
    index: &Blob,
    chosen: &Chosen,
    folder: &Folder,
) -> Result<Vec<String>, Error> {
    let path = |shard: String| {
        let path = chosen.path(&shard);
        if files.contains(&path) {
            return Ok(path);
        }
        Err(Error::Missing { folder: folder.name(), file: shard })
    };
    shards(index.name(), index.text()?.as_bytes())?.into_iter().map(path).collect()
}

pub(super) fn tokenizer(place: &str, files: &[String]) -> Result<(), Error> {
    let has = |name: &str| files.iter().any(|file| file == name);
    match (has(TOKENIZER), has(PIECES)) {
        (true, _) => Ok(()),
        (false, true) => Err(Error::Pieces { file: format!("{place}/{PIECES}") }),
        (false, false) => {
            Err(Error::Missing { folder: place.to_owned(), file: TOKENIZER.to_owned() })
        }
    }
}

/// Whether a model's folder is recognized by a file of this name.
pub(super) fn is_model_file(name: &str) -> bool {
    let beside_weights = [
        CONFIG,
        GENERATION,
        TOKENIZER,
        TOKENIZER_SETTINGS,
        CHAT_TEMPLATE,
        PIECES,
        VOCABULARY,
        MERGES,
    ];
    beside_weights.contains(&name) || is_weights(name)
}

/// Whether a folder with a file of this name is meant to be a model, even if another is missing.
pub(super) fn begins_model(name: &str) -> bool {
    name == CONFIG || is_weights(name)
}

fn is_weights(name: &str) -> bool {
    [WEIGHTS, INDEX].contains(&name) || name.starts_with(PICKLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn chosen(files: &[&str]) -> Result<Vec<String>, String> {
        let chosen = model("org/x", &texts(files)).map_err(|error| error.to_string())?;
        Ok(chosen.paths().collect())
    }

    #[test]
    fn a_model_is_taken_without_what_nobody_reads() {
        let files = [
            "README.md",
            "config.json",
            "flax_model.msgpack",
            "generation_config.json",
            "model.safetensors",
            "model.safetensors.index.json",
            "model-00001-of-00001.safetensors",
            "pytorch_model.bin",
            "spiece.model",
            "tokenizer.json",
        ];
        let wanted =
            ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"];
        assert_eq!(chosen(&files).unwrap(), wanted);
        let bpe = ["config.json", "merges.txt", "model.safetensors", "vocab.json"];
        assert_eq!(chosen(&bpe).unwrap(), bpe);
        assert_eq!(chosen(&bpe[..3]).unwrap(), ["config.json", "model.safetensors"]);
        let whole = ["config.json", "model.safetensors", "tokenizer.json"];
        assert_eq!(chosen(&[&bpe[..], &whole[2..]].concat()).unwrap(), whole);
        let chat =
            ["chat_template.jinja", "config.json", "model.safetensors", "tokenizer_config.json"];
        assert_eq!(chosen(&chat).unwrap(), chat);
        let files = ["config.json", INDEX, "model-1.safetensors", "t5_shard-2.safetensors", PIECES];
        assert_eq!(chosen(&files).unwrap(), ["config.json", INDEX, PIECES]);
    }

    #[test]
    fn shards_are_those_that_the_index_names() {
        let index =
            r#"{"weight_map": {"a": "t5_shard-1.safetensors", "b": "x.bin", "c": "x.bin"}}"#;
        let names = shards("i", index.as_bytes()).unwrap();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["t5_shard-1.safetensors", "x.bin"]);
        for outside in ["../x", "/x", "a/x", "", "."] {
            let index = format!(r#"{{"weight_map": {{"a": "{outside}"}}}}"#);
            assert!(shards("i", index.as_bytes()).is_err(), "{outside}");
        }
        assert!(shards("i", b"[]").is_err());
    }

    #[test]
    fn the_model_at_the_root_wins() {
        let root = ["config.json", "model.safetensors"];
        for others in [
            &["checkpoint-500/config.json", "checkpoint-500/model.safetensors"][..],
            &["code/config.json"],
            &["other/config.json", "other/model.safetensors", "other/tokenizer.json"],
        ] {
            assert_eq!(chosen(&[&root[..], others].concat()).unwrap(), root);
        }
    }

    #[test]
    fn a_model_below_is_taken_if_it_is_the_only_one() {
        let (deep, code) = (["a/b/config.json", "a/b/model.safetensors"], ["code/config.json"]);
        assert_eq!(chosen(&[&deep[..], &code[..]].concat()).unwrap(), deep);
        let last = ["checkpoint-1/config.json", "checkpoint-1/model.safetensors"];
        assert_eq!(chosen(&last).unwrap(), last);
        assert_eq!(chosen(&[&deep[..], &last[..]].concat()).unwrap(), deep);
        let other = ["c/config.json", "c/model.safetensors"];
        assert_eq!(
            chosen(&[&deep[..], &other[..]].concat()).unwrap_err(),
            "org/x contains several models (./a/b, ./c): specify the folder of one (unpack an archive first)"
        );
        let hidden = [".git/config.json", ".git/model.safetensors"];
        assert_eq!(chosen(&[&deep[..], &hidden[..]].concat()).unwrap(), deep);
    }

    #[test]
    fn files_of_different_folders_are_not_one_model() {
        let error = |files: &[&str]| chosen(files).unwrap_err();
        assert_eq!(
            error(&["config.json", "a/model.safetensors"]),
            "org/x has no model.safetensors"
        );
        assert_eq!(error(&["model.safetensors", "a/config.json"]), "org/x has no config.json");
        let apart = ["a/config.json", "b/model.safetensors"];
        assert_eq!(error(&apart), "org/x/a has no model.safetensors");
        // Nor does a checkpoint stand in for a model at the root that lacks a file.
        let checkpoint = ["checkpoint-1/config.json", "checkpoint-1/model.safetensors"];
        let incomplete = [&["model.safetensors"][..], &checkpoint[..]].concat();
        assert_eq!(error(&incomplete), "org/x has no config.json");
        let below = ["a/config.json", "a/model.safetensors", "tokenizer.json"];
        assert_eq!(chosen(&below).unwrap(), below[..2]);
    }

    #[test]
    fn what_is_missing_is_told_before_anything_is_fetched() {
        let error = |files: &[&str]| chosen(files).unwrap_err();
        assert_eq!(error(&[]), "org/x has no config.json");
        assert_eq!(error(&["config.json"]), "org/x has no model.safetensors");
        for pickle in ["pytorch_model.bin", "pytorch_model.bin.index.json"] {
            assert!(error(&["config.json", pickle]).contains("pytorch_model.bin"), "{pickle}");
        }
        assert!(tokenizer("org/x", &texts(&["a"])).is_err());
        let error = tokenizer("org/x", &texts(&[PIECES])).unwrap_err().to_string();
        assert!(
            error.starts_with("org/x/spiece.model is not a tokenizer.json: convert"),
            "{error}"
        );
    }
}
