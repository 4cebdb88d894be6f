//! The cache: which files were fetched, when each was used last, and the removal of the least recently used.
//!
//! Each file has an entry, a small JSON file under `entries/`, rewritten at each use: its modification time is the time
//! of the last use. Files from elsewhere, such as the hub's Python library, have entries for their hash; only files that
//! were fetched here are removed.

use crate::transfer::{hold, sha256_of};
use crate::{Error, Fetcher, Progress};
use ops::atomic_file;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The variable that moves the cache.
pub(crate) const VARIABLE: &str = "FLEETMARK_CACHE";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The path under the file's own name, a link to `blob`.
    pub(crate) path: PathBuf,
    pub(crate) blob: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    /// Fetched by this program, which may therefore remove it.
    pub(crate) is_own: bool,
}

#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    limit_bytes: u64,
}

impl Cache {
    pub(crate) fn new(folder: &Path, limit_bytes: u64) -> Self {
        Self { folder: folder.to_owned(), limit_bytes }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn error(&self, source: io::Error) -> Error {
        Error::Cache { path: self.folder.display().to_string(), variable: VARIABLE, source }
    }

    fn entry_path(&self, path: &Path) -> PathBuf {
        let name = hex::encode(Sha256::digest(path.as_os_str().as_encoded_bytes()));
        self.folder.join("entries").join(format!("{name}.json"))
    }

    /// The entry of the file at `path`; a damaged one counts as none.
    pub(crate) fn entry(&self, path: &Path) -> Option<Entry> {
        serde_json::from_slice(&std::fs::read(self.entry_path(path)).ok()?).ok()
    }

    /// Writes an entry, which marks its file as used now.
    pub(crate) fn keep(&self, entry: &Entry) -> Result<(), Error> {
        let text = serde_json::to_vec(entry).map_err(|error| self.error(error.into()))?;
        atomic_file::write(&self.entry_path(&entry.path), &text).map_err(|error| self.error(error))
    }

    fn forget(&self, path: &Path) {
        // It may be gone already.
        drop(std::fs::remove_file(self.entry_path(path)));
    }

    /// The entries of files that were fetched here, least recently used first.
    fn own_entries(&self) -> Vec<(SystemTime, Entry)> {
        let Ok(listed) = std::fs::read_dir(self.folder.join("entries")) else { return Vec::new() };
        let read = |file: std::fs::DirEntry| {
            let used = file.metadata().ok()?.modified().ok()?;
            let entry: Entry = serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()?;
            entry.is_own.then_some((used, entry))
        };
        let mut entries: Vec<_> = listed.filter_map(|file| read(file.ok()?)).collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.path.cmp(&b.1.path)));
        entries
    }
}

/// Replaces `path` by a symbolic link to `blob`, which is relative to the folder of `path`.
pub(crate) fn link(blob: &Path, path: &Path) -> io::Result<()> {
    if std::fs::read_link(path).is_ok_and(|there| there == *blob) {
        return Ok(());
    }
    atomic_file::link(path, blob)
}

impl Fetcher {
    /// The file that was fetched to `path` earlier, if it is unchanged.
    pub(crate) fn used_again(&self, path: &Path, name: &str) -> Result<Option<Entry>, Error> {
        let Some(entry) = self.cache.entry(path) else { return Ok(None) };
        if !path.exists() {
            self.cache.forget(path);
            return Ok(None);
        }
        let found = sha256_of(path).map_err(|error| self.cache.error(error))?;
        if found.sha256 == entry.sha256 {
            self.cache.keep(&entry)?;
            return Ok(Some(entry));
        }
        self.report(&Progress::Corrupted { file: name });
        self.cache.forget(path);
        drop(std::fs::remove_file(&entry.blob));
        drop(std::fs::remove_file(path));
        Ok(None)
    }

    /// Removes the least recently used files until the cache is within its limit, but none of `kept`.
    pub(crate) async fn evict(&self, kept: &[PathBuf]) -> Result<(), Error> {
        let lock = self.cache.folder.join("room.lock");
        let _held = hold(&lock, || {}).await.map_err(|error| self.cache.error(error))?;
        let entries = self.cache.own_entries();
        let mut total: u64 = entries.iter().map(|(_, entry)| entry.bytes).sum();
        for (_, entry) in &entries {
            if total <= self.cache.limit_bytes {
                break;
            }
            if kept.contains(&entry.path) {
                continue;
            }
            drop(std::fs::remove_file(&entry.path));
            let is_shared = entries.iter().any(|(_, other)| {
                other.path != entry.path && other.blob == entry.blob && other.path.exists()
            });
            if !is_shared {
                drop(std::fs::remove_file(&entry.blob));
            }
            self.cache.forget(&entry.path);
            total -= entry.bytes;
            let file = entry.path.display().to_string();
            self.report(&Progress::Evicted { file: &file, bytes: entry.bytes });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reporter, Settings};

    fn fetcher(folder: &Path, limit_bytes: u64) -> Fetcher {
        let path = folder.display().to_string();
        let settings = Settings::read(&|name| (name == "FLEETMARK_CACHE").then(|| path.clone()));
        let settings = Settings { cache_limit_bytes: limit_bytes, ..settings.unwrap() };
        Fetcher::new(settings, Reporter::silent()).unwrap()
    }

    fn add(fetcher: &Fetcher, folder: &Path, name: &str, is_own: bool) -> PathBuf {
        let (blob, path) = (folder.join(format!("{name}.blob")), folder.join(name));
        std::fs::write(&blob, [7; 100]).unwrap();
        link(Path::new(&format!("{name}.blob")), &path).unwrap();
        let sha256 = sha256_of(&path).unwrap().sha256;
        fetcher
            .cache
            .keep(&Entry { path: path.clone(), blob, bytes: 100, sha256, is_own })
            .unwrap();
        path
    }

    #[test]
    fn room_is_made_by_removing_what_was_fetched_here_and_used_longest_ago() {
        let folder = tempfile::tempdir().unwrap();
        let fetcher = fetcher(folder.path(), 250);
        let foreign = add(&fetcher, folder.path(), "foreign", false);
        let files: Vec<PathBuf> =
            ["a", "b", "c"].iter().map(|name| add(&fetcher, folder.path(), name, true)).collect();
        // Times of change may be equal on a coarse file system; give each its own.
        for (age, file) in files.iter().enumerate() {
            let entry = std::fs::File::options().write(true).open(fetcher.cache.entry_path(file));
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age as u64);
            entry.unwrap().set_modified(time).unwrap();
        }
        assert!(fetcher.used_again(&files[0], "a").unwrap().is_some());
        fetcher.block_on(fetcher.evict(&[])).unwrap();
        let there: Vec<bool> = files.iter().map(|file| file.exists()).collect();
        assert_eq!(there, [true, false, true], "b was used longest ago");
        assert!(foreign.exists() && !folder.path().join("b.blob").exists());
        fetcher.block_on(fetcher.evict(&[])).unwrap();
        assert!(files[0].exists() && files[2].exists());
    }

    #[test]
    fn a_file_that_changed_is_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let fetcher = fetcher(folder.path(), 1000);
        let path = add(&fetcher, folder.path(), "a", true);
        assert_eq!(fetcher.used_again(&path, "a").unwrap().unwrap().bytes, 100);
        std::fs::write(folder.path().join("a.blob"), "changed").unwrap();
        assert_eq!(fetcher.used_again(&path, "a").unwrap(), None);
        assert!(!path.exists());
    }
}
