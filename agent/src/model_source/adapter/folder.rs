use super::{CONFIG, Error, PICKLE, WEIGHTS, choose};
use engine::files::{Adapter, Blob};
use std::io;
use std::path::{Path, PathBuf};

/// Search depth: a wrapping folder and a checkpoint in it.
const DEPTH: usize = 2;

pub(super) fn find(root: &Path) -> Result<Adapter, Error> {
    let read = |source| Error::Read { place: root.display().to_string(), source };
    // An adapter in the folder itself takes precedence.
    let folder = if root.join(CONFIG).exists() {
        PathBuf::new()
    } else {
        let mut folders = Vec::new();
        collect(root, Path::new(""), DEPTH, &mut folders).map_err(read)?;
        choose(root, folders)?
    };
    let open = |name| Blob::open(&root.join(&folder).join(name)).map_err(read);
    let has = |name| root.join(&folder).join(name).exists();
    if !has(WEIGHTS) {
        let place = root.display().to_string();
        return Err(if has(PICKLE) {
            Error::Pickle { place }
        } else {
            Error::NoWeights { place, folder }
        });
    }
    Ok(Adapter { config: open(CONFIG)?, weights: open(WEIGHTS)?, revision: None })
}

/// Adds the folders below `folder` that contain an adapter's configuration.
fn collect(root: &Path, folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in root.join(folder).read_dir()? {
        let entry = entry?;
        let below = folder.join(entry.file_name());
        if !entry.path().is_dir() {
            continue;
        }
        if entry.path().join(CONFIG).exists() {
            found.push(below.clone());
        }
        if depth > 1 {
            collect(root, &below, depth - 1, found)?;
        }
    }
    Ok(())
}
