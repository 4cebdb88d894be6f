//! Where PEFT adapters come from: a folder, a `model.tar.gz` or a built-in name in, the adapter's two files out.
//!
//! Training jobs put the adapter at the root, below a wrapping folder, in `adapter/` or in `checkpoint-N/`:
//! the one `adapter_config.json` is looked for, and checkpoints count only where nothing else is there.

mod archive;
mod folder;

use super::{Adapter, Place, builtin, hub, s3};
use std::io;
use std::path::{Component, Path, PathBuf};

/// What the adapter is; in JSON.
const CONFIG: &str = "adapter_config.json";
/// Its weights.
const WEIGHTS: &str = "adapter_model.safetensors";
/// Its weights in the form that can run code when it is read.
const PICKLE: &str = "adapter_model.bin";

/// An adapter that can't be found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("{place} has no {CONFIG}")]
    NoConfig {
        /// The folder or archive.
        place: String,
    },
    /// There is more than one.
    #[error(
        "{place} has several adapters ({folders}): give the folder of one (unpack an archive for that)"
    )]
    Several {
        /// The folder or archive.
        place: String,
        /// Where they are in it.
        folders: String,
    },
    /// A config without weights.
    #[error("{place} has {folder} but not {WEIGHTS} beside it", folder = folder.join(CONFIG).display())]
    NoWeights {
        /// The folder or archive.
        place: String,
        /// Where the config is in it.
        folder: PathBuf,
    },
    /// Weights in the form that can run code when it is read.
    #[error(
        "{place} has its weights in {PICKLE}, which is not read: save the adapter as {WEIGHTS} \
         (peft: model.save_pretrained(folder, safe_serialization=True))"
    )]
    Pickle {
        /// The folder or archive.
        place: String,
    },
    /// It can't be read.
    #[error("can't read {place}")]
    Read {
        /// The folder or archive.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// Its archive can't be taken.
    #[error(transparent)]
    Archive(#[from] crate::model_source::archive::Error),
}

/// Finds the files of an adapter.
///
/// # Errors
/// [`super::Error`], naming the place and the way out.
pub fn find(given: &str) -> Result<Adapter, super::Error> {
    if let Some(name) = given.strip_prefix("builtin:") {
        return builtin::find_adapter(name);
    }
    let local = |path: &Path| {
        if path.is_dir() { folder::find(path) } else { archive::find(path) }
    };
    Ok(match Place::of(given) {
        Place::Local(path) => local(path)?,
        Place::Hub => {
            let found = hub::adapter(given)?;
            Adapter { revision: Some(found.commit), ..local(&found.folder)? }
        }
        Place::S3 => local(&s3::adapter(given)?)?,
        Place::Unknown => return Err(super::Error::Address { given: given.to_owned() }),
    })
}

/// Which of the folders with a config is meant.
fn choose(place: &Path, mut folders: Vec<PathBuf>) -> Result<PathBuf, Error> {
    let place = place.display().to_string();
    if folders.iter().any(|folder| !is_checkpoint(folder)) {
        folders.retain(|folder| !is_checkpoint(folder));
    }
    match folders.len() {
        0 => Err(Error::NoConfig { place }),
        1 => Ok(folders.remove(0)),
        _ => {
            folders.sort();
            let names: Vec<String> =
                folders.iter().map(|folder| format!("./{}", folder.display())).collect();
            Err(Error::Several { place, folders: names.join(", ") })
        }
    }
}

/// Whether a trainer wrote it on its way.
fn is_checkpoint(folder: &Path) -> bool {
    folder.components().any(|part| match part {
        Component::Normal(name) => name.to_string_lossy().starts_with("checkpoint-"),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(folders: &[&str]) -> Result<String, String> {
        choose(Path::new("a.tar.gz"), folders.iter().map(PathBuf::from).collect())
            .map(|folder| folder.display().to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_adapter_is_found_wherever_a_job_puts_it() {
        for folder in ["", "adapter", "wrapper/adapter", "checkpoint-100"] {
            assert_eq!(chosen(&[folder]).unwrap(), folder);
        }
        assert_eq!(chosen(&["checkpoint-100", "", "checkpoint-200"]).unwrap(), "");
    }

    #[test]
    fn none_and_several_are_refused() {
        assert_eq!(chosen(&[]).unwrap_err(), "a.tar.gz has no adapter_config.json");
        let several = "a.tar.gz has several adapters (./one, ./two): give the folder of one \
                       (unpack an archive for that)";
        assert_eq!(chosen(&["two", "one", "checkpoint-1"]).unwrap_err(), several);
        assert!(chosen(&["checkpoint-1", "checkpoint-2"]).is_err());
    }
}
