//! Finds models by name and opens their files; downloads them from the hub or S3 if necessary.
//!
//! It knows the files of a model and their locations, not their contents.

mod adapter;
mod archive;
mod builtin;
mod choice;
mod connection;
mod directory;
mod dummy;
mod hub;
mod reach;
mod s3;
mod unpacked;

pub use adapter::{Error as AdapterError, find as find_adapter};
pub use connection::{disconnect, report_downloads_to};
pub use reach::{Kind, reach};

use connection::connection;
use engine::files::{Adapter, Blob, Model, ModelSource, ReadError, SourceError};
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
    #[error("{path} is not an index of safetensors files")]
    Index { path: String, source: serde_json::Error },
    #[error("{path} names a file outside its folder: {name}")]
    ShardName { path: String, name: String },
    #[error(transparent)]
    Adapter(#[from] adapter::Error),
    #[error("unknown {kind} `{found}`: expected {known}")]
    UnknownName { kind: &'static str, found: String, known: String },
    #[error(
        "no model at `{path}`: expected a folder with config.json and model.safetensors, or a model.tar.gz"
    )]
    NoFolder { path: String },
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    #[error("{model} has no revisions: remove revision = \"{revision}\"")]
    Revision { model: String, revision: String },
    #[error(transparent)]
    Archive(#[from] archive::Error),
    #[error(
        "unsupported model location `{given}`: expected a folder, owner/name on the hub, s3://bucket/prefix or builtin:tiny"
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
        Place::Local(path) => local(path, tokenizer),
        Place::Hub => {
            let found = hub::model(model, spec.revision.as_deref())?;
            let model = directory::find(&found.folder, tokenizer)?;
            Ok(Model { revision: Some(found.commit), ..model })
        }
        Place::S3 => local(&s3::model(model)?, tokenizer),
        Place::Unknown => Err(Error::Address { given: model.to_owned() }),
    }
}

fn local(path: &Path, tokenizer: Option<&str>) -> Result<Model, Error> {
    if path.is_dir() {
        directory::find(path, tokenizer)
    } else if path.is_file() && archive::is_archive(&path.to_string_lossy()) {
        directory::find(&unpacked::folder(path)?, tokenizer)
    } else {
        Err(Error::NoFolder { path: path.display().to_string() })
    }
}

pub fn tokenizer(given: Option<&str>) -> Result<Option<Blob>, Error> {
    match given.and_then(|given| given.strip_prefix("builtin:")) {
        Some(name) => Ok(builtin::find(name, None)?.tokenizer),
        None => given_tokenizer(given),
    }
}

fn given_tokenizer(given: Option<&str>) -> Result<Option<Blob>, Error> {
    let Some(given) = given else { return Ok(None) };
    let tokenizer = match Place::of(given) {
        Place::Local(path) if path.exists() => directory::tokenizer(path)?,
        Place::Local(_) => {
            let source = io::ErrorKind::NotFound.into();
            return Err(Error::Open { path: given.to_owned(), source });
        }
        Place::Hub => directory::tokenizer(&hub::tokenizer(given)?.folder)?,
        Place::S3 => directory::tokenizer(&s3::tokenizer(given)?)?,
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
