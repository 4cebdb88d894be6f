//! Finds PEFT adapters in a folder, a `model.tar.gz`, on the hub or in S3, or by built-in name.

mod archive;

use super::adapter_choice::{CONFIG, Error, choose, is_adapter_file, paths};
use super::folder::Folder;
use super::{Adapter, Place, builtin, hub, s3};

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

fn open(root: &Folder, chosen: &str) -> Result<Adapter, Error> {
    let [config, weights] = paths(chosen);
    Ok(Adapter { config: root.open(&config)?, weights: root.open(&weights)?, revision: None })
}
