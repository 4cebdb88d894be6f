//! Models, tokenizers and adapters in S3: an archive, or the files below a prefix.

use super::choice::{self, Chosen, INDEX, TOKENIZER};
use super::folder::Folder;
use super::{Error, adapter_choice, archive, connection, gguf};
use fetch::s3::{Address, Object};
use std::path::{Path, PathBuf};

pub(super) fn is_name(given: &str) -> bool {
    given.starts_with("s3://")
}

/// What an address holds.
pub(super) enum Found<T> {
    /// A downloaded file: an archive, a GGUF file or a `tokenizer.json`.
    File(PathBuf),
    /// Files below a prefix.
    Folder(T),
}

/// The folder, and the model's files in it.
pub(super) fn model(given: &str) -> Result<Found<(Folder, Chosen)>, Error> {
    let listed = match listed(given)? {
        Found::File(file) => return Ok(Found::File(file)),
        Found::Folder(listed) => listed,
    };
    let names = listed.names();
    let chosen = choice::model(given, &names)?;
    let mut files: Vec<String> = chosen.paths().collect();
    if chosen.has(INDEX) {
        let folder = listed.fetch(given, &[chosen.path(INDEX)])?;
        files.extend(choice::shards_of(&folder, &chosen, &names)?);
    }
    let folder = listed.fetch(given, &files)?.below(&chosen.folder);
    Ok(Found::Folder((folder, chosen)))
}

pub(super) fn tokenizer(given: &str) -> Result<Found<Folder>, Error> {
    Ok(match listed(given)? {
        Found::File(file) => Found::File(file),
        Found::Folder(listed) => {
            choice::tokenizer(given, &listed.names())?;
            Found::Folder(listed.fetch(given, &[TOKENIZER.to_owned()])?)
        }
    })
}

/// The files, and the adapter's folder among them.
pub(super) fn adapter(given: &str) -> Result<Found<(Folder, String)>, Error> {
    Ok(match listed(given)? {
        Found::File(file) => Found::File(file),
        Found::Folder(listed) => {
            let chosen = adapter_choice::choose(given, &listed.names())?;
            Found::Folder((listed.fetch(given, &adapter_choice::paths(&chosen))?, chosen))
        }
    })
}

struct Listed {
    bucket: String,
    objects: Vec<Object>,
}

impl Listed {
    fn names(&self) -> Vec<String> {
        self.objects.iter().map(|object| object.name.clone()).collect()
    }

    fn fetch(&self, given: &str, files: &[String]) -> Result<Folder, Error> {
        let wanted = self.objects.iter().filter(|object| files.contains(&object.name));
        let wanted: Vec<Object> = wanted.cloned().collect();
        let fetcher = connection()?;
        let snapshot = fetcher.block_on(fetcher.s3_files(&self.bucket, &wanted))?;
        Ok(Folder::copy(snapshot.folder, given))
    }
}

/// Lists a prefix; downloads a file.
fn listed(given: &str) -> Result<Found<Listed>, Error> {
    let address: Address = given.parse().map_err(fetch::Error::from)?;
    let fetcher = connection()?;
    let is_file = Path::new(&address.key).extension().is_some_and(|ending| ending == "json");
    if is_file || archive::is_archive(&address.key) || gguf::is_name(&address.key) {
        let snapshot = fetcher.block_on(async {
            let object = fetcher.s3_object(&address).await?;
            fetcher.s3_files(&address.bucket, &[object]).await
        })?;
        return Ok(Found::File(snapshot.folder.join(address.name())));
    }
    let objects = fetcher.block_on(fetcher.s3_listing(&address))?;
    Ok(Found::Folder(Listed { bucket: address.bucket, objects }))
}
