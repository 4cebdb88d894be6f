//! Adapters in a `model.tar.gz` as written by SageMaker. Nothing is unpacked to disk.

use crate::model_source::adapter_choice::{Error, PICKLE, choose, is_adapter_file, paths};
use crate::model_source::{archive, folder, tree_path};
use engine::files::{Adapter, Blob};
use std::collections::BTreeMap;
use std::path::Path;

/// Limit of the unpacked size.
const MAX_BYTES: u64 = 4 << 30;

/// `name` is the archive, in errors.
pub(super) fn find(path: &Path, name: &str) -> Result<Adapter, Error> {
    let is_wanted = |file: &Path| tree_path::visible_name(file).is_some_and(is_adapter_file);
    let mut files = BTreeMap::new();
    archive::each(path, name, MAX_BYTES, is_wanted, |file, entry| {
        let mut bytes = Vec::new();
        if !file.ends_with(PICKLE) {
            entry.read_to_end(&mut bytes)?;
        }
        files.insert(file.to_string_lossy().into_owned(), bytes);
        Ok(())
    })?;
    let names: Vec<String> = files.keys().cloned().collect();
    let [config, weights] = paths(&choose(name, &names)?).map(|file| {
        let bytes = files.remove(&file).unwrap_or_default();
        folder::genuine(Blob::held(&format!("{name}:{file}"), bytes))
    });
    Ok(Adapter { config: config?, weights: weights?, revision: None })
}
