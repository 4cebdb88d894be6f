//! Folders that were unpacked from an archive; their files count towards the cache's limit.

use crate::cache::Entry;
use crate::transfer::{hold, sha256_of};
use crate::{Error, Fetcher};
use std::io;
use std::path::{Path, PathBuf};

/// Lists the files of an unpacked folder. Written last: a folder without it is incomplete.
const LIST: &str = "unpacked.json";

impl Fetcher {
    /// The folder that `unpack` fills, or filled earlier, from the archive with this SHA-256. `unpack` creates no
    /// subfolders.
    pub fn unpacked<E: From<Error>>(
        &self,
        sha256: &str,
        unpack: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let cache = |source: io::Error| E::from(self.cache.error(source));
        let root = self.cache.folder().join("unpacked");
        let folder = root.join(sha256);
        let lock = root.join(format!("{sha256}.lock"));
        let _held = self.block_on(async {
            hold(&lock, || {}).await.map_err(|error| self.cache.error(error))
        })?;
        if self.is_complete(&folder)? {
            return Ok(folder);
        }
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(cache)?;
        }
        std::fs::create_dir_all(&folder).map_err(cache)?;
        unpack(&folder)?;
        let mut paths = Vec::new();
        for file in folder.read_dir().map_err(cache)? {
            let path = file.map_err(cache)?.path();
            let found = sha256_of(&path).map_err(cache)?;
            self.cache.keep(&Entry {
                path: path.clone(),
                blob: path.clone(),
                bytes: found.bytes,
                sha256: found.sha256,
                is_own: true,
            })?;
            paths.push(path);
        }
        let names: Vec<_> = paths.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        let list = serde_json::to_vec(&names).map_err(|error| cache(error.into()))?;
        ops::atomic_file::write(&folder.join(LIST), &list).map_err(cache)?;
        self.block_on(self.evict(&paths))?;
        Ok(folder)
    }

    /// Whether all unpacked files are present and unchanged.
    fn is_complete(&self, folder: &Path) -> Result<bool, Error> {
        let Ok(list) = std::fs::read(folder.join(LIST)) else { return Ok(false) };
        let names: Vec<String> = serde_json::from_slice(&list).unwrap_or_default();
        for name in &names {
            let path = folder.join(name);
            if self.used_again(&path, &path.display().to_string())?.is_none() {
                return Ok(false);
            }
        }
        Ok(!names.is_empty())
    }

    pub fn sha256_of(&self, path: &Path) -> Result<String, Error> {
        let unreadable = |source| Error::Unreadable { path: path.display().to_string(), source };
        Ok(sha256_of(path).map_err(unreadable)?.sha256)
    }
}
