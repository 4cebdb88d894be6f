//! Models, tokenizers and adapters on the Hugging Face hub.

use super::{Error, choice, connection};
use fetch::hub::{Address, Kind, Repository};
use std::path::PathBuf;

pub(super) struct Found {
    pub(super) folder: PathBuf,
    pub(super) commit: String,
}

/// Whether a name has the form `owner/name` and is not a file path.
pub(super) fn is_name(given: &str) -> bool {
    let is_path = given.starts_with(['.', '/', '~']) || given.contains(':');
    let is_file = [".json", ".gz", ".tgz", ".tar"].iter().any(|ending| given.ends_with(ending));
    given.starts_with("hf://") || (!is_path && !is_file && given.split('/').count() == 2)
}

pub(super) fn model(given: &str, revision: Option<&str>) -> Result<Found, Error> {
    fetch(given, revision, |files| choice::model(given, files))
}

pub(super) fn tokenizer(given: &str) -> Result<Found, Error> {
    fetch(given, None, |files| choice::tokenizer(given, files))
}

pub(super) fn adapter(given: &str) -> Result<Found, Error> {
    fetch(given, None, |files| Ok(choice::adapter(files)))
}

/// Downloads what `choose` selects from a repository or its folder, `owner/name@rev/folder`.
fn fetch(
    given: &str,
    revision: Option<&str>,
    choose: impl Fn(&[String]) -> Result<Vec<String>, Error>,
) -> Result<Found, Error> {
    let Listed { repository, below, commit, files } = listed(given, revision)?;
    let prefix = if below.is_empty() { String::new() } else { format!("{below}/") };
    let names: Vec<String> =
        choose(&files)?.into_iter().map(|name| format!("{prefix}{name}")).collect();
    let fetcher = connection()?;
    let snapshot = fetcher.block_on(fetcher.hub_files(&repository, &commit, &names))?;
    Ok(Found { folder: snapshot.folder.join(below), commit })
}

pub(super) struct Listed {
    repository: Repository,
    /// The folder within the repository; empty for its root.
    below: String,
    pub(super) commit: String,
    /// Relative to that folder.
    pub(super) files: Vec<String>,
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
        for name in ["google/flan-t5-base", "hf://google/flan-t5-base@main", "a/b@v1"] {
            assert!(is_name(name), "{name}");
        }
        for path in ["./model", "/a/b", "a/b/c", "model", "a/tokenizer.json", "x/model.tar.gz"] {
            assert!(!is_name(path), "{path}");
        }
    }
}
