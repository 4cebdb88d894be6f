//! Adapters in a `model.tar.gz` as written by SageMaker. Nothing is unpacked to disk.

use super::{CONFIG, Error, PICKLE, WEIGHTS, choose};
use crate::model_source::archive;
use engine::files::{Adapter, Blob};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Limit of the unpacked size.
const MAX_BYTES: u64 = 4 << 30;

pub(super) fn find(path: &Path) -> Result<Adapter, Error> {
    let wanted = [CONFIG, WEIGHTS, PICKLE];
    let is_wanted =
        |file: &Path| file.file_name().is_some_and(|name| wanted.iter().any(|it| name == *it));
    let mut files = BTreeMap::new();
    archive::each(path, MAX_BYTES, is_wanted, |name, entry| {
        let mut bytes = Vec::new();
        if !name.ends_with(PICKLE) {
            entry.read_to_end(&mut bytes)?;
        }
        files.insert(name, bytes);
        Ok(())
    })?;
    pick(path, files)
}

fn pick(path: &Path, mut files: BTreeMap<PathBuf, Vec<u8>>) -> Result<Adapter, Error> {
    let folders = files
        .keys()
        .filter(|file| file.ends_with(CONFIG))
        .map(|file| file.parent().unwrap_or(Path::new("")).to_owned())
        .collect();
    let folder = choose(path, folders)?;
    let place = path.display().to_string();
    let mut held = |name: &str| {
        let bytes = files.remove(&folder.join(name))?;
        Some(Blob::held(&format!("{place}:{}", folder.join(name).display()), bytes))
    };
    match (held(CONFIG), held(WEIGHTS), held(PICKLE)) {
        (Some(config), Some(weights), _) => Ok(Adapter { config, weights, revision: None }),
        (_, None, Some(_)) => Err(Error::Pickle { place }),
        _ => Err(Error::NoWeights { place, folder }),
    }
}
