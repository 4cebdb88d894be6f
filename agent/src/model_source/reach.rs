//! Checks whether a model, adapter or tokenizer is available, without downloading it.

use super::{
    Error, Place, adapter_choice, archive, builtin, choice, connection, directory, dummy, hub,
    tree_path,
};
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Model,
    Adapter,
    Tokenizer,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Adapter => "adapter",
            Self::Tokenizer => "tokenizer",
        }
    }

    fn count(self, place: &str, files: &[String]) -> Result<usize, Error> {
        Ok(match self {
            Self::Model => {
                let chosen = choice::model(place, files)?;
                // Which shards count is known from the index alone.
                let is_shard = |file: &&String| {
                    tree_path::folder_of(file) == chosen.folder && file.ends_with(".safetensors")
                };
                let shards = files.iter().filter(is_shard).count();
                chosen.paths().count() + if chosen.has(choice::INDEX) { shards } else { 0 }
            }
            Self::Tokenizer => choice::tokenizer(place, files).map(|()| 1)?,
            Self::Adapter => {
                let chosen = adapter_choice::choose(place, files)?;
                adapter_choice::paths(&chosen).len()
            }
        })
    }
}

/// Describes the files at a location. Lists the hub and S3, but downloads nothing.
pub fn reach(given: &str, kind: Kind) -> Result<String, Error> {
    let built_in = "built into this program".to_owned();
    match (given.split_once(':'), kind) {
        (Some(("builtin", name)), Kind::Model) => {
            return builtin::find(name, None).map(|_| built_in);
        }
        (Some(("builtin", name)), Kind::Adapter) => {
            return builtin::find_adapter(name).map(|_| built_in);
        }
        (Some(("dummy", name)), Kind::Model) => return dummy::find(name, None).map(|_| built_in),
        _ => {}
    }
    match Place::of(given) {
        Place::Local(path) => local(path, kind),
        Place::Hub => {
            let listed = hub::listed(given, None)?;
            let count = kind.count(given, &listed.files)?;
            Ok(format!("{count} files at commit {}, available", listed.commit))
        }
        Place::S3 => {
            let address: fetch::s3::Address = given.parse().map_err(fetch::Error::from)?;
            let fetcher = connection()?;
            let is_file = Path::new(&address.key).extension().is_some_and(|end| end == "json");
            if is_file || archive::is_archive(&address.key) {
                let object = fetcher.block_on(fetcher.s3_object(&address))?;
                return Ok(format!("{} bytes, available", object.bytes));
            }
            let listed = fetcher.block_on(fetcher.s3_listing(&address))?;
            let names: Vec<String> = listed.into_iter().map(|object| object.name).collect();
            Ok(format!("{} files, available", kind.count(given, &names)?))
        }
        Place::Unknown => Err(Error::Address { given: given.to_owned() }),
    }
}

fn local(path: &Path, kind: Kind) -> Result<String, Error> {
    let no_folder = || Error::NoFolder { path: path.display().to_string() };
    let here = || "on this machine".to_owned();
    match kind {
        _ if archive::is_archive(&path.to_string_lossy()) => {
            path.is_file().then(here).ok_or_else(no_folder)
        }
        Kind::Model if path.is_dir() => directory::find(path, None).map(|_| here()),
        Kind::Model => Err(no_folder()),
        Kind::Tokenizer => directory::tokenizer(path, &path.to_string_lossy()).map(|_| here()),
        Kind::Adapter => super::find_adapter(&path.to_string_lossy()).map(|_| here()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_here_is_looked_at_where_it_lies() {
        assert!(reach("builtin:tiny", Kind::Model).is_ok());
        assert!(reach("builtin:tiny-minutes", Kind::Adapter).is_ok());
        assert!(reach("dummy:flan-t5-base", Kind::Model).is_ok());
        assert!(reach("builtin:small", Kind::Model).is_err());
        let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/src/model_source/tiny");
        assert_eq!(reach(tiny, Kind::Model).unwrap(), "on this machine");
        assert_eq!(
            reach(&format!("{tiny}/tokenizer.json"), Kind::Tokenizer).unwrap(),
            "on this machine"
        );
        assert_eq!(reach(&format!("{tiny}/minutes"), Kind::Adapter).unwrap(), "on this machine");
    }

    #[test]
    fn what_is_not_here_is_told() {
        for kind in [Kind::Model, Kind::Adapter, Kind::Tokenizer] {
            assert!(reach("/none", kind).is_err(), "{kind:?}");
            assert!(reach("ftp://x/y", kind).is_err(), "{kind:?}");
        }
        assert!(reach("/none.tar.gz", Kind::Model).is_err());
    }
}
