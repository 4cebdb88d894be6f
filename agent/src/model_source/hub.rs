//! Models, tokenizers and adapters of the Hugging Face hub.

use super::{Error, choice, connection};
use fetch::hub::{Address, Kind, Repository};
use std::path::PathBuf;

/// Files of a repository that lie in one folder now.
pub(super) struct Found {
    pub(super) folder: PathBuf,
    /// What its branch stood for.
    pub(super) commit: String,
}

/// Whether a name can be one of the hub's: `owner/name`, and not the path of a file.
pub(super) fn is_name(given: &str) -> bool {
    let is_path = given.starts_with(['.', '/', '~']) || given.contains(':');
    let is_file = [".json", ".gz", ".tgz", ".tar"].iter().any(|ending| given.ends_with(ending));
    given.starts_with("hf://") || (!is_path && !is_file && given.split('/').count() == 2)
}

/// Brings a model.
pub(super) fn model(given: &str, revision: Option<&str>) -> Result<Found, Error> {
    fetch(given, revision, |files| choice::model(given, files))
}

/// Brings a tokenizer alone.
pub(super) fn tokenizer(given: &str) -> Result<Found, Error> {
    fetch(given, None, |files| choice::tokenizer(given, files))
}

/// Brings an adapter.
pub(super) fn adapter(given: &str) -> Result<Found, Error> {
    fetch(given, None, |files| Ok(choice::adapter(files)))
}

/// Brings the files that `choose` wants of those in the repository, or in a folder of it: `owner/name@rev/folder`.
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

/// What the hub says that it has.
pub(super) struct Listed {
    repository: Repository,
    /// The folder of the repository that is meant; empty for all of it.
    below: String,
    pub(super) commit: String,
    /// Below that folder.
    pub(super) files: Vec<String>,
}

/// Asks what is in a repository, or in a folder of it.
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
