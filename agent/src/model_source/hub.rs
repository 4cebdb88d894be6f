//! Models, tokenizers and adapters on the Hugging Face hub.

use super::choice::{self, Chosen, INDEX, TOKENIZER};
use super::folder::Folder;
use super::{Error, adapter_choice, connection, gguf, tree_path};
use fetch::hub::{Address, Kind, Repository};

pub(super) struct Found<T> {
    pub(super) folder: Folder,
    pub(super) commit: String,
    /// What was selected from the list of files.
    pub(super) chosen: T,
}

/// Whether a name has the form `owner/name` or `owner/name:FILE.gguf` and is not a file path.
pub(super) fn is_name(given: &str) -> bool {
    let (given, _) = with_file(given);
    let is_path = given.starts_with(['.', '/', '~']) || given.contains(':');
    let is_file =
        [".json", ".gz", ".tgz", ".tar", ".gguf"].iter().any(|ending| given.ends_with(ending));
    given.starts_with("hf://") || (!is_path && !is_file && given.split('/').count() == 2)
}

/// A repository, and the GGUF file of it that is named after a colon.
pub(super) fn with_file(given: &str) -> (&str, Option<&str>) {
    let parts = given.rsplit_once(':').filter(|(_, file)| gguf::is_name(file));
    parts.map_or((given, None), |(repository, file)| (repository, Some(file)))
}

/// Selects the file of this name.
pub(super) fn file(
    given: &str,
    name: &str,
    revision: Option<&str>,
) -> Result<Found<String>, Error> {
    let listed = listed(given, revision)?;
    if !listed.files.iter().any(|file| file == name) {
        return Err(Error::Missing { folder: given.to_owned(), file: name.to_owned() });
    }
    let folder = listed.fetch(given, &[name.to_owned()])?;
    Ok(Found { folder, commit: listed.commit, chosen: name.to_owned() })
}

pub(super) fn model(given: &str, revision: Option<&str>) -> Result<Found<Chosen>, Error> {
    let listed = listed(given, revision)?;
    let chosen = choice::model(given, &listed.files)?;
    let mut files: Vec<String> = chosen.paths().collect();
    if chosen.has(INDEX) {
        let index = chosen.path(INDEX);
        let folder = listed.fetch(given, std::slice::from_ref(&index))?;
        let shards = choice::shards_of(&folder, &chosen, &listed.files)?;
        files.extend(shards);
    }
    let folder = listed.fetch(given, &files)?.below(&chosen.folder);
    Ok(Found { folder, commit: listed.commit, chosen })
}

pub(super) fn tokenizer(given: &str) -> Result<Folder, Error> {
    let listed = listed(given, None)?;
    choice::tokenizer(given, &listed.files)?;
    listed.fetch(given, &[TOKENIZER.to_owned()])
}

/// Selects the folder of the adapter.
pub(super) fn adapter(given: &str) -> Result<Found<String>, Error> {
    let listed = listed(given, None)?;
    let chosen = adapter_choice::choose(given, &listed.files)?;
    let folder = listed.fetch(given, &adapter_choice::paths(&chosen))?;
    Ok(Found { folder, commit: listed.commit, chosen })
}

pub(super) struct Listed {
    repository: Repository,
    /// The folder within the repository; empty for its root.
    below: String,
    pub(super) commit: String,
    /// Relative to that folder.
    pub(super) files: Vec<String>,
}

impl Listed {
    /// Downloads files of a repository or its folder, `owner/name@rev/folder`.
    fn fetch(&self, given: &str, files: &[String]) -> Result<Folder, Error> {
        let names: Vec<String> =
            files.iter().map(|name| tree_path::join(&self.below, name)).collect();
        let fetcher = connection()?;
        let snapshot =
            fetcher.block_on(fetcher.hub_files(&self.repository, &self.commit, &names))?;
        Ok(Folder::copy(snapshot.folder.join(&self.below), given))
    }
}

pub(super) fn listed(given: &str, revision: Option<&str>) -> Result<Listed, Error> {
    let address: Address = given.parse()?;
    let repository = address.repository(Kind::Model, revision)?;
    let fetcher = connection()?;
    let listing = fetcher.block_on(fetcher.hub_listing(&repository))?;
    let below = address.path.as_deref().unwrap_or_default().trim_end_matches('/').to_owned();
    let prefix = if below.is_empty() { String::new() } else { format!("{below}/") };
    let files = listing.files.iter();
    let files = files.filter_map(|file| file.strip_prefix(&prefix).map(str::to_owned)).collect();
    Ok(Listed { repository, below, commit: listing.commit, files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_hub_are_told_from_paths() {
        let file = "a/b@v1:x/c-Q4_0.gguf";
        assert_eq!(with_file(file), ("a/b@v1", Some("x/c-Q4_0.gguf")));
        for name in ["google/flan-t5-base", "hf://google/flan-t5-base@main", "a/b@v1", file] {
            assert!(is_name(name), "{name}");
        }
        for path in
            ["./model", "/a/b", "a/b/c", "model", "a/tokenizer.json", "x/model.tar.gz", "x/m.gguf"]
        {
            assert!(!is_name(path), "{path}");
        }
    }
}
