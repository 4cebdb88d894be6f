//! A model in a `model.tar.gz`, as written by SageMaker: unpacked once, into the cache.

use super::choice::{self, Chosen, INDEX};
use super::folder::{Folder, genuine};
use super::{Error, archive, connection, directory, tree_path};
use engine::files::{Blob, Model};
use ops::atomic_file::{self, Unfinished};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// Limit of the unpacked size: the largest T5 has 11 billion weights.
const MAX_BYTES: u64 = 64 << 30;
/// Limit of an index of shards, which is held in memory: a large one has 100 kB.
const MAX_INDEX_BYTES: u64 = 64 << 20;
/// Beside the unpacked files: which they are.
const CHOSEN: &str = "chosen.json";
/// Part of the cache's key: how many times the selection of files has changed.
const FORMAT: u32 = 4;

/// `name` is the archive, in errors.
pub(super) fn find(path: &Path, name: &str, tokenizer: Option<&str>) -> Result<Model, Error> {
    let fetcher = connection()?;
    let key = format!("{}-{FORMAT}", fetcher.sha256_of(path)?);
    let folder = fetcher.unpacked(&key, |folder| unpack(path, name, folder))?;
    let record = folder.join(CHOSEN);
    let chosen: Chosen = fs::read(&record)
        .and_then(|text| Ok(serde_json::from_slice(&text)?))
        .map_err(|source| Error::Cache { path: record.display().to_string(), source })?;
    let folder = Folder::unpacked(folder, name, &chosen.folder);
    directory::open(&folder, &chosen, tokenizer)
}

/// Reads the archive twice: a model's shards are known only once its index is.
fn unpack(path: &Path, name: &str, folder: &Path) -> Result<(), Error> {
    let (chosen, wanted) = choose(path, name)?;
    let is_wanted = |file: &Path| file.to_str().is_some_and(|file| wanted.contains(file));
    archive::each(path, name, MAX_BYTES, is_wanted, |file, entry| {
        let place = folder.join(file.file_name().unwrap_or_default());
        let mut file = Unfinished::create(place)?;
        io::copy(entry, &mut file)?;
        file.finish()
    })?;
    let record = folder.join(CHOSEN);
    let text = serde_json::to_vec(&chosen).map_err(io::Error::from);
    text.and_then(|text| atomic_file::write(&record, &text))
        .map_err(|source| Error::Cache { path: record.display().to_string(), source })
}

/// The model's folder, and the paths of its files.
fn choose(path: &Path, name: &str) -> Result<(Chosen, BTreeSet<String>), Error> {
    let is_listed = |file: &Path| {
        tree_path::visible_name(file)
            .is_some_and(|file| choice::is_model_file(file) || file.ends_with(".safetensors"))
    };
    let mut indexes = BTreeMap::new();
    let mut files = Vec::new();
    archive::each(path, name, MAX_BYTES, is_listed, |file, entry| {
        let file = file.to_string_lossy().into_owned();
        if tree_path::file_name(&file) == INDEX {
            let mut index = Vec::new();
            let length = entry.take(MAX_INDEX_BYTES + 1).read_to_end(&mut index)?;
            if length as u64 > MAX_INDEX_BYTES {
                return Err(io::Error::other(format!("{file} is too long")));
            }
            indexes.insert(file.clone(), index);
        }
        files.push(file);
        Ok(())
    })?;
    let chosen = choice::model(name, &files)?;
    let mut wanted: BTreeSet<String> = chosen.paths().collect();
    if let Some(index) = indexes.remove(&chosen.path(INDEX)).filter(|_| chosen.has(INDEX)) {
        let folder = Folder::unpacked(path.to_owned(), name, &chosen.folder);
        let index = genuine(Blob::held(&folder.name_of(INDEX), index))?;
        wanted.extend(choice::shards_among(&files, &index, &chosen, &folder)?);
    }
    Ok((chosen, wanted))
}
