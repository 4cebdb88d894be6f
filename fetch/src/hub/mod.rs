//! The Hugging Face hub: repositories of models and datasets.
//!
//! A branch is resolved to a commit once, and only commits are fetched. Files are stored in the cache layout of the
//! hub's Python library, so that both share their downloads:
//! `models--owner--name/{blobs/ETAG, refs/BRANCH, snapshots/COMMIT/FILE -> blob}`.

mod address;
mod api;

pub use address::{Address, Kind, Repository};
pub(crate) use api::http_client;

use crate::cache::{Entry, link};
use crate::transfer::{Download, sha256_of};
use crate::{Error, Fetcher, Snapshot, Stored};
use address::is_commit;
use std::path::{Path, PathBuf};

/// The variable that moves the hub's cache.
const VARIABLE: &str = "HF_HOME";

/// The files of a repository at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// 40 hexadecimal digits.
    pub commit: String,
    /// All files; offline, those in the cache.
    pub files: Vec<String>,
}

impl Fetcher {
    /// Resolves a repository's revision to a commit and lists its files; offline, from the cache.
    pub async fn hub_listing(&self, repository: &Repository) -> Result<Listing, Error> {
        let repository = &self.at_known_commit(repository);
        if self.settings.is_offline {
            return self.offline_listing(repository);
        }
        if repository.is_pinned()
            && let Some(files) = self.cached_listing(repository, &repository.revision)
        {
            return Ok(Listing { commit: repository.revision.clone(), files });
        }
        let info = self.hub_info(repository).await?;
        let commit = info.sha.to_ascii_lowercase();
        let listing = Listing { commit: commit.clone(), files: info.files() };
        let cache = |source| self.hub_cache_error(source);
        if !repository.is_pinned() {
            let reference =
                self.repository_folder(repository).join("refs").join(&repository.revision);
            ops::atomic_file::write(&reference, commit.as_bytes()).map_err(cache)?;
            let mut commits =
                self.commits.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            commits.insert(repository.clone(), commit.clone());
        }
        let text = serde_json::to_vec(&listing.files).map_err(|error| cache(error.into()))?;
        ops::atomic_file::write(&self.listing_path(repository, &commit), &text)
            .map_err(|source| self.cache.error(source))?;
        Ok(listing)
    }

    /// Fetches files of a repository at a commit; each is checked by its SHA-256.
    pub async fn hub_files(
        &self,
        repository: &Repository,
        commit: &str,
        names: &[String],
    ) -> Result<Snapshot, Error> {
        let folder = self.repository_folder(repository).join("snapshots").join(commit);
        let mut files = Vec::with_capacity(names.len());
        for name in names {
            files.push(Box::pin(self.hub_file(repository, commit, &folder, name)).await?);
        }
        let kept: Vec<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
        self.evict(&kept).await?;
        Ok(Snapshot { folder, commit: Some(commit.to_owned()), files })
    }

    async fn hub_file(
        &self,
        repository: &Repository,
        commit: &str,
        folder: &Path,
        name: &str,
    ) -> Result<Stored, Error> {
        let path = folder.join(name);
        let shown = format!("{}/{name}", repository.name);
        let stored = |entry: Entry| Stored {
            name: name.to_owned(),
            path: path.clone(),
            sha256: entry.sha256,
            bytes: entry.bytes,
        };
        if let Some(entry) = self.used_again(&path, &shown)? {
            return Ok(stored(entry));
        }
        let cache = |source| self.hub_cache_error(source);
        if self.settings.is_offline {
            if !path.exists() {
                return Err(self.not_cached(&shown));
            }
            // Put there by another program: the blob of a large file is named by its SHA-256.
            let found = sha256_of(&path).map_err(cache)?;
            let blob = std::fs::canonicalize(&path).map_err(cache)?;
            let named = blob.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if named.len() == 64 && named != found.sha256 {
                let (file, found) = (shown, found.sha256);
                return Err(Error::Hash { file, expected: named, found });
            }
            let entry = Entry {
                path: path.clone(),
                blob,
                bytes: found.bytes,
                sha256: found.sha256,
                is_own: false,
            };
            self.cache.keep(&entry)?;
            return Ok(stored(entry));
        }
        let metadata = self.hub_metadata(repository, commit, name).await?;
        let root = self.repository_folder(repository);
        let wanted = Download {
            name: shown.clone(),
            target: root.join("blobs").join(&metadata.etag),
            lock: self
                .settings
                .hub_cache
                .join(".locks")
                .join(repository.folder_name())
                .join(format!("{}.lock", metadata.etag)),
            bytes: metadata.bytes,
            sha256: metadata.sha256(),
            variable: VARIABLE,
        };
        let was_there = wanted.target.exists();
        let download = || {
            self.download(&wanted, async |from| self.hub_open(repository, commit, name, from).await)
        };
        let found = match download().await {
            // Another program left a damaged file.
            Err(Error::Hash { .. }) if was_there => {
                std::fs::remove_file(&wanted.target).map_err(cache)?;
                download().await?
            }
            found => found?,
        };
        // Relative, as the Python library's links: the cache may be mounted elsewhere.
        let up = "../".repeat(2 + name.matches('/').count());
        link(Path::new(&format!("{up}blobs/{}", metadata.etag)), &path).map_err(cache)?;
        let entry = Entry {
            path: path.clone(),
            blob: wanted.target.clone(),
            bytes: found.bytes,
            sha256: found.sha256,
            is_own: !was_there,
        };
        self.cache.keep(&entry)?;
        Ok(stored(entry))
    }

    /// The repository at the commit of its branch when this process first asked.
    fn at_known_commit(&self, repository: &Repository) -> Repository {
        let commits = self.commits.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match commits.get(repository) {
            Some(commit) => Repository { revision: commit.clone(), ..repository.clone() },
            None => repository.clone(),
        }
    }

    fn offline_listing(&self, repository: &Repository) -> Result<Listing, Error> {
        let root = self.repository_folder(repository);
        let commit = if repository.is_pinned() {
            Some(repository.revision.to_ascii_lowercase())
        } else {
            let reference = std::fs::read_to_string(root.join("refs").join(&repository.revision));
            reference.ok().map(|text| text.trim().to_owned()).filter(|text| is_commit(text))
        };
        let mut files = Vec::new();
        if let Some(commit) = &commit {
            // A missing folder has no files.
            drop(collect(&root.join("snapshots").join(commit), "", &mut files));
        }
        match commit {
            Some(commit) if !files.is_empty() => {
                files.sort();
                Ok(Listing { commit, files })
            }
            _ => Err(self.not_cached(&repository.to_string())),
        }
    }

    fn not_cached(&self, what: &str) -> Error {
        let cache = self.settings.hub_cache.display().to_string();
        Error::Offline { what: what.to_owned(), cache }
    }

    fn repository_folder(&self, repository: &Repository) -> PathBuf {
        self.settings.hub_cache.join(repository.folder_name())
    }

    /// A commit never changes, so its listing is requested once.
    fn listing_path(&self, repository: &Repository, commit: &str) -> PathBuf {
        let name = format!("{commit}.json");
        self.cache.folder().join("listings").join(repository.folder_name()).join(name)
    }

    fn cached_listing(&self, repository: &Repository, commit: &str) -> Option<Vec<String>> {
        let text = std::fs::read(self.listing_path(repository, commit)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn hub_cache_error(&self, source: std::io::Error) -> Error {
        let path = self.settings.hub_cache.display().to_string();
        Error::Cache { path, variable: VARIABLE, source }
    }
}

/// Adds the paths of all files below a folder, relative to it.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<String>) -> std::io::Result<()> {
    for entry in folder.read_dir()? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files)?;
        } else if entry.path().exists() {
            files.push(name);
        }
    }
    Ok(())
}
