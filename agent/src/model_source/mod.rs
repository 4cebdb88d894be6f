//! Where models come from: a name in, opened files with their sha256 out. What lies at the hub or in S3 is fetched.
//!
//! Knows which files a model has and where they lie; what stands in them is the engine's concern.

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
pub use connection::{disconnect, tell_news_to};
pub use reach::{Kind, reach};

use connection::connection;
use engine::files::{Adapter, Blob, Model, ModelSource, ReadError, SourceError};
use model::engine::EngineSpec;
use std::io;
use std::path::Path;

/// A model that can't be found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder lacks a file.
    #[error("{folder} has no {file}")]
    Missing {
        /// Which folder.
        folder: String,
        /// Which file.
        file: String,
    },
    /// Weights in the form that can run code when it is read.
    #[error(
        "{folder} has its weights in pytorch_model.bin, which is not read: save them as model.safetensors \
         (transformers: model.save_pretrained(folder, safe_serialization=True))"
    )]
    Pickle {
        /// Which folder.
        folder: String,
    },
    /// A file is there and can't be opened.
    #[error("can't open {path}")]
    Open {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The list of shards can't be read.
    #[error("{path} is not an index of safetensors files")]
    Index {
        /// Which file.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The list of shards leaves its folder.
    #[error("{path} names a file outside its folder: {name}")]
    ShardName {
        /// Which file.
        path: String,
        /// The name in it.
        name: String,
    },
    /// An adapter.
    #[error(transparent)]
    Adapter(#[from] adapter::Error),
    /// No such name after `builtin:` or `dummy:`.
    #[error("unknown {kind} \"{found}\": one of {known}")]
    UnknownName {
        /// `builtin model`, `builtin adapter` or `dummy model`.
        kind: &'static str,
        /// The name.
        found: String,
        /// The names there are.
        known: String,
    },
    /// Not a folder of this machine, and nothing else.
    #[error(
        "no model folder {path}: give a folder that holds config.json and model.safetensors, or a model.tar.gz of one"
    )]
    NoFolder {
        /// The path.
        path: String,
    },
    /// It can't be fetched.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// A revision of something that has none.
    #[error("{model} has no revisions: leave out revision = \"{revision}\"")]
    Revision {
        /// Which model.
        model: String,
        /// As given.
        revision: String,
    },
    /// An archive of a model.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// An address of a kind that models don't come from.
    #[error(
        "no model comes from {given}: give a folder, owner/name of the hub, s3://bucket/prefix or builtin:tiny"
    )]
    Address {
        /// As given.
        given: String,
    },
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

/// Finds the files of a model.
///
/// # Errors
/// [`Error`], naming the file and the way out.
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

/// A model of this machine: its folder, or an archive of it.
fn local(path: &Path, tokenizer: Option<&str>) -> Result<Model, Error> {
    if path.is_dir() {
        directory::find(path, tokenizer)
    } else if path.is_file() && archive::is_archive(&path.to_string_lossy()) {
        directory::find(&unpacked::folder(path)?, tokenizer)
    } else {
        Err(Error::NoFolder { path: path.display().to_string() })
    }
}

/// The tokenizer of this name, for whoever needs nothing but it.
///
/// # Errors
/// [`Error`], naming the file and the way out.
pub fn tokenizer(given: Option<&str>) -> Result<Option<Blob>, Error> {
    match given.and_then(|given| given.strip_prefix("builtin:")) {
        Some(name) => Ok(builtin::find(name, None)?.tokenizer),
        None => given_tokenizer(given),
    }
}

/// The tokenizer that was asked for by name.
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

/// What a name means, unless it is `builtin:` or `dummy:`.
enum Place<'a> {
    /// A path of this machine, whether something is there or not.
    Local(&'a Path),
    /// A repository of the hub.
    Hub,
    /// An object or a prefix in S3.
    S3,
    /// An address of another kind.
    Unknown,
}

impl<'a> Place<'a> {
    /// What is on this machine comes first.
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
