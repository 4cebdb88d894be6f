//! Uploads the files of a campaign to S3 without overwriting, and reads results back.
//!
//! An edge. Only reading back depends on the content of the files.

#![forbid(unsafe_code)]

mod place;
mod read_back;

pub use place::{Artifact, Placed, place};
pub use read_back::{ReadBack, SamplesFile, read_back};

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    #[error(
        "{prefix} already contains {tried} other results of this campaign: choose another prefix"
    )]
    TooManyFolders { prefix: String, tried: u32 },
    #[error("can't read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{address} {source}")]
    Text { address: String, source: ops::text::Error },
    #[error("{address} is not a results.json that this release can read")]
    NotResults { address: String, source: serde_json::Error },
    #[error(
        "{address} has schema version {found}, and this release reads {known}: use the release that wrote it"
    )]
    Version { address: String, found: u32, known: u32 },
    /// The name would lead to another place.
    #[error(
        "{address} names its samples `{name}`: expected the name of a file that ends with .samples.parquet"
    )]
    Name { address: String, name: String },
    /// The results were computed from other samples.
    #[error("{address} doesn't match its results: expected sha256 {expected}, found {found}")]
    OtherSamples { address: String, expected: String, found: String },
    /// The hash matches, but the number of rows doesn't, or the file isn't Parquet.
    #[error("{address} doesn't contain the {expected} samples of its results")]
    Rows { address: String, expected: u64 },
}
