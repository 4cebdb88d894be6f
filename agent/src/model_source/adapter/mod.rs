//! Finds PEFT adapters in a folder or a `model.tar.gz`, or by built-in name.
//!
//! Training jobs write the adapter to the root, below a wrapping folder, to `adapter/` or to
//! `checkpoint-N/`. There must be exactly one `adapter_config.json`; checkpoints count only if
//! there is nothing else.

mod archive;
mod folder;

use super::{Adapter, Place, builtin, hub, s3};
use std::io;
use std::path::{Component, Path, PathBuf};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// Not read: unpickling can run code.
const PICKLE: &str = "adapter_model.bin";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{place} has no {CONFIG}")]
    NoConfig { place: String },
    #[error(
        "{place} contains several adapters ({folders}): specify the folder of one (unpack an archive first)"
    )]
    Several { place: String, folders: String },
    #[error("{place} has {folder} but no {WEIGHTS} beside it", folder = folder.join(CONFIG).display())]
    NoWeights { place: String, folder: PathBuf },
    #[error(
        "{place} has its weights in {PICKLE}, which is not supported: save the adapter as {WEIGHTS} \
         (peft: model.save_pretrained(folder, safe_serialization=True))"
    )]
    Pickle { place: String },
    #[error("cannot read {place}")]
    Read { place: String, source: io::Error },
    #[error(transparent)]
    Archive(#[from] crate::model_source::archive::Error),
}

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

/// Whether the trainer wrote it as an intermediate checkpoint.
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
        let several = "a.tar.gz contains several adapters (./one, ./two): specify the folder of \
                       one (unpack an archive first)";
        assert_eq!(chosen(&["two", "one", "checkpoint-1"]).unwrap_err(), several);
        assert!(chosen(&["checkpoint-1", "checkpoint-2"]).is_err());
    }
}
