//! Selects the files of an adapter from a list of files, which is that of a folder, an archive, the
//! hub or S3.
//!
//! Training jobs write the adapter to the root, below wrapping folders, to `adapter/` or to
//! `checkpoint-N/`. One at the root wins; otherwise there must be exactly one
//! `adapter_config.json`, and checkpoints count only if there is nothing else.

use super::tree_path::{file_name, folder_of, is_visible, join, listed, without_checkpoints};
use super::{archive, folder};

pub(super) const CONFIG: &str = "adapter_config.json";
pub(super) const WEIGHTS: &str = "adapter_model.safetensors";
/// Not read: unpickling can run code.
pub(super) const PICKLE: &str = "adapter_model.bin";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{place} has no {CONFIG}")]
    NoConfig { place: String },
    #[error(
        "{place} contains several adapters ({folders}): specify the folder of one (unpack an archive first)"
    )]
    Several { place: String, folders: String },
    #[error("{place} has {} but no {WEIGHTS} beside it", join(.folder, CONFIG))]
    NoWeights { place: String, folder: String },
    #[error(
        "{place} has its weights in {PICKLE}, which is not supported: save the adapter as {WEIGHTS} \
         (peft: model.save_pretrained(folder, safe_serialization=True))"
    )]
    Pickle { place: String },
    #[error(transparent)]
    Folder(#[from] folder::Error),
    #[error(transparent)]
    Archive(#[from] archive::Error),
}

/// Whether an adapter's folder is recognized by a file of this name.
pub(super) fn is_adapter_file(name: &str) -> bool {
    [CONFIG, WEIGHTS, PICKLE].contains(&name)
}

/// The files of the adapter in this folder.
pub(super) fn paths(folder: &str) -> [String; 2] {
    [join(folder, CONFIG), join(folder, WEIGHTS)]
}

/// The folder of the adapter among `files`; empty for the root. `place` is named in errors.
pub(super) fn choose(place: &str, files: &[String]) -> Result<String, Error> {
    let visible: Vec<&str> =
        files.iter().map(String::as_str).filter(|file| is_visible(file)).collect();
    let configs = visible.iter().filter(|file| file_name(file) == CONFIG);
    let mut folders: Vec<&str> = configs.map(|file| folder_of(file)).collect();
    if folders.contains(&"") {
        folders = vec![""];
    }
    let mut folders = without_checkpoints(folders);
    folders.sort_unstable();
    let place = place.to_owned();
    let folder = match folders.as_slice() {
        [] => return Err(Error::NoConfig { place }),
        [folder] => (*folder).to_owned(),
        several => return Err(Error::Several { place, folders: listed(several) }),
    };
    let has = |name| visible.contains(&join(&folder, name).as_str());
    match (has(WEIGHTS), has(PICKLE)) {
        (true, _) => Ok(folder),
        (false, true) => Err(Error::Pickle { place }),
        (false, false) => Err(Error::NoWeights { place, folder }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(folders: &[&str]) -> Result<String, String> {
        let files: Vec<String> = folders.iter().flat_map(|folder| paths(folder)).collect();
        choose("a.tar.gz", &files).map_err(|error| error.to_string())
    }

    #[test]
    fn the_adapter_is_found_wherever_a_job_puts_it() {
        for folder in
            ["", "adapter", "wrapper/adapter", "checkpoint-100", "output/model/run1/adapter"]
        {
            assert_eq!(chosen(&[folder]).unwrap(), folder);
        }
        assert_eq!(chosen(&["checkpoint-100", "", "checkpoint-200"]).unwrap(), "");
        assert_eq!(chosen(&["other", ""]).unwrap(), "");
        assert_eq!(chosen(&[".cache/x", "adapter"]).unwrap(), "adapter");
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
