//! A model folder in the Hugging Face layout.

use super::choice::{CONFIG, INDEX, PIECES, TOKENIZER, WEIGHTS};
use super::{Error, given_tokenizer};
use engine::files::{Blob, Model, Weights};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

/// The shard of each tensor.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

pub(super) fn find(folder: &Path, tokenizer: Option<&str>) -> Result<Model, Error> {
    let config = open(folder, CONFIG)?;
    let weights = if folder.join(WEIGHTS).exists() {
        vec![open(folder, WEIGHTS)?]
    } else if folder.join(INDEX).exists() {
        shards(folder)?
    } else if folder.join("pytorch_model.bin").exists() {
        return Err(Error::Pickle { folder: folder.display().to_string() });
    } else {
        return Err(missing(folder, WEIGHTS));
    };
    let mut notes = Vec::new();
    let tokenizer = match given_tokenizer(tokenizer)? {
        Some(given) => Some(given),
        None if folder.join(TOKENIZER).exists() => Some(open(folder, TOKENIZER)?),
        None => {
            if folder.join(PIECES).exists() {
                notes.push(format!(
                    "{} has a {PIECES} but no {TOKENIZER}, the only supported format",
                    folder.display()
                ));
            }
            None
        }
    };
    Ok(Model { config, weights: Weights::Stored(weights), tokenizer, revision: None, notes })
}

/// `path` is a `tokenizer.json` or its folder.
pub(super) fn tokenizer(path: &Path) -> Result<Blob, Error> {
    if path.is_dir() {
        return open(path, TOKENIZER);
    }
    Blob::open(path).map_err(|source| Error::Open { path: path.display().to_string(), source })
}

fn shards(folder: &Path) -> Result<Vec<Blob>, Error> {
    let blob = open(folder, INDEX)?;
    let path = || blob.name().to_owned();
    let text = blob.read()?;
    let index: Index =
        serde_json::from_slice(&text).map_err(|source| Error::Index { path: path(), source })?;
    let names: BTreeSet<&String> = index.weight_map.values().collect();
    names
        .into_iter()
        .map(|name| {
            let mut parts = Path::new(name).components();
            match (parts.next(), parts.next()) {
                (Some(Component::Normal(_)), None) => open(folder, name),
                _ => Err(Error::ShardName { path: path(), name: name.clone() }),
            }
        })
        .collect()
}

fn open(folder: &Path, name: &str) -> Result<Blob, Error> {
    let path = folder.join(name);
    if !path.exists() {
        return Err(missing(folder, name));
    }
    Blob::open(&path).map_err(|source| Error::Open { path: path.display().to_string(), source })
}

fn missing(folder: &Path, name: &str) -> Error {
    Error::Missing { folder: folder.display().to_string(), file: name.to_owned() }
}
