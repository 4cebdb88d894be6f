//! Finds models by name and opens their files; downloads them from the hub or S3 if necessary.
//!
//! It knows the files of a model and their locations, not their contents.

mod adapter;
mod adapter_choice;
mod archive;
mod builtin;
mod choice;
mod connection;
mod directory;
mod dummy;
mod folder;
mod gguf;
mod hub;
mod reach;
mod s3;
mod tree_path;
mod unpacked;

pub use adapter::find as find_adapter;
pub use adapter_choice::Error as AdapterError;
pub use connection::{disconnect, report_downloads_to};
pub use reach::{Kind, reach};

use connection::connection;
use engine::files::{Adapter, Blob, CONVERT_PIECES, Model, ModelSource, ReadError, SourceError};
use model::engine::EngineSpec;
use std::{io, path::Path};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{folder} has no {file}")]
    Missing { folder: String, file: String },
    #[error(
        "{folder} has its weights in pytorch_model.bin, which is not supported: save them as model.safetensors \
         (transformers: model.save_pretrained(folder, safe_serialization=True))"
    )]
    Pickle { folder: String },
    #[error("cannot open {path}")]
    Open { path: String, source: io::Error },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Folder(#[from] folder::Error),
    #[error(
        "{place} contains several models ({folders}): specify the folder of one (unpack an archive first)"
    )]
    Several { place: String, folders: String },
    #[error("{file} is not a tokenizer.json: {CONVERT_PIECES}")]
    Pieces { file: String },
    #[error("cannot use the cached file {path}: delete it")]
    Cache { path: String, source: io::Error },
    #[error("{path} is not an index of safetensors files")]
    Index { path: String, source: serde_json::Error },
    #[error("{path} names a file outside its folder: {name}")]
    ShardName { path: String, name: String },
    #[error(transparent)]
    Adapter(#[from] adapter_choice::Error),
    #[error("unknown {kind} `{found}`: expected {known}")]
    UnknownName { kind: &'static str, found: String, known: String },
    #[error(
        "no model at `{path}`: expected a folder with config.json and model.safetensors, a model.tar.gz or a .gguf file"
    )]
    NoFolder { path: String },
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    #[error("{model} has no revisions: remove revision = \"{revision}\"")]
    Revision { model: String, revision: String },
    #[error(transparent)]
    Archive(#[from] archive::Error),
    #[error(transparent)]
    Gguf(#[from] ::gguf::Error),
    #[error(
        "unsupported model location `{given}`: expected a folder, a .gguf file, owner/name on the hub, s3://bucket/prefix or builtin:tiny"
    )]
    Address { given: String },
}

impl Error {
    fn unknown(kind: &'static str, found: &str, known: &str) -> Self {
        Self::UnknownName { kind, found: found.to_owned(), known: known.to_owned() }
    }
}

/// Folders and archives on this machine, the hub, S3, and the models built into the program.
#[derive(Debug)]
pub struct Sources;

impl ModelSource for Sources {
    fn model(&self, spec: &EngineSpec) -> Result<Model, SourceError> {
        find(spec).map_err(SourceError::new)
    }

    fn adapter(&self, name: &str) -> Result<Adapter, SourceError> {
        find_adapter(name).map_err(SourceError::new)
    }
}

pub fn find(spec: &EngineSpec) -> Result<Model, Error> {
    let (model, tokenizer) = (spec.model.as_str(), spec.tokenizer.as_deref());
    let place = Place::of(model);
    if let (Some(revision), false) = (&spec.revision, matches!(place, Place::Hub)) {
        return Err(Error::Revision { model: model.to_owned(), revision: revision.clone() });
    }
    if let Some(name) = model.strip_prefix("builtin:") {
        return builtin::find(name, tokenizer);
    }
    if let Some(name) = model.strip_prefix("dummy:") {
        return dummy::find(name, tokenizer);
    }
    match place {
        Place::Local(path) if path.is_dir() => directory::find(path, tokenizer),
        Place::Local(path) if path.is_file() && archive::is_archive(model) => {
            unpacked::find(path, model, tokenizer)
        }
        Place::Local(path) if path.is_file() && gguf::is_name(model) => {
            gguf::find(path, model, tokenizer)
        }
        Place::Local(_) => Err(Error::NoFolder { path: model.to_owned() }),
        Place::Hub => {
            let revision = spec.revision.as_deref();
            if let (repository, Some(file)) = hub::with_file(model) {
                let found = hub::file(repository, file, revision)?;
                let model = gguf::find(&found.folder.path.join(&found.chosen), model, tokenizer)?;
                return Ok(Model { revision: Some(found.commit), ..model });
            }
            let found = hub::model(model, revision)?;
            let model = directory::open(&found.folder, &found.chosen, tokenizer)?;
            Ok(Model { revision: Some(found.commit), ..model })
        }
        Place::S3 => match s3::model(model)? {
            s3::Found::File(file) if archive::is_archive(model) => {
                unpacked::find(&file, model, tokenizer)
            }
            s3::Found::File(file) if gguf::is_name(model) => gguf::find(&file, model, tokenizer),
            s3::Found::File(_) => Err(Error::NoFolder { path: model.to_owned() }),
            s3::Found::Folder((folder, chosen)) => directory::open(&folder, &chosen, tokenizer),
        },
        Place::Unknown => Err(Error::Address { given: model.to_owned() }),
    }
}

pub fn tokenizer(given: Option<&str>) -> Result<Option<Blob>, Error> {
    match given.and_then(|given| given.strip_prefix("builtin:")) {
        Some(name) => builtin::tokenizer(name).map(Some),
        None => given_tokenizer(given),
    }
}

fn given_tokenizer(given: Option<&str>) -> Result<Option<Blob>, Error> {
    let Some(given) = given else { return Ok(None) };
    let tokenizer = match Place::of(given) {
        Place::Local(path) if path.is_file() && gguf::is_name(given) => {
            gguf::tokenizer(path, given)?
        }
        Place::Local(path) if path.exists() => directory::tokenizer(path, given)?,
        Place::Local(_) => {
            let source = io::ErrorKind::NotFound.into();
            return Err(Error::Open { path: given.to_owned(), source });
        }
        Place::Hub => hub::tokenizer(given)?.open(choice::TOKENIZER)?,
        Place::S3 => match s3::tokenizer(given)? {
            s3::Found::File(file) => directory::tokenizer(&file, given)?,
            s3::Found::Folder(folder) => folder.open(choice::TOKENIZER)?,
        },
        Place::Unknown => return Err(Error::Address { given: given.to_owned() }),
    };
    Ok(Some(tokenizer))
}

/// The location that a name refers to, other than `builtin:` and `dummy:`.
enum Place<'a> {
    /// A path on this machine, existing or not.
    Local(&'a Path),
    Hub,
    S3,
    Unknown,
}

impl<'a> Place<'a> {
    /// Existing local paths take precedence.
    fn of(given: &'a str) -> Self {
        let path = Path::new(given);
        match given {
            _ if path.exists() => Self::Local(path),
            _ if s3::is_name(given) => Self::S3,
            _ if hub::is_name(given) => Self::Hub,
            _ if given.contains("://") || given.starts_with("sagemaker:") => Self::Unknown,
            _ => Self::Local(path),
        }
    }
}
