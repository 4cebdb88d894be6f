//! A model in a `model.tar.gz`, as written by SageMaker: unpacked once, into the cache.

use super::{Error, archive, choice, connection};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Limit of the unpacked size: the largest T5 has 11 billion weights.
const MAX_BYTES: u64 = 64 << 30;

/// The folder of the model's files, which are at the archive's root or below one folder of it.
pub(super) fn folder(path: &Path) -> Result<PathBuf, Error> {
    let fetcher = connection()?;
    let sha256 = fetcher.sha256_of(path)?;
    fetcher.unpacked(&sha256, |folder| {
        let is_wanted = |file: &Path| {
            let name = file.file_name().and_then(|name| name.to_str());
            name.is_some_and(choice::is_model_file)
        };
        archive::each(path, MAX_BYTES, is_wanted, |name, entry| {
            let place = folder.join(name.file_name().unwrap_or_default());
            if place.exists() {
                return Err(io::Error::other(
                    "the archive contains several models: specify the folder of one",
                ));
            }
            io::copy(entry, &mut File::create(&place)?).map(drop)
        })?;
        Ok(())
    })
}
