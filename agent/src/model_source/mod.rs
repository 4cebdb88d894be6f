//! Where models come from: a name in, opened files with their sha256 out.
//!
//! Knows which files a model has and where they lie; what stands in them is the engine's concern.

mod adapter;
mod blob;
mod builtin;
mod directory;
mod dummy;

pub use adapter::{Adapter, Error as AdapterError, find as find_adapter};
pub use blob::{Blob, sha256_of};

use proto::model::EngineSpec;
use std::io;
use std::path::Path;

/// The files of one model.
#[derive(Debug)]
pub struct Model {
    /// `config.json`.
    pub config: Blob,
    /// The weights.
    pub weights: Weights,
    /// `tokenizer.json`; a model without one serves token ids only.
    pub tokenizer: Option<Blob>,
    /// What a reader of the report should know.
    pub notes: Vec<String>,
}

/// Where values of weights come from.
#[derive(Debug)]
pub enum Weights {
    /// safetensors files, one or more.
    Stored(Vec<Blob>),
    /// Random numbers from a seed.
    Seeded(u64),
}

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
    #[error("no model folder {path}: give a folder that holds config.json and model.safetensors")]
    NoFolder {
        /// The path.
        path: String,
    },
    /// A source that is still to come.
    #[error(
        "{what} \"{given}\" is not built into this version yet: download it and give its folder"
    )]
    NotYet {
        /// What kind of source.
        what: &'static str,
        /// As given.
        given: String,
    },
}

/// Finds the files of a model.
///
/// # Errors
/// [`Error`], naming the file and the way out.
pub fn find(spec: &EngineSpec) -> Result<Model, Error> {
    let (model, tokenizer) = (spec.model.as_str(), spec.tokenizer.as_deref());
    if let Some(name) = model.strip_prefix("builtin:") {
        return builtin::find(name, tokenizer);
    }
    if let Some(name) = model.strip_prefix("dummy:") {
        return dummy::find(name, tokenizer);
    }
    let folder = local(model, "model")?;
    if !folder.is_dir() {
        return Err(Error::NoFolder { path: model.to_owned() });
    }
    directory::find(folder, tokenizer)
}

/// The tokenizer that was asked for by name.
fn given_tokenizer(given: Option<&str>) -> Result<Option<Blob>, Error> {
    given.map(|path| directory::tokenizer(local(path, "tokenizer")?)).transpose()
}

/// A path of this machine, or what else the name could have meant.
fn local<'a>(given: &'a str, what: &'static str) -> Result<&'a Path, Error> {
    let path = Path::new(given);
    if path.exists() {
        return Ok(path);
    }
    let not_yet = |what| Err(Error::NotYet { what, given: given.to_owned() });
    if given.starts_with("s3://") {
        return not_yet("the S3 object");
    }
    if given.contains("://") || given.starts_with("sagemaker:") {
        return not_yet("the address");
    }
    let is_hub_id = given.split('/').count() == 2
        && !given.starts_with(['.', '/', '~'])
        && path.extension().is_none_or(|extension| extension != "json");
    if is_hub_id {
        return not_yet("the hub id");
    }
    let path = given.to_owned();
    match what {
        "model" => Err(Error::NoFolder { path }),
        _ => Err(Error::Open { path, source: io::ErrorKind::NotFound.into() }),
    }
}

impl Model {
    /// One sha256 over config and weights: of the list of each file's own, as `sha256sum` prints it.
    ///
    /// # Errors
    /// Where a file can't be read.
    pub fn sha256(&self) -> Result<String, Error> {
        let config = line(&self.config)?;
        let weights = match &self.weights {
            Weights::Seeded(seed) => format!("seeded weights, seed {seed}\n"),
            Weights::Stored(files) => files.iter().map(line).collect::<Result<_, _>>()?,
        };
        Ok(sha256_of(&(config + &weights)))
    }
}

/// The sha256 of a file's bytes.
///
/// # Errors
/// Where it can't be read.
pub fn sha256(blob: &Blob) -> Result<String, Error> {
    blob.sha256().map_err(|source| Error::Open { path: blob.name().to_owned(), source })
}

fn line(blob: &Blob) -> Result<String, Error> {
    let name = Path::new(blob.name()).file_name().unwrap_or_default().display();
    Ok(format!("{}  {name}\n", sha256(blob)?))
}
