//! A whole model in a `model.tar.gz`, as SageMaker writes it: unpacked once, into the cache.

use super::{Error, archive, choice, connection};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// No archive may unpack to more: the largest T5 has 11 billion weights.
const MOST_BYTES: u64 = 64 << 30;

/// The folder that holds the model's files. They lie at the archive's root, or all below one folder of it.
pub(super) fn folder(path: &Path) -> Result<PathBuf, Error> {
    let fetcher = connection()?;
    let sha256 = fetcher.sha256_of(path)?;
    fetcher.unpacked(&sha256, |folder| {
        let is_wanted = |file: &Path| {
            let name = file.file_name().and_then(|name| name.to_str());
            name.is_some_and(choice::is_model_file)
        };
        archive::each(path, MOST_BYTES, is_wanted, |name, entry| {
            let place = folder.join(name.file_name().unwrap_or_default());
            if place.exists() {
                return Err(io::Error::other("it holds several models: give the folder of one"));
            }
            io::copy(entry, &mut File::create(&place)?).map(drop)
        })?;
        Ok(())
    })
}
