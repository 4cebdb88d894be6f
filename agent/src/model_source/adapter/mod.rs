//! Finds PEFT adapters in a folder, a `model.tar.gz`, on the hub or in S3, or by built-in name.
//!
//! Training jobs write the adapter to the root, below wrapping folders, to `adapter/` or to
//! `checkpoint-N/`. One at the root wins; otherwise there must be exactly one
//! `adapter_config.json`, and checkpoints count only if there is nothing else.

mod archive;

use super::choice::{self, folder_of, join};
use super::folder::{self, Folder};
use super::{Adapter, Place, archive as archives, builtin, hub, s3};
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
    Archive(#[from] archives::Error),
}

pub fn find(given: &str) -> Result<Adapter, super::Error> {
    if let Some(name) = given.strip_prefix("builtin:") {
        return builtin::find_adapter(name);
    }
    Ok(match Place::of(given) {
        Place::Local(path) if path.is_dir() => {
            let root = Folder::new(path);
            let files = root.files(is_adapter_file, |name| name == CONFIG).map_err(Error::from)?;
            let chosen = choose(&root.name(), &files)?;
            open(&root, &chosen)?
        }
        Place::Local(path) => archive::find(path, given)?,
        Place::Hub => {
            let found = hub::adapter(given)?;
            let adapter = open(&found.folder, &found.chosen)?;
            Adapter { revision: Some(found.commit), ..adapter }
        }
        Place::S3 => match s3::adapter(given)? {
            s3::Found::File(file) => archive::find(&file, given)?,
            s3::Found::Folder((folder, chosen)) => open(&folder, &chosen)?,
        },
        Place::Unknown => return Err(super::Error::Address { given: given.to_owned() }),
    })
}

fn is_adapter_file(name: &str) -> bool {
    [CONFIG, WEIGHTS, PICKLE].contains(&name)
}

/// The files of the adapter in this folder.
pub(super) fn paths(folder: &str) -> [String; 2] {
    [join(folder, CONFIG), join(folder, WEIGHTS)]
}

fn open(root: &Folder, chosen: &str) -> Result<Adapter, Error> {
    let [config, weights] = paths(chosen);
    Ok(Adapter { config: root.open(&config)?, weights: root.open(&weights)?, revision: None })
}

/// The folder of the adapter among `files`; empty for the root. `place` is named in errors.
pub(super) fn choose(place: &str, files: &[String]) -> Result<String, Error> {
    let visible: Vec<&str> =
        files.iter().map(String::as_str).filter(|file| choice::is_visible(file)).collect();
    let configs = visible.iter().filter(|file| choice::file_name(file) == CONFIG);
    let mut folders: Vec<&str> = configs.map(|file| folder_of(file)).collect();
    if folders.contains(&"") {
        folders = vec![""];
    }
    let mut folders = choice::without_checkpoints(folders);
    folders.sort_unstable();
    let place = place.to_owned();
    let folder = match folders.as_slice() {
        [] => return Err(Error::NoConfig { place }),
        [folder] => (*folder).to_owned(),
        several => return Err(Error::Several { place, folders: choice::listed(several) }),
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
